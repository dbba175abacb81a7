"""The file of labelled frames: extxyz that grows by whole frames and outlives every kill."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from ase import Atoms
from ase.io import read, write

from painn_ase._version import __version__
from painn_ase.errors import DataError
from painn_ase.labeling.labels import Engine, Labels, charge_of
from painn_ase.quantities import QUANTITIES
from painn_ase.trajectory.journal import lock_file

__all__ = ["LabelFile"]

_UNITS = {
    "energy_unit": "eV",
    "forces_unit": "eV/Angstrom",
    "dipole_unit": "e*Angstrom",
    "polarizability_unit": "Angstrom^3",
}
_MARK = "label_engine"
#: extxyz has eight decimals of positions.
_SAME = 1e-7


class LabelFile:
    """Labelled frames of one engine at one level; open, it is locked against a second run.

    A frame is complete, and on the disk, when :meth:`append` returns. What a kill left half
    written at the end is cut off when the file is opened again.

    Parameters
    ----------
    path : Path
    engine : Engine
    frames : sequence of Atoms
        All that are to be labelled; those in the file are to be among them, under their numbers.

    Attributes
    ----------
    done : set of int
        Numbers of the frames that are in the file.

    Raises
    ------
    DataError
        When the file is no file of labels, is of another engine, level or other frames, or is
        being written by another run. It is left as it is.
    """

    def __init__(self, path: Path, engine: Engine, frames: Sequence[Atoms]) -> None:
        self._path, self._engine, self._frames = path, engine, frames
        self._versions = f"painn_ase {__version__}, {engine.versions()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file: IO[bytes] = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
        try:
            self._lock()
            self.done: set[int] = set()
            content = self._file.read()
            end = _end_of_whole_frames(content, path)
            self._check(content[:end])
            self._file.truncate(end)
            self._file.seek(end)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> LabelFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, number: int, labels: Labels, seconds: float) -> None:
        """Put frame `number` with its labels at the end, safely on the disk."""
        text = io.StringIO()
        write(text, self._labelled(number, labels, seconds), format="extxyz")
        left = memoryview(text.getvalue().encode())
        while left:
            left = left[self._file.write(left) :]
        os.fsync(self._file.fileno())
        self.done.add(number)

    def _labelled(self, number: int, labels: Labels, seconds: float) -> Atoms:
        given = self._frames[number]
        atoms = Atoms(given.numbers, given.positions, cell=given.cell, pbc=given.pbc)
        # Labels the frame came with are of another level, and so are those of another labelling.
        atoms.info = {
            k: v
            for k, v in given.info.items()
            if k not in QUANTITIES and k not in _UNITS and not k.startswith("label_")
        }
        atoms.info["energy"] = labels.energy
        atoms.arrays["forces"] = labels.forces
        if labels.dipole is not None:
            atoms.info["dipole"] = labels.dipole
        if labels.polarizability is not None:
            atoms.info["polarizability"] = labels.polarizability.reshape(9)
        atoms.info |= {k: v for k, v in _UNITS.items() if k[: -len("_unit")] in _given(labels)}
        atoms.info |= {"label_frame": number, **self._provenance(), **labels.notes}
        atoms.info |= {"label_versions": self._versions, "label_cpu_seconds": round(seconds, 3)}
        return atoms

    def _provenance(self) -> dict[str, str]:
        """What all frames of the file have in common."""
        engine = self._engine
        named = {"engine": engine.name, "level": engine.level, "settings": engine.settings}
        return {f"label_{name}": value for name, value in named.items() if value}

    def _lock(self) -> None:
        try:
            lock_file(self._file)
        except OSError as error:
            raise DataError(
                f"{self._path} is being written by another run ({error.strerror}). Wait for it, "
                "stop it, or choose another --output."
            ) from error

    def _check(self, content: bytes) -> None:
        """Look through the frames that are there; fills `done`."""
        if not content:
            return
        for stored in read(io.StringIO(content.decode()), ":", format="extxyz"):
            self._check_provenance(stored)
            number = int(stored.info["label_frame"])
            if number in self.done:
                raise DataError(f"{self._path} holds frame {number} twice; remove one of them.")
            if number >= len(self._frames) or not _same(stored, self._frames[number]):
                raise DataError(
                    f"{self._path} holds labels of other frames: its frame {number} is not the one "
                    "given now. Give the file of frames it was begun with, or another --output."
                )
            self.done.add(number)

    def _check_provenance(self, stored: Atoms) -> None:
        if _MARK not in stored.info:
            raise DataError(f"{self._path} is no file of this command. Choose another --output.")
        ours: dict[str, Any] = {"label_settings": None, **self._provenance()}
        for key, value in ours.items():
            there = stored.info.get(key)
            if (None if there is None else str(there)) != value:  # extxyz reads "500" as a number
                raise DataError(
                    f"{self._path} was begun with {key.removeprefix('label_')} {there!r}, and this "
                    f"run has {value!r}. Labels of two kinds do not go into one file: choose "
                    "another --output."
                )


def _given(labels: Labels) -> set[str]:
    names = ("energy", "forces", "dipole", "polarizability")
    return {name for name in names if getattr(labels, name) is not None}


def _same(a: Atoms, b: Atoms) -> bool:
    """Whether two frames are one structure, but for the rounding of a file."""
    return (
        np.array_equal(a.numbers, b.numbers)
        and np.array_equal(a.pbc, b.pbc)
        and bool(np.allclose(a.positions, b.positions, rtol=0, atol=_SAME))
        and bool(np.allclose(a.cell[:], b.cell[:], rtol=1e-7, atol=_SAME))
        and charge_of(a) == charge_of(b)
    )


def _end_of_whole_frames(content: bytes, path: Path) -> int:
    """Bytes up to the end of the last frame that is complete.

    Raises
    ------
    DataError
        When this is no extxyz of labels.
    """
    end = at = 0
    lines: list[bytes] = content.splitlines(keepends=True)
    while at < len(lines):
        first = lines[at]
        if not first.strip().isdigit():
            raise DataError(f"{path} is no file of this command. Choose another --output.")
        frame = lines[at : at + int(first) + 2] if first.endswith(b"\n") else lines[at:]
        if len(frame) > 1 and frame[1].endswith(b"\n") and _MARK.encode() not in frame[1]:
            raise DataError(f"{path} is no file of this command. Choose another --output.")
        if len(frame) < int(first) + 2 or not frame[-1].endswith(b"\n"):
            return end
        end += sum(map(len, frame))
        at += len(frame)
    return end
