"""LAMMPS dump files of style custom: positions, velocities, charges, and units if they are named.

ASE reads dumps too, but takes units for metal's, drops charges and leaves unwrapping to its user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.formats.text import number, numbers_of, open_text
from painn_ase.trajectory.raw import RawChannel, RawSeries

__all__ = ["read_lammps_dump"]

#: LAMMPS manual, "units": length, time, velocity, charge.
_UNITS: dict[str, tuple[str, str, str, str]] = {
    "real": ("Angstrom", "fs", "Angstrom/fs", "e"),
    "metal": ("Angstrom", "ps", "Angstrom/ps", "e"),
    "electron": ("Bohr", "fs", "Bohr/au_time", "e"),
    "si": ("m", "s", "m/s", "C"),
    "nano": ("nm", "ns", "nm/ns", "e"),
}
_NOTE = "the dump names no units; `dump_modify ID units yes time yes` makes LAMMPS write them"


#: Columns of positions, the best first.
_POSITIONS = (("xu", "yu", "zu"), ("xsu", "ysu", "zsu"), ("x", "y", "z"), ("xs", "ys", "zs"))
_IMAGES = ("ix", "iy", "iz")
_VELOCITIES = ("vx", "vy", "vz")
#: Columns that are read; the others are passed over.
_NUMERIC = frozenset(("id", "q", "mass", *_IMAGES, *_VELOCITIES, *chain(*_POSITIONS)))


@dataclass(frozen=True)
class _Frame:
    """One frame: numbers of the columns of ``_NUMERIC``, types and elements of the first frame."""

    step: int
    n_atoms: int
    time: float | None
    units: str | None
    cell: NDArray[np.float64]
    origin: NDArray[np.float64]
    pbc: tuple[bool, bool, bool]
    columns: tuple[str, ...]
    numeric: tuple[str, ...]
    numbers: NDArray[np.float64]
    labels: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.numbers)

    def values(self, *names: str) -> NDArray[np.float64]:
        return self.numbers[:, [self.numeric.index(name) for name in names]]


def read_lammps_dump(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Positions, unwrapped where the dump allows it, velocities and charges of a LAMMPS dump.

    Unwrapped positions are taken from xu yu zu, xsu ysu zsu, or from x y z or xs ys zs with the
    image flags ix iy iz; else they are as wrapped as the file has them. Units are those of
    `ITEM: UNITS` (LAMMPS manual, "dump", "dump_modify", "units").
    """
    frames = list(_frames(path))
    notes: list[str] = []
    if len(frames[-1]) < frames[-1].n_atoms:
        last = frames.pop()
        if not frames:
            raise TrajectoryError(
                f"{path} is truncated: its only frame has {len(last)} of {last.n_atoms} atoms."
            )
        notes.append(f"step {last.step}, the last, is cut short and was left out")
    first = frames[0]
    _check_same(path, frames)
    orders = [_order(path, frame) for frame in frames]
    units = first.units
    if units is None:
        notes.append(_NOTE)
    elif units not in _UNITS:
        raise TrajectoryError(
            f"{path} is in LAMMPS units {units}, which have no fixed meaning in Å and fs; units "
            f"{', '.join(_UNITS)} can be used."
        )
    length, time_unit, speed, charge = _UNITS[units] if units else (None, None, None, None)
    said = f"ITEM: UNITS {units}" if units else "a dump that names no units"
    channels: dict[str, RawChannel] = {}
    kind, positions = _positions(frames, orders)
    if positions is not None:
        channels["positions"] = RawChannel(positions, length, f"{kind}, unit from {said}")
    for name, columns, unit in (
        ("velocities", _VELOCITIES, speed),
        ("charges", ("q",), charge),
    ):
        if set(columns) <= set(first.columns):
            values = np.array([f.values(*columns)[o] for f, o in zip(frames, orders, strict=True)])
            shaped = values[..., 0] if len(columns) == 1 else values
            origin = f"columns {' '.join(columns)}, unit from {said}"
            channels[name] = RawChannel(shaped, unit, origin)
    if not {"positions", "velocities"} & set(channels):
        raise TrajectoryError(
            f"{path} has the columns {' '.join(first.columns)}; x y z, xu yu zu or vx vy vz are "
            "needed."
        )
    cells = np.array([frame.cell for frame in frames])
    channels["cell"] = RawChannel(cells, length, f"ITEM: BOX BOUNDS, unit from {said}")
    times = [frame.time for frame in frames]
    timed = all(t is not None for t in times)
    return RawSeries(
        f"LAMMPS dump {path.name}",
        channels,
        time=np.array(times, dtype=np.float64) if timed else None,
        time_unit=time_unit if timed else None,
        steps=np.array([frame.step for frame in frames], dtype=np.int64),
        time_origin="ITEM: TIME" if timed else "ITEM: TIMESTEP, the steps' numbers",
        numbers=_numbers(first, orders[0]),
        masses=first.values("mass")[orders[0], 0] if "mass" in first.columns else None,
        types=(
            tuple(first.labels["type"][n] for n in orders[0]) if "type" in first.columns else None
        ),
        pbc=first.pbc,
        available=first.columns,
        notes=tuple(notes),
    )


