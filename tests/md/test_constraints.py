"""Constraints in dynamics: obeyed to the last digit at the right temperature, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.constraints import (
    FixAtoms,
    FixBondLengths,
    FixCartesian,
    FixCom,
    FixedLine,
    FixedPlane,
    FixInternals,
    FixLinearTriatomic,
    FixScaled,
    FixSubsetCom,
    Hookean,
)

from painn_ase.errors import GeometryError, UnstableRunError
from painn_ase.md import MDConfig, run_md

X_H = [(0, 6), (0, 7), (0, 8), (1, 4), (1, 5), (2, 3)]
ENSEMBLES = ("nve", "langevin", "baoab", "bussi", "nose-hoover", "npt")


class Every:
    """Looks at each step."""

    def __init__(self, look) -> None:
        self.look, self.seen = look, []

    def wants(self, step: int) -> bool:
        return True

    def observe(self, frame) -> None:
        self.seen.append(self.look(frame.atoms, frame))


def run(atoms: Atoms, steps: int, look, **settings) -> tuple[np.ndarray, float]:
    watch = Every(look)
    result = run_md(atoms, MDConfig(steps=steps, **settings), observers=[watch])
    return np.array(watch.seen), result.temperature


def test_a_bond_is_held_where_it_is_allowed(ethanol) -> None:
    for ensemble in ("nve", "langevin", "bussi"):
        atoms = ethanol()
        atoms.set_constraint(FixBondLengths([(2, 3)]))
        settings = {"ensemble": ensemble, "timestep": 1.0, "friction": 0.05}
        lengths, _ = run(atoms, 300, lambda a, _: a.get_distance(2, 3), **settings)
        assert np.ptp(lengths) < 1e-9, ensemble


@pytest.mark.parametrize("steps", [60, pytest.param(8000, marks=pytest.mark.slow)])
def test_all_bonds_to_hydrogen_are_held_and_the_rest_is_as_warm_as_asked(
    ethanol, steps: int
) -> None:
    atoms = ethanol()
    atoms.set_constraint(FixBondLengths(X_H))
    settings = {"ensemble": "langevin", "timestep": 1.0, "friction": 0.05}
    lengths, temperature = run(
        atoms, steps, lambda a, _: [a.get_distance(*pair) for pair in X_H], **settings
    )
    assert np.ptp(lengths, axis=0).max() < 1e-9
    if steps > 1000:
        assert temperature == pytest.approx(300.0, rel=0.06)


@pytest.mark.parametrize("ensemble", ["nve", "langevin", "baoab", "bussi"])
@pytest.mark.parametrize(
    ("constraint", "held"),
    [
        (FixAtoms([0, 2]), [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1), (2, 2)]),
        (FixCartesian([1], mask=(True, False, True)), [(1, 0), (1, 2)]),
        (FixedPlane([3], (0, 0, 1)), [(3, 2)]),
        (FixedLine([3], (0, 1, 0)), [(3, 0), (3, 2)]),
    ],
    ids=["atoms", "coordinates", "plane", "line"],
)
def test_held_coordinates_do_not_move_and_others_do(
    ethanol, ensemble: str, constraint, held: list[tuple[int, int]]
) -> None:
    atoms = ethanol()
    atoms.set_constraint(constraint)
    frames, _ = run(atoms, 50, lambda a, _: a.positions.copy(), ensemble=ensemble, friction=0.05)
    moved = np.abs(frames - frames[0]).max(axis=0)
    for atom, axis in held:
        assert moved[atom, axis] < 1e-12
        moved[atom, axis] = 1.0
    assert moved.min() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", ["langevin", "baoab"])
def test_temperature_of_what_may_move_is_the_thermostats(ethanol, ensemble: str) -> None:
    atoms = ethanol()
    atoms.set_constraint(FixAtoms([0, 2]))
    # BAOAB's velocities are too cold by (ωΔt)²/4, which is 2 % here and 8 % at 1 fs.
    settings = {"ensemble": ensemble, "timestep": 0.5, "friction": 0.05}
    _, temperature = run(atoms, 20000, lambda a, f: 0.0, **settings)
    assert temperature == pytest.approx(300.0, rel=0.06)


@pytest.mark.parametrize("steps", [100, pytest.param(8000, marks=pytest.mark.slow)])
def test_a_linear_triatomic_turns_as_one_at_the_right_temperature(springs, steps: int) -> None:
    atoms = molecule("CO2")
    ends = [(1, 0, 2)]  # ASE names the middle atom second
    atoms.calc = springs(atoms, 0.0)
    atoms.set_constraint(FixLinearTriatomic(triples=ends))
    settings = {"ensemble": "langevin", "timestep": 2.0, "friction": 0.1}
    found, temperature = run(
        atoms, steps, lambda a, _: [a.get_distance(0, 1), a.get_angle(1, 0, 2)], **settings
    )
    assert np.ptp(found[:, 0]) < 1e-9
    assert found[:, 1].min() > 179.99
    if steps > 1000:
        assert temperature == pytest.approx(300.0, rel=0.08)


def test_a_spring_of_hooke_belongs_to_the_conserved_energy(ethanol) -> None:
    atoms = ethanol()
    atoms.set_constraint(Hookean(0, 2, rt=1.5, k=5.0))
    energies, _ = run(atoms, 300, lambda a, f: f.conserved_energy, timestep=0.25)
    assert np.ptp(energies) < 2e-3


REFUSED = [
    ("baoab", FixBondLengths([(2, 3)]), r"FixBondLengths can be had with .*nve, bussi, langevin"),
    ("npt", FixAtoms([0]), "obeys no constraint; FixAtoms it would not"),
    ("npt", FixBondLengths([(2, 3)]), "obeys no constraint; FixBondLengths it would not"),
    ("nose-hoover", FixAtoms([0]), "obeys FixCom, Hookean, ExternalForce; FixAtoms it would not"),
    ("nose-hoover", FixBondLengths([(2, 3)]), "FixBondLengths it would not"),
    ("langevin", FixInternals(bonds=[[0.97, [2, 3]]]), "FixInternals of ASE takes no part"),
    ("langevin", FixScaled([0]), "FixScaled of ASE takes no part"),
    *((e, FixSubsetCom([0, 1]), "FixSubsetCom it would not") for e in ENSEMBLES),
]


@pytest.mark.parametrize(("ensemble", "constraint", "words"), REFUSED)
def test_what_an_ensemble_would_not_obey_is_refused_with_what_it_does(
    ethanol, ensemble: str, constraint, words: str
) -> None:
    atoms = ethanol()
    atoms.set_constraint(constraint)
    before = atoms.positions.copy()
    with pytest.raises(GeometryError, match=words):
        run_md(atoms, MDConfig(steps=5, ensemble=ensemble))
    np.testing.assert_array_equal(atoms.positions, before)


class Private:
    """A constraint of somebody's own, which no file could hold."""

    def adjust_positions(self, atoms, new) -> None:
        """Nothing."""

    def adjust_forces(self, atoms, forces) -> None:
        """Nothing."""

    def get_removed_dof(self, atoms) -> int:
        return 0


