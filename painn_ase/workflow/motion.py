"""The density of states of a trajectory file, from its velocities or its positions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from painn_ase.elements import ATOMIC_MASSES
from painn_ase.errors import TrajectoryError
from painn_ase.spectra import Spectrum, power
from painn_ase.trajectory import TimeSeries
from painn_ase.trajectory.charges import follow_through_cell
from painn_ase.trajectory.raw import RawChannel, RawSeries
from painn_ase.trajectory.read import read_raw
from painn_ase.trajectory.settle import SeriesOptions, settle
from painn_ase.units import per_ase_time_to_per_fs

__all__ = ["density_of_states"]

_MOVING = ("velocities", "positions")


def density_of_states(
    path: str | Path, options: SeriesOptions | None = None, *, resolution: float | None = None
) -> tuple[Spectrum, TimeSeries]:
    """The density of states of a run, and the series it was made of.

    Velocities are taken where the file has them, else differences of positions that are followed
    through the cell, with a correction for the finite difference. Without masses every atom weighs
    the same, and the notes say so. The whole spectrum integrates to 3 n_atoms.

    Parameters
    ----------
    path : str or Path
        Any trajectory.
    options : SeriesOptions, optional
        What the file does not say.
    resolution : float, optional
        cm⁻¹.

    Raises
    ------
    TrajectoryError
        When there are neither velocities nor positions, or something is missing.
    """
    options = options or SeriesOptions()
    raw = read_raw(path, options, quantities=_MOVING)
    name = next((n for n in _MOVING if n in raw.channels), None)
    if name is None:
        raise TrajectoryError(
            f"{raw.source} holds neither velocities nor positions, so there is no density of "
            "states. Leave --power out for the spectra of its dipoles."
        )
    if name == "positions" and not raw.runs:
        values, jumps = follow_through_cell(raw)
        raw = _with_channel(raw, name, values)
        if jumps:
            note = f"{jumps} jumps of atoms across the cell were undone"
            raw = replace(raw, notes=(*raw.notes, note))
    raw, masses = _weighted(_with_any_unit(raw, name, options))
    # a bulk or a molecule, its modes are counted: no volume is needed
    series = settle(raw, replace(options, molecule=True, volume=None), (name,))
    values = getattr(series, name)
    moving = values * per_ase_time_to_per_fs if name == "velocities" else None
    spectrum = power(
        moving,
        masses,
        positions=values if name == "positions" else None,
        timestep=series.timestep,
        resolution=resolution,
    )
    return spectrum, series


def _with_channel(raw: RawSeries, name: str, values: np.ndarray) -> RawSeries:
    channel = replace(raw.channels[name], values=values)
    return replace(raw, channels={**raw.channels, name: channel})


def _with_any_unit(raw: RawSeries, name: str, options: SeriesOptions) -> RawSeries:
    """With some unit: the area is set by the number of modes, so that it does not matter which."""
    channel: RawChannel = raw.channels[name]
    if channel.unit is not None or name in options.units:
        return raw
    unit = "Angstrom/fs" if name == "velocities" else "Angstrom"
    origin = f"{channel.origin}; any unit will do here"
    return replace(raw, channels={**raw.channels, name: RawChannel(channel.values, unit, origin)})


def _weighted(raw: RawSeries) -> tuple[RawSeries, np.ndarray]:
    """Masses in amu; the same for all atoms, with a note, where they are not known."""
    if raw.masses is not None:
        return raw, np.asarray(raw.masses, dtype=np.float64)
    if raw.numbers is not None:
        return raw, np.array([ATOMIC_MASSES[int(z)] for z in raw.numbers])
    n_atoms = next(raw.channels[n] for n in _MOVING if n in raw.channels).values.shape[-2]
    note = (
        "the file does not say what its atoms are, so that all count with the same mass; name a "
        "file that does with --topology"
    )
    return replace(raw, notes=(*raw.notes, note)), np.ones(n_atoms)
