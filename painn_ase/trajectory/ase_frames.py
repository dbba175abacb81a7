"""Recorded quantities of the frames that ASE reads: ``.traj``, extxyz and its other formats."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.frames import iterate_frames, number_of_frame
from painn_ase.trajectory.keys import find_key, joined
from painn_ase.trajectory.raw import RawChannel, RawSeries
from painn_ase.trajectory.series import SPECTRAL
from painn_ase.unit_names import unit_factor
from painn_ase.units import ase_time_to_fs

__all__ = ["raw_of_frames", "time_of_frame"]

Array = NDArray[np.float64]

_TIME_UNITS = {"time_fs": "fs", "time_ps": "ps"}


def raw_of_frames(
    path: Path, keys: Mapping[str, str], wanted: Collection[str] = tuple(SPECTRAL)
) -> RawSeries:
    """What the frames of a file say along the run.

    Parameters
    ----------
    path : Path
        Any format of ASE.
    keys : mapping of str to str
        Quantity → key in ``atoms.info`` or the results.
    wanted : collection of str
        Quantities to collect; ``positions`` and ``velocities`` may be many numbers.

    Raises
    ------
    TrajectoryError
        For a file that cannot be read, or a quantity that some frames have and others do not.
    """
    values: dict[str, list[Array]] = {}
    cells: list[Array] = []
    first: Atoms | None = None
    found: dict[str, str] = {}
    held: list[str] = []
    n_frames = 0
    for atoms in iterate_frames(path):
        record = _record(atoms, keys)
        if first is None:
            first = atoms
            held = [k for k, v in record.items() if not isinstance(v, str)]
            looked_for = [q for q in SPECTRAL if q in wanted] + list(_CLOCKS)
            named = {q: find_key(q, held, keys) for q in looked_for}
            found = {q: k for q, k in named.items() if k is not None}
        elif not np.array_equal(atoms.numbers, first.numbers):
            raise TrajectoryError(
                f"{path}: frame {n_frames} holds other atoms than the first. A trajectory is one "
                "system."
            )
        for quantity, key in found.items():
            if record.get(key) is not None:
                values.setdefault(quantity, []).append(_numbers(record[key], key, quantity, path))
        if "velocities" in wanted and atoms.has("momenta"):
            values.setdefault("velocities", []).append(atoms.get_velocities())
        if "positions" in wanted:
            values.setdefault("positions", []).append(atoms.positions.copy())
        cells.append(np.asarray(atoms.cell[:]))
        n_frames += 1
    assert first is not None  # iterate_frames refuses files without a frame
    for quantity, frames in values.items():
        if len(frames) != n_frames:
            if quantity in _CLOCKS:
                continue
            raise TrajectoryError(f"{path}: {len(frames)} of {n_frames} frames carry a {quantity}.")
    return _raw(path, first, cells, values, found, held, n_frames)


def time_of_frame(atoms: Atoms, path: Path) -> float | None:
    """The time that a frame states, fs; None where it states none, or not in which unit.

    Raises
    ------
    TrajectoryError
        For a time that is no number.
    """
    key = find_key("time", atoms.info, {})
    unit = None if key is None else _TIME_UNITS.get(key.lower()) or _stated(key, atoms.info)
    if key is None or unit is None:
        return None
    return number_of_frame(atoms.info[key], key, path) * unit_factor(unit, "time") * ase_time_to_fs


_CLOCKS = ("time", "step")
_OF_ATOMS = {"positions": "Angstrom", "velocities": "Angstrom/ase_time"}


def _raw(
    path: Path,
    first: Atoms,
    cells: list[Array],
    values: Mapping[str, list[Array]],
    found: Mapping[str, str],
    held: list[str],
    n_frames: int,
) -> RawSeries:
    channels: dict[str, RawChannel] = {}
    info = first.info
    for quantity, frames in values.items():
        if quantity in _CLOCKS:
            continue
        if quantity in _OF_ATOMS:
            channels[quantity] = RawChannel(np.array(frames), _OF_ATOMS[quantity], "ASE's frames")
        else:
            unit, where = _unit_of(found[quantity], info)
            channels[quantity] = RawChannel(np.array(frames), unit, where)
    periodic = np.array(cells)
    if any(first.pbc) or np.abs(periodic).max() > 0.0:
        still = bool((periodic == periodic[0]).all())
        channels["cell"] = RawChannel(periodic[:1] if still else periodic, "Angstrom", "the frames")
    clocks = {
        q: np.array(values[q]).reshape(-1) for q in _CLOCKS if len(values.get(q, ())) == n_frames
    }
    steps = clocks.get("step")
    time_key = found.get("time", "")
    return RawSeries(
        source=str(path),
        channels=channels,
        time=clocks.get("time"),
        time_unit=_TIME_UNITS.get(time_key.lower()) or _stated(time_key, info),
        steps=None if steps is None else np.rint(steps).astype(np.int64),
        time_origin=f"key {(time_key if 'time' in clocks else found.get('step', ''))!r}",
        numbers=np.asarray(first.numbers, dtype=np.int64),
        masses=np.asarray(first.get_masses(), dtype=np.float64),
        pbc=(bool(first.pbc[0]), bool(first.pbc[1]), bool(first.pbc[2])),
        structure=first.positions.copy(),
        available=tuple(held),
    )


def _record(atoms: Atoms, keys: Mapping[str, str]) -> dict[str, Any]:
    """Named values of a frame; a calculator's results before its info.

    Components that a key lists, ``mu_x,mu_y,mu_z``, are one value under that key.
    """
    results = {} if atoms.calc is None else atoms.calc.results
    record: dict[str, Any] = {**atoms.info, **results}
    for key in keys.values():
        if parts := joined(key, record):
            record[key] = [record[part] for part in parts]
    return record


def _unit_of(key: str, info: Mapping[str, Any]) -> tuple[str | None, str]:
    """The unit a frame states for a key, or ASE's convention for the one name that it knows."""
    if (unit := _stated(key, info)) is not None:
        return unit, f"key {key!r}"
    if key == "dipole":
        return "e*Angstrom", "key 'dipole', ASE's convention"
    return None, f"key {key!r}"


def _stated(key: str, info: Mapping[str, Any]) -> str | None:
    unit = info.get(f"{key}_unit", info.get(f"{key}_units")) if key else None
    return None if unit is None else str(unit)


def _numbers(value: Any, key: str, quantity: str, path: Path) -> Array:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TrajectoryError(f"{path}: {key} of a frame is {value!r:.60}, no number.") from error
    shape = SPECTRAL.get(quantity, ())
    if array.size != int(np.prod(shape)):
        raise TrajectoryError(f"{path}: {key} of shape {array.shape}, expected {shape}.")
    return array.reshape(shape)
