"""Frames of structures from any trajectory file, one at a time, and export to extxyz."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.reader import TrajectoryReader

__all__ = ["HDF5_SUFFIXES", "check_atom_counts", "export_extxyz", "iterate_frames"]

#: File names that mean HDF5.
HDF5_SUFFIXES = (".h5", ".h5md", ".hdf5")
_XYZ_SUFFIXES = (".xyz", ".extxyz")
#: A number of columns that no line of an extxyz file has.
_MANY_COLUMNS = re.compile(rb":[A-Za-z]:\s*0*[1-9]\d{4,}")


def iterate_frames(path: str | Path, stride: int = 1) -> Iterator[Atoms]:
    """Frames of a trajectory in order, whatever its format.

    Parameters
    ----------
    path : str or Path
        H5MD, or anything :func:`ase.io.iread` reads (``.traj``, extxyz, …).
    stride : int
        Take every so many-th frame.

    Yields
    ------
    ase.Atoms
        With velocities and results where the file has them.

    Raises
    ------
    TrajectoryError
        When the file is missing, truncated or of an unknown format.
    """
    path = Path(path)
    if not path.is_file():
        raise TrajectoryError(f"{path} does not exist. Check the path.")
    if path.suffix.lower() in HDF5_SUFFIXES:
        with TrajectoryReader(path) as reader:
            yield from reader.iterate_atoms(stride)
        return
    n_read = 0
    frames = _guarded(path)
    for n_read, atoms in enumerate(frames, start=1):
        if (n_read - 1) % stride == 0:
            yield atoms
    if not n_read:
        raise TrajectoryError(f"{path} holds no frame.")


def _guarded(path: Path) -> Iterator[Atoms]:
    """ASE's frames of a file, with whatever its parsers raise turned into our error."""
    n_read = 0
    check_atom_counts(path)
    try:
        for atoms in ase.io.iread(path, index=":"):
            yield atoms
            n_read += 1
    except GeneratorExit:
        raise
    except Exception as error:  # a parser fails on broken input in as many ways as it has lines
        raise TrajectoryError(
            f"{path} cannot be read after frame {n_read} ({type(error).__name__}: {error}). It may "
            "be truncated or of a format ASE does not know."
        ) from error


def check_atom_counts(path: Path) -> None:
    """Look through an xyz file for frames that claim more atoms or columns than it can have.

    ASE reads as many lines as a frame claims to have, which can take for ever, and makes room for
    every column. Files of other formats are not looked at.

    Raises
    ------
    TrajectoryError
        When there is one; a file that is broken otherwise is left to ASE.
    """
    if path.suffix.lower() not in _XYZ_SUFFIXES:
        return
    with open(path, "rb") as file:
        while (line := file.readline()).strip():
            try:
                n_atoms = int(line)
            except ValueError:  # "VEC" lines after a frame, or nothing ASE could read either
                continue
            if _MANY_COLUMNS.search(file.readline()):
                raise TrajectoryError(f"{path}: a frame claims ten thousand columns or more.")
            for n in range(n_atoms):
                if not file.readline():
                    raise TrajectoryError(
                        f"{path}: a frame claims {line.decode(errors='replace').strip()[:40]} "
                        f"atoms, the file ends after {n}. It is truncated or damaged."
                    )


def export_extxyz(source: str | Path, target: str | Path, stride: int = 1) -> int:
    """Write the frames of a trajectory as extxyz.

    Dipole and energy become keys ASE reads back; the polarizability nine numbers, fluxes in ASE's
    units and the time in fs keys of their own.

    Returns
    -------
    int
        Number of frames written.

    Raises
    ------
    TrajectoryError
        When the source cannot be read.
    """
    target = Path(target)
    n_written = 0
    with open(target, "w", encoding="utf-8") as file:
        for atoms in iterate_frames(source, stride):
            ase.io.write(file, _plain(atoms), format="extxyz")
            n_written += 1
    return n_written


def _plain(atoms: Atoms) -> Any:
    """The frame with tensors in a form extxyz keeps as numbers."""
    for key, value in list(atoms.info.items()):
        if isinstance(value, np.ndarray) and value.ndim == 2:
            atoms.info[key] = value.reshape(-1)
    return atoms
