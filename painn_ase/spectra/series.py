"""Time series as streams of components: what the estimators read, a stretch of frames at a time.

A source is anything with ``shape`` and slicing along its first axes (an array, a memory map, an
open HDF5 dataset); it is never loaded as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError, NonFiniteError
from painn_ase.units import invcm_to_radians_per_fs

__all__ = ["ComponentStream", "SeriesReader", "grouped_sum", "open_series", "share_of_total"]

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
#: (n_components, …) and (n_components, …) → (n_groups, …): which products of components are summed
Pairing = Callable[[ComplexArray, ComplexArray], ComplexArray]


@dataclass(frozen=True)
class SeriesReader:
    """One quantity along one or several independent runs of equal length.

    Attributes
    ----------
    source : array-like
        (n_frames, *tail) or (n_runs, n_frames, *tail).
    tail : tuple of int
        Shape of one frame.
    n_runs, n_frames : int
        Number of independent runs, and of frames in each.
    name : str
        What it is, for messages.
    """

    source: Any
    tail: tuple[int, ...]
    n_runs: int
    n_frames: int
    name: str
    has_run_axis: bool

    def read(self, run: int, start: int, stop: int) -> Array:
        """Frames start … stop−1 of one run (stop − start, *tail), finite float64."""
        part = self.source[run, start:stop] if self.has_run_axis else self.source[start:stop]
        frames = np.asarray(part, dtype=np.float64)
        if not np.isfinite(frames).all():
            bad = np.flatnonzero(~np.isfinite(frames).reshape(len(frames), -1).all(axis=1))[0]
            raise NonFiniteError(
                f"{self.name} is NaN or infinite in frame {start + int(bad)} of run {run}; "
                "cut the series before it"
            )
        return frames


def open_series(source: Any, tail: tuple[int | None, ...], name: str) -> SeriesReader:
    """A time series from an array-like of shape (n_frames, *tail) or (n_runs, n_frames, *tail).

    ``None`` in ``tail`` stands for any length. Raises DataError where the shape does not fit.
    """
    if not (hasattr(source, "shape") and hasattr(source, "__getitem__")):
        try:
            source = np.asarray(source, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"{name} is not a rectangular array of numbers: {error}") from error
    shape = tuple(int(n) for n in source.shape)
    n_tail = len(tail)
    fits = len(shape) - n_tail in (1, 2) and all(
        want is None or want == have
        for want, have in zip(tail, shape[len(shape) - n_tail :], strict=True)
    )
    if not fits:
        wanted = ", ".join("n" if n is None else str(n) for n in tail)
        raise DataError(
            f"{name} has shape {shape}; allowed are (n_frames, {wanted}) and "
            f"(n_runs, n_frames, {wanted})"
        )
    if getattr(source, "dtype", None) is not None and np.dtype(source.dtype).kind not in "fiu":
        raise DataError(f"{name} holds {source.dtype} values; real numbers are needed")
    has_run_axis = len(shape) == n_tail + 2
    n_runs, n_frames = (shape[0], shape[1]) if has_run_axis else (1, shape[0])
    if n_runs < 1 or n_frames < 8:
        raise DataError(
            f"{name} has {n_runs} runs of {n_frames} frames; at least one run of 8 frames is needed"
        )
    return SeriesReader(source, shape[len(shape) - n_tail :], n_runs, n_frames, name, has_run_axis)


def grouped_sum(groups: NDArray[np.int64]) -> Pairing:
    """Autocorrelations of the components, summed within each group.

    ``groups`` (n_components,) holds the group of each component, ascending from 0. The raw products
    are summed: a component that moves little weighs little, a constant one nothing.
    """
    starts = np.flatnonzero(np.diff(groups, prepend=-1))

    def pair(left: ComplexArray, right: ComplexArray) -> ComplexArray:
        products = np.conj(left) * right
        return np.add.reduceat(products, starts, axis=0)

    return pair


def share_of_total(n_members: int, labels: NDArray[np.int64]) -> Pairing:
    """Correlation of each member's vector with the total vector: shares that add up to the total.

    Components are ordered (member, axis); ``labels`` (n_members,) gives the group of each member.
    """
    n_groups = int(labels.max()) + 1

    def pair(left: ComplexArray, right: ComplexArray) -> ComplexArray:
        tail = left.shape[1:]
        total = right.reshape(n_members, 3, *tail).sum(axis=0)
        grouped = np.zeros((n_groups, 3, *tail), dtype=np.complex128)
        np.add.at(grouped, labels, left.reshape(n_members, 3, *tail))
        product: ComplexArray = (np.conj(grouped) * total).sum(axis=1)
        return product

    return pair


@dataclass(frozen=True)
class ComponentStream:
    """Real components of a rate of change along time, and how their products are summed.

    Attributes
    ----------
    series : SeriesReader
    timestep : float
        Between frames, in femtoseconds.
    project : callable
        Frames (n, *tail) → components (n_components, n).
    pair : callable
        Which products of components are summed into which group.
    n_components, n_groups : int
    difference : int
        0: the series is the flux. 1: forward difference over one step. 2: central difference.
    """

    series: SeriesReader
    timestep: float
    project: Callable[[Array], Array]
    pair: Pairing
    n_components: int
    n_groups: int
    difference: int = 0

    @property
    def n_runs(self) -> int:
        """Number of independent runs."""
        return self.series.n_runs

    @property
    def n_frames(self) -> int:
        """Number of values of the rate in each run."""
        return self.series.n_frames - self.difference

    def read(self, run: int, start: int, stop: int) -> Array:
        """The rates start … stop−1 of one run (n_components, stop − start), per femtosecond."""
        parts = self.project(self.series.read(run, start, stop + self.difference))
        if self.difference == 0:
            return parts
        step = self.difference
        return (parts[:, step:] - parts[:, :-step]) / (step * self.timestep)

    def transfer_correction(self, frequency: Array) -> Array:
        """Factor on the spectrum at ``frequency`` (cm⁻¹) that undoes the finite difference.

        A difference over n steps of Δt damps by [sin(nωΔt/2)/(nωΔt/2)]².
        """
        x = 0.5 * self.difference * self.timestep * invcm_to_radians_per_fs * frequency
        # numpy's sinc is sin(πy)/(πy)
        return 1.0 / np.sinc(x / math.pi) ** 2

    @property
    def highest_frequency(self) -> float:
        """Nyquist's wavenumber; 0.9 of it for central differences, which see nothing there."""
        nyquist = math.pi / self.timestep / invcm_to_radians_per_fs
        return nyquist if self.difference < 2 else 0.9 * nyquist
