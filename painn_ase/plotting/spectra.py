"""Spectra, harmonic sticks, and experiments laid over them."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from painn_ase.errors import DataError
from painn_ase.plotting.curves import smooth_curve
from painn_ase.spectra import Spectrum, load_spectrum
from painn_ase.spectra.foreign import as_absorbance
from painn_ase.spectra.shown import shown_range

__all__ = [
    "Direction",
    "new_figure",
    "plot_experiment",
    "plot_spectrum",
    "plot_sticks",
    "plot_transmittance",
]

Array = NDArray[np.float64]
Direction = Literal["ascending", "descending"]

#: dark blue, vermilion, black, green: distinct for the colour-blind and in print
COLOURS = {"simulation": "#0b4f8a", "sticks": "#d1495b", "experiment": "#222222"}

_UNIT_LABELS = {
    "km/mol/cm^-1": "IR absorption\n/ km mol$^{-1}$ cm",
    "cm^2": "IR cross section\n/ cm$^2$",
    "cm^-1": r"$n(\tilde\nu)\,\alpha(\tilde\nu)$ / cm$^{-1}$",
    "1e-40 m^2/sr/cm^-1": "Raman cross section\n/ 10$^{-40}$ m$^2$ sr$^{-1}$ cm",
    "angstrom^4/amu/cm^-1": "Raman activity\n/ Å$^4$ amu$^{-1}$ cm",
    "modes/cm^-1": "density of states\n/ modes cm",
}
#: the longest stick, as a share of the height above the baseline
_LONGEST_STICK = 0.45
#: height of a line of unit area and unit width
_PEAK_OF_UNIT_LINE = {"gaussian": 2.0 * np.sqrt(np.log(2.0) / np.pi), "lorentzian": 2.0 / np.pi}


def new_figure(
    n_panels: int = 1, width: float = 6.4, panel_height: float = 2.9
) -> tuple[Figure, list[Axes]]:
    """A figure of panels one above the other, made without pyplot, and its Axes."""
    figure = Figure(figsize=(width, panel_height * n_panels), layout="constrained")
    axes = figure.subplots(n_panels, 1, squeeze=False)[:, 0]
    return figure, list(axes)


def plot_spectrum(
    ax: Axes,
    spectrum: Spectrum,
    *,
    label: str | None = None,
    color: str = COLOURS["simulation"],
    range_invcm: tuple[float, float] | None = None,
    direction: Direction = "ascending",
    error_band: bool = True,
    scale: float = 1.0,
) -> Axes:
    """A spectrum as a line, with a band of two standard errors to either side.

    Parameters
    ----------
    ax : Axes
    spectrum : Spectrum
    label : str, optional
        For the legend; call ``ax.legend()`` when all is drawn.
    range_invcm : (float, float), optional
        Lowest and highest wavenumber shown; by default where there is intensity.
    direction : {"ascending", "descending"}
        "descending" puts high wavenumbers on the left, as infrared spectroscopists do.
    error_band : bool
    scale : float
        Multiplies what is drawn, for comparison with another scale.
    """
    low, high = range_invcm if range_invcm is not None else shown_range(spectrum)
    low, high = sorted((float(low), float(high)))
    first = not ax.get_lines()
    frequency, intensity, error = smooth_curve(spectrum, low, high)
    intensity = intensity * scale
    top = _height(intensity)
    if error_band and error is not None:
        half = 2.0 * error * abs(scale)
        # a wild error bar may leave the panel; it must not flatten the spectrum
        top = min(_height(intensity + half), 1.5 * top)
        ax.fill_between(
            frequency, intensity - half, intensity + half, color=color, alpha=0.22, linewidth=0
        )
    ax.plot(frequency, intensity, color=color, linewidth=1.1, label=label)
    ax.set_ylabel(_UNIT_LABELS.get(spectrum.unit, f"{spectrum.quantity} / {spectrum.unit}"))
    _dress(ax, (low, high), direction)
    _make_room(ax, float(intensity.min()), top, first=first)
    return ax


def _height(intensity: Array) -> float:
    """The highest value, leaving out a wing that falls from the low edge where a band stands."""
    rise = int(np.argmax(np.diff(intensity) >= 0.0)) if len(intensity) > 1 else 0
    bands = intensity[rise:]
    falls_throughout = rise == 0 or bands.size < 2
    return float(intensity.max() if falls_throughout else max(bands.max(), 0.1 * intensity.max()))


def plot_sticks(
    ax: Axes,
    sticks: ArrayLike,
    *,
    fwhm: float | None = None,
    line_shape: str = "gaussian",
    label: str | None = "harmonic",
    color: str = COLOURS["sticks"],
) -> Axes:
    """Harmonic lines (n_modes, 2) hanging from the baseline of a spectrum already drawn, last.

    With ``fwhm``, cm⁻¹, and areas in the spectrum's unit times cm⁻¹, as
    :func:`painn_ase.spectra.harmonic_lines` gives them, a stick is as long as a line of its area is
    high in that spectrum; sticks too long for the panel are all divided by a number that the legend
    states. Without ``fwhm`` the tallest fills the strip, and the legend says "relative".
    """
    values = np.asarray(sticks, dtype=np.float64).reshape(-1, 2)
    low, high = sorted(ax.get_xlim())
    inside = values[(values[:, 0] >= low) & (values[:, 0] <= high)]
    tallest = float(inside[:, 1].max(initial=0.0))
    top = ax.get_ylim()[1]
    if tallest <= 0.0 or top <= 0.0:
        return ax
    longest = _LONGEST_STICK * top
    if fwhm is None:
        length, remark = longest / tallest, "relative"
    else:
        if line_shape not in _PEAK_OF_UNIT_LINE:
            known = ", ".join(_PEAK_OF_UNIT_LINE)
            raise DataError(f"unknown line shape {line_shape!r}; allowed are {known}")
        length = _PEAK_OF_UNIT_LINE[line_shape] / fwhm
        divisor = _round_up(length * tallest / longest)
        length, remark = length / divisor, f"÷ {divisor:g}" if divisor > 1 else ""
    text = f"{label} ({remark})" if label and remark else label or ""
    depths = length * inside[:, 1]
    ax.vlines(inside[:, 0], -depths, 0.0, color=color, linewidth=1.5, label=text)
    ax.axhline(0.0, color="#999999", linewidth=0.6, zorder=0.5)
    ax.set_ylim(-1.08 * max(float(depths.max()), 0.1 * top), top)
    # the sticks' own numbers are areas
    ax.set_yticks([tick for tick in ax.get_yticks() if 0.0 <= tick <= top])
    return ax


def _round_up(ratio: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, … that is not below a ratio."""
    if ratio <= 1.0:
        return 1.0
    decade = 10.0 ** np.floor(np.log10(ratio))
    return float(next(m * decade for m in (1.0, 2.0, 5.0, 10.0) if m * decade >= ratio * 0.999))


