"""From what a file says and what a user says to a checked time series, or to a question.

The one place that converts units, settles the time axis, the temperature and the volume, and
writes down where each of them came from. What nobody said is asked for; what was said twice, and
differently, is said so or refused.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError, UnitError
from painn_ase.trajectory.isolated import is_isolated_molecule
from painn_ase.trajectory.raw import RawChannel, RawSeries
from painn_ase.trajectory.series import SPECTRAL, TimeSeries, same_temperature
from painn_ase.trajectory.time_axis import read_time_axis
from painn_ase.unit_names import KINDS, known_spellings, unit_factor

__all__ = ["SeriesOptions", "cell_of", "settle"]

Array = NDArray[np.float64]

#: Shapes of one frame; None for the number of atoms.
_TAILS: dict[str, tuple[int | None, ...]] = {
    **SPECTRAL,
    "velocities": (None, 3),
    "positions": (None, 3),
}
#: Runs of fewer atoms hold each mode's energy for long.
_SMALL_MOLECULE = 30


@dataclass(frozen=True)
class SeriesOptions:
    """What a user says of a file.

    Attributes
    ----------
    timestep : float or None
        Time between frames, fs: wins over whatever the file says.
    units : mapping of str to str
        Quantity (``dipole``, ``polarizability``, ``time``, …) → unit in the file. A flux without
        one is in the unit of its quantity per fs.
    keys : mapping of str to str
        Quantity → the file's key or column.
    temperature : float or None
        Of the run, K.
    temperature_reason : str or None
        Why it is not the file's.
    volume : float or None
        Of a bulk's cell, Å³.
    cell : ndarray [3, 3] or None
        Instead: that cell's vectors as rows, Å.
    molecule : bool or None
        True: one molecule, whatever box it is in. False: the bulk of its cell. None: as the file
        looks.
    axes : str or None
        What the first axis of a three-dimensional array counts: ``"runs"`` or ``"molecules"``
        (second axis).
    charges : mapping of str to float, path or None
        Point charges by element or type, e, or a file of Born charges: the dipole is theirs.
    topology : Path or None
        File with elements, masses and charges.
    """

    timestep: float | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    temperature: float | None = None
    temperature_reason: str | None = None
    volume: float | None = None
    cell: Array | None = None
    molecule: bool | None = None
    axes: str | None = None
    charges: Mapping[str, float] | Path | None = None
    topology: Path | None = None

    def __post_init__(self) -> None:
        for name in ("temperature", "volume"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0.0):
                raise TrajectoryError(f"a {name} of {value!r} is none; it must be positive.")
        if self.molecule and self.volume is not None:
            raise TrajectoryError(
                "a molecule has no volume: give either --molecule or a volume. (--cell may stand "
                "beside --molecule: atoms and dipoles are followed through it.)"
            )
        if self.temperature_reason is not None and self.temperature is None:
            raise TrajectoryError(
                f"the reason {self.temperature_reason!r} is one for another temperature than the "
                "file's (--temperature-reason), and none was given. Say -T too, or leave it out."
            )
        if self.volume is not None and self.cell is not None:
            raise TrajectoryError("give either --volume or --cell, not both.")
        for quantity in self.units:
            if quantity not in KINDS:
                raise TrajectoryError(
                    f"a unit of {quantity!r} was given; allowed are units of {', '.join(KINDS)}."
                )


def cell_of(numbers: Any) -> Array:
    """Cell vectors [3, 3] from three lengths, nine numbers or three vectors, Å.

    Raises
    ------
    TrajectoryError
        When they are something else, or make no volume.
    """
    try:
        given = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TrajectoryError(f"a cell of {numbers!r:.60} is no array of numbers.") from error
    if given.size not in (3, 9) or not np.isfinite(given).all():
        raise TrajectoryError(f"a cell has three lengths or nine numbers in Å, not {given.size}.")
    cell = np.diag(given.ravel()) if given.size == 3 else given.reshape(3, 3)
    if not abs(float(np.linalg.det(cell))) > 0.0:
        raise TrajectoryError(f"the cell {cell.tolist()} has no volume.")
    return cell


def settle(
    raw: RawSeries,
    options: SeriesOptions | None = None,
    quantities: Collection[str] = tuple(SPECTRAL),
) -> TimeSeries:
    """The checked time series of what a file holds of some quantities.

    Raises
    ------
    TrajectoryError
        When something is missing (the message says how to give it), contradicts, or is not finite.
    """
    options = options or SeriesOptions()
    named = {n: c for n, c in raw.channels.items() if n in _TAILS and n in quantities}
    if not named:
        held = ", ".join(dict.fromkeys((*raw.channels, *raw.available))) or "nothing"
        raise TrajectoryError(
            f"{raw.source} holds {held}, but none of {', '.join(quantities)}. Name the key or "
            "column (`--key dipole=…`, `keys=` in Python), or let a model "
            "add them: `painn-ase evaluate`."
        )
    shaped = {n: _shaped(raw, n, c.values) for n, c in named.items()}
    _check_units_are_used(raw, named, options)
    n_frames = _common_length(raw, shaped)
    origins: dict[str, str] = {}
    notes = list(raw.notes)
    converted = {}
    for name, channel in named.items():
        factor, origins[name], said = _unit(raw, name, channel, options)
        notes += said
        values = shaped[name] * factor if factor != 1.0 else shaped[name]
        if not np.isfinite(values).all():
            raise TrajectoryError(f"{raw.source}: {name} holds values that are not finite.")
        converted[name] = values
    axis = read_time_axis(
        raw,
        n_frames,
        timestep=options.timestep,
        time_unit=options.units.get("time"),
        same=lambda i, j: _same(converted, i, j, raw.runs),
    )
    notes += axis.notes
    origins["timestep"] = f"Δt = {axis.timestep:.6g} fs (from {axis.origin})"
    converted = {n: _taken(raw, v, axis.frames) for n, v in converted.items()}
    temperature, measured = _temperature(raw, options, origins, notes)
    light = not set(named) <= {"polarizability", "polarizability_flux"}
    volume, cell = _volume(raw, options, origins, matters=light)
    return TimeSeries(
        timestep=axis.timestep,
        **converted,
        numbers=raw.numbers,
        masses=raw.masses,
        temperature=temperature,
        measured_temperature=measured,
        volume=volume,
        cell=cell,
        friction=raw.friction,
        source=raw.source,
        origins=origins,
        notes=tuple(dict.fromkeys((*notes, *_of_the_run(raw, converted)))),
    )


# -- shapes --------------------------------------------------------------------------------------


def _shaped(raw: RawSeries, name: str, values: Any) -> Array:
    """Values as [n_frames, ...] or [n_runs, n_frames, ...] of the quantity."""
    array = np.asarray(values, dtype=np.float64)
    tail = _TAILS[name]
    leading = 2 if raw.runs else 1
    if tail == (3, 3) and array.ndim == leading + 1 and array.shape[-1] == 9:
        array = array.reshape(*array.shape[:-1], 3, 3)
    have = array.shape[leading:]
    if len(have) != len(tail) or any(
        w is not None and w != h for w, h in zip(tail, have, strict=True)
    ):
        wanted = ", ".join("n_atoms" if n is None else str(n) for n in tail)
        raise TrajectoryError(
            f"{raw.source}: {name} has shape {array.shape}; expected "
            f"({'n_runs, ' if raw.runs else ''}n_frames, {wanted})."
        )
    return array


def _common_length(raw: RawSeries, shaped: Mapping[str, Array]) -> int:
    axis = 1 if raw.runs else 0
    lengths = {n: v.shape[axis] for n, v in shaped.items()}
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{n} {v}" for n, v in lengths.items())
        raise TrajectoryError(f"{raw.source}: quantities of different numbers of frames: {listed}.")
    return int(next(iter(lengths.values())))


def _taken(raw: RawSeries, values: Array, frames: NDArray[np.int64]) -> Array:
    """The frames to use; one row for each run or piece."""
    if not raw.runs:
        if frames.ndim == 1 and len(frames) == len(values):
            return values
        return values[frames]
    taken = values[:, frames]  # [n_runs, n_frames, …] or [n_runs, n_pieces, n_frames, …]
    return taken if frames.ndim == 1 else taken.reshape(-1, *taken.shape[2:])


def _same(values: Mapping[str, Array], i: int, j: int, runs: bool) -> bool:
    """Whether two frames hold the same numbers, as far as a text file may round them."""
    for array in values.values():
        frames = np.moveaxis(array, 1, 0) if runs else array
        a, b = frames[i], frames[j]
        if not np.allclose(a, b, rtol=1e-4, atol=1e-6 * float(np.abs(frames).max() or 1.0)):
            return False
    return True


def _check_units_are_used(raw: RawSeries, named: Collection[str], options: SeriesOptions) -> None:
    """Refuse the unit of something that is not read."""
    read = {"time", *raw.channels, *named, *(name.removesuffix("_flux") for name in named)}
    if unused := [name for name in options.units if name not in read]:
        raise TrajectoryError(
            f"a unit of {' and '.join(unused)} was given, but {raw.source} has none of it that is "
            "read. Leave it out."
        )


# -- units ---------------------------------------------------------------------------------------


def _unit(
    raw: RawSeries, name: str, channel: RawChannel, options: SeriesOptions
) -> tuple[float, str, list[str]]:
    """Factor to the package's unit, the words for the summary, and notes."""
    typed = options.units.get(name)
    whole = options.units.get(name.removesuffix("_flux")) if name.endswith("_flux") else None
    if typed is None and channel.unit is None and whole is not None:
        typed = f"{whole}/fs"
    unit = typed or channel.unit
    if unit is None:
        how = {"dipole": "--dipole-unit", "polarizability": "--polarizability-unit"}.get(name)
        option = f"{how} UNIT" if how else f"--unit {name}=UNIT"
        raise TrajectoryError(
            f"{raw.source} does not say in which unit its {name} ({channel.origin}) is. Say "
            f"`{option}` (`units={{{name!r}: …}}` in Python), one of {known_spellings(name)}."
        )
    try:
        factor = unit_factor(unit, name)
        stated = None if channel.unit is None else unit_factor(channel.unit, name)
    except UnitError as error:
        raise TrajectoryError(f"{raw.source}: {error}") from error
    notes = []
    if typed is not None and stated is not None and abs(stated / factor - 1.0) > 1e-6:
        notes.append(
            f"{name} is taken in {typed}, as you say, not in {channel.unit} ({channel.origin}): "
            f"a factor of {factor / stated:.4g}"
        )
    origin = channel.origin if typed is None else f"{channel.origin}, unit as given"
    return factor, f"{name} in {unit} (from {origin})", notes


