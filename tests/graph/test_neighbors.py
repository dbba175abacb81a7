"""Neighbour pairs against a brute force over images, against ASE, and at every odd geometry."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.neighborlist import primitive_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.errors import GeometryError
from painn_ase.graph import NeighborPairs, neighbor_pairs

CUTOFF = 3.0
ALL_PBC = list(itertools.product([False, True], repeat=3))
# Pairs within this of the cutoff (Å) may be listed or not: rounding decides.
EDGE_OF_CUTOFF = 1e-8

Key = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Geometry:
    """A drawn structure; `frame` has no zero vectors, `cell` may."""

    positions: np.ndarray
    frame: np.ndarray
    cell: np.ndarray
    pbc: tuple[bool, bool, bool]


@st.composite
def geometries(draw: st.DrawFn, max_atoms: int = 12) -> Geometry:
    """Atoms in and far outside cells that are small, tilted, left-handed, rotated or have gaps."""
    lengths = [draw(st.floats(1.2, 9.0)) for _ in range(3)]
    tilts = [draw(st.floats(-3.0, 3.0)) for _ in range(3)]
    frame = np.diag(lengths)
    frame[1, 0], frame[2, 0], frame[2, 1] = (
        tilts[0] * lengths[0],
        tilts[1] * lengths[0],
        tilts[2] * lengths[1],
    )
    if draw(st.booleans()):
        frame = frame[[1, 0, 2]]  # left-handed
    turn = np.array([[0.6, 0.8, 0.0], [-0.48, 0.36, 0.8], [0.64, -0.48, 0.6]])
    if draw(st.booleans()):
        frame = frame @ turn
    pbc = draw(st.sampled_from(ALL_PBC))
    cell = frame.copy()
    for axis in range(3):
        if not pbc[axis] and draw(st.booleans()):
            cell[axis] = 0.0
    # Different points of a 5×5×5 grid, jittered by less than half a step: never coincident.
    grid = st.tuples(*[st.integers(0, 4)] * 3)
    points = draw(st.lists(grid, min_size=1, max_size=max_atoms, unique=True))
    jitter = st.tuples(*[st.floats(-0.3, 0.3)] * 3)
    fractional = np.array([np.add(p, draw(jitter)) / 5 for p in points])
    if draw(st.booleans()):
        laps = st.tuples(*[st.integers(-40, 40)] * 3)
        outside = np.array([draw(laps) for _ in points], dtype=float)
        outside[:, ~np.array(pbc)] /= 10.0
        fractional = fractional + outside
    return Geometry(fractional @ frame, frame, cell, pbc)


def edge_vectors(pairs: NeighborPairs, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """The stated convention: r_j − r_i + S·cell."""
    return positions[pairs.idx_j] - positions[pairs.idx_i] + pairs.shifts @ cell


def keys(idx_i: np.ndarray, idx_j: np.ndarray, shifts: np.ndarray) -> list[Key]:
    rows = np.column_stack([idx_i, idx_j, np.rint(shifts).astype(int)])
    return [tuple(row) for row in rows.tolist()]


def brute_force(g: Geometry, cutoff: float) -> dict[Key, float]:
    """Distance of every pair (i, j, S) within the cutoff, by looking at all images in reach."""
    axes = np.flatnonzero(g.pbc)
    reciprocal = np.linalg.pinv(g.cell[axes]) if len(axes) else np.zeros((3, 0))
    reach = cutoff * np.linalg.norm(reciprocal, axis=0)
    found = {}
    for i, j in itertools.product(range(len(g.positions)), repeat=2):
        apart = g.positions[j] - g.positions[i]
        middle = -apart @ reciprocal
        ranges = [
            range(int(np.floor(m - r)) - 1, int(np.ceil(m + r)) + 2)
            for m, r in zip(middle, reach, strict=True)
        ]
        steps = list(itertools.product(*ranges))
        shifts = np.zeros((len(steps), 3))
        shifts[:, axes] = steps
        distances = np.linalg.norm(apart + shifts @ g.cell, axis=1)
        for s, d in zip(shifts.astype(int).tolist(), distances.tolist(), strict=True):
            if d < cutoff and not (i == j and s == [0, 0, 0]):
                found[(i, j, *s)] = d
    return found


def assert_same_pairs(found: set[Key], expected: dict[Key, float], cutoff: float) -> None:
    sure = {key for key, d in expected.items() if d < cutoff - EDGE_OF_CUTOFF}
    assert sure <= found
    assert found <= set(expected)


@settings(max_examples=150, deadline=None)
@given(geometries())
def test_pairs_are_those_of_a_brute_force_over_images(g: Geometry) -> None:
    before = g.positions.copy(), g.cell.copy()
    pairs = neighbor_pairs(g.positions, g.cell, g.pbc, CUTOFF)
    found = keys(pairs.idx_i, pairs.idx_j, pairs.shifts)
    assert len(found) == len(set(found))
    assert_same_pairs(set(found), brute_force(g, CUTOFF + EDGE_OF_CUTOFF), CUTOFF)
    assert (np.diff(pairs.idx_i) >= 0).all()
    assert not pairs.shifts[:, ~np.array(g.pbc)].any()
    np.testing.assert_array_equal(pairs.shifts, np.rint(pairs.shifts))
    np.testing.assert_array_equal(g.positions, before[0])
    np.testing.assert_array_equal(g.cell, before[1])


@settings(max_examples=60, deadline=None)
@given(geometries(max_atoms=8))
def test_pairs_are_those_of_ase(g: Geometry) -> None:
    pairs = neighbor_pairs(g.positions, g.cell, g.pbc, CUTOFF)
    # ASE gets a cell without zero vectors: with them its list (3.29) loses pairs.
    i, j, d, s = primitive_neighbor_list(
        "ijdS", g.pbc, g.frame, g.positions, CUTOFF + EDGE_OF_CUTOFF
    )
    # Where an atom lies outside along a non-periodic direction, ASE counts steps there too.
    s[:, ~np.array(g.pbc)] = 0
    expected = dict(zip(keys(i, j, s), d.tolist(), strict=True))
    assert_same_pairs(set(keys(pairs.idx_i, pairs.idx_j, pairs.shifts)), expected, CUTOFF)


@settings(max_examples=60, deadline=None)
@given(geometries())
def test_every_listed_vector_is_shorter_than_the_cutoff_and_has_its_reverse(g: Geometry) -> None:
    pairs = neighbor_pairs(g.positions, g.cell, g.pbc, CUTOFF)
    distances = np.linalg.norm(edge_vectors(pairs, g.positions, g.cell), axis=1)
    assert (distances < CUTOFF + EDGE_OF_CUTOFF).all()
    inside = distances < CUTOFF - EDGE_OF_CUTOFF
    found = set(keys(pairs.idx_i[inside], pairs.idx_j[inside], pairs.shifts[inside]))
    assert found == {(j, i, -a, -b, -c) for i, j, a, b, c in found}


@settings(max_examples=60, deadline=None)
@given(geometries(), st.randoms(use_true_random=False))
def test_wrapping_atoms_changes_shifts_but_no_edge_vector(g: Geometry, random: object) -> None:
    laps = np.array([[random.randint(-9, 9) for _ in range(3)] for _ in g.positions], dtype=float)
    laps[:, ~np.array(g.pbc)] = 0.0
    moved = g.positions + laps @ g.cell
    here = vectors_by_pair(neighbor_pairs(g.positions, g.cell, g.pbc, CUTOFF), g.positions, g, 0.0)
    there = vectors_by_pair(neighbor_pairs(moved, g.cell, g.pbc, CUTOFF), moved, g, laps)
    assert here.keys() == there.keys()
    for key, vector in here.items():
        np.testing.assert_allclose(there[key], vector, rtol=0, atol=1e-9)


def vectors_by_pair(
    pairs: NeighborPairs, positions: np.ndarray, g: Geometry, laps: np.ndarray | float
) -> dict[Key, np.ndarray]:
    """Edge vectors safely inside the cutoff, by pair and shift relative to unmoved atoms."""
    vectors = edge_vectors(pairs, positions, g.cell)
    laps = np.broadcast_to(laps, positions.shape)
    shifts = pairs.shifts + laps[pairs.idx_j] - laps[pairs.idx_i]
    near = np.linalg.norm(vectors, axis=1) < CUTOFF - EDGE_OF_CUTOFF
    names = keys(pairs.idx_i[near], pairs.idx_j[near], shifts[near])
    return dict(zip(names, vectors[near], strict=True))


@settings(max_examples=40, deadline=None)
@given(geometries(), st.data())
def test_pairs_follow_a_permutation_of_the_atoms(g: Geometry, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(g.positions)))))
    pairs = neighbor_pairs(g.positions, g.cell, g.pbc, CUTOFF)
    permuted = neighbor_pairs(g.positions[order], g.cell, g.pbc, CUTOFF)
    found = keys(order[permuted.idx_i], order[permuted.idx_j], permuted.shifts)
    assert_same_pairs(set(found), brute_force(g, CUTOFF + EDGE_OF_CUTOFF), CUTOFF)
    near = np.linalg.norm(edge_vectors(pairs, g.positions, g.cell), axis=1)
    inside = near < CUTOFF - EDGE_OF_CUTOFF
    assert set(keys(pairs.idx_i[inside], pairs.idx_j[inside], pairs.shifts[inside])) <= set(found)


@pytest.mark.parametrize("pbc", ALL_PBC)
def test_one_atom_pairs_with_its_own_images_along_periodic_directions_only(
    pbc: tuple[bool, bool, bool],
) -> None:
    pairs = neighbor_pairs([[0.3, 7.0, -20.0]], np.diag([2.0, 2.0, 2.0]), pbc, 2.5)
    assert pairs.n_edges == 2 * sum(pbc)


def test_a_cell_of_one_angstrom_has_the_neighbours_of_a_cubic_lattice() -> None:
    # Integer points with 0 < |n| < 3.5: 6+12+8+6+24+24+12+30+24+24+8+24 by shells up to n² = 12.
    pairs = neighbor_pairs([[0.2, 0.4, 0.9]], np.eye(3), True, 3.5)
    steps = np.array(list(itertools.product(range(-4, 5), repeat=3)))
    assert pairs.n_edges == np.count_nonzero((steps**2).sum(axis=1) < 12.25) - 1


def test_copper_has_twelve_nearest_neighbours_and_a_slab_surface_nine() -> None:
    copper = bulk("Cu", "fcc", a=3.6)
    assert neighbor_pairs(copper.positions, copper.cell.array, copper.pbc, 3.0).n_edges == 12
    slab = fcc111("Cu", (1, 1, 3), a=3.6)
    assert not slab.cell.array[2].any()
    pairs = neighbor_pairs(slab.positions, slab.cell.array, slab.pbc, 3.0)
    assert np.bincount(pairs.idx_i).tolist() == [9, 12, 9]


def test_a_wire_without_cross_section_has_two_neighbours_an_atom() -> None:
    cell = np.zeros((3, 3))
    cell[2] = [0.0, 0.0, 1.5]
    pairs = neighbor_pairs([[400.0, -3.0, 0.2]], cell, [False, False, True], 2.0)
    assert set(keys(pairs.idx_i, pairs.idx_j, pairs.shifts)) == {(0, 0, 0, 0, 1), (0, 0, 0, 0, -1)}


def test_molecule_without_cell_pairs_everything_within_reach() -> None:
    ethanol = molecule("CH3CH2OH")
    pairs = neighbor_pairs(ethanol.positions, ethanol.cell.array, ethanol.pbc, 5.0)
    assert pairs.n_edges == 9 * 8


@pytest.mark.parametrize("n_atoms", [2, 70])
def test_atoms_out_of_reach_have_no_pairs(n_atoms: int) -> None:
    positions = np.zeros((n_atoms, 3))
    positions[:, 1] = np.arange(n_atoms) * 10.0
    pairs = neighbor_pairs(positions, np.zeros((3, 3)), False, 5.0)
    assert pairs.n_edges == 0
    assert pairs.idx_i.dtype == pairs.idx_j.dtype == np.int64
    assert pairs.shifts.shape == (0, 3)
    assert pairs.shifts.dtype == np.float64


def test_single_atom_without_cell_has_no_pairs() -> None:
    assert neighbor_pairs([[1.0, 2.0, 3.0]], np.zeros((3, 3)), False, 5.0).n_edges == 0


def test_a_large_isolated_cluster_has_the_pairs_of_its_distance_matrix() -> None:
    positions = np.random.default_rng(0).uniform(-9.0, 9.0, (150, 3))
    pairs = neighbor_pairs(positions, np.zeros((3, 3)), False, 4.0)
    distances = np.linalg.norm(positions[:, None] - positions, axis=2) + 100.0 * np.eye(150)
    assert np.count_nonzero(distances < 4.0) == pairs.n_edges


def test_mostly_empty_space_costs_neither_pairs_nor_memory() -> None:
    dimer = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    far = np.concatenate([dimer, dimer + 3e8] + [dimer + 1e3 * k for k in range(1, 40)])
    assert neighbor_pairs(far, np.zeros((3, 3)), False, 5.0).n_edges == len(far)
    in_a_huge_cell = neighbor_pairs(far, np.eye(3) * 7e8, True, 5.0)
    assert in_a_huge_cell.n_edges == len(far)


def test_the_arrays_belong_to_the_caller() -> None:
    first = neighbor_pairs(np.eye(3), np.zeros((3, 3)), False, 5.0)
    first.idx_i[:] = 0
    first.idx_j[:] = 0
    second = neighbor_pairs(np.eye(3), np.zeros((3, 3)), False, 5.0)
    assert second.idx_j.tolist() == [1, 2, 0, 2, 0, 1]


WATER = molecule("H2O").positions
NO_CELL = np.zeros((3, 3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e12])
def test_error_for_positions_that_are_no_numbers(value: float) -> None:
    positions = WATER.copy()
    positions[1, 2] = value
    with pytest.raises(GeometryError, match="first is atom 1"):
        neighbor_pairs(positions, NO_CELL, False, 5.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("pbc", [False, True])
def test_error_for_a_cell_that_is_no_number(value: float, pbc: bool) -> None:
    cell = np.eye(3) * 5
    cell[2, 1] = value
    with pytest.raises(GeometryError, match="cell holds NaN"):
        neighbor_pairs(WATER, cell, pbc, 5.0)


@pytest.mark.parametrize("positions", [np.zeros(3), np.zeros((2, 2)), np.zeros((1, 2, 3))])
def test_error_for_positions_of_wrong_shape(positions: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="must be \\(n_atoms, 3\\)"):
        neighbor_pairs(positions, NO_CELL, False, 5.0)


def test_error_for_a_cell_of_wrong_shape() -> None:
    with pytest.raises(GeometryError, match="must be \\(3, 3\\)"):
        neighbor_pairs(WATER, np.ones(3), False, 5.0)


def test_error_for_pbc_of_wrong_shape() -> None:
    with pytest.raises(GeometryError, match="one bool or three"):
        neighbor_pairs(WATER, np.eye(3), [True, False], 5.0)


def test_error_for_zero_atoms() -> None:
    with pytest.raises(GeometryError, match="no atoms"):
        neighbor_pairs(np.zeros((0, 3)), NO_CELL, False, 5.0)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_error_for_a_cutoff_that_is_no_length(cutoff: float) -> None:
    with pytest.raises(GeometryError, match="cutoff"):
        neighbor_pairs(WATER, NO_CELL, False, cutoff)


def test_error_for_a_periodic_direction_without_cell_vector() -> None:
    with pytest.raises(GeometryError, match="Direction b, c is periodic"):
        neighbor_pairs(WATER, np.diag([4.0, 0.0, 0.0]), [False, True, True], 5.0)


@pytest.mark.parametrize("pbc", [(True, True, False), (True, True, True)])
def test_error_for_linearly_dependent_cell_vectors(pbc: tuple[bool, bool, bool]) -> None:
    cell = np.array([[1.0, 2.0, 3.0], [-2.0, -4.0, -6.0], [0.0, 5.0, 0.0]])
    with pytest.raises(GeometryError, match="linearly dependent"):
        neighbor_pairs(WATER, cell, pbc, 5.0)


@pytest.mark.parametrize("pbc", [False, True])
def test_error_names_two_coincident_atoms(pbc: bool) -> None:
    positions = np.concatenate([WATER, WATER[1:2]])
    with pytest.raises(GeometryError, match="Atoms 1 and 3 are at the same place"):
        neighbor_pairs(positions, np.eye(3) * 9, pbc, 5.0)


def test_error_names_coincident_atoms_of_a_large_cluster() -> None:
    positions = np.random.default_rng(0).uniform(-9.0, 9.0, (150, 3))
    positions[100] = positions[7]
    with pytest.raises(GeometryError, match="Atoms 7 and 100 are at the same place"):
        neighbor_pairs(positions, NO_CELL, False, 5.0)


def test_error_names_an_atom_on_the_image_of_another() -> None:
    positions = [[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]]
    with pytest.raises(GeometryError, match=r"Atoms 0 and 1 in the periodic image \[-1, 0, 0\]"):
        neighbor_pairs(positions, np.eye(3) * 4, True, 3.0)


@pytest.mark.parametrize("length", [1e-2, 1e-7])
@pytest.mark.parametrize("pbc", [True, (False, True, False)])
def test_error_for_a_cell_far_too_small(length: float, pbc: bool | tuple[bool, ...]) -> None:
    with pytest.raises(GeometryError, match="too small for a cutoff"):
        neighbor_pairs([[0.0, 0.0, 0.0]], np.eye(3) * length, pbc, 5.0)


def test_error_for_more_pairs_than_could_be_stored() -> None:
    positions = np.random.default_rng(0).uniform(0.0, 1.0, (3000, 3))
    with pytest.raises(GeometryError, match="too small for a cutoff"):
        neighbor_pairs(positions, np.eye(3), True, 5.0)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, True, True)])
def test_a_cell_skewed_out_of_all_proportion_has_the_pairs_of_its_lattice(
    pbc: tuple[bool, bool, bool],
) -> None:
    plain = np.diag([4.0, 5.0, 6.0])
    skew = np.array([[1, 0, 0], [10**6, 1, 0], [-(10**3), 7, 1]])
    if pbc != (True, True, True):
        skew = np.eye(3, dtype=int)
        skew[max(np.flatnonzero(pbc)), min(np.flatnonzero(pbc))] = 10**6
    positions = np.array([[0.1, 0.2, 0.3], [2.0, 11.0, -8.0]])
    skewed = neighbor_pairs(positions, skew @ plain, pbc, 7.0)
    expected = neighbor_pairs(positions, plain, pbc, 7.0)
    # S @ (skew @ plain) = (S @ skew) @ plain
    back = keys(skewed.idx_i, skewed.idx_j, skewed.shifts @ skew)
    assert sorted(back) == sorted(keys(expected.idx_i, expected.idx_j, expected.shifts))
    assert not skewed.shifts[:, ~np.array(pbc)].any()


def test_atoms_objects_of_ase_need_no_preparation() -> None:
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]], pbc=[True, False, False], cell=[2.0, 0, 0])
    pairs = neighbor_pairs(atoms.positions, atoms.cell, atoms.pbc, 1.0)
    assert pairs.n_edges == 2
