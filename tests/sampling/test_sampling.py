"""Frames worth labelling: widths in closed form, bonds turned, what is left out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import GeometryError, SpecError
from painn_ase.models import bundled_models
from painn_ase.sampling import (
    SampleConfig,
    conformers,
    displaced,
    is_intact,
    modes_of,
    most_uncertain,
    sample,
    thermal,
    turned,
    without_duplicates,
)
from painn_ase.sampling.displacements import bonds_of, widths
from painn_ase.spectra import harmonic
from painn_ase.testing import random_potential
from painn_ase.units import boltzmann_constant, ev_to_invcm

needs_models = pytest.mark.skipif("ethanol" not in bundled_models(), reason="no bundled models")


class Springs(Calculator):  # type: ignore[misc]
    """Springs between all atoms at the lengths of a structure."""

    implemented_properties = ("energy", "forces")  # type: ignore[assignment]

    def __init__(self, atoms: Atoms, stiffness: float = 30.0) -> None:
        super().__init__()
        self.lengths, self.stiffness = atoms.get_all_distances(), stiffness

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        arms = self.atoms.positions[:, None] - self.atoms.positions
        r = np.linalg.norm(arms, axis=2) + np.eye(len(self.atoms))
        off = (r - self.lengths) * (1 - np.eye(len(self.atoms)))
        self.results = {
            "energy": 0.25 * self.stiffness * float((off**2).sum()),
            "forces": -self.stiffness * np.einsum("ij,ijk->ik", off / r, arms),
        }


@pytest.fixture
def water():
    atoms = molecule("H2O")
    calculator = Springs(atoms)
    return atoms, calculator, modes_of(atoms, calculator)


@needs_models
def test_modes_from_forces_are_those_of_the_hessian() -> None:
    calculator = PaiNNCalculator("water", dtype="float64")
    atoms = molecule("H2O")
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=1e-5)

    class Forces(Calculator):  # type: ignore[misc]
        """The model without its Hessian."""

        implemented_properties = ("energy", "forces")  # type: ignore[assignment]

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            self.results = {
                "energy": calculator.get_potential_energy(self.atoms),
                "forces": calculator.get_forces(self.atoms).copy(),
            }

    exact, found = harmonic(atoms), modes_of(atoms, Forces())
    np.testing.assert_allclose(found.frequencies, exact.frequencies, atol=0.5)


@pytest.mark.parametrize("quantum", [False, True])
def test_displacements_have_the_energy_of_their_oscillators(water, quantum) -> None:
    _, _, modes = water
    spread = widths(modes, 150.0, quantum=quantum)
    quanta = modes.frequencies / ev_to_invcm
    thermal_energy = boltzmann_constant * 150.0
    expected = 0.5 * thermal_energy * np.ones(3)
    if quantum:
        expected = 0.25 * quanta / np.tanh(quanta / (2 * thermal_energy))
    rng = np.random.default_rng(0)
    # one mode at a time: ½ω²Q² of a coordinate that is normally distributed and cut at 2.5 spreads
    cut = 0.988  # spread of the standard normal distribution clipped at ±2.5
    for mode in range(3):
        alone = np.where(np.arange(3) == mode, spread, 0.0)
        frames = [displaced(molecule("H2O"), modes, alone, rng) for _ in range(3000)]
        weighted = np.sqrt(modes.masses)[:, None] * np.array(
            [f.positions - modes.positions for f in frames]
        )
        q = np.einsum("nak,ak->n", weighted, modes.modes[mode])
        assert q.std() == pytest.approx(spread[mode] * cut, rel=0.04)
    # and the spread itself is that of the closed form: ½ω²⟨Q²⟩, in eV
    omega2 = (quanta / 0.0646541) ** 2  # (ħω)² / ħ², ħ = 0.0646541 √(eV amu) Å
    np.testing.assert_allclose(0.5 * omega2 * spread**2, expected, rtol=1e-4)


def test_turning_keeps_every_bond_and_angle_and_changes_the_torsion() -> None:
    atoms = molecule("CH3CH2OH")
    rng = np.random.default_rng(1)
    torsions = []
    bonded = bonds_of(atoms)
    for _ in range(8):
        moved = turned(atoms, rng)
        assert moved is not None
        np.testing.assert_allclose(
            moved.get_all_distances()[bonded], atoms.get_all_distances()[bonded], atol=1e-9
        )
        carbon = [n for n, z in enumerate(atoms.numbers) if z == 6]
        oxygen = int(np.argmax(atoms.numbers))
        proton = int(np.argmin(atoms.get_distances(oxygen, range(9)) + 9.0 * (atoms.numbers != 1)))
        middle = min(carbon, key=lambda n: atoms.get_distance(n, oxygen))
        (end,) = [n for n in carbon if n != middle]
        torsions.append(moved.get_dihedral(end, middle, oxygen, proton))
    assert np.std(torsions) > 30.0
    for name in ("H2O", "C2H4", "C3H6_D3h", "CO2"):  # no single bond, a double one, a ring, none
        assert turned(molecule(name), rng) is None


def test_thermal_frames_have_the_temperature_and_stay_centred(water) -> None:
    atoms, calculator, _ = water
    frames = list(thermal(atoms, calculator, 400.0, 50, np.random.default_rng(2)))
    energies = []
    for frame in frames:
        np.testing.assert_allclose(frame.get_center_of_mass(), 0.0, atol=1e-9)
        assert frame.calc is None
        frame.calc = calculator
        energies.append(frame.get_potential_energy())
    # three modes hold ½kT each
    assert np.mean(energies) == pytest.approx(1.5 * boltzmann_constant * 400.0, rel=0.5)


def test_broken_molecules_and_atoms_in_each_other_are_told() -> None:
    atoms = molecule("CH3CH2OH")
    bonded = bonds_of(atoms)
    assert is_intact(atoms, bonded)
    far, near = atoms.copy(), atoms.copy()
    far.positions[3] += 3.0
    near.positions[4] = near.positions[5] + 0.1
    assert not is_intact(far, bonded)
    assert not is_intact(near, bonded)


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_what_is_turned_shifted_or_relabelled_is_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    atoms = molecule("CH3CH2OH")
    other = atoms.copy()
    other.rotate(rng.uniform(0, 360), rng.normal(size=3))
    other.positions += rng.normal(size=3)
    hydrogens = np.flatnonzero(atoms.numbers == 1)
    order = np.arange(9)
    order[hydrogens] = rng.permutation(hydrogens)
    other = other[order]
    moved = atoms.copy()
    moved.positions += rng.normal(scale=0.05, size=(9, 3))
    assert without_duplicates([atoms, other, moved, moved.copy()]) == [atoms, moved]
    pair = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    assert len(without_duplicates([pair, pair.copy()])) == 2


@needs_models
def test_a_set_is_balanced_from_its_beginning_and_names_what_it_holds() -> None:
    calculator = PaiNNCalculator("ethanol")
    config = SampleConfig(near=4, quantum=2, turned=3, thermal={"300": 2})
    structure = molecule("CH3CH2OH")
    structure.info["smiles"] = "CCO"
    report = sample([structure], calculator, config)
    kinds = Counter(frame.info["source"] for frame in report.frames)
    assert kinds["near"] == 4
    assert kinds["md300"] == 2
    assert sum(kinds.values()) == 11 - report.n_broken - report.n_alike
    assert [f.info["source"] for f in report.frames[:4]] == ["near", "quantum", "turned", "md300"]
    assert {f.info["smiles"] for f in report.frames} == {"CCO"}
    again = sample([structure], calculator, config)
    for one, other in zip(report.frames, again.frames, strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-6)


def test_a_committee_keeps_the_frames_on_which_it_disagrees() -> None:
    members = [random_potential(8, 1, 4, 4.0, elements=(1, 8), seed=seed) for seed in range(2)]
    committee = PaiNNCalculator(members)
    atoms = molecule("H2O")
    frames = []
    for stretch in (1.0, 1.05, 0.8):
        frame = atoms.copy()
        frame.positions *= stretch
        frames.append(frame)
    found = most_uncertain(frames, committee, 2)
    spreads = [frame.info["forces_std"] for frame in found]
    assert spreads == sorted(spreads, reverse=True)
    every = most_uncertain(frames, committee, 3)
    assert [f.info["forces_std"] for f in every[:2]] == spreads
    least = 0.5 * (every[1].info["forces_std"] + every[2].info["forces_std"])
    assert len(most_uncertain(frames, committee, 3, least)) == 2
    with pytest.raises(SpecError, match="two models or more"):
        sample([atoms], PaiNNCalculator(members[0]), SampleConfig(keep=3))


@pytest.mark.parametrize(
    ("structure", "message"),
    [(bulk("Cu"), "periodic"), (Atoms("H"), "single atom")],
)
def test_what_cannot_be_sampled_is_refused(structure, message) -> None:
    with pytest.raises(GeometryError, match=message):
        sample([structure], Springs(structure))


@pytest.mark.parametrize(
    "wrong", [{"near": -1}, {"keep": 0}, {"thermal": {"0": 3}}, {"thermal": {"warm": 3}}]
)
def test_impossible_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError):
        SampleConfig(**wrong)
    with pytest.raises(SpecError):
        SampleConfig(near=0, quantum=0, turned=0, thermal={})


# ---------------------------------------------------------------------- SMILES


def test_conformers_are_molecules_with_all_hydrogens_and_differ() -> None:
    pytest.importorskip("rdkit")
    (ethanol,) = conformers("CCO")
    assert ethanol.get_chemical_formula() == "C2H6O"
    assert ethanol.info == {"smiles": "CCO"}
    assert len(bonds_of(ethanol).nonzero()[0]) == 2 * 8
    several = conformers("CCCO", 5, seed=3)
    assert 2 <= len(several) <= 5
    assert len(without_duplicates(several)) == len(several)
    (ammonium,) = conformers("[NH4+]")
    assert ammonium.info["charge"] == 1.0
    assert [len(c) for c in conformers("C", 3)] == [5]


@pytest.mark.parametrize(
    ("smiles", "message"),
    [("C1CC", "no SMILES"), ("C.C", "several molecules"), ("[CH3]", "radical"), ("", "no SMILES")],
)
def test_what_is_no_closed_shell_molecule_is_refused(smiles, message) -> None:
    pytest.importorskip("rdkit")
    with pytest.raises(GeometryError, match=message):
        conformers(smiles)