# -- temperature and volume ------------------------------------------------------------------------


def _temperature(
    raw: RawSeries,
    options: SeriesOptions,
    origins: dict[str, str],
    notes: list[str],
) -> tuple[float | None, float | None]:
    """Temperature of the run and the mean of what was measured, K."""
    measured, said, where = None, None, ""
    if (channel := raw.channels.get("temperature")) is not None and channel.values.size:
        measured = float(np.mean(channel.values))
        said, where = measured, f"mean of {channel.origin}"
    if raw.temperature is not None:
        said, where = raw.temperature.value, raw.temperature.origin
    given, reason = options.temperature, options.temperature_reason
    if given is None:
        if said is not None:
            origins["temperature"] = f"T = {said:.4g} K (from {where})"
        return said, measured
    origins["temperature"] = f"T = {given:g} K (as given)"
    if said is None or same_temperature(
        said,
        given,
        measured=raw.temperature is None,
        n_atoms=None if raw.numbers is None else len(raw.numbers),
        n_runs=len(next(iter(raw.channels.values())).values) if raw.runs else 1,
    ):
        if reason is not None:
            told = "names no temperature" if said is None else f"is a run at {said:.4g} K ({where})"
            raise TrajectoryError(
                f"{raw.source} {told}, from which {given:g} K does not differ: there is nothing "
                f"to explain. Leave the reason {reason!r} out (--temperature-reason)."
            )
        return given, measured
    if reason is None:
        raise TrajectoryError(
            f"{raw.source} is a run at {said:.4g} K ({where}), {given:g} K was given. Intensities "
            f"would be off by a factor of {said / given:.3g}. Leave the temperature out, or say "
            "why it differs (--temperature-reason TEXT, `temperature_reason=` in Python)."
        )
    origins["temperature"] = f"T = {given:g} K (as given; the file says {said:.4g} K: {reason})"
    notes.append(f"temperature {given:g} K for a run at {said:.4g} K: {reason}")
    return given, None


