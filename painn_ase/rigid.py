"""About which axes a molecule can turn: the one rule by which it counts as linear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LINEAR_TOLERANCE", "turning_axes"]

#: A moment of inertia below this share of the largest is that of a linear molecule about its axis:
#: CO₂ bent by 2°, water within 1° of a line.
LINEAR_TOLERANCE = 1e-4


def turning_axes(moments: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which principal axes a molecule can turn about: all, two of a linear one, none of an atom.

    Parameters
    ----------
    moments : ndarray [..., 3]
        Principal moments of inertia, in any unit.

    Returns
    -------
    ndarray of bool [..., 3]
    """
    sizes: NDArray[Any] = np.abs(np.asarray(moments, dtype=np.float64))
    return np.asarray(sizes > LINEAR_TOLERANCE * sizes.max(axis=-1, keepdims=True))
