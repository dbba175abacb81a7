"""CP2K's dipoles and polarizabilities: `*-moments`, TOTAL_DIPOLE, and the same within its output.

Positions and velocities are in ``xyz``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.formats.text import finished, numbered, numbers_of, open_text, read_table
from painn_ase.trajectory.raw import RawChannel, RawSeries
from painn_ase.units import debye_to_e_angstrom

__all__ = ["read_moments", "read_total_dipole"]

_NUMBER = r"[-+]?[\d.]+(?:[EeDd][-+]?\d+)?"
_DIPOLE_HEAD = re.compile(r"^\s*Dipole moment \[(?P<unit>[^\]]+)\]")
_DIPOLE = re.compile(rf"X=\s*({_NUMBER})\s*Y=\s*({_NUMBER})\s*Z=\s*({_NUMBER})")
_CLASSICAL = re.compile(
    r"^\s*MM[ _]DIPOLE.*[\[(](?P<unit>Debye|A\.U\.|a\.u\.)[\])]\|?\s*(?P<numbers>.*)$"
)
_CELL_HEAD = re.compile(r"modulo integer multiples of the cell matrix \[(?P<unit>[^\]]+)\]")
_CELL_ROW = re.compile(r"^\s*\[[XYZ]\]\s*=?\s*\[(?P<row>[^\]]+)\]")
_POLAR_HEAD = re.compile(r"Polarizability tensor \[(?P<unit>[^\]]+)\]")
_POLAR_ROW = re.compile(r"(?P<axes>[xyz]{2},\s*[xyz]{2},\s*[xyz]{2})\s+(?P<numbers>.*)$")
_TIME = re.compile(rf"^\s*(?:MD\|\s*)?(?:TIME|Time) \[(?P<unit>fs)\]\s*=?\s*(?P<time>{_NUMBER})")
_BEGIN = re.compile(r"^\s*MD(?:_INI\||\S*\| Initialization proceeding)|INITIAL POTENTIAL ENERGY")


@dataclass
class _Found:
    """What was read on the way through the file."""

    dipoles: list[list[float]] = field(default_factory=list)
    tensors: list[NDArray[np.float64]] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    cells: list[NDArray[np.float64]] = field(default_factory=list)
    #: number of frames complete → time printed after it
    times: dict[int, float] = field(default_factory=dict)


def read_moments(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Dipoles of DFT/PRINT/MOMENTS and polarizabilities of PROPERTIES/LINRES/POLAR.

    They stand in CP2K's output or in files of their own, `project-moments-1_0.dat`: without
    COMMON_ITERATION_LEVELS one file a step, which are then read together, in order of their steps.
    A Berry-phase dipole comes with the cell matrix that it is defined by (CP2K manual,
    "FORCE_EVAL/DFT/PRINT/MOMENTS").
    """
    found, steps = _Found(), None
    notes: tuple[str, ...] = ()
    members = _members(path)
    for member in members:
        _collect(member, found)
    if len(members) > 1:
        steps = np.array([_step_of(m) for m in members], dtype=np.int64)
        notes = (
            f"{len(members)} files, {members[0].name} to {members[-1].name}, of one step each",
        )
        if len(found.dipoles) not in (0, len(members)):
            raise TrajectoryError(
                f"{path.parent}: {len(members)} files {members[0].name} … hold "
                f"{len(found.dipoles)} dipoles; one each is expected."
            )
    channels = _channels(path, found)
    n_frames = len(next(iter(channels.values())).values)
    if found.cells:
        cells = np.array(found.cells)
        if len(cells) not in (1, n_frames):
            raise TrajectoryError(f"{path}: {len(cells)} cell matrices for {n_frames} dipoles.")
        unit = "the dipole's quantum, printed beside it"
        channels["cell"] = RawChannel(cells, "Angstrom", unit)
    time = _times(found, n_frames)
    return RawSeries(
        f"CP2K file {path.name}",
        channels,
        time=time,
        time_unit=None if time is None else "fs",
        steps=steps,
        time_origin="the steps' numbers" if time is None else "lines 'Time [fs]'",
        pbc=(True, True, True) if found.cells else None,
        notes=notes,
    )


def _collect(path: Path, found: _Found) -> None:
    cell: list[list[float]] = []
    rows: dict[str, float] = {}
    awaited = ""
    with open_text(path) as file:
        for at, line in finished(file):
            where = f"{path}, line {at}"
            if match := _DIPOLE_HEAD.match(line):
                awaited = "dipole"
                _one_unit(found, "dipole", match["unit"], where)
            elif awaited == "dipole" and (match := _DIPOLE.search(line)):
                awaited = ""
                found.dipoles.append(numbers_of(match.groups(), where))
            elif match := _CLASSICAL.match(line):
                # printed in two units: that of the first is kept
                if found.units.setdefault("dipole", match["unit"]) == match["unit"]:
                    found.dipoles.append(numbers_of(match["numbers"].split()[:3], where))
            elif match := _CELL_HEAD.search(line):
                awaited, cell = "cell", []
                _one_unit(found, "cell", match["unit"], where)
            elif awaited == "cell" and (match := _CELL_ROW.match(line)):
                cell.append(numbers_of(match["row"].split(), where))
                if len(cell) == 3:
                    # printed as columns; e times a lattice vector, in Debye
                    found.cells.append(np.array(cell).T * debye_to_e_angstrom)
            elif match := _POLAR_HEAD.search(line):
                # printed twice, in atomic units and in Å³: the unit of the first is kept
                first = found.units.setdefault("polarizability", match["unit"])
                awaited, rows = ("polar" if first == match["unit"] else ""), {}
            elif awaited == "polar" and (match := _POLAR_ROW.search(line)):
                axes = match["axes"].replace(" ", "").split(",")
                rows |= dict(zip(axes, numbers_of(match["numbers"].split(), where), strict=False))
                if len(rows) == 9:
                    found.tensors.append(np.array([[rows[a + b] for b in "xyz"] for a in "xyz"]))
                    awaited = ""
            else:
                _look_for_time(line, found, where)


