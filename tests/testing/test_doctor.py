"""Sound calculators pass the examination; faulty ones fail at the right line."""

from __future__ import annotations

from typing import ClassVar

import faulty_models as faulty
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.emt import EMT

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import GeometryError
from painn_ase.testing import (
    Finding,
    check_dipole_origin,
    check_energy_conservation,
    check_equivariance,
    check_smoothness,
    examine,
    random_atoms,
    random_potential,
)
from painn_ase.testing.smoothness import _way, find_jumps


def faults(findings: tuple[Finding, ...]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in findings:
        if finding.is_fault:
            found.setdefault(finding.check, set()).add(finding.quantity)
    return found


def measured(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.check for finding in findings if finding.size is not None}


def test_the_bundled_models_pass_every_check() -> None:
    findings = examine(PaiNNCalculator("ethanol", device="cpu"), molecule("CH3CH2OH"), n_steps=50)
    assert faults(findings) == {}
    assert measured(findings) == {
        "rotation",
        "reflection",
        "translation",
        "permutation",
        "forces = −dE/dr",
        "smooth at the cutoff",
        "dipole against shift",
        "α against shift",
        "α symmetric",
        "Born sum rule",
        "Born charges = dμ/dr",
        "NVE drift",
    }


def test_a_potential_of_another_program_passes_with_its_stress() -> None:
    findings = examine(EMT(), bulk("Cu").repeat((2, 2, 1)), n_steps=40)
    assert faults(findings) == {}
    assert {"stress = dE/dε / V", "NVE drift", "smooth at the cutoff"} <= measured(findings)
    unmade = {f.check: f.note for f in findings if f.size is None}
    assert unmade["dipole against shift"] == "the calculator gives no dipole"


def test_a_local_model_of_a_crystal_passes_every_check() -> None:
    heads = ("energy", "dipole:local", "polarizability:local")
    calc = PaiNNCalculator(random_potential(8, 2, 6, 3.0, heads=heads), device="cpu")
    findings = examine(calc, random_atoms(5, pbc=True), n_steps=0)
    assert faults(findings) == {}
    assert "stress = dE/dε / V" in measured(findings)
    assert "NVE drift" not in measured(findings)


def test_the_sound_network_the_faulty_ones_are_made_from_passes() -> None:
    findings = examine(faulty.calculator(faulty.sound()), molecule("H2CO"), n_steps=20)
    assert faults(findings) == {}


@pytest.mark.parametrize(
    "build", [faulty.with_biases_on_vectors, faulty.with_activations_on_components]
)
def test_vectors_treated_as_numbers_break_rotation_and_reflection(build) -> None:
    calc = faulty.calculator(build())
    found = faults(examine(calc, molecule("H2CO"), n_steps=0))
    assert {"energy", "forces", "dipole"} <= found["rotation"]
    assert "energy" in found["reflection"]
    assert not {"translation", "permutation", "forces = −dE/dr", "smooth at the cutoff"} & set(
        found
    )
    with pytest.raises(AssertionError, match="under rotation: differs by"):
        check_equivariance(calc, molecule("H2CO"), ["energy"])


def test_a_filter_bias_after_the_cutoff_makes_energy_and_forces_jump(monkeypatch) -> None:
    calc = faulty.calculator(faulty.with_filter_bias_after_the_cutoff(monkeypatch))
    findings = examine(calc, molecule("H2CO"), n_steps=0)
    assert faults(findings) == {"smooth at the cutoff": {"energy", "forces"}}
    with pytest.raises(AssertionError, match="smooth at the cutoff, energy"):
        check_smoothness(calc, molecule("H2CO"))


def test_a_jump_is_found_where_two_atoms_are_the_cutoff_apart(monkeypatch) -> None:
    calc = faulty.calculator(faulty.with_filter_bias_after_the_cutoff(monkeypatch))
    atoms = Atoms("CO", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.2]])
    in_energy, _ = find_jumps(calc, atoms)
    atom, _, _, pulled, _ = in_energy.note.split()
    line = _way(atoms)[2]
    atoms.positions[int(atom[1:])] += float(pulled) * line
    assert atoms.get_distance(0, 1) == pytest.approx(3.0, abs=2e-3)
    alone = sum(calc.get_potential_energy(Atoms(symbol)) for symbol in "CO")
    atoms.set_distance(0, 1, 2.9999, fix=0)
    assert in_energy.size == pytest.approx(abs(calc.get_potential_energy(atoms) - alone), rel=0.01)


