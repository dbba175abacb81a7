"""What of a spectrum is drawn: its range, a smooth line through its points, and words about it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from painn_ase.spectra import Spectrum
from painn_ase.spectra.shown import edge_of_zero, shown_range
from painn_ase.spectra.windows import reciprocal_fs_to_invcm

__all__ = ["caption", "common_range", "curve_label", "smooth_curve"]

Array = NDArray[np.float64]

#: points within a line's width below which straight lines between them look like a polygon
_POINTS_A_WIDTH = 12


def common_range(spectra: Sequence[Spectrum], sticks: Sequence[Array] = ()) -> tuple[float, float]:
    """One range, cm⁻¹, in which every curve and every stick that can be seen has its place."""
    ranges = [shown_range(s) for s in spectra]
    for lines in sticks:
        tall = lines[lines[:, 1] > 0.01 * lines[:, 1].max(initial=0.0)]
        if len(tall):
            highest = float(tall[:, 0].max())
            ranges.append((0.0, float(np.ceil((highest + 100.0) / 100.0) * 100.0)))
    return min(r[0] for r in ranges), max(r[1] for r in ranges)


def smooth_curve(spectrum: Spectrum, low: float, high: float) -> tuple[Array, Array, Array | None]:
    """Wavenumbers, intensities and standard errors of the line to draw in a range.

    The points of a windowed spectrum lie closer than its width, so that a spline through them is
    the curve itself (further zero filling would give no more). Where a spectrum states no width its
    points are joined as they are.
    """
    part = spectrum.cropped(max(low, edge_of_zero(spectrum)), high)
    x, y, error = part.frequency, part.intensity, part.error
    if not _is_splined(spectrum) or len(x) < 4:
        return x, y, error
    n = int(min(max(np.ptp(x) / (spectrum.fwhm or 1.0) * 2 * _POINTS_A_WIDTH, len(x)), 20_000))
    dense = np.linspace(x[0], x[-1], n)

    def through(values: Array) -> Array:
        curve = CubicSpline(spectrum.frequency, values)(dense)
        # between two positive points a spline may dip below zero, intensity may not
        floor = np.minimum(np.interp(dense, spectrum.frequency, np.minimum(values, 0.0)), 0.0)
        return np.asarray(np.maximum(curve, floor))

    return (
        dense,
        through(spectrum.intensity),
        None if spectrum.error is None else np.maximum(through(spectrum.error), 0.0),
    )


def _is_splined(spectrum: Spectrum) -> bool:
    if spectrum.fwhm is None or len(spectrum) < 4:
        return False
    spacing = float(np.median(np.diff(spectrum.frequency)))
    # points farther apart than half a width do not determine a curve
    return spectrum.fwhm / _POINTS_A_WIDTH < spacing < 0.55 * spectrum.fwhm


def curve_label(spectrum: Spectrum, name: str) -> str:
    """What a legend says of a curve: name, geometry, temperature, laser, resolution, shifts."""
    facts = spectrum.provenance
    parts = []
    if facts.get("approximation") == "harmonic" and "harmonic" not in name:
        parts.append("harmonic")
    component = str(facts.get("component", ""))
    if component and component not in name.lower():
        parts.append({"vv": "VV", "vh": "VH"}.get(component, component))
    if (kelvin := _number(facts.get("temperature_K"))) is not None:
        parts.append(f"{kelvin:.0f} K")
    if (laser := _number(facts.get("laser_invcm"))) is not None:
        parts.append(f"{1e7 / laser:.0f} nm")
    if spectrum.fwhm is not None:
        parts.append(f"FWHM {spectrum.fwhm:.3g} cm$^{{-1}}$")
    # as Spectrum writes it: "frequencies times 0.97", "frequencies shifted by -5 cm^-1"
    moves = [h.removeprefix("frequencies ") for h in spectrum.history if h.startswith("frequenc")]
    parts += [
        m.replace("times ", "ν̃ × ").replace("shifted by ", "ν̃ ").replace("cm^-1", "cm$^{-1}$")
        for m in moves
    ]
    text = ", ".join(parts)
    return f"{name}: {text}" if name and text else name or text


def caption(spectrum: Spectrum) -> str:
    """Where a curve comes from and how its line was drawn, in one sentence; empty where unknown."""
    facts, parts = spectrum.provenance, []
    if source := facts.get("source"):
        parts.append(os.path.basename(str(source)))
    frames, step = _number(facts.get("n_frames_per_run")), _number(facts.get("timestep_fs"))
    if read := facts.get("input"):
        parts.append(str(read))
    elif frames is not None and step is not None:
        runs = _number(facts.get("n_runs")) or 1.0
        count = f"{runs:.0f} × {frames:.0f}" if runs > 1 else f"{frames:.0f}"
        parts.append(f"{count} frames, Δt = {step:.4g} fs")
    if jumps := _number(facts.get("jumps_unfolded")):
        parts.append(f"{jumps:.0f} jumps of the dipole unfolded")
    if (depth := _number(facts.get("depth_frames"))) and step and len(spectrum) > 3:
        spacing = float(np.median(np.diff(spectrum.frequency)))
        lags = 2.0 if facts.get("estimator") == "lag" else 1.0
        natural = reciprocal_fs_to_invcm / (lags * depth * step)
        line = ", joined by a spline" if _is_splined(spectrum) else ""
        parts.append(
            f"points every {spacing:.2g} cm⁻¹ (zero-filled {natural / spacing:.0f}×){line}"
        )
    if edge := edge_of_zero(spectrum):
        parts.append(f"below {edge:.0f} cm⁻¹ not told from zero")
    return "; ".join(parts)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
