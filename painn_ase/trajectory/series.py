"""Dipole and polarizability time series from any source: our trajectories, other programs' runs.

A spectrum needs no model, only numbers along time. :func:`read_time_series` takes H5MD, ASE
``.traj``, extxyz, and plain ``.npz``, ``.npy``, ``.csv``, ``.txt`` files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.frames import HDF5_SUFFIXES, iterate_frames
from painn_ase.trajectory.reader import TrajectoryReader
from painn_ase.units import (
    angstrom3_to_e2_angstrom2_per_ev,
    ase_time_to_fs,
    bohr3_to_e2_angstrom2_per_ev,
    debye_to_e_angstrom,
    e_bohr_to_e_angstrom,
)

__all__ = ["DipoleUnit", "PolarizabilityUnit", "TimeSeries", "read_time_series"]

DipoleUnit = Literal["e_angstrom", "debye", "e_bohr"]
PolarizabilityUnit = Literal["e2_angstrom2_per_ev", "angstrom3", "bohr3"]

_DIPOLE_FACTORS = {
    "e_angstrom": 1.0,
    "debye": debye_to_e_angstrom,
    "e_bohr": e_bohr_to_e_angstrom,
}
_POLARIZABILITY_FACTORS = {
    "e2_angstrom2_per_ev": 1.0,
    "angstrom3": angstrom3_to_e2_angstrom2_per_ev,
    "bohr3": bohr3_to_e2_angstrom2_per_ev,
}
_SHAPES: dict[str, tuple[int, ...]] = {
    "dipole": (3,),
    "dipole_flux": (3,),
    "polarizability": (3, 3),
    "polarizability_flux": (3, 3),
}


@dataclass(frozen=True)
class TimeSeries:
    """What a run leaves behind for a spectrum; None for what it did not record.

    Attributes
    ----------
    timestep : float
        Time between frames, fs.
    dipole : ndarray [n_frames, 3] or [n_segments, n_frames, 3]
        e·Å.
    dipole_flux : ndarray, same shape
        e·Å per ASE time unit.
    polarizability : ndarray [..., n_frames, 3, 3]
        e²Å²/eV.
    polarizability_flux : ndarray [..., n_frames, 3, 3]
        e²Å²/eV per ASE time unit.
    temperature : float or None
        Mean temperature of the run, K.
    volume : float or None
        Of the periodic cell, Å³; None for molecules.
    source : str
        The file.
    """

    timestep: float
    dipole: NDArray[np.float64] | None = None
    dipole_flux: NDArray[np.float64] | None = None
    polarizability: NDArray[np.float64] | None = None
    polarizability_flux: NDArray[np.float64] | None = None
    temperature: float | None = None
    volume: float | None = None
    source: str = ""


def read_time_series(
    path: str | Path,
    *,
    timestep: float | None = None,
    quantity: str | None = None,
    dipole_unit: DipoleUnit = "e_angstrom",
    polarizability_unit: PolarizabilityUnit = "e2_angstrom2_per_ev",
) -> TimeSeries:
    """Dipoles, polarizabilities and their fluxes along a run.

    Parameters
    ----------
    path : str or Path
        ``.h5``, ``.h5md``, ``.hdf5``; ``.traj``; ``.xyz``, ``.extxyz``; ``.npz`` with arrays named
        ``dipole``, ``polarizability``, ``dipole_flux``, ``polarizability_flux``, ``timestep``;
        ``.npy`` or text with 3 or 9 columns, and 4 or 10 where the first is the time in fs.
    timestep : float, optional
        Time between frames, fs; for files that do not say.
    quantity : str, optional
        What the numbers of a plain file are; by default the dipole for 3 columns and the
        polarizability for 9.
    dipole_unit, polarizability_unit : str
        Units of a file without units; fluxes are these per fs.

    Raises
    ------
    TrajectoryError
        For files that are missing, truncated, foreign or without a known time step.
    """
    path = Path(path)
    if not path.is_file():
        raise TrajectoryError(f"{path} does not exist. Check the path.")
    if quantity is not None and quantity not in _SHAPES:
        raise TrajectoryError(f"{quantity!r} is not one of {', '.join(_SHAPES)}.")
    suffix, volume = path.suffix.lower(), None
    if suffix in HDF5_SUFFIXES:
        return _from_h5md(path)
    if suffix == ".npz":
        arrays, found_timestep = _arrays_of_npz(path)
    elif suffix in (".npy", ".csv", ".txt", ".dat"):
        arrays, found_timestep = _arrays_of_table(path, quantity)
    else:
        arrays, found_timestep, volume = _arrays_of_frames(path)
    step = timestep if timestep is not None else found_timestep
    if step is None or not np.isfinite(step) or step <= 0:
        raise TrajectoryError(
            f"{path} does not say how far apart its frames are. Give the time between frames in fs "
            "(`timestep=`, or --timestep)."
        )
    in_ase_units = _into_ase_units(arrays, dipole_unit, polarizability_unit)
    if not in_ase_units:
        raise TrajectoryError(f"{path} holds none of {', '.join(_SHAPES)}.")
    for name, values in in_ase_units.items():
        if not np.all(np.isfinite(values)):
            raise TrajectoryError(f"{path}: {name} holds values that are not finite.")
    return replace(_series(float(step), path, in_ase_units), volume=volume)


def _from_h5md(path: Path) -> TimeSeries:
    with TrajectoryReader(path) as reader:
        names = [n for n in _SHAPES if n in reader.names]
        if not names:
            raise TrajectoryError(
                f"{path} holds {', '.join(reader.names) or 'nothing'}, but none of "
                f"{', '.join(_SHAPES)}. `painn-ase evaluate` adds them from a model."
            )
        spacings = {n: reader.timestep(n) for n in names}
        finest = min(spacings.values())
        arrays: dict[str, NDArray[np.float64]] = {}
        for name in names:
            if spacings[name] > 1.000001 * finest:
                continue  # a series at another stride belongs to another spectrum
            values = reader.read(name)
            arrays[name] = np.swapaxes(values, 0, 1) if reader.system.n_replicas else values
        temperature = None
        if "temperature" in reader.names and reader.n_frames("temperature"):
            temperature = float(np.mean(reader.read("temperature")))
        volume = None
        if all(reader.system.pbc):
            volume = float(abs(np.linalg.det(reader.system.cell)))
            if "cell" in reader.names and reader.n_frames("cell"):
                volume = float(np.mean(np.abs(np.linalg.det(reader.read("cell")))))
    series = _series(finest, path, arrays)
    return replace(series, temperature=temperature, volume=volume)


def _series(timestep: float, path: Path, arrays: dict[str, NDArray[np.float64]]) -> TimeSeries:
    return TimeSeries(
        timestep=timestep,
        dipole=arrays.get("dipole"),
        dipole_flux=arrays.get("dipole_flux"),
        polarizability=arrays.get("polarizability"),
        polarizability_flux=arrays.get("polarizability_flux"),
        source=str(path),
    )


def _arrays_of_npz(path: Path) -> tuple[dict[str, NDArray[np.float64]], float | None]:
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {n: np.asarray(data[n], dtype=np.float64) for n in _SHAPES if n in data}
            timestep = float(data["timestep"]) if "timestep" in data else None
    except Exception as error:  # numpy and zipfile raise a dozen kinds for broken archives
        raise TrajectoryError(f"{path} is not a readable .npz archive: {error}.") from error
    for name, values in arrays.items():
        arrays[name] = _shaped(values, name, path)
    return arrays, timestep


def _arrays_of_table(
    path: Path, quantity: str | None
) -> tuple[dict[str, NDArray[np.float64]], float | None]:
    table = _table(path)
    timestep = None
    if table.ndim == 2 and table.shape[1] in (4, 10):
        spacing = np.diff(table[:, 0])
        if not len(spacing) or spacing[0] <= 0 or not np.allclose(spacing, spacing[0], rtol=1e-4):
            raise TrajectoryError(f"{path}: the first column is not an even time axis in fs.")
        timestep = float((table[-1, 0] - table[0, 0]) / len(spacing))
        table = table[:, 1:]
    columns = int(np.prod(table.shape[1:])) if table.ndim > 1 else 0
    if table.ndim == 3 and table.shape[1:] != (3, 3):
        columns = table.shape[2]
    name = quantity or {3: "dipole", 9: "polarizability"}.get(columns)
    if name is None:
        raise TrajectoryError(
            f"{path} has shape {table.shape}; expected 3 columns (dipole) or 9 (polarizability), "
            "with a first column of times in fs where wanted."
        )
    return {name: _shaped(table, name, path)}, timestep


def _table(path: Path) -> NDArray[np.float64]:
    """Numbers of an .npy file, or of a text file with commas or blanks and an optional header."""
    try:
        if path.suffix.lower() == ".npy":
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
        with open(path, encoding="utf-8") as file:
            lines = [line.replace(",", " ").replace(";", " ").split("#", 1)[0] for line in file]
        rows = [line.split() for line in lines if line.strip()]
        if rows and not _is_number(rows[0][0]):
            rows = rows[1:]
        return np.array(rows, dtype=np.float64)
    except Exception as error:  # NumPy's header parser alone raises half a dozen kinds
        raise TrajectoryError(f"{path} is not a table of numbers: {error}.") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shaped(values: NDArray[np.float64], name: str, path: Path) -> NDArray[np.float64]:
    """`values` as [n_frames, ...] or [n_segments, n_frames, ...] of the quantity."""
    tail = _SHAPES[name]
    if values.ndim >= 2 and values.shape[-len(tail) :] == tail and values.ndim <= len(tail) + 2:
        return values
    if len(tail) == 2 and values.ndim in (2, 3) and values.shape[-1] == 9:
        return values.reshape(*values.shape[:-1], 3, 3)
    raise TrajectoryError(
        f"{path}: {name} has shape {values.shape}; expected (n_frames, "
        f"{', '.join(map(str, tail))}), or that for every segment."
    )


def _arrays_of_frames(
    path: Path,
) -> tuple[dict[str, NDArray[np.float64]], float | None, float | None]:
    """Recorded quantities, time between frames (fs) and mean volume (Å³) where known."""
    collected: dict[str, list[NDArray[np.float64]]] = {name: [] for name in _SHAPES}
    times: list[float] = []
    volumes: list[float] = []
    n_frames = 0
    for atoms in iterate_frames(path):
        n_frames += 1
        for name, frames in collected.items():
            if (value := _recorded(atoms, name)) is not None:
                frames.append(value.reshape(_SHAPES[name]))
        if all(atoms.pbc):
            if not (size := float(atoms.cell.volume)) > 0.0:
                raise TrajectoryError(
                    f"{path}: frame {n_frames} is periodic in all directions, but its cell "
                    f"{atoms.cell[:].tolist()} has no volume. Give it one, or pbc = False."
                )
            volumes.append(size)
        if "time_fs" in atoms.info:
            times.append(_time(atoms.info["time_fs"], path))
    for name, frames in collected.items():
        if frames and len(frames) != n_frames:
            raise TrajectoryError(f"{path}: {len(frames)} of {n_frames} frames carry a {name}.")
    timestep = None
    if len(times) == n_frames > 1:
        timestep = (times[-1] - times[0]) / (n_frames - 1)
    volume = float(np.mean(volumes)) if len(volumes) == n_frames else None
    return {n: np.array(f) for n, f in collected.items() if f}, timestep, volume


def _time(value: Any, path: Path) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TrajectoryError(f"{path}: time_fs of a frame is {value!r:.60}, no number.") from error


def _recorded(atoms: Atoms, name: str) -> NDArray[np.float64] | None:
    """What a frame says of a quantity, in its calculator's results or its info."""
    sources: list[Any] = [atoms.info]
    if atoms.calc is not None:
        sources.insert(0, atoms.calc.results)
    for source in sources:
        if source.get(name) is not None:
            try:
                value = np.asarray(source[name], dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise TrajectoryError(
                    f"{name} of a frame is no array of numbers: {error}."
                ) from error
            if value.size != int(np.prod(_SHAPES[name])):
                raise TrajectoryError(f"{name} of shape {value.shape}, expected {_SHAPES[name]}.")
            return value
    return None


def _into_ase_units(
    arrays: dict[str, NDArray[np.float64]], dipole_unit: str, polarizability_unit: str
) -> dict[str, NDArray[np.float64]]:
    for unit, known in (
        (dipole_unit, _DIPOLE_FACTORS),
        (polarizability_unit, _POLARIZABILITY_FACTORS),
    ):
        if unit not in known:
            raise TrajectoryError(f"Unit {unit!r} is not one of {', '.join(known)}.")
    converted = {}
    for name, values in arrays.items():
        factor = (
            _DIPOLE_FACTORS[dipole_unit]
            if name.startswith("dipole")
            else _POLARIZABILITY_FACTORS[polarizability_unit]
        )
        if name.endswith("_flux"):
            factor *= ase_time_to_fs
        converted[name] = values * factor
    return converted
