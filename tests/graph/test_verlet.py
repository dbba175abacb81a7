"""The skin changes nothing but the work: same pairs, fewer searches, rebuilt when it matters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.errors import GeometryError
from painn_ase.graph import NeighborPairs, VerletList, neighbor_pairs

CUTOFF = 3.0
SKIN = 0.6


def update(verlet: VerletList, atoms: Atoms) -> NeighborPairs:
    return verlet.update(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)


def sorted_edges(pairs: NeighborPairs, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Rows (i, j, S) of the pairs inside the cutoff, sorted."""
    vectors = positions[pairs.idx_j] - positions[pairs.idx_i] + pairs.shifts @ cell
    near = np.linalg.norm(vectors, axis=1) < CUTOFF
    rows = np.column_stack([pairs.idx_i, pairs.idx_j, pairs.shifts])[near]
    return rows[np.lexsort(rows.T)]


@pytest.fixture
def crystal() -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    pbc=st.sampled_from(list(itertools.product([False, True], repeat=3))),
    strain_every=st.sampled_from([3, 7, 100]),
)
def test_skin_lists_the_same_pairs_as_no_skin_while_atoms_and_cell_move(
    seed: int, pbc: tuple[bool, bool, bool], strain_every: int
) -> None:
    rng = np.random.default_rng(seed)
    cell = np.diag([4.0, 6.0, 9.0]) + rng.uniform(-0.5, 0.5, (3, 3))
    positions = rng.uniform(-12.0, 12.0, (8, 3))
    numbers = np.full(8, 18)
    verlet = VerletList(CUTOFF, SKIN)
    for step in range(30):
        positions = positions + rng.normal(0.0, 0.03, (8, 3))
        if step % strain_every == strain_every - 1:
            cell = cell @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3)))
        kept = verlet.update(numbers, positions, cell, pbc)
        fresh = neighbor_pairs(positions, cell, pbc, CUTOFF)
        np.testing.assert_array_equal(
            sorted_edges(kept, positions, cell), sorted_edges(fresh, positions, cell)
        )
    assert 1 <= verlet.n_builds < 30


def test_nothing_moved_gives_back_the_same_object(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, SKIN)
    first = update(verlet, crystal)
    assert update(verlet, crystal.copy()) is first
    assert verlet.n_builds == 1


def test_an_atom_may_move_half_the_skin_and_no_more(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, SKIN)
    first = update(verlet, crystal)
    start = crystal.positions.copy()
    crystal.positions[3] = start[3] + [0.0, 0.0, 0.499 * SKIN]
    assert update(verlet, crystal) is first
    crystal.positions[3] = start[3] + [0.0, 0.0, 0.501 * SKIN]
    assert update(verlet, crystal) is not first
    assert verlet.n_builds == 2


def test_moves_are_counted_from_the_last_search_not_from_the_last_step(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, SKIN)
    for _ in range(10):
        update(verlet, crystal)
        crystal.positions[0, 0] += 0.2 * SKIN
    assert verlet.n_builds == 4


def test_the_callers_array_may_be_changed_in_place(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, SKIN)
    first = update(verlet, crystal)
    crystal.positions += 1.0
    assert update(verlet, crystal) is not first


def test_the_smallest_strain_of_the_cell_searches_anew(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, SKIN)
    first = update(verlet, crystal)
    crystal.cell[2, 2] = np.nextafter(crystal.cell[2, 2], 100.0)
    assert update(verlet, crystal) is not first


def test_a_change_of_pbc_searches_anew(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, SKIN)
    first = update(verlet, crystal)
    crystal.pbc = (True, True, False)
    second = update(verlet, crystal)
    assert second.n_edges < first.n_edges


def test_a_change_of_an_element_searches_anew(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, SKIN)
    first = update(verlet, crystal)
    crystal.numbers[0] = 19
    assert update(verlet, crystal) is not first


def test_a_change_of_the_atom_count_searches_anew(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, SKIN)
    update(verlet, crystal)
    del crystal[2]
    assert update(verlet, crystal).idx_i.max() == len(crystal) - 1
    assert verlet.n_builds == 2


def test_wrapping_an_atom_back_into_the_cell_searches_anew(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, SKIN)
    crystal.positions[0] -= [0.2, 0.0, 0.0]
    first = update(verlet, crystal)
    crystal.wrap()
    second = update(verlet, crystal)
    assert second is not first
    assert second.n_edges == first.n_edges


