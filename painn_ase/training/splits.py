"""Division of frames into training, validation and test parts: seeded, stored, read back."""

from __future__ import annotations

import json
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
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def counts(self) -> dict[str, int]:
        """Number of frames of each part."""
        parts = ("train", "validation", "test")
        return {part: len(getattr(self, part)) for part in parts}


def build_split(n_frames: int, spec: DataSpec) -> Split:
    """The split that `spec` asks for: a stored one, or a seeded shuffle.

    Raises
    ------
    DataError
        For parts that are empty or larger than the data.
    """
    if spec.split_file is not None:
        return read_split(spec.split_file, n_frames)
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
    order = np.random.default_rng(spec.split_seed).permutation(n_frames).tolist()
    ends = (n_train, n_train + n_validation, n_train + n_validation + n_test)
    return Split(
        tuple(sorted(order[: ends[0]])),
        tuple(sorted(order[ends[0] : ends[1]])),
        tuple(sorted(order[ends[1] : ends[2]])),
    )


def write_split(split: Split, path: str | Path) -> None:
    """Store `split` as JSON."""
    data = {"train": split.train, "validation": split.validation, "test": split.test}
    write_text(Path(path), json.dumps(data) + "\n")


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