def test_a_constraint_that_is_not_ases_is_refused_before_the_first_step(ethanol) -> None:
    atoms = ethanol()
    atoms.set_constraint(Private())
    with pytest.raises(GeometryError, match="Private it would not"):
        run_md(atoms, MDConfig(steps=5))


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        ([FixCom(), FixAtoms([0])], "FixCom together with FixAtoms"),
        ([FixCom(), FixCom()], "FixCom is there twice"),
        ([FixAtoms([2]), FixBondLengths([(2, 3)])], "atom 2 is held by FixAtoms and by FixBond"),
        ([FixBondLengths([(0, 1)]), FixBondLengths([(1, 2)])], "atom 1 is held by FixBondLengths"),
        ([FixBondLengths([(0, 1), (1, 0)])], "names a bond twice"),
    ],
)
def test_constraints_that_undo_each_other_are_refused(ethanol, constraints, words: str) -> None:
    atoms = ethanol()
    atoms.set_constraint(constraints)
    with pytest.raises(GeometryError, match=words):
        run_md(atoms, MDConfig(steps=5))


def test_bonds_that_cannot_be_held_are_a_named_error(ethanol) -> None:
    """Two bonds of a triangle and a third longer than both: no positions satisfy them."""
    atoms = ethanol()
    bonds = FixBondLengths([(0, 1), (1, 2), (0, 2)], bondlengths=[1.5, 1.4, 9.0])
    atoms.set_constraint(bonds)
    with pytest.raises(UnstableRunError, match="constraints could not be satisfied"):
        run_md(atoms, MDConfig(steps=5, ensemble="langevin"))


@pytest.mark.parametrize("ensemble", ["langevin", "baoab", "bussi", "nose-hoover"])
def test_one_atom_at_rest_has_nothing_for_a_thermostat(ensemble: str) -> None:
    atoms = Atoms("Cu")
    atoms.calc = EMT()
    with pytest.raises(GeometryError, match="no degrees of freedom left"):
        run_md(atoms, MDConfig(steps=5, ensemble=ensemble))


def test_a_crystal_under_constant_pressure_has_all_its_freedom() -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    run_md(atoms, MDConfig(steps=2, ensemble="npt"))
