"""Window shapes, their widths in wavenumbers, and the depth that gives a wished resolution.

One shape function of the distance u in [0, 1] from the centre serves both estimators: as a taper
over a segment and as a weight over the lags of a correlation function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from painn_ase.errors import DataError

__all__ = [
    "WINDOWS",
    "Estimator",
    "Window",
    "depth_for_resolution",
    "lag_window",
    "overlap_correlation",
    "taper",
    "window_fwhm",
]

Window = Literal["hann", "blackman", "gaussian", "none"]
Estimator = Literal["segments", "lag"]
Array = NDArray[np.float64]

#: 1/(c · 1 fs) in cm⁻¹: the reciprocal of a time in femtoseconds as a wavenumber
reciprocal_fs_to_invcm: float = 1e15 / (100.0 * constants.c)


def _hann(u: Array) -> Array:
    return np.cos(0.5 * math.pi * u) ** 2


def _blackman(u: Array) -> Array:
    return 0.42 + 0.5 * np.cos(math.pi * u) + 0.08 * np.cos(2.0 * math.pi * u)


def _gaussian(u: Array) -> Array:
    # four standard deviations to the edge: the step there is 3e-4, below any other leakage
    return np.exp(-8.0 * u * u)


def _none(u: Array) -> Array:
    return np.ones_like(u)


#: shape of each window as a function of the distance from its centre, 1 at u = 0
WINDOWS: dict[str, Callable[[Array], Array]] = {
    "hann": _hann,
    "blackman": _blackman,
    "gaussian": _gaussian,
    "none": _none,
}


def _shape(window: str) -> Callable[[Array], Array]:
    if window not in WINDOWS:
        raise DataError(f"unknown window {window!r}; allowed are {', '.join(WINDOWS)}")
    return WINDOWS[window]


def taper(window: str, depth: int) -> Array:
    """Weights over the frames of one segment, symmetric (depth,).

    The samples sit half a step inside the edges, so that no frame has weight zero.
    """
    u = np.abs((2.0 * np.arange(depth) + 1.0) / depth - 1.0)
    return _shape(window)(u)


def lag_window(window: str, depth: int) -> Array:
    """Weights over the lags 0 … depth−1 of a correlation function, 1 at lag zero (depth,)."""
    return _shape(window)(np.arange(depth) / max(depth - 1, 1))


def overlap_correlation(weights: Array, hop: int) -> float:
    """Correlation of the periodograms of neighbouring, overlapping segments of a noise-like series.

    Welch, IEEE Trans. Audio Electroacoust. 15, 70 (1967): (Σ w_k w_{k+hop})² / (Σ w_k²)².
    """
    if hop >= len(weights):
        return 0.0
    return float(np.sum(weights[hop:] * weights[:-hop]) ** 2 / np.sum(weights**2) ** 2)


@lru_cache(maxsize=16)
def _width_times_depth(window: str, estimator: str) -> float:
    """Full width at half maximum of a window's line shape, in units of 1/T.

    T is the length of the segment, or the longest lag. The line shape is the transform of the lag
    window, or the squared transform of the taper.
    """
    from scipy.integrate import simpson
    from scipy.optimize import brentq  # slow to load

    u = np.linspace(0.0, 1.0, 4001)
    weights = _shape(window)(u)
    reach, power = (1.0, 1) if estimator == "lag" else (0.5, 2)

    def above_half(frequency: float) -> float:
        line = simpson(weights * np.cos(2.0 * math.pi * frequency * reach * u), x=u)
        return float((line / simpson(weights, x=u)) ** power - 0.5)

    steps = np.arange(0.02, 20.0, 0.02)
    beyond = next(f for f in steps if above_half(f) < 0.0)
    return 2.0 * float(brentq(above_half, beyond - 0.02, beyond, xtol=1e-12))


def window_fwhm(window: str, depth: int, timestep: float, estimator: str) -> float:
    """Full width at half maximum, in cm⁻¹, that a sharp line gets from the window.

    A Hann lag window of length T gives 33356/T[fs] cm⁻¹; a Hann taper 1.44 times that.
    """
    n_steps = depth - 1 if estimator == "lag" else depth
    scale = _width_times_depth(window, estimator)
    return scale * reciprocal_fs_to_invcm / (max(n_steps, 1) * timestep)


def depth_for_resolution(window: str, resolution: float, timestep: float, estimator: str) -> int:
    """Smallest number of frames whose window is at most ``resolution`` cm⁻¹ wide (FWHM)."""
    if not (math.isfinite(resolution) and resolution > 0.0):
        raise DataError(f"resolution must be a positive width in cm^-1, not {resolution!r}")
    steps = _width_times_depth(window, estimator) * reciprocal_fs_to_invcm / (resolution * timestep)
    return math.ceil(steps - 1e-9) + (1 if estimator == "lag" else 0)
