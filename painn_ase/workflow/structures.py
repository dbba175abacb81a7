"""Structures that a command leaves for the next one, with all that was said of them."""

from __future__ import annotations

from pathlib import Path

import ase.io
from ase import Atoms

__all__ = ["save_structure"]


def save_structure(path: Path, atoms: Atoms, charge: float | None) -> None:
    """Write `atoms` as extended XYZ with their charge, isotopes and held atoms.

    Parameters
    ----------
    path : Path
        Replaced if it is there.
    atoms : ase.Atoms
        Of their constraints the file holds FixAtoms and FixCartesian; more the format cannot.
    charge : float or None
        Total charge that they were computed with, e; None to say nothing.
    """
    frame = atoms.copy()
    frame.calc = atoms.calc  # its energy goes into the file
    frame.info = {} if charge is None else {"charge": charge}
    columns = ["symbols", "positions"]
    if frame.has("masses"):
        columns.append("masses")
    if frame.constraints:
        columns.append("move_mask")
    ase.io.write(path, frame, format="extxyz", columns=columns)
