"""Which frames are worth their label: whole molecules, no two alike, the least known first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.calculator import PaiNNCalculator
from painn_ase.evaluation import evaluate
from painn_ase.sampling.displacements import bonds_of

__all__ = ["is_intact", "most_uncertain", "unlikeness", "without_duplicates"]

#: A bond longer than this many sums of covalent radii is broken; Å, atoms closer are in each other.
_BROKEN, _CLOSEST = 1.6, 0.6
#: Å, root mean square over sorted distances: frames nearer than that are the same.
_SAME = 0.01


def is_intact(frame: Atoms, bonded: NDArray[np.bool_]) -> bool:
    """Whether all bonds of the molecule are still there, and no two atoms in each other."""
    distances = frame.get_all_distances()[np.triu_indices(len(frame), 1)]
    if distances.size and distances.min() < _CLOSEST:
        return False
    return bool(bonds_of(frame, _BROKEN)[bonded].all())


def unlikeness(one: Atoms, other: Atoms) -> float:
    """Root mean square difference (Å) of the sorted distances of two frames of one molecule.

    Where they are turned, mirrored or have like atoms exchanged it is zero.
    """
    return _apart(_distances(one), _distances(other))


def without_duplicates(frames: Sequence[Atoms]) -> list[Atoms]:
    """Frames without those whose distances are as good as those of one before them.

    Molecules of fewer than four atoms are all kept: their few distances are alike by chance.
    """
    kept: list[Atoms] = []
    seen: dict[tuple[int, ...], list[NDArray[np.float64]]] = {}
    for frame in frames:
        if len(frame) > 3:
            key = tuple(frame.numbers.tolist())
            own = _distances(frame)
            others = seen.setdefault(key, [])
            if any(_apart(own, other) < _SAME for other in others):
                continue
            others.append(own)
        kept.append(frame)
    return kept


def most_uncertain(
    frames: Sequence[Atoms], committee: PaiNNCalculator, n_frames: int, least: float = 0.0
) -> list[Atoms]:
    """The frames on whose forces the members of a committee disagree most.

    Parameters
    ----------
    frames : sequence of Atoms
    committee : PaiNNCalculator
        Of several models.
    n_frames : int
        At most so many.
    least : float
        eV/Å; frames of less disagreement are left out.

    Returns
    -------
    list of Atoms
        The most uncertain first; ``info["forces_std"]`` is the largest of a frame's atoms, eV/Å.
    """
    scored = []
    for frame, found in zip(frames, evaluate(committee, frames, ["forces"]), strict=True):
        moved = frame.copy()
        moved.info["forces_std"] = float(np.linalg.norm(found["forces_std"], axis=1).max())
        scored.append(moved)
    scored.sort(key=lambda frame: -float(frame.info["forces_std"]))
    return [frame for frame in scored if frame.info["forces_std"] >= least][:n_frames]


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    difference = one - other
    return float(np.sqrt(np.mean(difference**2))) if difference.size else 0.0


def _distances(frame: Atoms) -> NDArray[np.float64]:
    """All distances, sorted within each pair of elements, so that like atoms may be exchanged."""
    i, j = np.triu_indices(len(frame), 1)
    distances = frame.get_all_distances()[i, j]
    pairs = np.sort(np.stack([frame.numbers[i], frame.numbers[j]]), axis=0)
    order = np.lexsort((distances, pairs[1], pairs[0]))
    return np.asarray(distances[order], dtype=np.float64)
