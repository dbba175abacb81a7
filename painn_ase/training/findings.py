"""What a check of labels has to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from painn_ase.training.frames import FloatArray, LabeledFrame

__all__ = ["Finding", "center_of_mass", "formula", "molecules"]


@dataclass(frozen=True)
class Finding:
    """One thing a check has to say.

    Attributes
    ----------
    level : {"ok", "note", "warning"}
    check : str
        Which check.
    message : str
        What was found and, for a warning, the likely cause and remedy.
    """

    level: Literal["ok", "note", "warning"]
    check: str
    message: str


def molecules(frames: Sequence[LabeledFrame], label: str) -> dict[bytes, list[LabeledFrame]]:
    """Isolated molecules that have `label`, by their atoms in order."""
    groups: dict[bytes, list[LabeledFrame]] = {}
    for frame in frames:
        if not frame.pbc.any() and getattr(frame, label) is not None:
            groups.setdefault(frame.numbers.tobytes(), []).append(frame)
    return groups


def center_of_mass(frame: LabeledFrame) -> FloatArray:
    """Of the standard masses, Å (3,)."""
    masses = atomic_masses[frame.numbers]
    center: FloatArray = masses @ frame.positions / masses.sum()
    return center


def formula(numbers: bytes) -> str:
    """Sum formula of a molecule's atomic numbers as bytes."""
    atoms = np.frombuffer(numbers, dtype=np.int64)
    symbols, counts = np.unique([chemical_symbols[z] for z in atoms], return_counts=True)
    return "".join(f"{s}{n if n > 1 else ''}" for s, n in zip(symbols, counts, strict=True))