def test_such_a_jump_shows_as_drift_where_neighbours_come_and_go(monkeypatch) -> None:
    atoms = random_atoms(8, pbc=True, spacing=1.3)
    heated = {"temperature": 600.0, "n_steps": 60}
    potential = random_potential(8, 2, 6, 3.0)
    check_energy_conservation(PaiNNCalculator(potential, device="cpu"), atoms, **heated)
    calc = faulty.calculator(faulty.with_filter_bias_after_the_cutoff(monkeypatch))
    with pytest.raises(AssertionError, match="NVE drift"):
        check_energy_conservation(calc, atoms, **heated)


class Springs(Calculator):
    """Atoms on springs to the origin; every physical rule but the translation's can be broken."""

    implemented_properties: ClassVar = ["energy", "forces", "dipole", "polarizability"]

    def __init__(self, force_factor: float = 1.0, charge: float = 0.0, skew: float = 0.0) -> None:
        super().__init__()
        self.force_factor, self.charge, self.skew = force_factor, charge, skew

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        apart = self.atoms.positions[:, None] - self.atoms.positions
        lengths = np.linalg.norm(apart, axis=-1)
        alpha = np.eye(3) + self.skew * np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 0]])
        center = self.atoms.positions.mean(axis=0)
        self.results = {
            "energy": 0.25 * (lengths**2).sum(),
            "forces": -self.force_factor * apart.sum(axis=1),
            "dipole": self.charge * center,
            "polarizability": alpha,
        }


def test_forces_that_are_no_gradient_are_found_with_their_size() -> None:
    found = examine(Springs(force_factor=1.1), molecule("H2O"))
    assert set(faults(found)) == {"forces = −dE/dr", "NVE drift"}
    assert faults(examine(Springs(), molecule("H2O"))) == {}
    (finding,) = [f for f in found if f.check == "forces = −dE/dr"]
    expected = 0.1 * np.abs(Springs().get_forces(_rattled(molecule("H2O")))).max()
    assert finding.size == pytest.approx(expected, rel=1e-6)


def _rattled(atoms: Atoms) -> Atoms:
    from painn_ase.testing.doctor import _unsymmetric

    return _unsymmetric(atoms, 0)


def test_a_neutral_molecule_whose_dipole_moves_with_it_is_found_with_the_charge() -> None:
    (finding,) = [
        f for f in examine(Springs(charge=0.25), molecule("H2O"), n_steps=0) if f.is_fault
    ]
    assert (finding.check, finding.quantity) == ("dipole against shift", "dipole")
    assert "charge of 0.2500 e; the structure has 0 e" in finding.note
    with pytest.raises(AssertionError, match="charge of 0.2500 e"):
        check_dipole_origin(Springs(charge=0.25), molecule("H2O"))
    ion = molecule("H2O")
    ion.info["charge"] = 0.25
    check_dipole_origin(Springs(charge=0.25), ion)
    check_dipole_origin(Springs(), ion)


def test_a_polarizability_that_is_not_symmetric_is_found() -> None:
    found = faults(examine(Springs(skew=0.01), molecule("H2O"), n_steps=0))
    assert "α symmetric" in found


class Reluctant(Calculator):
    """Says that it has a dipole and has none; refuses a left-handed structure."""

    implemented_properties: ClassVar = ["energy", "dipole"]

    def get_property(self, name, atoms=None, allow_calculation=True):
        if name == "dipole":
            raise PropertyNotImplementedError("not today")
        if np.linalg.det(atoms.positions[1:4] - atoms.positions[0]) < 0:
            raise RuntimeError("mirrored")
        return 1.0


def test_what_a_calculator_refuses_is_said_and_does_not_end_the_examination() -> None:
    atoms = random_atoms(4)
    atoms.positions[1:4] = atoms.positions[0] + np.eye(3)
    notes = {(f.check, f.quantity): f for f in examine(Reluctant(), atoms, n_steps=0)}
    assert notes["gives", "dipole"].note == "PropertyNotImplementedError: not today"
    assert notes["reflection", "all"].note == "RuntimeError: mirrored"
    assert notes["rotation", "energy"].verdict == "ok"
    assert notes["forces = −dE/dr", "forces"].note == "the calculator gives no forces"


def test_nan_is_a_fault_not_a_pass() -> None:
    assert Finding("rotation", "energy", float("nan"), 1.0).is_fault
    assert Finding("rotation", "energy", None, 1.0).verdict == "not measured"


def test_an_empty_structure_is_refused() -> None:
    with pytest.raises(GeometryError, match="no atoms"):
        examine(EMT(), Atoms())


def test_one_atom_has_no_pair_to_be_smooth_in_and_a_one_atom_cell_is_doubled() -> None:
    with pytest.raises(GeometryError, match="two atoms"):
        check_smoothness(EMT(), Atoms("Cu"))
    check_smoothness(EMT(), bulk("Cu"))
