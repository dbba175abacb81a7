"""Surfaces where quantum nuclei go: the check finds a hole, and passes what is sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.optimize import BFGS

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import DataError, GeometryError, PaiNNWarning, UnstableRunError
from painn_ase.models import bundled_models
from painn_ase.spectra import harmonic
from painn_ase.testing import draw_quantum, examine, quantum_width
from painn_ase.units import boltzmann_constant, ev_to_invcm
from painn_ase.workflow.quantum import bear_quantum_width


class Bond(Calculator):  # type: ignore[misc]
    """A diatomic with a harmonic bond, and beyond `edge` Å a shelf at a depth, eV."""

    implemented_properties = ("energy", "forces", "hessian")  # type: ignore[assignment]
    length, stiffness = 0.74, 35.0

    def __init__(self, edge: float = np.inf, depth: float = 0.0) -> None:
        super().__init__()
        self.edge, self.depth = edge, depth

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        arm = self.atoms.positions[1] - self.atoms.positions[0]
        r = np.linalg.norm(arm)
        energy = 0.5 * self.stiffness * (r - self.length) ** 2
        pull = self.stiffness * (r - self.length) * arm / r
        shelf = self.depth if r > self.edge else 0.0
        self.results = {"energy": energy - shelf, "forces": np.array([pull, -pull])}

    def get_hessian(self, atoms: Atoms) -> np.ndarray:
        arm = atoms.positions[1] - atoms.positions[0]
        block = self.stiffness * np.outer(arm, arm) / (arm @ arm)
        return np.block([[block, -block], [-block, block]]).reshape(2, 3, 2, 3)


@pytest.fixture
def hydrogen():
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, Bond.length]])
    return atoms, harmonic(atoms, Bond())


def test_draws_have_the_width_of_quantum_oscillators(hydrogen) -> None:
    _, modes = hydrogen
    quantum = modes.frequencies[0] / ev_to_invcm
    for temperature in (0.0, 300.0, 6000.0):
        positions, energies = draw_quantum(modes, 40_000, temperature=temperature)
        coth = 1.0
        if temperature:
            coth = 1.0 / np.tanh(quantum / (2.0 * boltzmann_constant * temperature))
        # the mean potential energy is half of the exact energy of the oscillator
        assert energies.mean() == pytest.approx(0.25 * quantum * coth, rel=0.03)
        r = np.linalg.norm(positions[:, 1] - positions[:, 0], axis=1)
        np.testing.assert_allclose(
            0.5 * Bond.stiffness * (r - Bond.length) ** 2, energies, rtol=1e-6, atol=1e-12
        )


def test_a_harmonic_surface_has_ratio_one(hydrogen) -> None:
    found = quantum_width(Bond(), *hydrogen, n_draws=300)
    assert (found.lowest, found.highest) == pytest.approx((1.0, 1.0), rel=1e-9)
    assert (found.n_holes, found.n_modes, found.is_doubtful) == (0, 1, False)


def test_a_hole_is_found_counted_and_shown(hydrogen) -> None:
    atoms, modes = hydrogen
    found = quantum_width(Bond(edge=0.98, depth=5.0), atoms, modes, n_draws=4000)
    positions, _ = draw_quantum(modes, 4000)
    beyond = np.linalg.norm(positions[:, 1] - positions[:, 0], axis=1) > 0.98
    assert 0 < found.n_holes == beyond.sum() < 400
    assert np.linalg.norm(found.worst[1] - found.worst[0]) > 0.98
    assert found.is_doubtful
    assert f"{found.n_holes} below the minimum" in str(found)


def test_a_surface_without_finite_energies_is_a_hole(hydrogen) -> None:
    atoms, modes = hydrogen
    found = quantum_width(Bond(edge=0.98, depth=np.nan), atoms, modes, n_draws=2000)
    assert found.n_holes > 0
    assert found.lowest == -np.inf


def test_soft_or_foreign_modes_are_refused(hydrogen) -> None:
    atoms, modes = hydrogen
    soft = replace(modes, frequencies=np.array([400.0]))
    with pytest.raises(DataError, match="no mode is above 500"):
        quantum_width(Bond(), atoms, soft)
    with pytest.raises(GeometryError, match="2 atoms, the structure has 3"):
        quantum_width(Bond(), molecule("H2O"), modes)
    with pytest.raises(DataError, match="give 1 or more"):
        quantum_width(Bond(), atoms, modes, n_draws=0)


def test_the_doctor_reports_the_width_where_modes_are_given(hydrogen, monkeypatch) -> None:
    monkeypatch.setattr("painn_ase.testing.doctor._N_DRAWS", 2000)
    atoms, modes = hydrogen
    for calculator, fault in ((Bond(), False), (Bond(edge=0.98, depth=5.0), True)):
        findings = examine(calculator, atoms, n_steps=0, quantum=modes)
        (line,) = [f for f in findings if f.check == "quantum width"]
        assert line.is_fault is fault
    assert not [f for f in examine(LennardJones(), atoms, n_steps=0) if f.check == "quantum width"]


def relaxed(name: str, structure: str):
    atoms = molecule(structure)
    atoms.calc = PaiNNCalculator(name, dtype="float64")
    BFGS(atoms, logfile=None).run(fmax=1e-4, steps=500)
    return atoms, atoms.calc, harmonic(atoms)


@pytest.mark.parametrize(("name", "structure"), [("water", "H2O"), ("formaldehyde", "H2CO")])
def test_bundled_models_bear_quantum_nuclei(name, structure) -> None:
    if name not in bundled_models():
        pytest.skip(f"no bundled {name}")
    atoms, calculator, modes = relaxed(name, structure)
    found = quantum_width(calculator, atoms, modes, n_draws=4000)
    assert found.n_holes == 0
    assert found.lowest > 0.5
    assert found.highest < 2.5


class Reshaped(PaiNNCalculator):
    """Water's model with its energy above the minimum put through a function."""

    def __init__(self, model: str, minimum: float, shape: Callable[[float], float]) -> None:
        super().__init__(model, dtype="float64")
        self.minimum, self.shape = minimum, shape

    def predict(self, *args: object, **kwargs: object) -> object:
        found = super().predict(*args, **kwargs)  # type: ignore[arg-type]
        return [
            replace(one, energy=self.minimum + self.shape(one.energy - self.minimum))
            for one in found
        ]


@pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model")
def test_ring_polymers_are_kept_from_a_model_with_holes() -> None:
    atoms, calculator, modes = relaxed("water", "H2O")
    lowest = atoms.get_potential_energy()
    assert bear_quantum_width(calculator, atoms, modes, 300.0).n_holes == 0
    soft = replace(modes, frequencies=np.minimum(modes.frequencies, 400.0))
    assert bear_quantum_width(calculator, atoms, soft, 300.0) is None

    with pytest.warns(PaiNNWarning, match="of the harmonic one"):
        bear_quantum_width(Reshaped("water", lowest, lambda e: 0.6 * e), atoms, modes, 300.0)
    falling = Reshaped("water", lowest, lambda e: e - e**3)
    with pytest.raises(UnstableRunError, match="no-width-check"):
        bear_quantum_width(falling, atoms, modes, 300.0)