def test_without_skin_every_move_searches_anew_and_rest_does_not(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, 0.0)
    first = update(verlet, crystal)
    assert update(verlet, crystal) is first
    crystal.positions[0, 0] += 1e-12
    assert update(verlet, crystal) is not first


def test_a_molecule_inside_the_cutoff_keeps_all_its_pairs_for_ever() -> None:
    ethanol = molecule("CH3CH2OH")
    verlet = VerletList(6.0, 0.0)
    first = update(verlet, ethanol)
    assert first.n_edges == 9 * 8
    for step in range(20):
        ethanol.rattle(0.2, seed=step)
        ethanol.positions += 0.5
        assert update(verlet, ethanol) is first
    ethanol.positions[0] += 50.0
    assert update(verlet, ethanol) is first
    ethanol.set_cell([9.0, 9.0, 9.0])
    assert update(verlet, ethanol) is first
    assert verlet.n_builds == 1
    ethanol.numbers[0] = 14
    assert update(verlet, ethanol) is not first
    ethanol.pbc = True
    assert update(verlet, ethanol).n_edges != 9 * 8


def test_a_molecule_larger_than_the_cutoff_is_followed_like_any_structure() -> None:
    chain = Atoms("Ar3", [[0, 0, 0], [0, 0, 2.5], [0, 0, 5.0]])
    verlet = VerletList(CUTOFF, SKIN)
    assert update(verlet, chain).n_edges == 4
    chain.positions[2, 2] = 2.9
    assert update(verlet, chain).n_edges == 6


def test_a_single_atom_needs_one_search() -> None:
    verlet = VerletList(CUTOFF, SKIN)
    for x in range(5):
        assert verlet.update([18], [[float(x), 0.0, 0.0]], np.zeros((3, 3)), [False] * 3)
    assert verlet.n_builds == 1


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_error_for_a_position_that_stops_being_a_number(periodic: bool, value: float) -> None:
    atoms = molecule("H2O", vacuum=3.0, pbc=periodic)
    verlet = VerletList(CUTOFF, SKIN)
    update(verlet, atoms)
    atoms.positions[2, 1] = value
    with pytest.raises(GeometryError, match="first is atom 2"):
        update(verlet, atoms)


def test_after_an_error_a_good_structure_is_searched_anew() -> None:
    atoms = molecule("H2O")
    verlet = VerletList(CUTOFF, SKIN)
    first = update(verlet, atoms)
    broken = atoms.copy()
    broken.positions[0] = np.nan
    with pytest.raises(GeometryError):
        update(verlet, broken)
    assert update(verlet, atoms) is not first


def test_a_restart_from_the_reference_positions_has_the_same_edges_in_the_same_order(
    crystal: Atoms,
) -> None:
    running = VerletList(CUTOFF, SKIN)
    update(running, crystal)
    crystal.rattle(0.03, seed=3)
    here = update(running, crystal)
    reference = running.reference_positions
    assert reference is not None
    restarted = VerletList(CUTOFF, SKIN)
    restarted.update(crystal.numbers, reference, crystal.cell.array, crystal.pbc)
    there = update(restarted, crystal)
    np.testing.assert_array_equal(here.idx_i, there.idx_i)
    np.testing.assert_array_equal(here.idx_j, there.idx_j)
    np.testing.assert_array_equal(here.shifts, there.shifts)
    assert restarted.n_builds == running.n_builds == 1


def test_reset_forgets_the_list(crystal: Atoms) -> None:
    verlet = VerletList(CUTOFF, SKIN)
    assert verlet.reference_positions is None
    first = update(verlet, crystal)
    verlet.reset()
    assert verlet.reference_positions is None
    assert update(verlet, crystal) is not first


def test_error_for_numbers_that_do_not_match_the_positions() -> None:
    with pytest.raises(GeometryError, match="one number for each atom"):
        VerletList(CUTOFF, SKIN).update([1, 1], np.eye(3), np.zeros((3, 3)), [False] * 3)


@pytest.mark.parametrize(
    ("cutoff", "skin", "message"),
    [(0.0, 0.5, "cutoff"), (np.nan, 0.5, "cutoff"), (5.0, -0.1, "skin"), (5.0, np.nan, "skin")],
)
def test_error_for_lengths_that_make_no_list(cutoff: float, skin: float, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        VerletList(cutoff, skin)
