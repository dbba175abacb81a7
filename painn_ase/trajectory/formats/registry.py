"""The table of formats: how each is recognised, what it gives, and which extra it needs.

A file is recognised by what it holds, and by its name only where a format has no mark of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.formats.aimd_output import read_gaussian, read_orca, read_qchem
from painn_ase.trajectory.formats.bare_columns import (
    read_gpumd_dipole,
    read_gpumd_dpdt,
    read_gpumd_polarizability,
    read_ipi_extras,
)
from painn_ase.trajectory.formats.cp2k import read_moments, read_total_dipole
from painn_ase.trajectory.formats.lammps_dump import read_lammps_dump
from painn_ase.trajectory.formats.mdanalysis import read_dcd, read_netcdf, read_trr, read_xtc
from painn_ase.trajectory.formats.named_columns import (
    read_colvar,
    read_ipi_properties,
    read_lammps_table,
    read_xvg,
)
from painn_ase.trajectory.formats.optional import errors_named
from painn_ase.trajectory.formats.schnetpack_md import is_schnetpack_md, read_schnetpack_md
from painn_ase.trajectory.formats.vasp import read_outcar, read_vasprun, read_xdatcar
from painn_ase.trajectory.formats.xyz import (
    CP2K_COMMENT,
    IPI_COMMENT,
    NWCHEM_COMMENT,
    ORCA_COMMENT,
    read_cp2k_xyz,
    read_ipi_xyz,
    read_nwchem_xyz,
    read_orca_xyz,
)
from painn_ase.trajectory.raw import RawSeries

__all__ = ["FORMATS", "Format", "identify", "read_foreign"]

#: So much of a file is looked at to recognise it.
_HEAD = 1 << 16

#: A path, and which of the file's own names is which quantity → what the file says.
Reader = Callable[[Path, Mapping[str, str]], RawSeries]


@dataclass(frozen=True)
class Head:
    """The beginning of a file.

    Attributes
    ----------
    data : bytes
        The first 64 KiB; none of a folder.
    text : str
        The same as text; empty where it is none.
    """

    data: bytes
    text: str


Matcher = Callable[[Path, Head], bool]


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes
    ----------
    program : str
        That writes it.
    files : str
        Usual names of its files, and the command that writes them.
    mark : str
        What it is recognised by, in words.
    gives : str
        Quantities, units and times it holds.
    read : callable
        Path and key map → :class:`~painn_ase.trajectory.raw.RawSeries`.
    matches : callable
        Path and beginning of the file → whether it is one.
    extra : str or None
        Extra of ``pip install`` that reading it needs.
    keyed : bool
        Whether its columns have names, so that a key map means something.
    """

    program: str
    files: str
    mark: str
    gives: str
    read: Reader
    matches: Matcher
    extra: str | None = None
    keyed: bool = False


def _begins(pattern: str) -> Matcher:
    """Whether the text, a line of it, matches."""
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda path, head: compiled.search(head.text) is not None


def _magic(*values: bytes, at: int = 0) -> Matcher:
    """Whether one of these bytes stand in the file."""
    return lambda path, head: any(head.data.startswith(v, at) for v in values)


def _comment(pattern: re.Pattern[str]) -> Matcher:
    """Whether the second line, an XYZ file's comment, matches and the first is a number."""

    def matches(path: Path, head: Head) -> bool:
        lines = head.text.lstrip("\n").split("\n", 2)
        return len(lines) > 1 and lines[0].strip().isdigit() and bool(pattern.search(lines[1]))

    return matches


def _named(name: str, columns: int) -> Matcher:
    """Whether the file is called so and its first line has that many columns."""
    compiled = re.compile(name)

    def matches(path: Path, head: Head) -> bool:
        first = head.text.lstrip("\n").split("\n", 1)[0]
        return compiled.fullmatch(path.name) is not None and len(first.split()) == columns

    return matches


