"""The time axis of a run: how far apart its frames are, which of them count, and where it breaks.

A clock (times, or steps) is read as it stands, restarts and gaps included. Repeated frames are
dropped, a clock that jumps cuts the run into pieces, and everything that is not even within the
rounding of the file is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.raw import RawSeries
from painn_ase.unit_names import known_spellings, unit_factor
from painn_ase.units import ase_time_to_fs

__all__ = ["TimeAxis", "read_time_axis"]

Array = NDArray[np.float64]
#: Whether two frames of the file hold the same numbers.
SameFrame = Callable[[int, int], bool]

#: Share of the spacing by which an increment may be off where nothing says how times were rounded.
_UNEVEN = 1e-4
#: Rounding coarser than this share of the spacing hides how far apart frames are.
_COARSE = 0.3
#: More breaks than this share of the frames is another sampling, not a gap here and there.
_MANY_BREAKS = 0.1
#: Shares by which an explicit step may differ from the file's before it is said.
_AGREES = 2e-3
#: A run is not cut into pieces shorter than this, and not at the price of more frames than that.
_SHORTEST_PIECE = 8
_LARGEST_LOSS = 0.5


@dataclass(frozen=True)
class TimeAxis:
    """Which frames of a file make up a run, and how far apart they are.

    Attributes
    ----------
    timestep : float
        Between frames, fs.
    origin : str
        Where that comes from.
    frames : ndarray [n_frames] or [n_pieces, n_frames] of int
        Places in the file of the frames to use; one row for each unbroken piece where there are
        several.
    notes : tuple of str
        What was dropped and cut.
    """

    timestep: float
    origin: str
    frames: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def read_time_axis(
    raw: RawSeries,
    n_frames: int,
    *,
    timestep: float | None = None,
    time_unit: str | None = None,
    same: SameFrame = lambda i, j: False,
) -> TimeAxis:
    """The time axis of a run as its file has it.

    Parameters
    ----------
    raw : RawSeries
        Times, steps or a time step, with their unit where the file says one.
    n_frames : int
        Frames in the file (in each run).
    timestep : float, optional
        Between frames, fs, as a user gave it: wins over whatever the file says.
    time_unit : str, optional
        Of the file's times where it does not say.
    same : callable
        Whether two frames are the same, by their places: tells a frame that was written twice from
        another run's.

    Raises
    ------
    TrajectoryError
        When the spacing is unknown, its unit is, or the frames are not evenly spaced.
    """
    if timestep is not None and not (np.isfinite(timestep) and timestep > 0.0):
        raise TrajectoryError(f"a time between frames of {timestep!r} fs is none; give it in fs.")
    raw, overruled = _in_typed_unit(raw, time_unit)
    said = overruled if timestep is None else ()
    clock = _clock(raw, n_frames)
    if clock is None:
        dt, origin = _without_clock(raw, timestep, time_unit)
        return TimeAxis(dt, origin, np.arange(n_frames), said)
    even = _even(clock, raw.source, same, lenient=timestep is not None)
    dt, origin, notes = _spacing(raw, clock, even.spacing, timestep, time_unit)
    frames, cut = _in_pieces(even.pieces, raw.source, dt)
    return TimeAxis(dt, origin, frames, (*even.notes(dt), *said, *notes, *cut))


def _in_typed_unit(raw: RawSeries, typed: str | None) -> tuple[RawSeries, tuple[str, ...]]:
    """A unit of time that the user says wins over the file's, and a note where they differ."""
    stated = raw.time_unit
    if typed is None:
        return raw, ()
    factor = _to_fs(typed, raw)
    if stated is None:
        return raw, ()
    factor /= _to_fs(stated, raw)
    if abs(factor - 1.0) < 1e-6:
        return raw, ()
    note = (
        f"times are taken in {typed}, as you say, not in {stated} ({raw.time_origin}): a factor "
        f"of {factor:.4g}"
    )
    origin = f"{raw.time_origin}, unit as given"
    return replace(raw, time_unit=typed, time_origin=origin), (note,)


def _clock(raw: RawSeries, n_frames: int) -> Array | None:
    """Times, or steps, of the frames; None where the file has neither, or runs that share them."""
    clock = raw.time if raw.time is not None else raw.steps
    if clock is None or n_frames < 2:
        return None
    clock = np.asarray(clock, dtype=np.float64)
    if clock.shape != (n_frames,):
        raise TrajectoryError(f"{raw.source}: {len(clock)} times for {n_frames} frames.")
    if not np.isfinite(clock).all():
        raise TrajectoryError(f"{raw.source}: the time of a frame is no number.")
    return clock


def _is_index(clock: Array) -> bool:
    """0, 1, 2 …: a counter of rows, by whatever name."""
    return bool(clock[0] in (0.0, 1.0) and np.array_equal(clock, clock[0] + np.arange(len(clock))))


