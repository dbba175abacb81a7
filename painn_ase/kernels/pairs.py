"""Half pair lists: every pair of atoms once, as the fused kernel reads it.

Also where the order of the pairs is settled: by centre, so that one atom's rows stay in registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import GeometryError

__all__ = ["HalfPairs", "half_pairs"]

FloatArray: TypeAlias = NDArray[np.float64]
Int32Array: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True)
class HalfPairs:
    """Undirected pairs, sorted by `idx_i`.

    Attributes
    ----------
    idx_i, idx_j : ndarray (n_pairs,), int32
    shifts : ndarray (n_pairs, 3), float64
        Integer cell shifts S of atom j.
    """

    idx_i: Int32Array
    idx_j: Int32Array
    shifts: FloatArray


def half_pairs(idx_i: NDArray[Any], idx_j: NDArray[Any], shifts: FloatArray) -> HalfPairs:
    """Every pair of a directed list once.

    Of the two directions the one with i < j stays; of an atom and its own image the one whose
    first nonzero shift is positive.

    Raises
    ------
    GeometryError
        The list does not hold every pair in both directions.
    """
    keep = idx_i < idx_j
    own = idx_i == idx_j
    if own.any():
        a, b, c = shifts.T
        keep |= own & ((a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0)))))
    i, j, s = idx_i[keep], idx_j[keep], shifts[keep]
    if 2 * len(i) != len(idx_i):
        raise GeometryError(
            f"the pair list holds {len(idx_i)} directed pairs, of which {len(i)} point forward; "
            "the fused kernel needs every pair in both directions. Use backend='eager' for "
            "one-sided lists."
        )
    if len(i) and (np.diff(i) < 0).any():
        order = np.argsort(i, kind="stable")
        i, j, s = i[order], j[order], s[order]
    return HalfPairs(
        np.ascontiguousarray(i, dtype=np.int32),
        np.ascontiguousarray(j, dtype=np.int32),
        np.ascontiguousarray(s, dtype=np.float64),
    )
