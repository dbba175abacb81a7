"""Which atoms are bonded: the one rule, by distances and covalent radii."""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray

__all__ = ["BOND", "MOVING_BOND", "bonded", "bonded_pairs"]

#: The longest bond of a molecule near its minimum, in sums of covalent radii (Cordero et al.,
#: Dalton Trans. 2008, 2832, as ASE has them).
BOND = 1.25
#: The same where the atoms move, hot or with zero-point motion.
MOVING_BOND = 1.3


def bonded(
    numbers: NDArray[np.int64],
    others: NDArray[np.int64],
    distances: NDArray[np.float64],
    reach: float = BOND,
) -> NDArray[np.bool_]:
    """Where atoms of these atomic numbers, so far apart in Å, are bonded.

    Parameters
    ----------
    numbers, others : ndarray of int
        Atomic numbers, of shapes that broadcast with `distances`.
    distances : ndarray
        Å.
    reach : float
        The longest bond, in sums of covalent radii.
    """
    radii = np.asarray(covalent_radii)
    found: NDArray[np.bool_] = distances < reach * (radii[numbers] + radii[others])
    return found


def bonded_pairs(
    numbers: NDArray[np.int64], positions: NDArray[np.float64], reach: float = BOND
) -> NDArray[np.int64]:
    """Bonded pairs i < j [n_bonds, 2] of a molecule without images."""
    i, j = np.triu_indices(len(numbers), 1)
    apart = np.linalg.norm(positions[j] - positions[i], axis=1)
    close = bonded(numbers[i], numbers[j], apart, reach)
    return np.stack([i[close], j[close]], axis=1)