def _look_for_time(line: str, found: _Found, where: str) -> None:
    """The time after a frame is its own; the first frame, before the run begins, is at 0."""
    complete = max(len(found.dipoles), len(found.tensors))
    if complete == 0 or complete in found.times:
        return
    if match := _TIME.match(line):
        found.times[complete] = numbers_of([match["time"]], where)[0]
    elif complete == 1 and _BEGIN.search(line):
        found.times[1] = 0.0


def _times(found: _Found, n_frames: int) -> NDArray[np.float64] | None:
    """The frames' times where each has one; a run killed before the last was printed lacks that."""
    if not found.times or len(found.times) < n_frames - 1:
        return None
    values = [found.times.get(n) for n in range(1, n_frames + 1)]
    if values[-1] is None and n_frames > 2 and values[-2] is not None and values[-3] is not None:
        values[-1] = 2.0 * values[-2] - values[-3]
    return None if any(v is None for v in values) else np.array(values, dtype=np.float64)


def _one_unit(found: _Found, quantity: str, unit: str, where: str) -> None:
    if found.units.setdefault(quantity, unit) != unit:
        raise TrajectoryError(
            f"{where}: the {quantity} is in [{unit}], before it was in [{found.units[quantity]}]."
        )
    if quantity == "cell" and unit.lower() != "debye":
        raise TrajectoryError(f"{where}: a cell matrix in [{unit}] is not known, only in [Debye].")


def _channels(path: Path, found: _Found) -> dict[str, RawChannel]:
    channels = {}
    for name, frames in (("dipole", found.dipoles), ("polarizability", found.tensors)):
        if frames:
            unit = found.units[name]
            channels[name] = RawChannel(
                np.array(frames, dtype=np.float64), unit, f"lines '… [{unit}]' of CP2K"
            )
    if not channels:
        raise TrajectoryError(
            f"{path} is CP2K's but holds no dipole or polarizability. Ask CP2K for them with "
            "FORCE_EVAL/DFT/PRINT/MOMENTS and PROPERTIES/LINRES/POLAR."
        )
    if len({len(c.values) for c in channels.values()}) > 1:
        raise TrajectoryError(
            f"{path}: {len(found.dipoles)} dipoles and {len(found.tensors)} polarizabilities; they "
            "belong to different strides. Print both at every step, or give one of them a file."
        )
    return channels


_STEP_FILE = re.compile(r"^(?P<stem>.*-\d+_)(?P<step>\d+)(?P<suffix>\.[^.]+)$")


def _members(path: Path) -> list[Path]:
    """The files of one run that has a file for each step; else the file alone."""
    match = _STEP_FILE.match(path.name)
    if match is None:
        return [path]
    siblings = [
        p
        for p in path.parent.glob(f"{_escaped(match['stem'])}*{match['suffix']}")
        if (m := _STEP_FILE.match(p.name)) and m["stem"] == match["stem"]
    ]
    return sorted(siblings, key=_step_of)


def _escaped(text: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", text)


def _step_of(path: Path) -> int:
    match = _STEP_FILE.match(path.name)
    return int(match["step"]) if match else 0


def read_total_dipole(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """CP2K's DFT/LOCALIZE/PRINT/TOTAL_DIPOLE: step, dipole in a.u. and in Debye, its change.

    (CP2K manual, "TOTAL_DIPOLE"; with PERIODIC it is folded into one cell, which is not printed.)
    """
    steps: list[int] = []

    def rows() -> Iterator[tuple[int, str]]:
        with open_text(path) as file:
            for at, line in numbered(file):
                if line.lstrip().startswith("#"):
                    continue
                words = line.split()
                level = re.findall(r"\d+", " ".join(words[:-9]))
                if level:
                    steps.append(int(level[-1]))
                yield at, " ".join(words[-9:])

    table = read_table(path, rows(), 9)
    count = len(table.values)
    return RawSeries(
        f"CP2K file {path.name}",
        {"dipole": RawChannel(table.values[:, 3:6], "Debye", "columns 'dipole(x,y,z)[debye]'")},
        steps=np.array(steps[:count], dtype=np.int64) if len(steps) >= count else None,
        time_origin="the steps' numbers",
        notes=table.notes,
    )