FORMATS: tuple[Format, ...] = (
    Format(
        "CP2K",
        "`*-moments-*.dat`, output (`DFT/PRINT/MOMENTS`, `LINRES/POLAR`)",
        "lines `Dipole moment [Debye]`, `Polarizability tensor [a.u.]`",
        "dipole, polarizability, units; Berry quantum and cell; times from the main output",
        read_moments,
        _begins(r"^\s*(?:Dipole moment \[|(?:POLAR\|\s*)?Polarizability tensor \[|MM[ _]DIPOLE)"),
    ),
    Format(
        "CP2K",
        "`*.Dipole` (`DFT/LOCALIZE/PRINT/TOTAL_DIPOLE`)",
        "header `# iter_level dipole(x,y,z)[atomic units]`",
        "dipole, unit; steps",
        read_total_dipole,
        _begins(r"^\s*#\s*iter_level\s+dipole\(x,y,z\)"),
    ),
    Format(
        "CP2K",
        "`*-pos-1.xyz`, `*-vel-1.xyz`",
        "comment ` i = 1, time = 0.500, E = …`",
        "positions or velocities, times",
        read_cp2k_xyz,
        _comment(CP2K_COMMENT),
    ),
    Format(
        "i-PI",
        "`dip_0` and other `extras`",
        "header `#EXTRAS(dipole)# Step: …`",
        "dipole or polarizability; steps",
        read_ipi_extras,
        _begins(r"\A\s*#\*?EXTRAS"),
        keyed=True,
    ),
    Format(
        "i-PI",
        "`*.pos_0.xyz`, `*.vel_0.xyz`",
        "comment `# CELL(abcABC): … positions{angstrom}`",
        "positions, velocities or momenta, cell, units; steps",
        read_ipi_xyz,
        _comment(IPI_COMMENT),
    ),
    Format(
        "i-PI",
        "`*.out` (`properties`)",
        "header `# column 1 --> time{picosecond}`",
        "columns that are called a dipole or polarizability, units, times",
        read_ipi_properties,
        _begins(r"\A#\s*(?:column|cols\.)\s+\d+.*-->"),
        keyed=True,
    ),
    Format(
        "ORCA",
        "`trajectory.xyz`, velocities (`%md` `Dump`)",
        "comment `# ORCA AIMD Position Step …`",
        "positions or velocities, units, times",
        read_orca_xyz,
        _comment(ORCA_COMMENT),
    ),
    Format(
        "NWChem",
        "`*.xyz` of its dynamics (`task … qmd`)",
        "comment of a step, an energy and three numbers `1.000000E-01`",
        "positions, velocities, dipole, units; steps",
        read_nwchem_xyz,
        _comment(NWCHEM_COMMENT),
    ),
    Format(
        "LAMMPS",
        "`dump custom`",
        "`ITEM: TIMESTEP`",
        "positions unwrapped, velocities, charges, cell; units and times with `dump_modify`",
        read_lammps_dump,
        _begins(r"\AITEM: (?:UNITS|TIME|TIMESTEP)"),
    ),
    Format(
        "LAMMPS",
        "`fix ave/time`, `fix print` with a title",
        "first line `# Time-averaged data` or `# Fix print output`, or a title with `step`",
        "columns that are called a dipole or polarizability; steps",
        read_lammps_table,
        _begins(
            r"\A#\s*(?:Time-averaged data for fix|Fix print output"
            r"|(?i:(?:time)?step)(?:[ \t]+[\w.]+(?:\[\d+\])?)+[ \t]*$)"
        ),
        keyed=True,
    ),
    Format(
        "PLUMED",
        "`COLVAR` (`PRINT` of `DIPOLE COMPONENTS`)",
        "`#! FIELDS`",
        "columns that are called a dipole, in e·nm; times in ps",
        read_colvar,
        _begins(r"\A#! FIELDS"),
        keyed=True,
    ),
    Format(
        "GROMACS",
        "`*.xvg` (`gmx dipoles`, `gmx energy`)",
        "`@ xaxis label`, legends",
        "columns that are called a dipole, unit, times",
        read_xvg,
        _begins(r"^@\s*xaxis\s+label"),
        keyed=True,
    ),
    Format(
        "GPUMD",
        "`dipole.out`",
        "its name and four columns",
        "dipole; steps",
        read_gpumd_dipole,
        _named(r"(?i:.*dipole.*\.out)", 4),
    ),
    Format(
        "GPUMD",
        "`polarizability.out`",
        "its name and seven columns",
        "polarizability; steps",
        read_gpumd_polarizability,
        _named(r"(?i:.*polarizability.*\.out)", 7),
    ),
    Format(
        "GPUMD",
        "`dpdt.out`",
        "its name and six columns",
        "dipole and its flux, units",
        read_gpumd_dpdt,
        _named(r"(?i:.*dpdt.*\.out)", 6),
    ),
    Format(
        "VASP",
        "`OUTCAR`",
        "first line ` vasp.…`",
        "positions, cell, time step; Born charges with `--charges OUTCAR`",
        read_outcar,
        _begins(r"\A vasp\.\d"),
    ),
    Format(
        "VASP",
        "`vasprun.xml`",
        "`<modeling>`",
        "positions, cell, time step",
        read_vasprun,
        _begins(r"\A<\?xml[^>]*>\s*<modeling>"),
    ),
    Format(
        "VASP",
        "`XDATCAR`",
        "its name",
        "positions, cell",
        read_xdatcar,
        lambda path, head: bool(head.text) and path.name.startswith("XDATCAR"),
    ),
    Format(
        "Gaussian",
        "output of `BOMD`, `ADMP`",
        "`Entering Gaussian System`",
        "dipole, unit, times",
        read_gaussian,
        _begins(r"^ (?:Entering Gaussian System|Gaussian, Inc\.)"),
    ),
    Format(
        "Q-Chem",
        "output of AIMD",
        "`Welcome to Q-Chem`",
        "dipole, unit, times",
        read_qchem,
        _begins(r"Welcome to Q-Chem"),
    ),
    Format(
        "ORCA",
        "output of `%md`",
        "`* O   R   C   A *`",
        "dipole, unit, time step",
        read_orca,
        _begins(r"\* O\s+R\s+C\s+A \*"),
    ),
    Format(
        "SchNetPack",
        "`.hdf5` of its MD",
        "dataset `molecules` with `atom_types`",
        "positions, velocities, time step, and the properties that the model added",
        read_schnetpack_md,
        lambda path, head: head.data.startswith(b"\x89HDF") and is_schnetpack_md(path),
    ),
    Format(
        "GROMACS",
        "`.trr`",
        "its first bytes",
        "positions, velocities, cell, times; elements with `--topology`",
        read_trr,
        _magic(b"\x00\x00\x07\xc9"),
        "formats",
    ),
    Format(
        "GROMACS",
        "`.xtc`",
        "its first bytes",
        "positions to 0.01 Å, cell, times; elements with `--topology`",
        read_xtc,
        _magic(b"\x00\x00\x07\xcb", b"\x00\x00\x07\xe7"),
        "formats",
    ),
    Format(
        "CHARMM, NAMD, OpenMM …",
        "`.dcd`",
        "its first bytes",
        "positions, cell; times where the writing program is named; elements with `--topology`",
        read_dcd,
        _magic(b"CORD", at=4),
        "formats",
    ),
    Format(
        "Amber",
        "`.nc` (NetCDF)",
        "its first bytes",
        "positions, velocities, cell, times; elements with `--topology`",
        read_netcdf,
        _magic(b"CDF\x01", b"CDF\x02"),
        "formats",
    ),
)


