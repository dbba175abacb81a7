"""Velocities of a run, or positions that are followed through the cell, for a density of states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from painn_ase.elements import ATOMIC_MASSES
from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.charges import follow_through_cell
from painn_ase.trajectory.raw import RawChannel, RawSeries
from painn_ase.trajectory.read import read_raw, series_options
from painn_ase.trajectory.series import TimeSeries
from painn_ase.trajectory.settle import SeriesOptions, settle

__all__ = ["read_motion"]

_MOVING = ("velocities", "positions")


def read_motion(path: str | Path, **said: Any) -> TimeSeries:
    """What :func:`painn_ase.spectra.power` makes a density of states of, from any trajectory.

    Velocities where the file has them, else positions that never jump across the cell. Where the
    masses are not known every atom weighs the same, and the notes say so. A unit that the file does
    not say is not asked for: the number of modes sets the area.

    Parameters
    ----------
    path : str or Path
        Any trajectory.
    **said
        As for :func:`painn_ase.trajectory.read_time_series`, e.g. ``timestep=``, ``topology=``.

    Raises
    ------
    TrajectoryError
        When there are neither velocities nor positions, or something is missing.
    """
    options = series_options(**said)
    raw = read_raw(path, options, quantities=_MOVING)
    name = next((n for n in _MOVING if n in raw.channels), None)
    if name is None:
        raise TrajectoryError(
            f"{raw.source} holds neither velocities nor positions, so there is no density of "
            "states. Leave --power out for the spectra of its dipoles."
        )
    _refuse_unused(raw, name, options)
    if name == "positions" and not raw.runs:
        values, jumps = follow_through_cell(raw, options.cell)
        raw = _with_channel(raw, name, replace(raw.channels[name], values=values))
        if jumps:
            note = f"{jumps} jumps of atoms across the cell were undone"
            raw = replace(raw, notes=(*raw.notes, note))
    anonymous = raw.masses is None and raw.numbers is None
    known = _with_any_unit(_weighted(raw), name, options)
    # a bulk or a molecule, its modes are counted: no volume is needed
    series = settle(known, replace(options, molecule=True, volume=None, cell=None), (name,))
    if anonymous or known.channels[name] is not raw.channels[name]:
        # a temperature cannot be told from such numbers
        series = replace(series, temperature=None, measured_temperature=None)
    return replace(series, volume=None, origins=_without_volume(series))


def _refuse_unused(raw: RawSeries, name: str, options: SeriesOptions) -> None:
    """Refuse what says nothing of a density of states, rather than ignore it."""
    useless = [o for o in ("volume", "molecule") if getattr(options, o) is not None]
    if options.cell is not None and (name == "velocities" or raw.runs):
        useless.append("cell")
    if useless:
        raise TrajectoryError(
            f"{raw.source}: the density of states of its {name} needs no {' and no '.join(useless)}"
            f" ({', '.join(f'--{n}' for n in useless)}). Leave it out."
        )


def _without_volume(series: TimeSeries) -> dict[str, str]:
    return {name: text for name, text in series.origins.items() if name != "volume"}


def _with_channel(raw: RawSeries, name: str, channel: RawChannel) -> RawSeries:
    return replace(raw, channels={**raw.channels, name: channel})


def _with_any_unit(raw: RawSeries, name: str, options: SeriesOptions) -> RawSeries:
    """With some unit where none is known."""
    channel = raw.channels[name]
    if channel.unit is not None or name in options.units:
        return raw
    unit = "Angstrom/fs" if name == "velocities" else "Angstrom"
    origin = f"{channel.origin}; any unit will do here"
    return _with_channel(raw, name, RawChannel(channel.values, unit, origin))


def _weighted(raw: RawSeries) -> RawSeries:
    """With masses in amu; the same for all atoms, and a note, where they are not known."""
    if raw.masses is not None:
        return raw
    if raw.numbers is not None:
        return replace(raw, masses=np.array([ATOMIC_MASSES[int(z)] for z in raw.numbers]))
    n_atoms = next(raw.channels[n] for n in _MOVING if n in raw.channels).values.shape[-2]
    note = (
        "the file does not say what its atoms are, so that all count with the same mass; name a "
        "file that does with --topology"
    )
    return replace(raw, masses=np.ones(n_atoms), notes=(*raw.notes, note))
