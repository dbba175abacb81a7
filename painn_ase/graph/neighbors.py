"""Pairs within a cutoff, for every geometry ASE can describe.

The search itself is matscipy's linked-cell list. What lives here makes it total: structures
without a cell, slabs and wires with zero cell vectors, atoms far outside their cell, cells thinner
than the cutoff. The cell used for searching is private and never leaves this file.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from ase.geometry import minkowski_reduce
from matscipy.neighbours import neighbour_list
from numpy.typing import ArrayLike, NDArray

from painn_ase.errors import GeometryError

__all__ = ["NeighborPairs", "all_pairs", "neighbor_pairs"]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

# Isolated structures up to this size are cheaper as a full distance matrix than as linked cells.
_ALL_PAIRS_ATOMS = 64
# Closer than this (Å) two atoms count as one: the direction of their edge is only rounding.
_COINCIDENT = 1e-6
# Farther out (Å; ten centimetres) float64 no longer resolves a bond, and bin numbers overflow.
_FAR = 1e9
# Periodic vectors of unit length that span less than this are linearly dependent.
_FLAT = 1e-9
# matscipy allocates one integer per bin, so a mostly empty box would cost gigabytes.
_MAX_BINS = 2**22
# A periodic vector this much longer than its cell is thick is searched in a reduced cell.
_SKEWED = 2.5
# Limits of sense: pairs to store, and images of the cell that the cutoff reaches to one side.
_MAX_EDGES = 3e8
_MAX_IMAGES = 100


@dataclass(frozen=True)
class NeighborPairs:
    """Directed pairs of atoms, both directions listed, sorted by centre.

    The edge vector is ``positions[idx_j] − positions[idx_i] + shifts @ cell`` with the positions
    as they were given (never wrapped) and the true cell.

    Attributes
    ----------
    idx_i, idx_j : ndarray (n_edges,), int64
        Centre (receives) and neighbour (sends) of each edge.
    shifts : ndarray (n_edges, 3), float64
        Integer cell shifts S of the neighbour; zero along non-periodic directions.
    """

    idx_i: IntArray
    idx_j: IntArray
    shifts: FloatArray

    @property
    def n_edges(self) -> int:
        """Number of directed edges."""
        return len(self.idx_i)


def neighbor_pairs(
    positions: ArrayLike, cell: ArrayLike, pbc: ArrayLike, cutoff: float
) -> NeighborPairs:
    """All directed pairs of atoms, and of atoms with images, closer than a cutoff.

    Parameters
    ----------
    positions : array (n_atoms, 3)
        Å; atoms may lie anywhere, also far outside the cell.
    cell : array (3, 3)
        Row vectors, Å. Vectors along non-periodic directions are not looked at and may be zero.
    pbc : array (3,), bool
        Periodic directions; one bool stands for all three.
    cutoff : float
        Å. Pairs at exactly this distance may be listed or not.

    Returns
    -------
    NeighborPairs
        Pairs with shifts with respect to the given cell and the given positions.

    Raises
    ------
    GeometryError
        NaN, infinite or absurdly large input, wrong shapes, no atoms, a periodic direction
        without a (linearly independent) cell vector, two atoms at one place, a cell far too thin
        for the cutoff.
    """
    positions = _checked_positions(positions)
    cell = _checked_cell(cell)
    periodic = _checked_pbc(pbc)
    if not 0.0 < cutoff < math.inf:
        raise GeometryError(f"The cutoff is {cutoff!r}; it must be a positive finite length in Å.")
    if any(periodic):
        return _search(positions, cell, periodic, cutoff)
    if len(positions) <= _ALL_PAIRS_ATOMS:
        return _search_all_pairs(positions, cutoff)
    return _search(positions, cell, periodic, cutoff)


def _search_all_pairs(positions: FloatArray, cutoff: float) -> NeighborPairs:
    """Pairs of a small isolated structure, from all its distances."""
    idx_i, idx_j = all_pairs(len(positions))
    if not len(idx_i):
        return NeighborPairs(idx_i.copy(), idx_j.copy(), np.zeros((0, 3)))
    vectors = positions.take(idx_j, axis=0) - positions.take(idx_i, axis=0)
    squares = np.einsum("ea,ea->e", vectors, vectors)
    nearest = int(squares.argmin())
    if squares[nearest] < _COINCIDENT**2:
        raise _coincident(int(idx_i[nearest]), int(idx_j[nearest]), np.zeros(3))
    inside = squares < cutoff * cutoff
    if inside.all():
        return NeighborPairs(idx_i.copy(), idx_j.copy(), np.zeros((len(idx_i), 3)))
    return NeighborPairs(idx_i[inside], idx_j[inside], np.zeros((np.count_nonzero(inside), 3)))


@functools.lru_cache(maxsize=_ALL_PAIRS_ATOMS)
def all_pairs(n_atoms: int) -> tuple[IntArray, IntArray]:
    """Centre and neighbour of every ordered pair of different atoms (n_atoms·(n_atoms−1),).

    The arrays are shared by all callers and cannot be written to.
    """
    idx_i, idx_j = np.nonzero(~np.eye(n_atoms, dtype=bool))
    idx_i.flags.writeable = idx_j.flags.writeable = False
    return idx_i, idx_j


def _search(
    positions: FloatArray, cell: FloatArray, pbc: tuple[bool, bool, bool], cutoff: float
) -> NeighborPairs:
    """Pairs from linked cells, in a private cell that encloses the (wrapped) atoms."""
    open_axes = np.array([not periodic for periodic in pbc])
    compact, combination = _compact_cell(cell, pbc)
    search_cell, inside = _search_cell(positions, compact, pbc, cutoff)
    wraps = np.floor(inside @ np.linalg.inv(search_cell))
    wraps[:, open_axes] = 0.0
    wrapped = bool(wraps.any())
    if wrapped:
        inside = inside - wraps @ search_cell
    search_cutoff = _search_cutoff(search_cell, len(positions), pbc, cutoff)
    i, j, d, steps = neighbour_list(
        "ijdS", positions=inside, cell=search_cell, pbc=~open_axes, cutoff=search_cutoff
    )
    shifts = steps.astype(np.float64)
    # An atom that rounding leaves just outside the bounding box gets a step there.
    shifts[:, open_axes] = 0.0
    idx_i, idx_j = i.astype(np.int64), j.astype(np.int64)
    if wrapped:
        # r_j − n_j·cell and r_i − n_i·cell were searched; the shifts belong to r_j and r_i.
        shifts += wraps[idx_i] - wraps[idx_j]
    if combination is not None:
        shifts = shifts @ combination
    if len(d) and d.min() < _COINCIDENT:
        nearest = int(d.argmin())
        raise _coincident(int(i[nearest]), int(j[nearest]), shifts[nearest])
    if search_cutoff > cutoff:
        near = d < cutoff
        return NeighborPairs(idx_i[near], idx_j[near], shifts[near])
    return NeighborPairs(idx_i, idx_j, shifts)


def _compact_cell(
    cell: FloatArray, pbc: tuple[bool, bool, bool]
) -> tuple[FloatArray, FloatArray | None]:
    """The same lattice with short periodic vectors, and how they combine the given ones (3, 3).

    A strongly skewed cell is thin: its images within reach are many, most of them empty. Cells
    that are not come back as they are, with None.
    """
    periodic = np.array(pbc)
    if not periodic.any():
        return cell, None
    _check_independent(cell, pbc)
    vectors = cell[periodic]
    # Columns of the pseudo-inverse are normal to the faces, their lengths 1/thickness.
    normals = np.linalg.pinv(vectors)
    lengths = np.sqrt(np.einsum("da,da->d", vectors, vectors))
    if (lengths * np.sqrt(np.einsum("ad,ad->d", normals, normals))).max() < _SKEWED:
        return cell, None
    compact, combination = minkowski_reduce(cell, pbc)
    return compact, combination.astype(np.float64)


def _search_cell(
    positions: FloatArray, cell: FloatArray, pbc: tuple[bool, bool, bool], cutoff: float
) -> tuple[FloatArray, FloatArray]:
    """A non-singular cell (3, 3) around the atoms, and the positions relative to its corner.

    Periodic vectors are kept; each other direction gets a vector orthogonal to all the rest, as
    long as the structure is along it.
    """
    if all(pbc):
        return cell, positions
    periodic = np.array(pbc)
    n_periodic = np.count_nonzero(periodic)
    axes = np.linalg.svd(cell[periodic])[2][n_periodic:] if n_periodic else np.eye(3)
    along = positions @ axes.T
    corner = along.min(axis=0)
    lengths = np.maximum(along.max(axis=0) - corner, cutoff)
    search_cell = cell.copy()
    search_cell[~periodic] = axes * lengths[:, None]
    return search_cell, positions - corner @ axes


def _search_cutoff(
    cell: FloatArray, n_atoms: int, pbc: tuple[bool, bool, bool], cutoff: float
) -> float:
    """The radius to search with: the cutoff, or more where that would need too many bins."""
    volume = abs(float(np.linalg.det(cell)))
    normals = np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]])
    thickness = volume / np.sqrt(np.einsum("da,da->d", normals, normals))
    thinnest = thickness[np.array(pbc)].min(initial=cutoff)
    n_edges = n_atoms**2 * (4.0 / 3.0) * math.pi * cutoff**3 / volume
    if cutoff > _MAX_IMAGES * thinnest or n_edges > _MAX_EDGES:
        raise GeometryError(
            f"The cell is too small for a cutoff of {cutoff:g} Å: it is {thinnest:.3g} Å thin and "
            f"holds {n_atoms} atoms, which makes about {n_edges:.1e} pairs (at most "
            f"{_MAX_EDGES:.0e}, and {cutoff / _MAX_IMAGES:g} Å thin). Check the cell and its "
            f"unit (Å)."
        )
    radius = cutoff
    while np.maximum(thickness // radius, 1.0).prod() > _MAX_BINS:
        radius *= 1.25
    return radius


def _check_independent(cell: FloatArray, pbc: tuple[bool, bool, bool]) -> None:
    """Refuse periodic directions whose cell vectors are zero or linearly dependent."""
    vectors = cell[np.array(pbc)]
    lengths = np.sqrt(np.einsum("da,da->d", vectors, vectors))
    if not lengths.all():
        missing = [
            name
            for name, p, v in zip("abc", pbc, cell, strict=True)
            if p and np.linalg.norm(v) == 0.0
        ]
        raise GeometryError(
            f"Direction {', '.join(missing)} is periodic (pbc={list(pbc)}) but its cell vector is "
            f"zero. Give it a cell vector with atoms.set_cell(...), or switch the direction off "
            f"with atoms.pbc."
        )
    if np.linalg.svd(vectors / lengths[:, None], compute_uv=False).min() < _FLAT:
        raise GeometryError(
            f"The cell vectors of the periodic directions (pbc={list(pbc)}) are linearly "
            f"dependent: {vectors.tolist()}. Each periodic direction needs a vector of its own."
        )


def _checked_positions(positions: ArrayLike) -> FloatArray:
    """Positions as a finite array (n_atoms, 3) with at least one atom."""
    array = np.asarray(positions, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise GeometryError(f"Positions have shape {array.shape}; they must be (n_atoms, 3), in Å.")
    if not len(array):
        raise GeometryError("The structure has no atoms; at least one is needed.")
    if not np.abs(array).max() < _FAR:  # also true for NaN
        atoms = np.flatnonzero(~(np.abs(array) < _FAR).all(axis=1))
        raise GeometryError(
            f"Positions of {len(atoms)} atoms are NaN, infinite or farther out than {_FAR:g} Å, "
            f"the first is atom {atoms[0]} at {array[atoms[0]].tolist()}. If this happened during "
            f"dynamics, the time step is too long or the structure has left what the model was "
            f"trained on."
        )
    return array


def _checked_cell(cell: ArrayLike) -> FloatArray:
    """The cell as a finite array (3, 3)."""
    array = np.asarray(cell, dtype=np.float64)
    if array.shape != (3, 3):
        raise GeometryError(
            f"The cell has shape {array.shape}; it must be (3, 3), row vectors in Å, zero where "
            f"there is none."
        )
    if not np.abs(array).max() < _FAR:  # also true for NaN
        raise GeometryError(
            f"The cell holds NaN, infinity or lengths beyond {_FAR:g} Å: {array.tolist()}. Give "
            f"finite vectors in Å, zero where there is no cell."
        )
    return array


def _checked_pbc(pbc: ArrayLike) -> tuple[bool, bool, bool]:
    """The periodic directions as three bools."""
    array: NDArray[Any] = np.asarray(pbc, dtype=bool)
    if array.shape == ():
        return (bool(array),) * 3
    if array.shape != (3,):
        raise GeometryError(f"pbc has shape {array.shape}; it must be one bool or three.")
    a, b, c = array.tolist()
    return a, b, c


def _coincident(i: int, j: int, shift: FloatArray) -> GeometryError:
    """The error for two atoms at one place."""
    image = f" in the periodic image {shift.astype(int).tolist()}" if shift.any() else ""
    return GeometryError(
        f"Atoms {i} and {j}{image} are at the same place (closer than {_COINCIDENT:g} Å). Remove "
        f"one of them, for example with ase.geometry.get_duplicate_atoms(atoms, delete=True)."
    )