#: Files that hold a run only in another file beside them: what they begin with, and that file.
_ELSEWHERE = (
    (
        re.compile(r"Northwest Computational Chemistry Package \(NWChem\)"),
        "NWChem's output, which prints no dipole along its dynamics. Give the run's .xyz file "
        "(`task … qmd` writes it), which has dipoles, positions and velocities; a frequency job is "
        "for `painn-ase plot --sticks`.",
    ),
)


def identify(path: str | Path) -> Format | None:
    """The format of a file; None where it is none of :data:`FORMATS`.

    Raises
    ------
    TrajectoryError
        When the file cannot be read.
    """
    path = Path(path)
    head = _head(path)
    return next((f for f in FORMATS if f.matches(path, head)), None)


def _head(path: Path) -> Head:
    if path.is_dir():
        return Head(b"", "")
    try:
        with open(path, "rb") as file:
            data = file.read(_HEAD)
    except OSError as error:
        raise TrajectoryError(f"{path} cannot be read: {error}.") from error
    text = "" if b"\0" in data else data.decode("utf-8", errors="replace")
    return Head(data, text.replace("\r\n", "\n"))


def read_foreign(path: str | Path, keys: Mapping[str, str] | None = None) -> RawSeries | None:
    """What a file of another program says; None where its format is none of :data:`FORMATS`.

    Parameters
    ----------
    path : str or Path
    keys : mapping of str to str, optional
        Quantity → the name of its columns in the file, for tables whose names do not tell.

    Raises
    ------
    TrajectoryError
        For files that are damaged, or hold nothing that can be used.
    MissingDependencyError
        When the format needs a library that is not installed; the message names the extra.
    """
    path = Path(path)
    found = identify(path)
    if found is None:
        head = _head(path)
        for mark, words in _ELSEWHERE:
            if mark.search(head.text):
                raise TrajectoryError(f"{path} is {words}")
        return None
    if keys and not found.keyed:
        raise TrajectoryError(
            f"{path} is a file of {found.program} whose quantities have their places; a key for "
            f"{', '.join(keys)} means nothing there. Leave it out."
        )
    with errors_named(path, f"a file of {found.program}"):
        raw = found.read(path, keys or {})
    for name, channel in raw.channels.items():
        if not np.isfinite(channel.values).all():
            raise TrajectoryError(
                f"{path}: {name} holds values that are not finite. Cut the file before them."
            )
    return raw
