"""A whole picture of spectra: panels one above the other that share one axis of wavenumbers."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from painn_ase.errors import DataError
from painn_ase.plotting.curves import caption, common_range, curve_label
from painn_ase.plotting.spectra import (
    Direction,
    new_figure,
    plot_experiment,
    plot_spectrum,
    plot_sticks,
    plot_transmittance,
)
from painn_ase.spectra import Spectrum
from painn_ase.spectra.shown import edge_of_zero

__all__ = ["STYLES", "Panel", "Style", "draw_panels", "label_peaks"]

#: colours of several spectra in one panel, told apart by readers who see fewer colours too
COLOURS = ("#0b4f8a", "#2e8b57", "#8a5a00", "#6a4c93", "#1b9aaa", "#555555")
#: units without a scale of their own: their curves are brought to one height
_WITHOUT_SCALE = ("arbitrary", "normalised")
#: a legend of more entries stands above the panel
_INSIDE = 3
#: points of the caption's letters, and inches of its lines
_CAPTION_FONT, _CAPTION_LINE = 6.5, 0.11
#: letters of the caption, and the width of an upright label, as a share of a panel's
_LETTERS_AN_INCH, _LABEL_WIDTH = 20, 0.022


@dataclass(frozen=True)
class _Look:
    """Sizes of a picture: inches, points, and a factor on the width of lines."""

    width: float
    panel_height: float
    font: float
    lines: float
    caption: bool

    @property
    def legend_line(self) -> float:
        """Height of a line of a legend, inches."""
        return 0.019 * self.font

    @property
    def axes_height(self) -> float:
        """Height of a panel without its labels, inches."""
        return self.panel_height - 0.07 * self.font


#: for a column or a page in print; for the last row of a lecture hall
STYLES: dict[str, _Look] = {
    "paper": _Look(width=6.8, panel_height=2.9, font=10.0, lines=1.0, caption=True),
    "talk": _Look(width=10.0, panel_height=3.6, font=16.0, lines=2.0, caption=False),
}
Style = Literal["paper", "talk"]


@dataclass(frozen=True)
class Panel:
    """What one panel shows.

    Attributes
    ----------
    curves : sequence of (Spectrum, str)
        Of one unit, with the name that the legend gives each.
    title : str
        Above the panel.
    sticks : ndarray (n, 2) or None
        Harmonic lines: wavenumber, area in the unit of the first curve times cm⁻¹; see
        :func:`painn_ase.spectra.harmonic_lines`.
    experiment : Spectrum, path or None
        Laid over and scaled to the first curve's area.
    """

    curves: Sequence[tuple[Spectrum, str]]
    title: str = ""
    sticks: NDArray[np.float64] | None = None
    experiment: Spectrum | str | os.PathLike[str] | None = None
    colours: Sequence[str] = field(default=COLOURS)


def draw_panels(
    panels: Sequence[Panel],
    *,
    limits: tuple[float | None, float | None] = (None, None),
    direction: Direction = "ascending",
    transmittance: bool = False,
    peaks: bool = False,
    style: Style = "paper",
) -> Figure:
    """Spectra in panels with one range and direction, a legend that names each curve, a caption.

    Parameters
    ----------
    panels : sequence of Panel
    limits : (float or None, float or None)
        Range shown, cm⁻¹; by default where any curve or stick of any panel can be seen.
    direction : {"ascending", "descending"}
    transmittance : bool
        Absorption as a spectrometer prints it.
    peaks : bool
        Write the wavenumbers of the bands beside them.
    style : {"paper", "talk"}
        ``talk`` has large letters and thick lines and leaves the caption to the speaker.

    Raises
    ------
    DataError
        An empty range, or transmittance of something that is no absorption or has an experiment.
    """
    if not panels or not all(p.curves for p in panels):
        raise DataError("there is nothing to draw: give every panel at least one spectrum")
    spectra = [s for p in panels for s, _ in p.curves]
    low, high = common_range(spectra, [p.sticks for p in panels if p.sticks is not None])
    low, high = (low if limits[0] is None else limits[0], high if limits[1] is None else limits[1])
    if not low < high:
        raise DataError(f"the range from {low:g} to {high:g} cm⁻¹ is empty.")
    most = max(len(p.curves) + (p.sticks is not None) + (p.experiment is not None) for p in panels)
    above = most if transmittance or most > _INSIDE else 0
    look = STYLES[style]
    with rc_context({"font.size": look.font}):
        height = look.panel_height + 0.016 * look.font * above
        figure, axes = new_figure(len(panels), width=look.width, panel_height=height)
        _fill(axes, panels, (low, high), direction, transmittance, peaks, look)
        if look.caption:
            n_lines = _write_caption(figure, [curve for p in panels for curve in p.curves])
            # small print takes room of its own, not the panels'
            figure.set_figheight(height * len(panels) + _CAPTION_LINE * n_lines)
    return figure


def _fill(
    axes: Sequence[Axes],
    panels: Sequence[Panel],
    limits: tuple[float, float],
    direction: Direction,
    transmittance: bool,
    peaks: bool,
    look: _Look,
) -> None:
    low, high = limits
    for ax, panel in zip(axes, panels, strict=True):
        inside = [
            (s, n) for s, n in panel.curves if s.frequency[0] < high and s.frequency[-1] > low
        ]
        if not inside:
            covered = ", ".join(
                f"{s.frequency[0]:g} to {s.frequency[-1]:g}" for s, _ in panel.curves
            )
            raise DataError(
                f"nothing lies between {low:g} and {high:g} cm⁻¹: the spectra cover {covered} cm⁻¹."
            )
        if transmittance:
            _draw_transmittance(ax, panel, inside, limits, direction)
        else:
            _draw_panel(ax, panel, inside, limits, direction, peaks)
        _thicken(ax, look.lines)
        _add_legend(ax, panel.title, look, inside=0 if transmittance else _INSIDE)
        if ax is not axes[-1]:
            ax.set_xlabel("")


def _thicken(ax: Axes, factor: float) -> None:
    """Every line of a panel this much thicker."""
    for line in ax.lines:
        line.set_linewidth(factor * line.get_linewidth())
    for sticks in (c for c in ax.collections if isinstance(c, LineCollection)):
        widths = np.atleast_1d(np.asarray(sticks.get_linewidth(), dtype=float))
        sticks.set_linewidth([factor * float(width) for width in widths])


def _draw_panel(
    ax: Axes,
    panel: Panel,
    curves: Sequence[tuple[Spectrum, str]],
    limits: tuple[float, float],
    direction: Direction,
    peaks: bool,
) -> None:
    alike = len(curves) > 1 and curves[0][0].unit in _WITHOUT_SCALE
    colours = [panel.colours[k % len(panel.colours)] for k in range(len(curves))]
    drawn = [_to_one_height(s, limits) if alike else s for s, _ in curves]
    for (spectrum, name), shown, colour in zip(curves, drawn, colours, strict=True):
        plot_spectrum(
            ax,
            shown,
            label=curve_label(spectrum, name),
            color=colour,
            range_invcm=limits,
            direction=direction,
        )
    first = curves[0][0]
    if alike:
        ax.set_ylabel("intensity, each curve\nto its highest band")
    if panel.experiment is not None:
        plot_experiment(ax, panel.experiment, match=drawn[0])
    if peaks:
        label_peaks(ax, drawn, colours=colours)
    if panel.sticks is not None:
        shape = str(first.provenance.get("line_shape", "gaussian"))
        plot_sticks(ax, panel.sticks, fwhm=first.fwhm, line_shape=shape)


def _draw_transmittance(
    ax: Axes,
    panel: Panel,
    curves: Sequence[tuple[Spectrum, str]],
    limits: tuple[float, float],
    direction: Direction,
) -> None:
    if panel.experiment is not None or panel.sticks is not None:
        raise DataError(
            "an experiment or sticks need an absorption axis: leave --transmittance out."
        )
    for k, (spectrum, name) in enumerate(curves):
        if "raman" in spectrum.quantity.lower() or "modes" in spectrum.unit:
            raise DataError(f"{spectrum.quantity} ({name}) is no absorption to be transmitted.")
        plot_transmittance(
            ax,
            spectrum,
            label=curve_label(spectrum, name),
            color=panel.colours[k % len(panel.colours)],
            range_invcm=limits,
            direction=direction,
        )


def _to_one_height(spectrum: Spectrum, limits: tuple[float, float]) -> Spectrum:
    low = max(limits[0], edge_of_zero(spectrum))
    inside = (spectrum.frequency >= low) & (spectrum.frequency <= limits[1])
    top = float(spectrum.intensity[inside].max(initial=0.0))
    return spectrum / top if top > 0.0 else spectrum


def label_peaks(
    ax: Axes,
    spectra: Sequence[Spectrum],
    *,
    threshold: float = 0.05,
    colours: Sequence[str] = COLOURS,
) -> Axes:
    """Write the wavenumbers of bands above them, the strongest first where room is short.

    ``threshold`` is the lowest height, as a share of the highest that is shown of a spectrum; each
    spectrum's labels have its colour. Call it when all spectra are drawn.
    """
    low, high = sorted(ax.get_xlim())
    found = []
    for spectrum, colour in zip(spectra, colours, strict=False):
        part = spectrum.cropped(max(low, edge_of_zero(spectrum)), high)
        found += [(peak, colour) for peak in part.peaks(threshold)]
    taken: list[float] = []
    for peak, colour in sorted(found, key=lambda pair: -pair[0].intensity):
        if all(abs(peak.frequency - other) > _LABEL_WIDTH * (high - low) for other in taken):
            taken.append(peak.frequency)
            ax.annotate(
                f"{peak.frequency:.0f}",
                (peak.frequency, peak.intensity),
                xytext=(0.0, 4.0),
                textcoords="offset points",
                rotation=90.0,
                ha="center",
                va="bottom",
                fontsize="x-small",
                color=colour,
            )
    if found:
        # room for the label of the highest band
        bottom, top = ax.get_ylim()
        ax.set_ylim(bottom, max(top, 1.28 * max(peak.intensity for peak, _ in found)))
    return ax


def _add_legend(ax: Axes, title: str, look: _Look, *, inside: int) -> None:
    """A legend that covers no curve: in room made for it above them, or above the panel."""
    entries = len(ax.get_legend_handles_labels()[0])
    if entries > inside:
        ax.legend(
            frameon=False,
            fontsize="x-small",
            title=title or None,
            alignment="left",
            loc="lower left",
            # clear of the power of ten at the axis
            bbox_to_anchor=(0.07, 1.0),
        )
        return
    ax.set_title(title, fontsize="medium", loc="left", pad=14)
    low, high = ax.get_ylim()
    share = (look.legend_line * entries + 0.1) / look.axes_height
    ax.set_ylim(low, (high - share * low) / (1.0 - share))
    ax.legend(frameon=False, fontsize="small", loc="upper right")


def _write_caption(figure: Figure, curves: Sequence[tuple[Spectrum, str]]) -> int:
    """One small line for each way in which curves were made, below all panels; how many lines."""
    told = [(caption(spectrum), name, spectrum.quantity) for spectrum, name in curves]
    named: dict[str, list[str]] = {}
    for text, name, quantity in (t for t in told if t[0]):
        # panels of one run have one name and two quantities
        alike = len({other for _, other, _ in told}) == 1 < len(told)
        named.setdefault(text, []).append(quantity if alike else name)
    shared = _shared(list(named))
    lines = [shared] if shared else []
    for text, names in named.items():
        rest = "; ".join(part for part in text.split("; ") if part not in shared.split("; "))
        if rest:
            whose = "" if len(named) == 1 else f"{', '.join(dict.fromkeys(names))}: "
            lines.append(f"{whose}{rest}")
    if lines:
        width = int(_LETTERS_AN_INCH * figure.get_figwidth())
        text = "\n".join(textwrap.fill(line, width) for line in lines)
        figure.supxlabel(text, x=0.01, ha="left", fontsize=_CAPTION_FONT, color="#666666")
        return text.count("\n") + 1
    return 0


def _shared(texts: Sequence[str]) -> str:
    """What several captions have in common, said once."""
    if not texts:
        return ""
    parts = [text.split("; ") for text in texts]
    return "; ".join(part for part in parts[0] if all(part in other for other in parts[1:]))