def _volume(
    raw: RawSeries, options: SeriesOptions, origins: dict[str, str], matters: bool
) -> tuple[float | None, Array | None]:
    """Volume for a bulk's spectrum and mean cell, Å³ and Å.

    Raman intensities do not depend on it: where it does not matter nothing is asked, and nothing
    that was said is ignored.
    """
    said = {"--volume": options.volume, "--cell": options.cell, "--molecule": options.molecule}
    if not matters and (useless := [name for name, value in said.items() if value is not None]):
        names = ", ".join(useless).replace("--molecule", "--molecule or --bulk")
        raise TrajectoryError(
            f"{raw.source} holds no dipole, and Raman intensities do not depend on the volume: "
            f"leave out {names} (`{', '.join(n[2:] for n in useless)}=` in Python)."
        )
    cell = volume = None
    where = ""
    channel = _cell_channel(raw, options) if matters else raw.channels.get("cell")
    if channel is not None and channel.unit is not None:
        cells = channel.values.reshape(-1, 3, 3) * unit_factor(channel.unit, "cell")
        if np.isfinite(cells).all() and np.abs(np.linalg.det(cells)).min() > 0.0:
            cell = cells.mean(axis=0)
            if raw.pbc is None or all(raw.pbc):
                volume, where = float(np.abs(np.linalg.det(cells)).mean()), channel.origin
        elif raw.pbc is not None and all(raw.pbc):
            raise TrajectoryError(
                f"{raw.source} is periodic in all directions, but a cell has no volume. Give it "
                "one, or pbc = False."
            )
    if volume is None and raw.volume is not None:
        volume, where = raw.volume.value, raw.volume.origin
    cell = cell if options.cell is None else options.cell
    if options.molecule:
        origins["volume"] = "one molecule (as given)"
        return None, cell
    given = options.volume
    if options.cell is not None:
        given = abs(float(np.linalg.det(options.cell)))
    if given is not None:
        other = f"; the file says {volume:.6g} Å³" if volume is not None else ""
        origins["volume"] = f"volume {given:.6g} Å³ (as given{other})"
        return given, cell
    if volume is None:
        if options.molecule is False:
            raise TrajectoryError(
                f"{raw.source} names no periodic cell: give the volume of the bulk (--volume, in "
                "Å³, or --cell)."
            )
        origins["volume"] = "one molecule (no periodic cell in the file)"
        return None, cell
    asked = matters and options.molecule is None
    if asked and cell is not None and _looks_isolated(raw, cell):
        raise TrajectoryError(
            f"{raw.source}: one molecule with vacuum around it in a periodic cell of "
            f"{volume:.6g} Å³. The spectrum of the bulk, n·α, would depend on the size of that "
            "box. Say --molecule for the absorption of the molecule (km/mol), or --bulk "
            "(`molecule=` in Python)."
        )
    origins["volume"] = f"volume {volume:.6g} Å³ (from {where})"
    return volume, cell


