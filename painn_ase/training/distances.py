"""How close together atoms come in the training data: what tells later that a run has left it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols

from painn_ase.graph import neighbor_pairs
from painn_ase.training.frames import Frame

__all__ = ["smallest_distances"]


def smallest_distances(frames: Sequence[Frame], cutoff: float) -> dict[str, float]:
    """Smallest distance (Å) of each pair of elements, by symbols: ``{"H-C": 0.98, …}``.

    Parameters
    ----------
    frames : sequence of Frame
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
        pairs = neighbor_pairs(frame.positions, frame.cell, frame.pbc, cutoff)
        i, j = pairs.idx_i, pairs.idx_j
        vectors = frame.positions[j] - frame.positions[i] + pairs.shifts @ frame.cell
        distances = np.sqrt(np.einsum("ea,ea->e", vectors, vectors))
        a, b = frame.numbers[i], frame.numbers[j]
        np.minimum.at(table, (np.minimum(a, b), np.maximum(a, b)), distances)
    return {
        f"{chemical_symbols[a]}-{chemical_symbols[b]}": round(float(table[a, b]), 4)
        for a, b in zip(*np.nonzero(np.isfinite(table)), strict=True)
    }
