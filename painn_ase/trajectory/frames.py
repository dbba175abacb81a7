"""Frames of structures from any trajectory file, one at a time, and export to extxyz."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError, UnitError
from painn_ase.trajectory.formats import read_foreign
from painn_ase.trajectory.formats.mdanalysis import add_topology
from painn_ase.trajectory.keys import find_key
from painn_ase.trajectory.raw import RawSeries
from painn_ase.trajectory.reader import TrajectoryReader, warn_of_typed_unit
from painn_ase.unit_names import known_spellings, unit_factor
from painn_ase.units import ase_time_to_fs

__all__ = [
    "HDF5_SUFFIXES",
    "check_atom_counts",
    "export_extxyz",
    "iterate_frames",
    "number_of_frame",
]

#: File names that mean HDF5.
HDF5_SUFFIXES = (".h5", ".h5md", ".hdf5")
_WITH_UNIT = ("positions", "velocities", "cell", "time")
_XYZ_SUFFIXES = (".xyz", ".extxyz")
#: A number of columns that no line of an extxyz file has.
_MANY_COLUMNS = re.compile(rb":[A-Za-z]:\s*0*[1-9]\d{4,}")


def iterate_frames(
    path: str | Path,
    stride: int = 1,
    units: Mapping[str, str] | None = None,
    topology: str | Path | None = None,
) -> Iterator[Atoms]:
    """Frames of a trajectory in order, whatever its format.

    Parameters
    ----------
    path : str or Path
        H5MD, other programs' files (:data:`painn_ase.trajectory.formats.FORMATS`), or anything
        :func:`ase.io.iread` reads (``.traj``, extxyz, …).
    stride : int
        Take every so many-th frame.
    units : mapping of str to str, optional
        Of positions, velocities, cell and time, where a file does not say them. One that
        contradicts the file counts, with a warning; ASE's own formats take that of the time.
    topology : str or Path, optional
        File with the elements and masses that a trajectory of another program does not hold
        (``.gro``, ``.psf``, ``.prmtop`` …; needs MDAnalysis).

    Yields
    ------
    ase.Atoms
        With velocities and results where the file has them, and ``info["time_fs"]`` where times
        and their unit are known.

    Raises
    ------
    TrajectoryError
        When the file is missing, truncated or of an unknown format, a unit is not known, or one is
        given of what the file does not hold.
    """
    path = Path(path)
    if not path.is_file():
        raise TrajectoryError(f"{path} does not exist. Check the path.")
    if strange := set(units or {}) - set(_WITH_UNIT):
        raise TrajectoryError(
            f"a unit of {', '.join(sorted(strange))} was given; frames take units of "
            f"{', '.join(_WITH_UNIT)}."
        )
    raw = read_foreign(path)
    is_h5md = raw is None and path.suffix.lower() in HDF5_SUFFIXES
    if topology is not None and not is_h5md and (raw is None or "positions" not in raw.channels):
        raise TrajectoryError(
            f"{path} says itself what its atoms are, or holds none: leave the topology {topology} "
            "out."
        )
    if raw is not None and "positions" in raw.channels:
        raw = raw if topology is None else add_topology(raw, Path(topology))
        yield from _of_raw(raw, stride, dict(units or {}))
        return
    if path.suffix.lower() in HDF5_SUFFIXES:
        with TrajectoryReader(path, units, topology=topology) as reader:
            _check_units_are_used(str(path), units, _with_units(reader))
            yield from reader.iterate_atoms(stride)
        return
    if useless := set(units or {}) - {"time"}:
        raise TrajectoryError(
            f"{path}: ASE reads this file and knows its units; leave them out "
            f"({', '.join(sorted(useless))})."
        )
    n_read = 0
    frames = _in_time_unit(_guarded(path), path, (units or {}).get("time"))
    for n_read, atoms in enumerate(frames, start=1):
        if (n_read - 1) % stride == 0:
            yield atoms
    if not n_read:
        raise TrajectoryError(f"{path} holds no frame.")


def _with_units(reader: TrajectoryReader) -> set[str]:
    """What an H5MD file holds whose unit can be said."""
    held = set(reader.names)
    if "positions" in held and reader.clock("positions")[0] is not None:
        held.add("time")
    return held | ({"cell"} if np.abs(reader.system.cell).max() > 0.0 else set())


def _check_units_are_used(
    source: str, units: Mapping[str, str] | None, held: Collection[str]
) -> None:
    """Refuse the unit of something that the file does not hold."""
    if unused := sorted(set(units or {}) - set(held)):
        raise TrajectoryError(
            f"a unit of {' and '.join(unused)} was given, but {source} has none. Leave it out."
        )


def _in_time_unit(frames: Iterator[Atoms], path: Path, unit: str | None) -> Iterator[Atoms]:
    """Frames with their times in fs, where the user says the unit of theirs."""
    for atoms in frames:
        if unit is not None:
            key = find_key("time", atoms.info, {})
            if key is None:
                raise TrajectoryError(
                    f"a unit of time was given, but the frames of {path} name no time "
                    f"({', '.join(atoms.info) or 'nothing'}). Leave it out, and give the time "
                    "between frames (`timestep=`, or --timestep)."
                )
            factor = unit_factor(unit, "time") * ase_time_to_fs
            atoms.info["time_fs"] = factor * number_of_frame(atoms.info[key], key, path)
        yield atoms


def number_of_frame(value: Any, key: str, path: Path) -> float:
    """A number that a frame states; text that is none is our error."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TrajectoryError(f"{path}: {key} of a frame is {value!r:.60}, no number.") from error


