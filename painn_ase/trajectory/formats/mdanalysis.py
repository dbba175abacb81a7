"""Binary trajectories that MDAnalysis reads: GROMACS .xtc and .trr, CHARMM's .dcd, Amber's .nc; and
topologies, for the elements, masses and charges that those do not hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.formats.optional import errors_named, need
from painn_ase.trajectory.raw import RawChannel, RawSeries

__all__ = [
    "add_topology", "elements_of_topology", "read_dcd", "read_netcdf", "read_trr", "read_xtc",
]  # fmt: skip

#: Programs that write a DCD's time step in the unit the format means.
_TRUE_TO_DCD = re.compile(r"CHARMM|NAMD|OpenMM|MDANALYSIS", re.IGNORECASE)
#: Bytes of a DCD within which its remarks stand.
_REMARKS = 4096
_XTC_NOTE = "positions in .xtc are rounded, to 0.01 Å by default: a .trr keeps weak lines"
_DCD_NOTE = "the .dcd does not say which program wrote it, and not all mean the same by its step"


def read_xtc(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """GROMACS' compressed positions; times in ps."""
    raw = _read(path, "XTC.XTCReader", "a GROMACS .xtc file")
    return replace(raw, notes=(*raw.notes, _XTC_NOTE))


def read_trr(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """GROMACS' positions and velocities; times in ps."""
    return _read(path, "TRR.TRRReader", "a GROMACS .trr file")


def read_netcdf(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Amber's NetCDF: positions, velocities; times in ps."""
    return _read(path, "TRJ.NCDFReader", "an Amber NetCDF file")


def read_dcd(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """A DCD file's positions; its times where a program wrote it that is known to mean them so.

    LAMMPS and CP2K write their own time unit into a DCD, which the format has in AKMA units.
    """
    raw = _read(path, "DCD.DCDReader", "a .dcd file")
    with open(path, "rb") as file:
        remarks = file.read(_REMARKS).decode("latin-1")
    if _TRUE_TO_DCD.search(remarks):
        return raw
    return replace(raw, time=None, time_unit=None, notes=(*raw.notes, _DCD_NOTE))


def _read(path: Path, reader_name: str, what: str) -> RawSeries:
    module, name = reader_name.split(".")
    library = need(f"MDAnalysis.coordinates.{module}", what)
    with errors_named(path, what), getattr(library, name)(str(path)) as reader:
        n_frames, n_atoms = len(reader), int(reader.n_atoms)
        first = reader[0]
        moving, placed = bool(first.has_velocities), bool(first.has_positions)
        positions = np.empty((n_frames if placed else 0, n_atoms, 3), dtype=np.float64)
        velocities = np.empty((n_frames if moving else 0, n_atoms, 3), dtype=np.float64)
        cells = np.zeros((n_frames, 3, 3))
        times = np.empty(n_frames)
        for n, frame in enumerate(reader):
            times[n] = frame.time
            if placed:
                positions[n] = frame.positions
            if moving:
                velocities[n] = frame.velocities
            if frame.dimensions is not None:
                cells[n] = frame.triclinic_dimensions
    origin = f"{what} as MDAnalysis reads it"
    channels = {}
    if placed:
        channels["positions"] = RawChannel(positions, "Angstrom", origin)
    if moving:
        channels["velocities"] = RawChannel(velocities, "Angstrom/ps", origin)
    periodic = bool(np.all(np.abs(np.linalg.det(cells)) > 0.0))
    if periodic:
        channels["cell"] = RawChannel(cells, "Angstrom", origin)
    return RawSeries(
        f"{what.removeprefix('a ').removeprefix('an ')} {path.name}",
        channels,
        time=times,
        time_unit="ps",
        time_origin="the frames' times in ps",
        pbc=(True, True, True) if periodic else None,
    )


# -- topologies ------------------------------------------------------------------------------------


def add_topology(raw: RawSeries, path: Path) -> RawSeries:
    """`raw` with the elements, masses and charges of a topology: .gro, .pdb, .psf, .prmtop, .tpr ….

    Raises
    ------
    TrajectoryError
        When it cannot be read, or has another number of atoms.
    MissingDependencyError
        Without MDAnalysis.
    """
    if not path.is_file():
        raise TrajectoryError(f"{path} does not exist. Check the path of the topology.")
    library = need("MDAnalysis", "a topology")
    with errors_named(path, "a topology"):
        atoms = library.Universe(str(path), to_guess=("types", "masses")).atoms
        names = [str(name) for name in getattr(atoms, "names", [])]
        elements, guessed = _elements(atoms)
        masses = np.asarray(getattr(atoms, "masses", []), dtype=np.float64)
        charges = np.asarray(getattr(atoms, "charges", []), dtype=np.float64)
        n_atoms = len(atoms)
    held = {
        int(c.values.shape[1])
        for n, c in raw.channels.items()
        if n in ("positions", "velocities", "momenta")
    }
    if held - {n_atoms}:
        raise TrajectoryError(
            f"{path} has {n_atoms} atoms, {raw.source} has {held.pop()}: these do not belong "
            "together."
        )
    notes = list(raw.notes)
    if guessed:
        notes.append(f"elements guessed from the atoms' names in {path.name} by MDAnalysis")
    channels = dict(raw.channels)
    if len(charges) == n_atoms and np.any(charges != 0.0) and "charges" not in channels:
        channels["charges"] = RawChannel(charges[None], "e", f"topology {path.name}")
    known = len(masses) == n_atoms and bool(np.all(masses > 0.0))
    return replace(
        raw,
        channels=channels,
        numbers=raw.numbers if elements is None else elements,
        masses=masses if known else raw.masses,
        types=raw.types if raw.types is not None else (tuple(names) or None),
        notes=tuple(notes),
    )


def elements_of_topology(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Atomic numbers, and masses in amu, that a topology names.

    Raises
    ------
    TrajectoryError
        When it cannot be read, or names no elements.
    MissingDependencyError
        Without MDAnalysis.
    """
    raw = add_topology(RawSeries(str(path), {}), path)
    if raw.numbers is None:
        raise TrajectoryError(f"{path} does not say the elements of its atoms.")
    masses = raw.masses if raw.masses is not None else atomic_masses[raw.numbers]
    return raw.numbers, np.asarray(masses, dtype=np.float64)


def _elements(atoms: Any) -> tuple[NDArray[np.int64] | None, bool]:
    """Atomic numbers, and whether they were guessed from names."""
    for attribute, guessed in (("elements", False), ("types", True)):
        symbols = [str(s).capitalize() for s in getattr(atoms, attribute, [])]
        if symbols and all(s in atomic_numbers for s in symbols):
            return np.array([atomic_numbers[s] for s in symbols], dtype=np.int64), guessed
    return None, False
