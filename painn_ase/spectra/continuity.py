"""Continuity of a series along time: jumps of folded dipoles, of frames put end to end.

A Berry-phase dipole is known up to e times a lattice vector. A program that folds it back writes
jumps, and the spectrum of a jump is white and drowns every band. Where the quantum is known the
jumps are taken out and counted; where it is not they are refused. Positions: ``unwrapping``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from painn_ase.errors import DataError
from painn_ase.spectra.advice import warn
from painn_ase.spectra.series import SeriesReader, open_series
from painn_ase.spectra.spectrum import Spectrum
from painn_ase.unwrapping import FARTHEST_STEP, checked_cell, find_jumps

__all__ = ["JumpPolicy", "continuous", "with_unfolded_jumps"]

Array = NDArray[np.float64]
JumpPolicy = Literal["check", "keep"]

#: values of a series held at a time
_STRETCH = 1 << 18


def continuous(
    values: Any,
    tail: tuple[int | None, ...],
    name: str,
    *,
    cell: ArrayLike | None = None,
    jumps: str = "check",
) -> tuple[Any, int]:
    """A series without jumps, and how many were taken out.

    Parameters
    ----------
    values : array-like (n_frames, ...) or (n_runs, n_frames, ...)
        With a cell a dipole in e·Å, tail (3,).
    tail : tuple
        Shape of one frame.
    name : str
        For messages.
    cell : array-like (3, 3) or (n_frames, 3, 3), optional
        Lattice vectors as rows, Å, zero where not periodic: e times each is the quantum by which a
        folded dipole may jump.
    jumps : {"check", "keep"}
        "keep" takes the series as it is.

    Returns
    -------
    values, n_jumps
        The values given where they are continuous, else an unfolded copy on the branch of the first
        frame.

    Raises
    ------
    DataError
        Jumps that are no multiples of the quantum, or whose quantum is not known.

    Notes
    -----
    King-Smith and Vanderbilt, Phys. Rev. B 47, 1651 (1993); Spaldin, J. Solid State Chem. 195, 2
    (2012).
    """
    if jumps not in ("check", "keep"):
        raise DataError(f"jumps is {jumps!r}; allowed are 'check' and 'keep'")
    if jumps == "keep":
        return values, 0
    series = open_series(values, tail, name)
    quanta = None if cell is None else checked_cell(cell, series.n_frames)
    folds = [_checked_run(series, run, quanta) for run in range(series.n_runs)]
    count = sum(int(np.any(fold != 0.0, axis=1).sum()) for fold in folds)
    if quanta is None or count == 0:
        return values, 0
    unfolded = np.array(values[:], dtype=np.float64)  # a dataset, or numbers scaled as read, too
    for run, fold in enumerate(folds):
        turns = np.vstack([np.zeros(3), np.cumsum(fold, axis=0)])
        target = unfolded[run] if series.has_run_axis else unfolded
        target -= _times(turns, quanta)
    return unfolded, count


def with_unfolded_jumps(spectrum: Spectrum, n_jumps: int) -> Spectrum:
    """The spectrum with the count in its provenance, and a warning, where jumps were unfolded."""
    if not n_jumps:
        return spectrum
    warn(
        f"the dipole jumped {n_jumps} times by e times a lattice vector, as one folded back into "
        "the cell does; it was unfolded"
    )
    return replace(spectrum, provenance={**spectrum.provenance, "jumps_unfolded": n_jumps})


def _steps(series: SeriesReader, run: int) -> Iterator[Array]:
    """Differences between successive frames of one run, a stretch (n, width) at a time."""
    width = int(np.prod(series.tail))
    stretch = max(_STRETCH // width, 2)
    for start in range(0, series.n_frames - 1, stretch):
        stop = min(start + stretch + 1, series.n_frames)
        yield np.diff(series.read(run, start, stop).reshape(stop - start, width), axis=0)


def _times(rows: Array, matrix: Array) -> Array:
    """Each row (n, 3) times the one matrix (3, 3), or its own (n, 3, 3)."""
    product: Array = (rows[:, None, :] @ matrix)[:, 0]
    return product


def _checked_run(series: SeriesReader, run: int, quanta: Array | None) -> Array:
    """Quanta (n_steps, 3) to take out at each step of one run; empty where none are known."""
    if quanta is None:
        length = np.concatenate([np.linalg.norm(step, axis=1) for step in _steps(series, run)])
        turns = np.zeros((0, 3))
    else:
        later = quanta if quanta.ndim == 2 else quanta[1:]
        step = np.concatenate(list(_steps(series, run)))
        share = _times(step, np.asarray(np.linalg.pinv(later)))
        turns = np.rint(share)
        _check_is_clear(series, run, np.abs(share - turns), turns)
        length = np.linalg.norm(step - _times(turns, later), axis=1)
    if len(at := find_jumps(length)):
        usual = float(np.median(length[length > 0.0]))
        remedy = _UNKNOWN if quanta is None else _NO_QUANTUM
        raise DataError(
            f"{series.name} jumps {len(at)} times in run {run}, first between frames {at[0]} and "
            f"{at[0] + 1}, by {length[at[0]]:.3g} where {usual:.2g} is usual. {remedy} {_KEEP}"
        )
    return turns


def _check_is_clear(series: SeriesReader, run: int, rest: Array, turns: Array) -> None:
    """Refuse steps that are neither small nor near to a quantum, where there are quanta at all."""
    axes = np.any(turns != 0.0, axis=0)
    if not axes.any() or float(rest[:, axes].max()) <= FARTHEST_STEP:
        return
    frame = int(rest[:, axes].max(axis=1).argmax())
    raise DataError(
        f"{series.name} moves by {rest[frame, axes].max():.2f} of a quantum e·cell between frames "
        f"{frame} and {frame + 1} of run {run}, and by more than half of one in other places: "
        f"motion and folding cannot be told apart. Write frames more often, or give the flux. "
        f"{_KEEP}"
    )


_KEEP = "If the motion is real, jumps='keep' (--jumps keep) takes the series as it is."
_UNKNOWN = (
    "A dipole folded back into a cell, charges times wrapped positions, lost frames, or runs put "
    "end to end: their spectrum is that of the jumps. Give the cell (cell=, --cell) to unfold, a "
    "dipole of unwrapped positions, the flux, or independent runs as (n_runs, n_frames, ...)."
)
_NO_QUANTUM = (
    "That is no multiple of e times a lattice vector: charges times wrapped positions, another "
    "cell or unit, lost frames, or runs put end to end. Give a dipole of unwrapped positions, the "
    "flux, or independent runs as (n_runs, n_frames, ...)."
)