def _without_clock(
    raw: RawSeries, timestep: float | None, time_unit: str | None
) -> tuple[float, str]:
    if timestep is not None:
        return float(timestep), "--timestep"
    if raw.timestep is not None:
        factor = _to_fs(raw.time_unit or time_unit, raw)
        return float(raw.timestep) * factor, raw.time_origin
    raise TrajectoryError(
        f"{raw.source} does not say how far apart its frames are. Give the time between frames in "
        "fs (`timestep=`, or --timestep)."
    )


def _spacing(
    raw: RawSeries,
    clock: Array,
    spacing: float,
    timestep: float | None,
    time_unit: str | None,
) -> tuple[float, str, tuple[str, ...]]:
    """Time between frames in fs, its origin, and what there is to say about it."""
    counted = raw.time is None or (raw.time_unit is None and _is_index(clock))
    unit = raw.time_unit or time_unit
    if timestep is not None:
        notes: tuple[str, ...] = ()
        if not counted and unit is not None:
            said = spacing * _to_fs(unit, raw)
            if abs(said / timestep - 1.0) > _AGREES:
                notes = (
                    f"the time between frames is {timestep:g} fs as --timestep says, not the "
                    f"{said:.6g} fs of {raw.time_origin}",
                )
        return float(timestep), "--timestep", notes
    if raw.timestep is not None and raw.time is None:
        return float(raw.timestep) * _to_fs(unit, raw), raw.time_origin, ()
    if counted:
        raise TrajectoryError(
            f"{raw.source}: its clock, {raw.time_origin}, counts frames or steps (0, 1, 2 …) and "
            "is no time. "
            "Give the time between frames in fs (`timestep=`, or --timestep)."
        )
    return spacing * _to_fs(unit, raw), raw.time_origin, ()


def _to_fs(unit: str | None, raw: RawSeries) -> float:
    if unit is None:
        raise TrajectoryError(
            f"{raw.source}: the unit of its times ({raw.time_origin}) is unknown. Say it, one of "
            f"{known_spellings('time')} (--unit time=ps, `units={{'time': 'ps'}}` in Python), or "
            "give the time between frames in fs (`timestep=`, or --timestep)."
        )
    return unit_factor(unit, "time") * ase_time_to_fs


# -- even within rounding ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Even:
    """A clock sorted out: pieces of evenly spaced frames, and what was dropped."""

    spacing: float
    pieces: tuple[NDArray[np.int64], ...]
    repeated: int
    restarts: int
    lost: int
    gaps: int
    resets: int

    def notes(self, timestep: float) -> tuple[str, ...]:
        said = []
        if self.repeated:
            said.append(
                f"{self.repeated} repeated frame(s) of {self.restarts} restart(s) were dropped"
            )
        if self.gaps:
            said.append(f"{self.lost} frame(s) are missing in {self.gaps} gap(s)")
        if self.resets:
            said.append(
                f"the clock starts anew {self.resets} time(s) with other frames: read as "
                f"{self.resets + 1} separate runs"
            )
        return tuple(said)


def _even(clock: Array, source: str, same: SameFrame, lenient: bool) -> _Even:
    """Frames in order of their times, without repeats, cut where one is missing."""
    spacing = _typical_spacing(clock, source)
    tolerance = _rounding(clock, spacing)
    if tolerance > _COARSE * spacing:
        if lenient:  # too coarse to see anything in, but the user knows the spacing
            return _Even(spacing, (np.arange(len(clock)),), 0, 0, 0, 0, 0)
        raise TrajectoryError(
            f"{source}: times are rounded too coarsely to say how far apart frames are. Give the "
            "time between frames in fs (`timestep=`, or --timestep)."
        )
    frames, breaks, repeated, restarts, resets = _without_repeats(clock, spacing, same, source)
    times = clock[frames]
    inner = np.ones(len(frames) - 1, dtype=bool)
    inner[[b - 1 for b in breaks]] = False
    steps = np.diff(times)
    counts = np.rint(steps / spacing)
    good = inner & (counts == 1)
    if good.any():  # the mean over all of them sees through the rounding of each
        spacing = float(steps[good].mean())
    off = np.abs(steps - counts * spacing)[inner]
    gaps = inner & (counts > 1)
    drifts = tolerance > 2.0 * _UNEVEN * spacing and _drift(steps, counts, inner, spacing) > (
        2.1 * tolerance
    )
    if drifts or (off > tolerance).any() or gaps.sum() > _MANY_BREAKS * len(frames):
        low, high = steps[inner].min(), steps[inner].max()
        raise TrajectoryError(
            f"{source}: frames are not equally spaced in time (from {low:g} to {high:g} of the "
            "file's unit). Resample them first."
        )
    cuts = np.flatnonzero(~good) + 1
    return _Even(
        spacing,
        tuple(np.split(frames, cuts)),
        repeated,
        restarts,
        int((counts[gaps] - 1).sum()),
        int(gaps.sum()),
        resets,
    )


