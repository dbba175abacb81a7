"""Structures named on the command line: a file, or a molecule ASE knows by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from painn_ase.errors import GeometryError

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["read_structure"]


def read_structure(name: str) -> Atoms:
    """The structure in a file that ASE can read, or in a trajectory of this package (its last
    frame), or a molecule of ASE's collection.

    Parameters
    ----------
    name : str
        Path, with ASE's ``@index`` if another frame is wanted, or a name as ``CH3CH2OH``.

    Raises
    ------
    GeometryError
        If there is neither, or the file cannot be read.
    """
    from ase.build import molecule
    from ase.collections import g2
    from ase.io import read
    from ase.io.formats import UnknownFileTypeError

    from painn_ase.trajectory import HDF5_SUFFIXES

    path = Path(name.rpartition("@")[0] or name)
    if not path.exists() and name in g2.names:
        known: Atoms = molecule(name)
        return known
    if not path.exists():
        raise GeometryError(
            f"there is no file {name!r}, and ASE has no molecule of that name. Give a structure "
            "file that ASE reads (.xyz, .extxyz, .traj, .cif, POSCAR …), or a name such as "
            "CH3CH2OH, H2O, H2CO."
        )
    if path.suffix.lower() in HDF5_SUFFIXES:
        return _frame_of(path, name)
    try:
        atoms = read(name)
    except (UnknownFileTypeError, ValueError, KeyError, IndexError, OSError, SyntaxError) as error:
        raise GeometryError(
            f"{name}: not a structure ASE can read ({type(error).__name__}: {error}). Formats are "
            "listed by `ase info --formats`."
        ) from error
    last: Atoms = atoms[-1] if isinstance(atoms, list) else atoms
    return last


def _frame_of(path: Path, name: str) -> Atoms:
    """A frame of an H5MD file, with the masses, charge and constraints of its run."""
    from painn_ase.trajectory import TrajectoryReader

    index = name.rpartition("@")[2] if name != str(path) and "@" in name else "-1"
    try:
        number = int(index)
    except ValueError as error:
        raise GeometryError(f"{name}: {index!r} is no number of a frame.") from error
    with TrajectoryReader(path) as reader:
        return reader.atoms(number)
