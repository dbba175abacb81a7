"""With a skin and without: the same numbers along every kind of motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.calculator import PaiNNCalculator
from painn_ase.testing import random_atoms, random_potential


def pair(**options) -> tuple[PaiNNCalculator, PaiNNCalculator]:
    potential = random_potential(8, 2, 6, 3.0, dtype=torch.float64)
    with_skin = PaiNNCalculator(potential, device="cpu", skin=0.6, **options)
    return with_skin, PaiNNCalculator(potential, device="cpu", skin=0.0, backend="eager")


def assert_same(one: PaiNNCalculator, other: PaiNNCalculator, atoms: Atoms) -> None:
    a, b = one.get_potential_energy(atoms), other.get_potential_energy(atoms)
    assert a == pytest.approx(b, abs=1e-10)
    np.testing.assert_allclose(one.get_forces(atoms), other.get_forces(atoms), atol=1e-10)
    if atoms.pbc.all():
        np.testing.assert_allclose(one.get_stress(atoms), other.get_stress(atoms), atol=1e-11)


@pytest.mark.parametrize("backend", ["auto", "eager"])
@pytest.mark.parametrize("pbc", [True, (True, True, False), False])
def test_along_a_walk_with_a_changing_cell(backend: str, pbc) -> None:
    skin, plain = pair(backend=backend)
    atoms, rng = random_atoms(12, pbc=pbc), np.random.default_rng(0)
    for step in range(40):
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        if step % 3 == 0:
            strain = np.eye(3) + rng.uniform(-0.01, 0.01, (3, 3))
            atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        assert_same(skin, plain, atoms)


def test_under_a_steady_strain_that_moves_no_atom_far_in_fractions() -> None:
    """A barostat: each step is small beside the skin, the sum is not."""
    skin, plain = pair()
    atoms = random_atoms(8, pbc=True)
    for _ in range(30):
        atoms.set_cell(atoms.cell.array * 1.004, scale_atoms=True)
        assert_same(skin, plain, atoms)


def test_when_atoms_are_wrapped_into_the_cell_between_steps() -> None:
    skin, plain = pair()
    atoms, rng = random_atoms(8, pbc=True), np.random.default_rng(1)
    for step in range(20):
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
        if step % 4 == 3:
            atoms.wrap()
        assert_same(skin, plain, atoms)


def test_a_strain_of_the_cell_alone_is_noticed() -> None:
    skin, plain = pair()
    atoms = random_atoms(8, pbc=True)
    assert_same(skin, plain, atoms)
    atoms.set_cell(atoms.cell.array * 1.04)
    assert_same(skin, plain, atoms)


def test_switching_a_periodic_direction_is_noticed() -> None:
    skin, plain = pair()
    atoms = random_atoms(6, pbc=True)
    for pbc in ([True] * 3, [True, False, True], [False] * 3, [True] * 3):
        atoms.pbc = pbc
        assert_same(skin, plain, atoms)


@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.floats(0, 1.0), st.floats(0.97, 1.03), st.booleans()), min_size=1, max_size=6
    ),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_along_any_motion(steps, pbc) -> None:
    skin, plain = pair(backend="eager")
    atoms, rng = random_atoms(6, pbc=pbc), np.random.default_rng(0)
    for length, scale, drop in steps:
        direction = rng.normal(size=3)
        chosen = rng.integers(len(atoms))
        moved = atoms.copy()
        moved.positions[chosen] += length * direction / np.linalg.norm(direction)
        moved.set_cell(atoms.cell.array * scale, scale_atoms=True)
        distances = moved.get_all_distances(mic=bool(moved.pbc.any())) + 9 * np.eye(len(moved))
        if distances.min() < 0.3:  # too close for a random model to be smooth
            continue
        atoms = moved
        if drop and len(atoms) > 2:
            del atoms[0]
        assert_same(skin, plain, atoms)
