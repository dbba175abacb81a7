"""Spectral densities of stationary series, estimated with bounded memory and honest errors.

The two-sided spectral density is S(ω) = ∫⟨A(0)A(t)⟩e^{−iωt}dt; summed over all frequencies df it
gives ⟨A²⟩. Two estimators: averages over tapered segments (Welch), with a standard error over
independent pieces, and the Fourier transform of a windowed correlation function (lag window, as
TRAVIS does). No physics of light in here: see ``absorption`` and ``scattering``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from painn_ase.errors import DataError
from painn_ase.spectra.series import ComponentStream
from painn_ase.spectra.windows import (
    depth_for_resolution,
    lag_window,
    overlap_correlation,
    reciprocal_fs_to_invcm,
    taper,
    window_fwhm,
)
from painn_ase.units import invcm_to_radians_per_fs

__all__ = ["SpectralDensity", "autocorrelation", "spectral_density"]

Array = NDArray[np.float64]

#: width asked for where the caller names none, in cm⁻¹
DEFAULT_RESOLUTION = 10.0
#: pieces whose spectra are kept for error bars; more are averaged in blocks of neighbours
MAX_BLOCKS = 128
#: numbers that the kept spectra, or one batch of work, may hold (doubles)
SAMPLE_BUDGET = 8_000_000
BATCH_BUDGET = 2_000_000


@dataclass(frozen=True)
class SpectralDensity:
    """Two-sided spectral densities of the groups of one stream, at wavenumbers ≥ 0.

    Attributes
    ----------
    frequency : ndarray (n_frequencies,)
        cm⁻¹, ascending.
    density : ndarray (n_groups, n_frequencies)
        Unit of the series squared times femtoseconds.
    samples : ndarray (n_blocks, n_groups, n_frequencies) or None
        The same from independent pieces; their scatter gives standard errors.
    fwhm : float
        Width of a sharp line, cm⁻¹.
    estimator, window : str
    depth : int
        Frames in a segment, or lags.
    n_pieces : int
        Independent pieces behind the error: runs, or segments of a single run.
    nyquist : float
        cm⁻¹.
    """

    frequency: Array
    density: Array
    samples: Array | None
    fwhm: float
    estimator: str
    window: str
    depth: int
    n_pieces: int
    n_runs: int
    n_frames: int
    nyquist: float

    def verlet_corrected(self, timestep: float) -> SpectralDensity:
        """The density over true wavenumbers: velocity Verlet at ``timestep`` fs runs fast.

        ω_true = (2/Δt) sin(ω_observed Δt/2); intensities are carried along so that band areas stay.
        """
        half = 0.5 * timestep * invcm_to_radians_per_fs * self.frequency
        inside = half < 0.49 * math.pi
        half = half[inside]
        frequency = 2.0 * np.sin(half) / (timestep * invcm_to_radians_per_fs)
        stretch = 1.0 / np.cos(half)
        samples = None if self.samples is None else self.samples[..., inside] * stretch
        density = self.density[:, inside] * stretch
        return replace(self, frequency=frequency, density=density, samples=samples)


class _BlockAverages:
    """Running mean over pieces, with the means of blocks of neighbouring pieces kept."""

    def __init__(self, n_pieces: int, n_groups: int, n_frequencies: int) -> None:
        affordable = SAMPLE_BUDGET // (n_groups * n_frequencies)
        n_blocks = min(n_pieces, MAX_BLOCKS, max(affordable, 8))
        self.per_block = math.ceil(n_pieces / n_blocks)
        self.n_pieces = n_pieces
        shape = (math.ceil(n_pieces / self.per_block), n_groups, n_frequencies)
        self._sums: Array = np.zeros(shape)

    def add(self, piece: int, density: Array) -> None:
        self._sums[piece // self.per_block] += density

    @property
    def mean(self) -> Array:
        total: Array = self._sums.sum(axis=0) / self.n_pieces
        return total

    def samples(self, neighbour_correlation: float = 0.0) -> Array | None:
        """Block means (n_blocks, n_groups, n_frequencies), their scatter set for correlation.

        Overlapping neighbours share data, so plain scatter would understate the error of the mean;
        it is stretched about the mean by the amount that Welch's correlation implies.
        """
        full = self.n_pieces // self.per_block
        if full < 2:
            return None
        blocks = self._sums[:full] / self.per_block
        rho = neighbour_correlation
        rho = rho / (self.per_block + 2.0 * rho * (self.per_block - 1))
        variance = (1.0 + 2.0 * rho * (full - 1) / full) / (1.0 - 2.0 * rho / full)
        centre = blocks.mean(axis=0)
        stretched: Array = centre + (blocks - centre) * math.sqrt(variance)
        return stretched


def spectral_density(
    stream: ComponentStream,
    *,
    estimator: str = "segments",
    window: str = "hann",
    depth: int | None = None,
    resolution: float | None = None,
) -> SpectralDensity:
    """The spectral density of a stream by the named estimator.

    Parameters
    ----------
    stream : ComponentStream
    estimator : {"segments", "lag"}
    window : {"hann", "blackman", "gaussian", "none"}
    depth : int, optional
        Frames in a segment, or lags of the correlation function.
    resolution : float, optional
        Instead of ``depth``: full width at half maximum of a sharp line, cm⁻¹. Without either,
        10 cm⁻¹, or as much more as it takes to leave an error bar.

    Raises
    ------
    DataError
        Unknown names, or runs too short for what was asked.
    """
    if estimator not in ("segments", "lag"):
        raise DataError(f"unknown estimator {estimator!r}; allowed are 'segments' and 'lag'")
    depth = _checked_depth(stream, estimator, window, depth, resolution)
    estimate = _segment_density if estimator == "segments" else _lag_density
    frequency, averages, neighbour_correlation = estimate(stream, window, depth)
    keep = frequency <= stream.highest_frequency * (1.0 + 1e-12)
    transfer = stream.transfer_correction(frequency[keep])
    samples = averages.samples(neighbour_correlation)
    return SpectralDensity(
        frequency=frequency[keep],
        density=averages.mean[:, keep] * transfer,
        samples=None if samples is None else samples[..., keep] * transfer,
        fwhm=window_fwhm(window, depth, stream.timestep, estimator),
        estimator=estimator,
        window=window,
        depth=depth,
        n_pieces=averages.n_pieces,
        n_runs=stream.n_runs,
        n_frames=stream.n_frames,
        nyquist=0.5 * reciprocal_fs_to_invcm / stream.timestep,
    )


def _checked_depth(
    stream: ComponentStream,
    estimator: str,
    window: str,
    depth: int | None,
    resolution: float | None,
) -> int:
    if depth is not None and resolution is not None:
        raise DataError("give either depth (frames) or resolution (cm^-1), not both")
    longest = stream.n_frames
    if depth is None:
        wanted = DEFAULT_RESOLUTION if resolution is None else resolution
        depth = depth_for_resolution(window, wanted, stream.timestep, estimator)
        if resolution is None:
            depth = min(depth, _default_longest(stream, estimator))
        elif depth > longest:
            finest = window_fwhm(window, longest, stream.timestep, estimator)
            raise DataError(
                f"a resolution of {resolution:g} cm^-1 needs {depth} frames in one run, there are "
                f"{longest}; ask for {finest:.3g} cm^-1 or more, or run longer"
            )
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer):
        raise DataError(f"depth must be a whole number of frames, not {depth!r}")
    if longest < depth <= stream.series.n_frames:
        # a whole run was meant; differences are a frame or two shorter
        depth = longest
    if not 4 <= depth <= longest:
        raise DataError(
            f"depth is {depth} frames; allowed are 4 to {longest}, the length of one run"
        )
    return int(depth)


def _default_longest(stream: ComponentStream, estimator: str) -> int:
    """Greatest depth taken unasked: one that still leaves an error bar, or well-known lags."""
    if estimator == "lag":
        share = stream.n_frames // 2
    else:
        # a fifth makes nine half-overlapping segments; runs bring their own independence
        share = stream.n_frames if stream.n_runs > 1 else stream.n_frames // 5
    return max(share, 4)


def _wavenumbers(n_fft: int, timestep: float) -> Array:
    """Wavenumbers of a real transform of n_fft points, cm⁻¹ (n_fft // 2 + 1,)."""
    step = reciprocal_fs_to_invcm / (n_fft * timestep)
    return np.arange(n_fft // 2 + 1, dtype=np.float64) * step


def _segment_density(
    stream: ComponentStream, window: str, depth: int
) -> tuple[Array, _BlockAverages, float]:
    """Averaged periodograms of tapered segments, half overlapping unless there is no taper."""
    weights = taper(window, depth)
    hop = depth if window == "none" else max(depth // 2, 1)
    n_segments = 1 + (stream.n_frames - depth) // hop
    n_fft = int(fft.next_fast_len(2 * depth, real=True))
    frequency = _wavenumbers(n_fft, stream.timestep)
    scale = stream.timestep / float(np.sum(weights**2))

    independent_runs = stream.n_runs > 1
    n_pieces = stream.n_runs if independent_runs else n_segments
    averages = _BlockAverages(n_pieces, stream.n_groups, len(frequency))
    batch = max(1, BATCH_BUDGET // (n_fft * stream.n_components))
    for run in range(stream.n_runs):
        for first in range(0, n_segments, batch):
            count = min(batch, n_segments - first)
            start = first * hop
            values = stream.read(run, start, start + (count - 1) * hop + depth)
            segments = np.lib.stride_tricks.sliding_window_view(values, depth, axis=1)[:, ::hop]
            spectra = fft.rfft(segments * weights, n=n_fft, axis=-1)
            periodograms = stream.pair(spectra, spectra).real * scale
            for k in range(count):
                piece = run if independent_runs else first + k
                share = n_segments if independent_runs else 1
                averages.add(piece, periodograms[:, k] / share)
    correlated = 0.0 if independent_runs else overlap_correlation(weights, hop)
    return frequency, averages, correlated


def _lag_density(
    stream: ComponentStream, window: str, depth: int
) -> tuple[Array, _BlockAverages, float]:
    """Transform of the windowed correlation function, padded fourfold and mirrored."""
    n_fft = 8 * depth
    frequency = _wavenumbers(n_fft, stream.timestep)
    weights = lag_window(window, depth)
    averages = _BlockAverages(stream.n_runs, stream.n_groups, len(frequency))
    for run in range(stream.n_runs):
        correlation = autocorrelation(stream, run, depth)
        # the correlation function is even in time: its transform is a real cosine sum
        spectrum = fft.hfft(correlation * weights, n=n_fft, axis=-1)
        averages.add(run, stream.timestep * spectrum[:, : len(frequency)])
    return frequency, averages, 0.0


def autocorrelation(stream: ComponentStream, run: int, n_lags: int) -> Array:
    """⟨A(0)A(t)⟩ of one run at lags 0 … n_lags−1, each mean over all pairs (n_groups, n_lags).

    Summed over stretches of frames: within a stretch by FFT, zero-padded so that nothing wraps.
    """
    n_frames = stream.n_frames
    stretch = max(n_lags, BATCH_BUDGET // (2 * stream.n_components))
    sums: Array = np.zeros((stream.n_groups, n_lags))
    for start in range(0, n_frames, stretch):
        stop = min(start + stretch, n_frames)
        right = stream.read(run, start, min(stop + n_lags - 1, n_frames))
        left = right[:, : stop - start]
        n_fft = int(fft.next_fast_len((stop - start) + n_lags, real=True))
        n_fft = max(n_fft, int(fft.next_fast_len(right.shape[1], real=True)))
        product = stream.pair(fft.rfft(left, n=n_fft), fft.rfft(right, n=n_fft))
        sums += fft.irfft(product, n=n_fft)[:, :n_lags]
    return sums / (n_frames - np.arange(n_lags))
