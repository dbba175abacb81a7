"""The list of everything that can be read, for `painn-ase formats` and the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from painn_ase.trajectory.formats.registry import FORMATS

__all__ = ["FormatRow", "installed", "table_of_formats"]


@dataclass(frozen=True)
class FormatRow:
    """A line of the table; texts as in :class:`~painn_ase.trajectory.formats.registry.Format`."""

    program: str
    files: str
    mark: str
    gives: str
    extra: str


#: What the readers beside the table of programs take.
_OWN = (
    FormatRow(
        "painn_ase, other H5MD",
        "`.h5`, `.h5md`, `.hdf5`",
        "group `h5md`",
        "everything that was recorded, units, times, cell, temperature",
        "",
    ),
    FormatRow(
        "ASE",
        "`.traj`, `.xyz`, `.extxyz` and what else ASE reads",
        "its suffix, or as ASE recognises it",
        "dipole, polarizability and their fluxes, positions, velocities, cell, times of the frames",
        "",
    ),
    FormatRow(
        "NumPy",
        "`.npz`, `.npy`",
        "its suffix",
        "arrays called `dipole`, `polarizability`, …, and `timestep`",
        "",
    ),
    FormatRow(
        "any",
        "`.csv`, `.txt`, `.dat`",
        "its suffix",
        "three columns of a dipole or nine of a polarizability, units and times by the headings",
        "",
    ),
)


def table_of_formats() -> tuple[FormatRow, ...]:
    """Every format, other programs' first."""
    foreign = tuple(
        FormatRow(f.program, f.files, f.mark, f.gives, f.extra or "")
        for f in sorted(FORMATS, key=lambda f: f.program.lower())
    )
    return (*foreign, *_OWN)


def installed() -> dict[str, bool]:
    """Whether each library of the extra `formats` can be imported."""
    return {name: find_spec(name) is not None for name in ("MDAnalysis", "cclib", "dpdata")}