def plot_experiment(
    ax: Axes,
    experiment: Spectrum | str | os.PathLike[str],
    *,
    match: Spectrum | None = None,
    label: str | None = "experiment",
    color: str = COLOURS["experiment"],
) -> Axes:
    """An experimental spectrum over what is drawn, from a Spectrum or a JCAMP-DX or CSV file.

    With ``match`` it is scaled to that spectrum's area within the panel's range, and the legend
    says so; without, it is drawn as it is. Transmittance is turned into absorbance first.
    """
    given = experiment if isinstance(experiment, Spectrum) else load_spectrum(experiment)
    low, high = sorted(ax.get_xlim())
    part = as_absorbance(given).cropped(low, high)
    scale = 1.0
    if match is not None:
        ours = match.cropped(part.frequency[0], part.frequency[-1]).band_area().value
        theirs = part.band_area().value
        if theirs <= 0.0:
            raise DataError("the experiment has no area in the range shown; it cannot be scaled")
        scale = ours / theirs
        label = None if label is None else f"{label} (scaled)"
    drawn = part.intensity * scale
    ax.plot(part.frequency, drawn, color=color, linewidth=0.9, label=label, zorder=1.8)
    low_y, high_y = ax.get_ylim()
    ax.set_ylim(low_y, max(high_y, 1.05 * float(drawn.max())))
    return ax


def plot_transmittance(
    ax: Axes,
    spectrum: Spectrum,
    *,
    strongest: float = 0.9,
    label: str | None = None,
    color: str = COLOURS["simulation"],
    range_invcm: tuple[float, float] | None = None,
    direction: Direction = "descending",
) -> Axes:
    """An absorption spectrum as percent transmittance, as a spectrometer's printout.

    The column is chosen so that the strongest band absorbs the share ``strongest``
    (Lambert–Beer: T = e^−kI).
    """
    if not 0.0 < strongest < 1.0:
        raise DataError(f"strongest is a share between 0 and 1, not {strongest!r}")
    low, high = range_invcm if range_invcm is not None else shown_range(spectrum)
    frequency, intensity, _ = smooth_curve(spectrum, low, high)
    top = float(intensity.max())
    if top <= 0.0:
        raise DataError("the spectrum has no positive intensity in the range shown")
    column = -np.log(1.0 - strongest) / top
    ax.plot(
        frequency,
        100.0 * np.exp(-column * intensity),
        color=color,
        linewidth=1.1,
        label=label,
    )
    ax.set_ylim(0.0, 105.0)
    ax.set_ylabel("transmittance / %")
    _dress(ax, (low, high), direction)
    return ax


def _make_room(ax: Axes, lowest: float, highest: float, first: bool) -> None:
    """Let the vertical axis reach from zero, or the lowest value, to above the highest."""
    old_low, old_high = (0.0, 0.0) if first else ax.get_ylim()
    high = max(old_high, 1.08 * highest)
    # noise about zero is no reason to open the axis downwards
    low = min(old_low, 1.08 * lowest if lowest < -0.02 * high else 0.0)
    if high > low:
        ax.set_ylim(low, high)


def _dress(ax: Axes, limits: tuple[float, float], direction: Direction) -> None:
    if direction not in ("ascending", "descending"):
        raise DataError(f"unknown direction {direction!r}; allowed are 'ascending', 'descending'")
    ax.set_xlim(*(limits if direction == "ascending" else limits[::-1]))
    ax.set_xlabel("wavenumber / cm$^{-1}$")
    ax.spines[["top", "right"]].set_visible(False)
    ax.minorticks_on()
    ax.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=True)
    ax.tick_params(axis="y", which="minor", left=False)
