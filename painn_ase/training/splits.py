"""Division of frames into training, validation and test parts: seeded, stored, read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from painn_ase.errors import DataError
from painn_ase.replacing import write_text
from painn_ase.training.config import DataSpec

__all__ = ["Split", "build_split", "read_split", "write_split"]


@dataclass(frozen=True)
class Split:
    """Indices of the frames of each part, in the file's order of frames.

    Attributes
    ----------
    train, validation, test : tuple of int
    held_out : tuple of int
        Frames of molecules that are never trained on.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    held_out: tuple[int, ...] = ()

    def parts(self) -> dict[str, tuple[int, ...]]:
        """The parts by name; the held-out one only where there is one."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {**found, "held_out": self.held_out} if self.held_out else found

    def counts(self) -> dict[str, int]:
        """Number of frames of each part."""
        return {part: len(indices) for part, indices in self.parts().items()}


def build_split(n_frames: int, spec: DataSpec, groups: Sequence[str] | None = None) -> Split:
    """The split that `spec` asks for: a stored one, or a seeded shuffle.

    Parameters
    ----------
    n_frames : int
    spec : DataSpec
    groups : sequence of str, optional
        Group of each frame, needed where `spec` splits by group or holds some out.

    Raises
    ------
    DataError
        For parts that are empty or larger than the data, and for groups that no frame has.
    """
    if spec.split_file is not None:
        return read_split(spec.split_file, n_frames)
    names = list(groups) if groups is not None else [""] * n_frames
    if unknown := sorted(set(spec.held_out) - set(names)):
        known = sorted(set(names))
        raise DataError(
            f"held_out names {', '.join(unknown)}, which no frame belongs to; there are "
            f"{', '.join(known[:40])}{' …' if len(known) > 40 else ''}."
        )
    held_out = tuple(n for n in range(n_frames) if names[n] in spec.held_out)
    rest = [n for n in range(n_frames) if names[n] not in spec.held_out]
    sizes = _sizes(len(rest), spec)
    rng = np.random.default_rng(spec.split_seed)
    if spec.split_by == "group":
        parts = _whole_groups([names[n] for n in rest], sizes, rng)
    else:
        order = rng.permutation(len(rest)).tolist()
        ends = np.cumsum(sizes).tolist()
        parts = [order[: ends[0]], order[ends[0] : ends[1]], order[ends[1] : ends[2]]]
    chosen = [tuple(sorted(rest[n] for n in part)) for part in parts]
    return Split(chosen[0], chosen[1], chosen[2], held_out)


def _sizes(n_frames: int, spec: DataSpec) -> tuple[int, int, int]:
    """Frames of training, validation and test."""
    n_validation = max(n_frames // 10, 1) if spec.n_validation is None else spec.n_validation
    if spec.n_train is not None:
        n_train = spec.n_train
    else:
        n_train = n_frames - n_validation - (spec.n_test or n_frames // 10)
    n_rest = n_frames - n_train - n_validation
    n_test = n_rest if spec.n_test is None else spec.n_test
    if min(n_train, n_validation) < 1 or n_test < 0 or n_rest < n_test:
        raise DataError(
            f"{n_frames} frames cannot be split into {n_train} for training, {n_validation} for "
            f"validation and {n_test} for testing; training and validation need at least one each. "
            "Change n_train, n_validation or n_test in [data], or give more frames."
        )
    return n_train, n_validation, n_test


def _whole_groups(
    names: Sequence[str], sizes: tuple[int, int, int], rng: np.random.Generator
) -> list[list[int]]:
    """Indices of three parts that share no group: validation and test filled first."""
    members: dict[str, list[int]] = {}
    for n, name in enumerate(names):
        members.setdefault(name, []).append(n)
    order = [sorted(members)[k] for k in rng.permutation(len(members))]
    parts: list[list[int]] = [[], [], []]
    for part in (1, 2):
        while order and len(parts[part]) < sizes[part]:
            parts[part] += members[order.pop()]
    # What is left over by sizes that were given is not trained on either.
    while order and len(parts[0]) < sizes[0]:
        parts[0] += members[order.pop()]
    if not parts[0] or not parts[1]:
        raise DataError(
            f"{len(members)} groups cannot be split by group into training and validation; give "
            'frames of more molecules, or set split_by = "frame".'
        )
    return parts


def write_split(split: Split, path: str | Path) -> None:
    """Store `split` as JSON."""
    write_text(Path(path), json.dumps(split.parts()) + "\n")


def read_split(path: str | Path, n_frames: int) -> Split:
    """The stored split, checked against the number of frames.

    Raises
    ------
    DataError
        If the file is unreadable, names a frame twice, or a frame that does not exist.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        parts = [tuple(int(n) for n in data[part]) for part in ("train", "validation", "test")]
        parts.append(tuple(int(n) for n in data.get("held_out", ())))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no split file (JSON with train, validation and test lists): {error!r}."
        ) from error
    every = [n for part in parts for n in part]
    if len(set(every)) != len(every):
        raise DataError(f"{path} names a frame in two places; a frame belongs to one part only.")
    if every and not 0 <= min(every) <= max(every) < n_frames:
        raise DataError(
            f"{path} names frames {min(every)}..{max(every)}, the data has 0..{n_frames - 1}. "
            "Use the split made for this file."
        )
    if not parts[0] or not parts[1]:
        raise DataError(f"{path}: the training and validation parts need at least one frame each.")
    return Split(*parts)
