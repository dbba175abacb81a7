"""Structures without symmetry, and structures turned and moved as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

__all__ = ["random_atoms", "random_rotation", "turned"]

FloatArray = NDArray[np.float64]


def random_atoms(
    n_atoms: int = 8,
    *,
    elements: Sequence[int] = (1, 6, 7, 8),
    pbc: bool | Sequence[bool] = False,
    left_handed: bool = False,
    spacing: float = 1.1,
    seed: int = 0,
) -> Atoms:
    """A structure without symmetry, with velocities; where periodic, in a tilted cell.

    Parameters
    ----------
    n_atoms : int
    elements : sequence of int
        Atomic numbers to draw from.
    pbc : bool or (3,) bool
        Vectors of other directions than these are zero.
    left_handed : bool
        Exchange two cell vectors.
    spacing : float
        Least distance between atoms and images, Å, about; the density follows.
    seed : int
    """
    rng = np.random.default_rng(seed)
    edge = 1.6 * spacing * n_atoms ** (1 / 3)
    cell = edge * (np.eye(3) + rng.uniform(-0.15, 0.15, (3, 3)))
    places = _spread_out(n_atoms, cell, spacing, rng)
    periodic = np.broadcast_to(np.asarray(pbc, dtype=bool), 3)
    if left_handed:
        cell = cell[[1, 0, 2]]
        periodic = periodic[[1, 0, 2]]
    atoms = Atoms(
        numbers=rng.choice(np.asarray(elements), n_atoms),
        positions=places,
        cell=cell * periodic[:, None],
        pbc=periodic,
    )
    atoms.set_velocities(rng.normal(scale=0.05, size=(n_atoms, 3)))
    return atoms


def _spread_out(
    n_atoms: int, cell: FloatArray, spacing: float, rng: np.random.Generator
) -> FloatArray:
    """Random places in a periodic cell that keep a distance from each other and their images."""
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ cell
    places = np.empty((0, 3))
    while len(places) < n_atoms:
        trial = rng.uniform(size=3) @ cell
        apart = trial - places[:, None, :] - images
        if not len(places) or np.sqrt((apart**2).sum(axis=-1)).min() > spacing:
            places = np.vstack((places, trial))
    return places


def random_rotation(rng: np.random.Generator) -> FloatArray:
    """A proper rotation (3, 3), evenly distributed."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def turned(atoms: Atoms, matrix: FloatArray) -> Atoms:
    """A copy with positions, cell and velocities turned by `matrix` (3, 3)."""
    moved: Atoms = atoms.copy()
    moved.set_cell(atoms.cell.array @ matrix.T)
    moved.positions = atoms.positions @ matrix.T
    moved.set_velocities(atoms.get_velocities() @ matrix.T)
    return moved