# -- reading ---------------------------------------------------------------------------------------


def _frames(path: Path) -> Iterator[_Frame]:
    found = False
    with open_text(path) as file:
        lines = enumerate(file, start=1)
        state: dict[str, list[str]] = {}
        for at, line in lines:
            if not line.startswith("ITEM:"):
                raise TrajectoryError(
                    f"{path}, line {at}: {line.strip()[:40]!r} where ITEM: is expected. The "
                    "dump is damaged there; cut it before that line."
                )
            item = line[5:].strip()
            if item.startswith("ATOMS"):
                yield _frame(path, at, item.split()[1:], state, lines, first=not found)
                found = True
                state = {k: v for k, v in state.items() if k == "UNITS"}
                continue
            name = next((n for n in _LENGTHS if item.startswith(n)), None)
            if name is None:
                raise TrajectoryError(f"{path}, line {at}: unknown item {item[:40]!r}.")
            body = [text for _, text in islice(lines, _LENGTHS[name])]
            state[name] = [item.removeprefix(name).strip(), *(b.strip() for b in body)]
    if not found:
        raise TrajectoryError(f"{path} holds no frame with ITEM: ATOMS.")


_LENGTHS = {"TIMESTEP": 1, "TIME": 1, "UNITS": 1, "NUMBER OF ATOMS": 1, "BOX BOUNDS": 3}


def _frame(
    path: Path,
    at: int,
    columns: list[str],
    state: Mapping[str, list[str]],
    lines: Iterator[tuple[int, str]],
    first: bool,
) -> _Frame:
    where = f"{path}, before line {at}"
    for name in ("TIMESTEP", "NUMBER OF ATOMS", "BOX BOUNDS"):
        if len(state.get(name, ())) != 1 + _LENGTHS[name]:
            raise TrajectoryError(f"{where}: ITEM: {name} is missing or cut short.")
    n_atoms = int(number(state["NUMBER OF ATOMS"][1], where))
    rows: list[list[str]] = []
    row_at = at
    while len(rows) < n_atoms:
        row_at, line = next(lines, (0, ""))
        words = line.split()
        if len(words) != len(columns) or not line.endswith("\n"):
            if next(lines, None) is not None:
                raise TrajectoryError(
                    f"{path}, line {row_at}: {len(words)} columns, expected {len(columns)}. The "
                    "dump is damaged there; cut it before that line."
                )
            break
        rows.append(words)
    cell, origin, pbc = _box(state["BOX BOUNDS"], where)
    time = state.get("TIME")
    units = state.get("UNITS")
    return _Frame(
        step=int(number(state["TIMESTEP"][1], where)),
        n_atoms=n_atoms,
        time=number(time[1], where) if time and len(time) > 1 else None,
        units=units[1] if units and len(units) > 1 else None,
        cell=cell,
        origin=origin,
        pbc=pbc,
        columns=tuple(columns),
        numeric=tuple(name for name in columns if name in _NUMERIC),
        numbers=_numbers_in(f"{path}, lines {at + 1} to {row_at}", columns, rows),
        labels={
            name: tuple(row[columns.index(name)] for row in rows)
            for name in ("type", "element")
            if first and name in columns
        },
    )