def _drift(steps: Array, counts: Array, inner: NDArray[np.bool_], spacing: float) -> float:
    """Range of the deviations from an even clock; rounding allows twice that of one time."""
    deviation = np.cumsum(np.where(inner, steps - counts * spacing, 0.0))
    return float(np.ptp(deviation)) if len(deviation) else 0.0


def _typical_spacing(clock: Array, source: str) -> float:
    steps = np.diff(clock)
    ahead = steps[steps > 0]
    if len(ahead) < 0.5 * len(steps) or not len(ahead):
        raise TrajectoryError(
            f"{source}: times do not ascend ({len(ahead)} of {len(steps)} frames are later than "
            "the one before). Give the time between frames in fs (`timestep=`, or --timestep) "
            "after removing that column, or sort the frames."
        )
    return float(np.median(ahead))


def _rounding(clock: Array, spacing: float) -> float:
    """By how much the difference of two times may be off, from the digits they are written in."""
    floor = max(_UNEVEN * spacing, 8.0 * float(np.spacing(np.abs(clock).max())))
    if np.array_equal(clock, clock.astype(np.float32)):
        floor = max(floor, float(np.spacing(np.float32(np.abs(clock).max()))))
    for digits in range(13):
        scaled = clock * 10.0**digits
        if np.abs(scaled - np.rint(scaled)).max() < 1e-6 * max(1.0, 1e-6 * np.abs(scaled).max()):
            steps = np.rint(np.diff(scaled))
            whole = float(np.median(steps))
            # Integers, and steps that are exact in these digits, are not rounded at all: what
            # differs from them is a gap or a restart, and no last digit that goes up now and then.
            near = (steps != whole) & (np.abs(steps - whole) < 0.5 * whole)
            exact = (steps == whole).mean() > 0.99 and not near.any()
            return floor if exact else max(floor, 1.001 * 10.0**-digits)
    return floor


def _without_repeats(
    clock: Array, spacing: float, same: SameFrame, source: str
) -> tuple[NDArray[np.int64], list[int], int, int, int]:
    """Frames to keep, places among them where a run is not continuous, and counts.

    A frame whose time comes again later is dropped: the later one goes on. Where it is another
    frame (the run was not continued from there) the run is cut, and a clock that starts from the
    beginning with other frames is a second run.
    """
    backs = np.flatnonzero(np.diff(clock) < 0.5 * spacing) + 1
    if len(backs) > _MANY_BREAKS * len(clock) + 1 and not _mostly_doubled(clock, spacing):
        raise TrajectoryError(
            f"{source}: time goes back or stands still {len(backs)} times. Sort the frames first."
        )
    kept = list(range(int(backs[0]))) if len(backs) else list(range(len(clock)))
    breaks: list[int] = []
    first, repeated, resets = 0, 0, 0
    for begin, end in itertools.pairwise([*backs, len(clock)]):
        times = clock[kept[first:]]
        place = first + int(np.searchsorted(times, clock[begin] - 0.5 * spacing))
        overlaps = place < len(kept)
        if overlaps and place == first and not same(kept[place], int(begin)):
            resets += 1
            breaks.append(len(kept))
            first = len(kept)
        elif overlaps:
            breaks = [b for b in breaks if b <= place]  # the others are dropped with their frames
            if not same(kept[place], int(begin)) and place not in breaks:
                breaks.append(place)
            repeated += len(kept) - place
            del kept[place:]
        kept.extend(range(int(begin), int(end)))
    return np.array(kept), breaks, repeated, len(backs) - resets, resets


def _mostly_doubled(clock: Array, spacing: float) -> bool:
    """Whether time stands still only where frames were written twice."""
    return bool((np.diff(clock) > -0.5 * spacing).all())


def _in_pieces(
    pieces: tuple[NDArray[np.int64], ...], source: str, timestep: float
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """One row of frames, or several of equal length cut from pieces of any length."""
    if len(pieces) == 1:
        return pieces[0], ()
    lengths = np.array([len(p) for p in pieces])
    total = int(lengths.sum())
    candidates = [n for n in np.unique(lengths) if n >= _SHORTEST_PIECE]
    uses = {int(n): int((lengths // n).sum() * n) for n in candidates}
    # resolution goes with the length of a piece, certainty with the frames that are used
    best = max(uses, key=lambda n: n * uses[n] ** 2, default=0)
    used = uses.get(best, 0)
    if used < _LARGEST_LOSS * total or not used:
        raise TrajectoryError(
            f"{source}: gaps cut the run into {len(pieces)} pieces of {lengths.min()} to "
            f"{lengths.max()} frames, too short or too unequal to be analysed together. Cut out "
            "the unbroken part you want."
        )
    rows = [p[k * best : (k + 1) * best] for p in pieces for k in range(len(p) // best)]
    many = f"{len(rows)} pieces" if len(rows) > 1 else "one piece"
    said = f"analysed as {many} of {best} frames ({best * timestep:g} fs)"
    if used < total:
        said += f", which leaves {total - used} frames out"
    frames = np.stack(rows)
    return (frames if len(rows) > 1 else frames[0]), (said,)
