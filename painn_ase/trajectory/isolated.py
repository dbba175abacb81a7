"""Whether a periodic cell holds one molecule with vacuum around it."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from painn_ase.bonds import MOVING_BOND, bonded

__all__ = ["is_isolated_molecule"]

Array = NDArray[np.float64]

#: Empty space between the molecule and its images that no bulk has, Å. Molecules of a liquid or a
#: crystal touch: their surfaces are 2 to 3 Å apart, hydrogen atom to hydrogen atom.
_VACUUM = 3.5
#: Larger systems are no molecules of which a whole cell would be kept free.
_MANY_ATOMS = 150


def is_isolated_molecule(numbers: NDArray[np.int64], positions: Array, cell: Array) -> bool:
    """Whether all atoms are one bonded molecule, away from its own images.

    Parameters
    ----------
    numbers : ndarray [n_atoms]
        Atomic numbers.
    positions : ndarray [n_atoms, 3]
        Å; may be wrapped into the cell.
    cell : ndarray [3, 3]
        Vectors as rows, Å.
    """
    if len(numbers) > _MANY_ATOMS:
        return False
    shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    fractions = positions @ np.linalg.inv(cell)
    wrapped = (fractions - np.floor(fractions)) @ cell
    # [n, n, 27] distances to every neighbouring image
    between = wrapped[None, :, None] - wrapped[:, None, None] + (shifts @ cell)[None, None]
    distance = np.linalg.norm(between, axis=-1)
    place = _unwrapped(
        bonded(numbers[:, None, None], numbers[None, :, None], distance, MOVING_BOND), shifts
    )
    if place is None:
        return False
    # image S of atom j belongs to the molecule of atom i itself where S = place_j - place_i
    own = (place[None, :] - place[:, None])[:, :, None] == shifts[None, None]
    others = np.where(own.all(axis=-1), np.inf, distance)
    return bool(others.min() > _VACUUM)


def _unwrapped(bonds: NDArray[np.bool_], shifts: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The image of each atom that makes the molecule whole [n_atoms, 3]; None for several parts."""
    n_atoms = len(bonds)
    place = np.zeros((n_atoms, 3), dtype=np.int64)
    seen, queue = {0}, [0]
    while queue:
        i = queue.pop()
        for j, k in zip(*np.nonzero(bonds[i]), strict=True):
            if int(j) not in seen:
                seen.add(int(j))
                place[j] = place[i] + shifts[k]
                queue.append(int(j))
    return place if len(seen) == n_atoms else None
