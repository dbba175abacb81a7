"""Pairs within a cutoff by trying every image of every pair: slow, short, and independent.

Nothing here is shared with the package's neighbour search: no linked cells, no wrapping, no
reduction of the cell. It is what the search is compared with.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.graph import AtomGraph

__all__ = ["BrutePairs", "brute_graph", "brute_pairs", "image_work"]


@dataclass(frozen=True)
class BrutePairs:
    """All directed pairs of a structure.

    Attributes
    ----------
    idx_i, idx_j : ndarray (n_edges,)
    shifts : ndarray (n_edges, 3)
        Integer cell shifts of the neighbour.
    nearest : float
        Smallest distance, Å; infinite where there is no pair.
    """

    idx_i: NDArray[np.int64]
    idx_j: NDArray[np.int64]
    shifts: NDArray[np.float64]
    nearest: float


def _reach(atoms: Atoms, cutoff: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Periodic axes, and along each how many cells the cutoff reaches."""
    axes = np.flatnonzero(atoms.pbc)
    if not len(axes):
        return axes, np.zeros(0)
    normals = np.linalg.pinv(atoms.cell.array[axes])
    return axes, cutoff * np.linalg.norm(normals, axis=0)


def image_work(atoms: Atoms, cutoff: float) -> float:
    """Number of distances that trying every image takes."""
    _, reach = _reach(atoms, cutoff)
    return float(len(atoms) ** 2 * np.prod(2 * np.ceil(reach) + 2))


def brute_pairs(atoms: Atoms, cutoff: float) -> BrutePairs:
    """Every pair of atoms, and of atoms with images, closer than the cutoff."""
    cell, positions = atoms.cell.array, atoms.positions
    axes, reach = _reach(atoms, cutoff)
    n = len(atoms)
    i, j = (a.ravel() for a in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
    apart = positions[j] - positions[i]
    base = np.zeros((n * n, 3))
    if len(axes):
        base[:, axes] = np.floor(-apart @ np.linalg.pinv(cell[axes]))
    span = [range(-int(np.ceil(w)), int(np.ceil(w)) + 2) for w in reach]
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    nearest = np.inf
    for steps in itertools.product(*span):
        shifts = base.copy()
        shifts[:, axes] += steps
        distances = np.linalg.norm(apart + shifts @ cell, axis=1)
        distances[(i == j) & (shifts == 0.0).all(axis=1)] = np.inf
        nearest = min(nearest, float(distances.min()))
        inside = np.flatnonzero(distances < cutoff)
        found.append((inside, shifts[inside]))
    inside = np.concatenate([f[0] for f in found])
    return BrutePairs(i[inside], j[inside], np.concatenate([f[1] for f in found]), nearest)


def brute_graph(atoms: Atoms, pairs: BrutePairs) -> AtomGraph:
    """The record a potential reads, made from these pairs."""
    return AtomGraph(
        numbers=torch.tensor(atoms.numbers, dtype=torch.int64),
        positions=torch.tensor(atoms.positions, dtype=torch.float64),
        cell=torch.tensor(atoms.cell.array, dtype=torch.float64)[None],
        pbc=torch.tensor(atoms.pbc, dtype=torch.bool)[None],
        idx_i=torch.tensor(pairs.idx_i),
        idx_j=torch.tensor(pairs.idx_j),
        shifts=torch.tensor(pairs.shifts),
        system_idx=torch.zeros(len(atoms), dtype=torch.int64),
        charge=torch.zeros(1, dtype=torch.float64),
    )
