"""The Spectrum record: intensity over wavenumber with its error, units, width and history.

Spectra are values: every operation gives a new one and writes a line of its history. Reading and
writing files is in ``files`` and ``jcamp``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from painn_ase.errors import DataError
from painn_ase.spectra.integral import integral

__all__ = ["BandArea", "Peak", "Spectrum"]

Array = NDArray[np.float64]


class BandArea(NamedTuple):
    """Integral of a spectrum over a band, with its standard error (None where unknown)."""

    value: float
    error: float | None


class Peak(NamedTuple):
    """A maximum of a spectrum: position and apparent width in cm⁻¹, height in its unit."""

    frequency: float
    intensity: float
    fwhm: float


def _frozen(values: ArrayLike, name: str) -> Array:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} of a spectrum is not an array of numbers: {error}") from error
    if not np.isfinite(array).all():
        raise DataError(f"{name} of a spectrum holds NaN or infinite values")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Intensity over wavenumber.

    Attributes
    ----------
    frequency : ndarray (n,)
        Wavenumbers in cm⁻¹, strictly ascending; the spacing may vary.
    intensity : ndarray (n,)
        In ``unit``.
    error : ndarray (n,) or None
        Standard error of each intensity.
    samples : ndarray (n_samples, n) or None
        Spectra of independent pieces; they give band areas and ratios their errors.
    unit : str
        Of the intensity.
    quantity : str
        What it is, e.g. ``"molar absorption"``.
    fwhm : float or None
        Full width at half maximum of a sharp line, cm⁻¹.
    provenance : mapping of str to str, float or int
        How it was made: temperature, estimator, …
    history : tuple of str
        What was done to it since, in order.
    """

    frequency: Array
    intensity: Array
    error: Array | None = None
    samples: Array | None = None
    unit: str = "arbitrary"
    quantity: str = "intensity"
    fwhm: float | None = None
    provenance: Mapping[str, str | float | int] = field(default_factory=dict)
    history: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        frequency = _frozen(self.frequency, "frequency")
        if frequency.ndim != 1 or len(frequency) < 2 or np.any(np.diff(frequency) <= 0.0):
            raise DataError(
                f"frequency has shape {frequency.shape}; a spectrum needs at least two strictly "
                "ascending wavenumbers"
            )
        object.__setattr__(self, "frequency", frequency)
        for name in ("intensity", "error", "samples"):
            given = getattr(self, name)
            if given is None and name != "intensity":
                continue
            array = _frozen(given, name)
            if array.shape[-1:] != frequency.shape or array.ndim != (2 if name == "samples" else 1):
                raise DataError(
                    f"{name} has shape {array.shape}, which does not fit {len(frequency)} "
                    "frequencies"
                )
            object.__setattr__(self, name, array)
        object.__setattr__(self, "provenance", dict(self.provenance))

    def __len__(self) -> int:
        return len(self.frequency)

    @classmethod
    def from_samples(
        cls, frequency: Array, intensity: Array, samples: Array | None, **facts: object
    ) -> Spectrum:
        """A spectrum whose standard errors are those of the mean over ``samples``."""
        if samples is None or len(samples) < 2:
            return cls(frequency, intensity, **facts)  # type: ignore[arg-type]
        error = samples.std(axis=0, ddof=1) / math.sqrt(len(samples))
        return cls(frequency, intensity, error, samples, **facts)  # type: ignore[arg-type]

    # ------------------------------------------------------------------ measures

    def band_area(self, low: float | None = None, high: float | None = None) -> BandArea:
        """Integral of the intensity from ``low`` to ``high`` cm⁻¹, with its standard error.

        The error is that of the mean over the samples. Without samples it is the upper bound for
        fully correlated errors, ∫ error dν̃; without errors it is None.
        """
        band = self.cropped(low, high)
        value = float(integral(band.intensity, band.frequency))
        if band.samples is not None:
            areas = integral(band.samples, band.frequency)
            return BandArea(value, float(np.std(areas, ddof=1) / math.sqrt(len(areas))))
        if band.error is not None:
            return BandArea(value, float(integral(band.error, band.frequency)))
        return BandArea(value, None)

    def peaks(self, threshold: float = 0.01, prominence: float | None = None) -> tuple[Peak, ...]:
        """The maxima, ascending in wavenumber.

        Parameters
        ----------
        threshold : float
            Lowest height, as a share of the highest intensity.
        prominence : float, optional
            Lowest rise above the saddle to a higher neighbour, as a share of the highest
            intensity; by default half the threshold.
        """
        from scipy.signal import find_peaks, peak_widths  # slow to load

        top = float(np.max(self.intensity))
        if top <= 0.0:
            return ()
        rise = 0.5 * threshold if prominence is None else prominence
        places, _ = find_peaks(self.intensity, height=threshold * top, prominence=rise * top)
        if not len(places):
            return ()
        _, _, left, right = peak_widths(self.intensity, places, rel_height=0.5)
        index = np.arange(len(self))
        low = np.interp(left, index, self.frequency)
        high = np.interp(right, index, self.frequency)
        return tuple(
            Peak(*self._summit(int(k)), fwhm=float(b - a))
            for k, a, b in zip(places, low, high, strict=True)
        )

    def _summit(self, k: int) -> tuple[float, float]:
        """Position and height of the parabola through point k and its neighbours."""
        x, y = self.frequency[k - 1 : k + 2], self.intensity[k - 1 : k + 2]
        a, b, c = np.polyfit(x - x[1], y, 2)
        if a >= 0.0:
            return float(x[1]), float(y[1])
        return float(x[1] - 0.5 * b / a), float(c - 0.25 * b * b / a)

    # ------------------------------------------------------------------ new spectra

    def _with(self, step: str, **changes: object) -> Spectrum:
        return replace(self, history=(*self.history, step), **changes)  # type: ignore[arg-type]

    def cropped(self, low: float | None = None, high: float | None = None) -> Spectrum:
        """The part from ``low`` to ``high`` cm⁻¹, the ends interpolated to stand exactly there."""
        first, last = float(self.frequency[0]), float(self.frequency[-1])
        low = first if low is None else max(float(low), first)
        high = last if high is None else min(float(high), last)
        if not low < high:
            raise DataError(
                f"the band from {low:g} to {high:g} cm^-1 is empty; this spectrum covers "
                f"{first:g} to {last:g} cm^-1"
            )
        inside = self.frequency[(self.frequency > low) & (self.frequency < high)]
        return self._on(np.concatenate(([low], inside, [high])), f"cropped to {low:g}-{high:g}")

    def interpolated(self, frequency: ArrayLike) -> Spectrum:
        """The spectrum at other wavenumbers (m,) within its range, by straight lines."""
        grid = _frozen(frequency, "frequency")
        if grid.size and (grid.min() < self.frequency[0] or grid.max() > self.frequency[-1]):
            raise DataError(
                f"cannot extrapolate: the spectrum covers {self.frequency[0]:g} to "
                f"{self.frequency[-1]:g} cm^-1, asked for {grid.min():g} to {grid.max():g}"
            )
        return self._on(grid, f"interpolated to {grid.size} wavenumbers")

    def _on(self, grid: Array, step: str) -> Spectrum:
        def at(values: Array) -> Array:
            return np.interp(grid, self.frequency, values)

        error = None if self.error is None else at(self.error)
        samples = None if self.samples is None else np.stack([at(s) for s in self.samples])
        return self._with(
            step, frequency=grid, intensity=at(self.intensity), error=error, samples=samples
        )

    def broadened(self, fwhm: float, shape: str = "gaussian") -> Spectrum:
        """The spectrum convolved with a line of unit area and full width ``fwhm`` cm⁻¹.

        ``shape`` is "gaussian" or "lorentzian". The stated width adds in quadrature for Gaussians,
        linearly for Lorentzians. Band areas stay, but for what leaves at the ends of the range.
        Without samples the errors are taken as fully correlated, an upper bound.
        """
        if shape not in ("gaussian", "lorentzian"):
            raise DataError(f"unknown line shape {shape!r}; allowed are 'gaussian', 'lorentzian'")
        if not (math.isfinite(fwhm) and fwhm > 0.0):
            raise DataError(f"fwhm must be a positive width in cm^-1, not {fwhm!r}")
        step = float(np.min(np.diff(self.frequency)))
        span = float(self.frequency[-1] - self.frequency[0])
        n_points = math.ceil(span / step - 1e-6) + 1
        from scipy.signal import fftconvolve  # slow to load

        if n_points > 4_000_000:
            raise DataError("the wavenumbers are spaced too unevenly; use interpolated() first")
        uniform = self.interpolated(np.linspace(self.frequency[0], self.frequency[-1], n_points))
        offset = span / (n_points - 1) * np.arange(-n_points, n_points + 1)
        if shape == "gaussian":
            kernel = np.exp(-4.0 * math.log(2.0) * (offset / fwhm) ** 2)
        else:
            kernel = 1.0 / (1.0 + (2.0 * offset / fwhm) ** 2)
        kernel /= kernel.sum()

        def smooth(values: Array) -> Array:
            full = fftconvolve(values, kernel if values.ndim == 1 else kernel[None], axes=-1)
            return np.asarray(full[..., n_points : 2 * n_points])

        old = self.fwhm or 0.0
        width = math.hypot(old, fwhm) if shape == "gaussian" else old + fwhm
        samples = None if uniform.samples is None else smooth(uniform.samples)
        error = None if uniform.error is None else smooth(uniform.error)
        if samples is not None:
            error = samples.std(axis=0, ddof=1) / math.sqrt(len(samples))
        return replace(
            self,
            frequency=uniform.frequency,
            intensity=smooth(uniform.intensity),
            error=error,
            samples=samples,
            fwhm=width,
            history=(*self.history, f"broadened by a {shape} of {fwhm:g} cm^-1"),
        )

    def scaled_frequencies(self, factor: float) -> Spectrum:
        """The spectrum with every wavenumber times ``factor``, band areas kept."""
        if not (math.isfinite(factor) and factor > 0.0):
            raise DataError(f"a frequency scale factor must be positive, not {factor!r}")
        return (self / factor)._with(
            f"frequencies times {factor:g}",
            frequency=self.frequency * factor,
            fwhm=None if self.fwhm is None else self.fwhm * factor,
        )

    def shifted(self, shift: float) -> Spectrum:
        """The spectrum with ``shift`` cm⁻¹ added to every wavenumber; what falls below 0 is cut."""
        if not math.isfinite(shift):
            raise DataError(f"a shift must be a finite number of cm^-1, not {shift!r}")
        moved = self._with(
            f"frequencies shifted by {shift:+g} cm^-1", frequency=self.frequency + shift
        )
        if moved.frequency[-1] <= 0.0:
            raise DataError(f"a shift of {shift:g} cm^-1 moves the whole spectrum below zero")
        if self.frequency[0] >= 0.0 > moved.frequency[0]:
            return replace(moved.cropped(0.0), history=moved.history)
        return moved

    # ------------------------------------------------------------------ arithmetic

    def __mul__(self, factor: float | Spectrum) -> Spectrum:
        if isinstance(factor, Spectrum):
            return NotImplemented
        factor = float(factor)
        return self._with(
            f"times {factor:.10g}",
            intensity=self.intensity * factor,
            error=None if self.error is None else self.error * abs(factor),
            samples=None if self.samples is None else self.samples * factor,
        )

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Spectrum) -> Spectrum:
        if isinstance(divisor, Spectrum):
            return NotImplemented
        if float(divisor) == 0.0:
            raise DataError("a spectrum cannot be divided by zero")
        return self * (1.0 / float(divisor))

    def __neg__(self) -> Spectrum:
        return self * -1.0

    def __add__(self, other: Spectrum) -> Spectrum:
        """The sum of two spectra of one unit on one grid, their errors taken as independent."""
        if not isinstance(other, Spectrum):
            return NotImplemented
        if self.unit != other.unit:
            raise DataError(f"cannot add a spectrum in {other.unit!r} to one in {self.unit!r}")
        if not np.array_equal(self.frequency, other.frequency):
            raise DataError(
                "the two spectra stand on different wavenumbers; bring one to the other's with "
                "interpolated()"
            )
        error = None
        if self.error is not None and other.error is not None:
            error = np.hypot(self.error, other.error)
        widths = [w for w in (self.fwhm, other.fwhm) if w is not None]
        return self._with(
            f"plus {other.quantity}",
            intensity=self.intensity + other.intensity,
            error=error,
            samples=None,
            fwhm=max(widths, default=None),
        )

    def __sub__(self, other: Spectrum) -> Spectrum:
        """The difference of two spectra of one unit on one grid, errors as for the sum."""
        if not isinstance(other, Spectrum):
            return NotImplemented
        return self + (-other)

    # ------------------------------------------------------------------ files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to ``path``: .csv, .npz (with the samples) or .jdx/.dx/.jcamp by its suffix."""
        from painn_ase.spectra.files import save_spectrum

        save_spectrum(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Spectrum:
        """Read a spectrum: ours or an experiment's .csv/.txt, .npz, .jdx/.dx/.jcamp."""
        from painn_ase.spectra.files import load_spectrum

        return load_spectrum(path)
