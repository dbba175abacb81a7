"""Time series from any file: which reader, and what the user says beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from painn_ase.errors import TrajectoryError, UnitError
from painn_ase.trajectory.ase_frames import raw_of_frames
from painn_ase.trajectory.charges import add_dipole_of_charges, parse_charges
from painn_ase.trajectory.formats import identify, read_foreign
from painn_ase.trajectory.formats.mdanalysis import add_topology
from painn_ase.trajectory.frames import HDF5_SUFFIXES
from painn_ase.trajectory.h5md_series import raw_of_h5md
from painn_ase.trajectory.keys import check_keys
from painn_ase.trajectory.raw import RawSeries
from painn_ase.trajectory.series import SPECTRAL, TimeSeries
from painn_ase.trajectory.settle import SeriesOptions, cell_of, settle
from painn_ase.trajectory.tables import raw_of_npz, raw_of_table
from painn_ase.unit_names import unit_factor

__all__ = ["read_raw", "read_time_series", "series_options"]

_TABLES = (".npy", ".csv", ".txt", ".dat")
_SPECTRA = (".jdx", ".dx", ".jcamp")


def read_time_series(
    path: str | Path,
    *,
    timestep: float | None = None,
    quantity: str | None = None,
    quantities: Collection[str] = tuple(SPECTRAL),
    dipole_unit: str | None = None,
    polarizability_unit: str | None = None,
    units: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    temperature: float | None = None,
    temperature_reason: str | None = None,
    volume: float | None = None,
    cell: ArrayLike | None = None,
    molecule: bool | None = None,
    axes: str | None = None,
    charges: Mapping[str, float] | str | Path | None = None,
    topology: str | Path | None = None,
) -> TimeSeries:
    """Dipoles, polarizabilities and their fluxes along a run, checked, with units and origins.

    Parameters
    ----------
    path : str or Path
        ``.h5``, ``.h5md``, ``.hdf5``; ``.traj``; ``.xyz``, ``.extxyz``; ``.npz`` with arrays named
        ``dipole``, ``polarizability``, ``dipole_flux``, ``polarizability_flux``, ``timestep``;
        ``.npy`` or text with 3 or 9 columns, after columns of steps and times where there are some;
        files of other programs (:data:`painn_ase.trajectory.formats.FORMATS`).
    timestep : float, optional
        Time between frames, fs: wins over what the file says.
    quantity : str, optional
        What the numbers of a plain table or array are; by default the dipole for 3 columns and
        the polarizability for 9.
    quantities : collection of str
        What to read; besides the four of spectra ``velocities`` and ``positions``.
    dipole_unit, polarizability_unit : str, optional
        In the file, as people type it (``Debye``, ``e*Å``, ``a.u.``, ``Å³``): needed where the file
        does not say. Fluxes are these per fs.
    units : mapping of str to str, optional
        The same for any quantity, and for ``time``.
    keys : mapping of str to str, optional
        Quantity → key, column or columns (``"2,3,4"``) of the file.
    temperature : float, optional
        Of the run, K.
    temperature_reason : str, optional
        Why that is not the temperature the file says.
    volume : float, optional
        Of the bulk's cell, Å³, where the file does not say.
    cell : array-like (3,), (9,) or (3, 3), optional
        Instead: lengths or vectors of that cell, Å.
    molecule : bool, optional
        True for one molecule whatever box it is in, False for the bulk of its box.
    axes : {"runs", "molecules"}, optional
        What the additional axis of an array is.
    charges : mapping of str to float, str or Path, optional
        Point charges by element or type of the file (``{"O": -0.82, "H": 0.41}``, or the text
        ``O=-0.82,H=0.41``), or a file of Born charges: the dipole is made of them.
    topology : str or Path, optional
        File with the elements, masses and charges that the trajectory does not hold (``.gro``,
        ``.pdb``, ``.psf``, ``.prmtop``, ``.tpr`` …; needs MDAnalysis).

    Raises
    ------
    TrajectoryError
        For files that are missing, truncated, foreign or a spectrum; and where the time step, a
        unit or a meaning is not known: the message says how to give it.
    """
    if quantity is not None and quantity not in SPECTRAL:
        raise TrajectoryError(f"{quantity!r} is not one of {', '.join(SPECTRAL)}.")
    options = series_options(
        timestep=timestep,
        dipole_unit=dipole_unit,
        polarizability_unit=polarizability_unit,
        units=units,
        keys=keys,
        temperature=temperature,
        temperature_reason=temperature_reason,
        volume=volume,
        cell=cell,
        molecule=molecule,
        axes=axes,
        charges=charges,
        topology=topology,
    )
    raw = read_raw(path, options, quantity=quantity, quantities=quantities)
    return settle(raw, options, quantities)


def series_options(
    *,
    timestep: float | None = None,
    dipole_unit: str | None = None,
    polarizability_unit: str | None = None,
    units: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    temperature: float | None = None,
    temperature_reason: str | None = None,
    volume: float | None = None,
    cell: ArrayLike | None = None,
    molecule: bool | None = None,
    axes: str | None = None,
    charges: Mapping[str, float] | str | Path | None = None,
    topology: str | Path | None = None,
) -> SeriesOptions:
    """What a user says of a file, as :func:`read_time_series` takes it."""
    known = {"dipole": dipole_unit, "polarizability": polarizability_unit}
    for quantity, unit in known.items():
        if unit is not None and (units or {}).get(quantity, unit) != unit:
            raise TrajectoryError(
                f"the unit of {quantity} is given twice, {unit} and {(units or {})[quantity]}; "
                "leave one out."
            )
    return SeriesOptions(
        timestep=timestep,
        units={**{k: v for k, v in known.items() if v is not None}, **(units or {})},
        keys=dict(keys or {}),
        temperature=temperature,
        temperature_reason=temperature_reason,
        volume=volume,
        cell=None if cell is None else cell_of(cell),
        molecule=molecule,
        axes=axes,
        charges=parse_charges(charges) if isinstance(charges, str) else charges,
        topology=None if topology is None else Path(topology),
    )


def read_raw(
    path: str | Path,
    options: SeriesOptions | None = None,
    *,
    quantity: str | None = None,
    quantities: Collection[str] = tuple(SPECTRAL),
) -> RawSeries:
    """What a file says of a run, as it says it.

    Raises
    ------
    TrajectoryError
        For files that are missing, truncated, foreign or a spectrum.
    """
    path, options = Path(path), options or SeriesOptions()
    if not path.is_file():
        wrong = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise TrajectoryError(f"{path} {wrong}. Check the path.")
    check_keys(options.keys, (*SPECTRAL, "time", "step"))
    suffix = path.suffix.lower()
    if suffix in _SPECTRA:
        raise TrajectoryError(
            f"{path} is a spectrum, not a trajectory. Draw it with `painn-ase plot {path.name}`."
        )
    if options.charges is not None:
        quantities = (*quantities, "positions", "velocities")
    raw = _in_typed_units(_read(path, options, quantity, quantities), options.units)
    if options.topology is not None:
        raw = add_topology(raw, options.topology)
    if options.charges is not None or _wants_charges(raw, quantities):
        raw = add_dipole_of_charges(raw, options.charges, options.cell)
    elif useless := {"velocities", "charges"} & set(options.units) - set(quantities):
        raise TrajectoryError(
            f"a unit of {' and '.join(sorted(useless))} was given, but the spectra of {raw.source} "
            f"are made of its {', '.join(n for n in SPECTRAL if n in raw.channels) or 'nothing'}. "
            "Leave it out."
        )
    return _with_structure(raw)


def _in_typed_units(raw: RawSeries, units: Mapping[str, str]) -> RawSeries:
    """Positions, velocities, charges and cell in the units that the user says they have.

    A dipole is made of them, and a volume; a unit of the spectra's own quantities is for `settle`.
    """
    channels, notes, structure = dict(raw.channels), list(raw.notes), raw.structure
    for name in {"positions", "velocities", "charges", "cell"} & set(units) & set(channels):
        held, typed = channels[name], units[name]
        try:
            factor = unit_factor(typed, name) / unit_factor(held.unit or typed, name)
        except UnitError as error:
            raise TrajectoryError(f"{raw.source}: {error}") from error
        if abs(factor - 1.0) > 1e-6:
            notes.append(
                f"{name} are taken in {typed}, as you say, not in {held.unit} ({held.origin}): a "
                f"factor of {factor:.4g}"
            )
            structure = None if name == "positions" else structure
        channels[name] = replace(held, unit=typed)
    return replace(raw, channels=channels, notes=tuple(notes), structure=structure)


def _wants_charges(raw: RawSeries, quantities: Collection[str]) -> bool:
    """Whether a dipole is wanted and only charges can give it."""
    moving = {"positions", "velocities"} & set(raw.channels)
    return bool(moving) and "dipole" in quantities and not set(SPECTRAL) & set(raw.channels)


def _with_structure(raw: RawSeries) -> RawSeries:
    """With the first frame's positions, which tell a molecule in a box from a bulk."""
    channel = raw.channels.get("positions")
    if raw.structure is not None or channel is None or channel.unit is None or raw.runs:
        return raw
    first = np.asarray(channel.values[0], dtype=np.float64)
    return replace(raw, structure=first * unit_factor(channel.unit, "positions"))


