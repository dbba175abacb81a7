"""The guard against extrapolation: silent where the model knows, loud where it does not."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from painn_ase import PaiNNCalculator
from painn_ase.errors import PaiNNWarning, SpecError, UnstableRunError
from painn_ase.md import MDConfig, run_md
from painn_ase.md.guard import PROVENANCE_KEY, ExtrapolationGuard, smallest_trained_distances
from painn_ase.md.observers import Frame
from painn_ase.testing import random_potential
from painn_ase.training.distances import smallest_distances
from painn_ase.training.frames import LabeledFrame

TABLE = {"H-O": 0.90, "H-H": 1.40}


def frame(atoms: Atoms, step: int = 20) -> Frame:
    return Frame(step, 10.0, atoms, 3, None, 100, 1.0, None)


def guard_of(table: dict[str, float], action: str = "warn", **options: object) -> object:
    potential = random_potential(4, 1, 3, 3.0)
    potential.spec = dataclasses.replace(potential.spec, provenance={PROVENANCE_KEY: table})
    return ExtrapolationGuard.of(PaiNNCalculator(potential, backend="eager"), action, **options)


def squeezed(by: float) -> Atoms:
    """Water with one bond shortened."""
    water = molecule("H2O")
    bond = water.positions[1] - water.positions[0]
    water.positions[1] -= by * bond / np.linalg.norm(bond)
    return water


def test_nothing_is_said_about_structures_like_those_of_the_training() -> None:
    guard = guard_of(TABLE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guard.observe(frame(molecule("H2O")))
        guard.observe(frame(squeezed(0.08)))  # below the smallest, within the margin


def test_a_short_bond_is_named_once_with_atoms_and_step() -> None:
    guard = guard_of(TABLE)
    with pytest.warns(PaiNNWarning, match=r"step 20 atoms \d \([OH]\) and \d \([OH]\)"):
        guard.observe(frame(squeezed(0.2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guard.observe(frame(squeezed(0.2), 30))


def test_a_short_contact_across_the_cell_is_seen() -> None:
    atoms = Atoms("OH", [[0.1, 1.5, 1.5], [7.5, 1.5, 1.5]], cell=np.diag([8.0, 3.0, 3.0]), pbc=True)
    with pytest.raises(UnstableRunError, match=r"0\.600 Å"):
        guard_of({"H-O": 0.9}, "stop").observe(frame(atoms))


def test_pairs_the_training_never_saw_are_not_judged() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guard_of({"H-H": 0.7}).observe(frame(squeezed(0.5)))


def test_members_that_disagree_are_noticed() -> None:
    calc = PaiNNCalculator([random_potential(4, 1, 3, 3.0, seed=s) for s in range(3)])
    water = molecule("H2O")
    water.calc = calc
    water.get_forces()
    largest = float(calc.results["forces_std"].max())
    guard = ExtrapolationGuard.of(calc, "stop", max_spread=0.5 * largest)
    with pytest.raises(UnstableRunError, match="committee disagree"):
        guard.observe(frame(water))
    ExtrapolationGuard.of(calc, "stop", max_spread=2.0 * largest).observe(frame(water))


def test_a_hole_of_the_general_model_is_told_by_its_members() -> None:
    # Methanol with its oxygen pulled away, where no label is.
    atoms = molecule("CH3OH")
    atoms.calc = PaiNNCalculator("small-organics")
    guard = ExtrapolationGuard.of(atoms.calc, "stop")
    assert guard is not None
    atoms.get_forces()
    guard.observe(frame(atoms))
    atoms.positions[1] += 0.9 * (atoms.positions[1] - atoms.positions[0])
    atoms.get_forces()
    with pytest.raises(UnstableRunError, match=r"committee disagree .* 0\.8 allowed"):
        guard.observe(frame(atoms))


def test_without_statistics_or_for_other_calculators_there_is_no_guard() -> None:
    from ase.calculators.emt import EMT

    assert ExtrapolationGuard.of(PaiNNCalculator(random_potential(4, 1, 3, 3.0))) is None
    assert ExtrapolationGuard.of(EMT()) is None
    assert guard_of(TABLE, "off") is None


@pytest.mark.parametrize("table", [{"H": 1.0}, {"H-Xx": 1.0}, {"H-O": "near"}, {"H-O": -1.0}, 7])
def test_a_damaged_table_is_named(table: object) -> None:
    with pytest.raises(SpecError, match="damaged table"):
        smallest_trained_distances({PROVENANCE_KEY: table})


@pytest.mark.parametrize("options", [{"every": 0}, {"margin": -1.0}, {"max_spread": 0.0}])
def test_impossible_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        ExtrapolationGuard({(1, 8): 0.9}, **options)


def test_the_table_of_a_training_set_holds_its_smallest_distances() -> None:
    structures = [molecule("H2O"), squeezed(0.1), molecule("CH4")]
    frames = [
        LabeledFrame(a.numbers, a.positions, a.cell.array, a.pbc, source="test") for a in structures
    ]
    table = smallest_distances(frames, 5.0)
    expected = {}
    for atoms in structures:
        distances = atoms.get_all_distances()
        for i in range(len(atoms)):
            for j in range(i):
                pair = tuple(sorted((int(atoms.numbers[i]), int(atoms.numbers[j]))))
                expected[pair] = min(expected.get(pair, np.inf), distances[i, j])
    found = smallest_trained_distances({PROVENANCE_KEY: table})
    assert found.keys() == expected.keys()
    for pair, distance in expected.items():
        assert found[pair] == pytest.approx(distance, abs=1e-4)


def _run(guard: str) -> None:
    potential = random_potential(4, 1, 3, 3.0)
    potential.spec = dataclasses.replace(potential.spec, provenance={PROVENANCE_KEY: TABLE})
    water = squeezed(0.2)
    water.calc = PaiNNCalculator(potential, backend="eager")
    run_md(water, MDConfig(steps=10, timestep=0.01, temperature=1.0, guard=guard))


def test_a_run_is_guarded_unless_told_otherwise() -> None:
    with pytest.warns(PaiNNWarning, match="closer than any such pair"):
        _run(MDConfig(steps=1).guard)
    with pytest.raises(UnstableRunError, match="closer than any such pair"):
        _run("stop")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _run("off")