def _of_raw(raw: RawSeries, stride: int, units: Mapping[str, str]) -> Iterator[Atoms]:
    """Frames of another program's file, with velocities and times where it has them."""
    if raw.numbers is None:
        raise TrajectoryError(
            f"{raw.source} does not say the elements of its atoms "
            f"(kinds {', '.join(raw.types or ('unknown',))}). Write them into it, or name a file "
            "that has them (--topology, `topology=` in Python)."
        )
    clocked = raw.time is not None or raw.timestep is not None
    held = {*raw.channels, *(("time",) if clocked else ())}
    _check_units_are_used(raw.source, units, held)
    values = {
        name: raw.channels[name].values * _factor(raw, name, raw.channels[name].unit, units)
        for name in ("positions", "velocities", "cell")
        if name in raw.channels
    }
    times = _times_of_raw(raw, units, len(values["positions"]))
    cells = values.get("cell")
    for k in range(0, len(values["positions"]), stride):
        cell = None if cells is None else cells.reshape(-1, 3, 3)[k if len(cells) > 1 else 0]
        pbc = raw.pbc if raw.pbc is not None else cell is not None
        atoms = Atoms(numbers=raw.numbers, positions=values["positions"][k], cell=cell, pbc=pbc)
        if raw.masses is not None:
            atoms.set_masses(raw.masses)
        if "velocities" in values:
            atoms.set_velocities(values["velocities"][k])
        if times is not None:
            atoms.info["time_fs"] = float(times[k])
        yield atoms


def _times_of_raw(
    raw: RawSeries, units: Mapping[str, str], n_frames: int
) -> NDArray[np.float64] | None:
    """Times of the frames, fs, from theirs or from the time between them; None if unknown."""
    if units.get("time", raw.time_unit) is None or (raw.time is None and raw.timestep is None):
        return None
    clock = raw.time
    if clock is None:
        clock = np.arange(n_frames, dtype=np.float64)
        if raw.steps is not None and n_frames > 1:  # which frames are missing, or come twice
            clock = (raw.steps - raw.steps[0]) / max(1.0, float(np.median(np.diff(raw.steps))))
        clock = clock * float(raw.timestep or 0.0)
    return np.asarray(clock * _factor(raw, "time", raw.time_unit, units) * ase_time_to_fs)


def _factor(raw: RawSeries, name: str, stated: str | None, units: Mapping[str, str]) -> float:
    unit = units.get(name, stated)
    if unit is None:
        raise TrajectoryError(
            f"{raw.source} does not say in which unit its {name} are. Say it (--unit {name}=UNIT, "
            f"`units={{{name!r}: …}}` in Python), one of {known_spellings(name)}."
        )
    try:
        factor = unit_factor(unit, name)
        said = factor if stated is None else unit_factor(stated, name)
    except UnitError as error:
        raise TrajectoryError(f"{raw.source}: {error}") from error
    if abs(said / factor - 1.0) > 1e-6:
        warn_of_typed_unit(raw.source, name, unit, str(stated))
    return factor


def _guarded(path: Path) -> Iterator[Atoms]:
    """ASE's frames of a file, with whatever its parsers raise turned into our error."""
    n_read = 0
    check_atom_counts(path)
    try:
        for atoms in ase.io.iread(path, index=":"):
            _check_elements(atoms)
            yield atoms
            n_read += 1
    except GeneratorExit:
        raise
    except Exception as error:  # a parser fails on broken input in as many ways as it has lines
        raise TrajectoryError(
            f"{path} cannot be read after frame {n_read} ({type(error).__name__}: {error}). It may "
            "be truncated or of a format ASE does not know."
        ) from error


def _check_elements(atoms: Atoms) -> None:
    """Refuse atomic numbers that no element has: ASE's own formats are not looked at when read."""
    wrong = (atoms.numbers < 0) | (atoms.numbers >= len(chemical_symbols))
    if wrong.any():
        raise ValueError(f"the atomic number {int(atoms.numbers[wrong][0])}")


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