def _read(
    path: Path, options: SeriesOptions, quantity: str | None, quantities: Collection[str]
) -> RawSeries:
    """What the reader of the file's format says."""
    suffix = path.suffix.lower()
    plain = suffix in _TABLES and identify(path) is None
    if quantity is not None and not plain:
        raise TrajectoryError(
            f"{path}: quantity={quantity!r} says what the numbers of a plain table or array are; "
            "in this kind of file each quantity has its name. Leave it out, or name the file's key "
            f"(`keys={{{quantity!r}: …}}`, --key {quantity}=…)."
        )
    if (raw := read_foreign(path, options.keys)) is not None:
        _refuse(options, path, "axes")
        return raw
    if suffix in HDF5_SUFFIXES:
        _refuse(options, path, "axes")
        if clocks := set(options.keys) - set(SPECTRAL):
            raise TrajectoryError(
                f"{path}: the {' and '.join(sorted(clocks))} of an H5MD file stand beside each "
                "quantity; a key for it means nothing. Leave it out."
            )
        return raw_of_h5md(path, quantities, options.keys, options.topology)
    if suffix == ".npz":
        return raw_of_npz(path, options.keys, options.axes)
    if suffix in _TABLES:
        if suffix != ".npy":
            _refuse(options, path, "axes")
        return raw_of_table(path, options.keys, quantity, options.axes)
    _refuse(options, path, "axes")
    return raw_of_frames(path, options.keys, quantities)


def _refuse(options: SeriesOptions, path: Path, *names: str) -> None:
    """Refuse options that mean nothing for a format, rather than ignore them."""
    for name in names:
        if getattr(options, name):
            raise TrajectoryError(
                f"{path}: {name} mean nothing for this kind of file, where each quantity has its "
                "place. Leave them out."
            )
