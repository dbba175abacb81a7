"""Labelled structures: what a reader hands over and what everything else in training reads.

A :class:`LabeledFrame` is in the package's units and knows which labels it has; nothing here
opens files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError

__all__ = [
    "LABELS",
    "LabeledFrame",
    "counts_of_elements",
    "frames_hash",
    "label_counts",
    "label_shape",
]

FloatArray = NDArray[np.float64]

#: What a model can be trained on, in the order of tables and reports.
LABELS: tuple[str, ...] = (
    "energy",
    "forces",
    "stress",
    "dipole",
    "polarizability",
    "dipole_magnitude",
)
# Labels that came later: where missing they leave no trace in the hash of frames, which is that of
# before.
_LATER = ("dipole_magnitude",)


@dataclass(frozen=True)
class LabeledFrame:
    """One structure with the labels it has; None for those it has not.

    Attributes
    ----------
    numbers : ndarray (n_atoms,), int64
    positions : ndarray (n_atoms, 3)
        Å.
    cell : ndarray (3, 3)
        Row vectors, Å.
    pbc : ndarray (3,), bool
    charge : float
        Total charge, e.
    energy : float or None
        eV.
    forces : ndarray (n_atoms, 3) or None
        eV/Å, constraints not applied.
    stress : ndarray (3, 3) or None
        eV/Å^3, ASE's sign.
    dipole : ndarray (3,) or None
        e·Å.
    polarizability : ndarray (3, 3) or None
        e²Å²/eV.
    dipole_magnitude : float or None
        |μ|, e·Å.
    source : str
        File and index, for messages.
    group : str
        Molecule or set it belongs to.
    weight : float
        Of its errors in the loss.
    """

    numbers: NDArray[np.int64]
    positions: FloatArray
    cell: FloatArray
    pbc: NDArray[np.bool_]
    charge: float = 0.0
    energy: float | None = None
    forces: FloatArray | None = None
    stress: FloatArray | None = None
    dipole: FloatArray | None = None
    polarizability: FloatArray | None = None
    dipole_magnitude: float | None = None
    source: str = ""
    group: str = ""
    weight: float = 1.0

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels this frame has."""
        return tuple(name for name in LABELS if getattr(self, name) is not None)

    def label(self, name: str) -> FloatArray | None:
        """The label `name` as an array of its full shape, or None."""
        value = getattr(self, name)
        return None if value is None else np.asarray(value, dtype=np.float64)


def label_shape(name: str, n_atoms: int) -> tuple[int, ...]:
    """Shape of the label `name` for a structure of `n_atoms` atoms."""
    shapes: dict[str, tuple[int, ...]] = {
        "energy": (),
        "forces": (n_atoms, 3),
        "stress": (3, 3),
        "dipole": (3,),
        "polarizability": (3, 3),
        "dipole_magnitude": (),
    }
    return shapes[name]


def label_counts(frames: Sequence[LabeledFrame]) -> dict[str, int]:
    """How many frames carry each label."""
    return {name: sum(getattr(f, name) is not None for f in frames) for name in LABELS}


def counts_of_elements(frames: Sequence[LabeledFrame], elements: Sequence[int]) -> FloatArray:
    """Number of atoms of each element in each frame (n_frames, n_elements)."""
    return np.array([[np.sum(f.numbers == z) for z in elements] for f in frames], dtype=np.float64)


def frames_hash(frames: Sequence[LabeledFrame]) -> str:
    """SHA-256 of everything a model could learn from `frames`, whatever file it came from.

    Raises
    ------
    DataError
        For no frames at all.
    """
    if not frames:
        raise DataError("there are no frames to hash; give at least one.")
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(np.ascontiguousarray(frame.numbers, dtype="<i8").tobytes())
        for name in ("positions", "cell", *LABELS):
            value = frame.label(name)
            if value is None and name in _LATER:
                continue
            digest.update(name.encode() if value is not None else b"-")
            if value is not None:
                digest.update(np.ascontiguousarray(value, dtype="<f8").tobytes())
        digest.update(bytes(frame.pbc.tolist()) + repr(float(frame.charge)).encode())
    return digest.hexdigest()