def _numbers_in(where: str, columns: list[str], rows: list[list[str]]) -> NDArray[np.float64]:
    """The numeric columns of a frame's rows."""
    at = [n for n, name in enumerate(columns) if name in _NUMERIC]
    words = [[row[n] for n in at] for row in rows]
    try:
        return np.array(words, dtype=np.float64).reshape(len(rows), len(at))
    except ValueError:
        return np.array([numbers_of(row, where) for row in words]).reshape(len(rows), len(at))


def _box(
    lines: list[str], where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[bool, bool, bool]]:
    """Lattice vectors, origin and periodicity (LAMMPS manual, "Howto triclinic")."""
    flags = [word for word in lines[0].split() if set(word) <= set("pfsm")]
    rows = [numbers_of(line.split(), where) for line in lines[1:4]]
    pbc = tuple(flag == "pp" for flag in flags) if len(flags) == 3 else (True, True, True)
    if "abc origin" in lines[0]:
        box = np.array(rows)
        if box.shape == (3, 4):
            return box[:, :3], box[:, 3], (pbc[0], pbc[1], pbc[2])
    tilted = all(len(row) == 3 for row in rows)
    if not tilted and any(len(row) != 2 for row in rows):
        raise TrajectoryError(f"{where}: box bounds {lines[1:4]} are not understood.")
    xy, xz, yz = (row[2] for row in rows) if tilted else (0.0, 0.0, 0.0)
    low = np.array([row[0] for row in rows])
    high = np.array([row[1] for row in rows])
    low -= [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high -= [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    lx, ly, lz = high - low
    cell = np.array([[lx, 0.0, 0.0], [xy, ly, 0.0], [xz, yz, lz]])
    return cell, low, (pbc[0], pbc[1], pbc[2])


# -- the same atoms in the same order --------------------------------------------------------------


def _check_same(path: Path, frames: list[_Frame]) -> None:
    first = frames[0]
    for frame in frames:
        if frame.columns != first.columns or frame.units != first.units:
            raise TrajectoryError(
                f"{path}: step {frame.step} has other columns or units than the first. Are these "
                "two dumps in one file?"
            )
        if len(frame) != len(first) or not len(frame):
            raise TrajectoryError(
                f"{path}: step {frame.step} has {len(frame)} atoms, the first frame "
                f"{len(first)}. Dump a group whose atoms stay the same."
            )
    if len(frames) > 1 and "id" not in first.columns:
        raise TrajectoryError(
            f"{path} has no column `id`, and LAMMPS changes the order of atoms while it runs. Dump "
            "`id type q xu yu zu`."
        )


def _order(path: Path, frame: _Frame) -> NDArray[np.int64]:
    if "id" not in frame.columns:
        return np.arange(len(frame))
    ids = frame.values("id")[:, 0]
    if len(set(ids.tolist())) != len(ids):
        raise TrajectoryError(f"{path}: step {frame.step} has two atoms with the same id.")
    return np.argsort(ids, kind="stable").astype(np.int64)


def _positions(
    frames: list[_Frame], orders: list[NDArray[np.int64]]
) -> tuple[str, NDArray[np.float64] | None]:
    columns = set(frames[0].columns)
    images = set(_IMAGES) <= columns
    for names in _POSITIONS:
        if not set(names) <= columns:
            continue
        shifted = images and "u" not in names[0]
        kind = f"columns {' '.join(names)}" + (" with the images ix iy iz" if shifted else "")
        values = []
        for frame, order in zip(frames, orders, strict=True):
            r = frame.values(*names)
            if "s" in names[0]:
                r = frame.origin + r @ frame.cell
            if shifted:
                r = r + frame.values(*_IMAGES) @ frame.cell
            values.append(r[order])
        return kind, np.array(values)
    return "", None


def _numbers(frame: _Frame, order: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Atomic numbers from the column `element`; types alone do not say what they are."""
    if "element" not in frame.columns:
        return None
    symbols = [frame.labels["element"][n] for n in order]
    if any(s not in atomic_numbers for s in symbols):
        return None
    return np.array([atomic_numbers[s] for s in symbols], dtype=np.int64)