def _cell_channel(raw: RawSeries, options: SeriesOptions) -> RawChannel | None:
    """The file's cell; None where its unit is not known and its size does not matter."""
    channel = raw.channels.get("cell")
    if channel is None or channel.unit is not None:
        return channel
    if options.molecule or options.volume is not None or options.cell is not None:
        return None
    raise TrajectoryError(
        f"{raw.source} does not say in which unit its cell ({channel.origin}) is, and the spectrum "
        "of a bulk depends on its volume. Say it (--unit cell=Angstrom, `units={'cell': …}` in "
        f"Python), one of {known_spellings('cell')}, give --volume, or say --molecule."
    )


def _looks_isolated(raw: RawSeries, cell: Array) -> bool:
    if raw.numbers is None or raw.structure is None:
        return False
    return is_isolated_molecule(raw.numbers, raw.structure, cell)


def _of_the_run(raw: RawSeries, values: Mapping[str, Array]) -> tuple[str, ...]:
    """What the way the run was made means for its spectrum."""
    name, array = next(iter(values.items()))
    runs = array.shape[0] if array.ndim == len(_TAILS[name]) + 2 else 1
    small = raw.numbers is not None and len(raw.numbers) < _SMALL_MOLECULE
    free = raw.pbc is None or not any(raw.pbc)
    if raw.thermostat == "NVE" and runs == 1 and small and free:
        return (
            "one run of one small molecule without a thermostat: each mode keeps the energy it "
            "happened to have, so band areas are not thermal means. Use many short runs that start "
            "from a thermostatted one",
        )
    return ()
