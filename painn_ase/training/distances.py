"""Formulas and smallest distances of the training data: what tells later that a run has left it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula
from numpy.typing import NDArray

from painn_ase.graph import neighbor_pairs
from painn_ase.training.frames import FloatArray, LabeledFrame

__all__ = ["formulas", "pair_distances", "smallest_distances"]

#: So many different formulas are listed; a model of more is one for any molecule of its elements.
_MANY = 50


def formulas(frames: Sequence[LabeledFrame]) -> list[str]:
    """Formulas of the training frames in Hill's order, the most frequent first; 50 at most."""
    counts: dict[str, int] = {}
    for numbers, n in Counter(tuple(np.sort(f.numbers).tolist()) for f in frames).items():
        formula = Formula.from_list([chemical_symbols[z] for z in numbers]).format("hill")
        counts[formula] = counts.get(formula, 0) + n
    return sorted(counts, key=lambda f: (-counts[f], f))[:_MANY]


def pair_distances(
    frame: LabeledFrame, cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Both atoms of every pair within `cutoff` (Å), images included, and their distances, Å."""
    pairs = neighbor_pairs(frame.positions, frame.cell, frame.pbc, cutoff)
    i, j = pairs.idx_i, pairs.idx_j
    vectors = frame.positions[j] - frame.positions[i] + pairs.shifts @ frame.cell
    return i, j, np.sqrt(np.einsum("ea,ea->e", vectors, vectors))


def smallest_distances(frames: Sequence[LabeledFrame], cutoff: float) -> dict[str, float]:
    """Smallest distance (Å) of each pair of elements, by symbols: ``{"H-C": 0.98, …}``.

    Parameters
    ----------
    frames : sequence of LabeledFrame
        The training part.
    cutoff : float
        Å; pairs that never come closer than this have no entry.

    Raises
    ------
    GeometryError
        For a frame without meaning.
    """
    table = np.full((119, 119), np.inf)
    for frame in frames:
        i, j, distances = pair_distances(frame, cutoff)
        a, b = frame.numbers[i], frame.numbers[j]
        np.minimum.at(table, (np.minimum(a, b), np.maximum(a, b)), distances)
    return {
        f"{chemical_symbols[a]}-{chemical_symbols[b]}": round(float(table[a, b]), 4)
        for a, b in zip(*np.nonzero(np.isfinite(table)), strict=True)
    }
