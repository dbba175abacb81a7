"""What of a spectrum can be seen: pictures and pages show the same part of it."""

from __future__ import annotations

import numpy as np

from painn_ase.spectra.spectrum import Spectrum

__all__ = ["edge_of_zero", "shown_range"]

#: fundamentals end here, cm⁻¹; what stands beyond is an overtone unless it is strong
_FUNDAMENTALS = 4200.0
#: share of the highest band above which something is shown, among fundamentals and beyond them
_VISIBLE, _VISIBLE_BEYOND = 0.003, 0.1
#: widths of the window within which a line is not told from what stands at zero: Hann's main lobe
_ZERO_WIDTHS = 1.4


def edge_of_zero(spectrum: Spectrum) -> float:
    """Wavenumber below which a spectrum that rises towards zero shows its window, not a band; cm⁻¹.

    Drift, rotation and noise stand at zero, the window widens them, and the 1/ν̃² of a Raman cross
    section lifts them. 0 where nothing rises, or where the width is not known.
    """
    x, y = spectrum.frequency, spectrum.intensity
    if spectrum.fwhm is None or x[0] > spectrum.fwhm or y[0] <= 0.0:
        return 0.0
    first_rise = int(np.argmax(np.diff(y) >= 0.0))
    if first_rise == 0:
        return 0.0
    return float(min(x[first_rise], max(_ZERO_WIDTHS * spectrum.fwhm, x[0])))


def shown_range(spectrum: Spectrum) -> tuple[float, float]:
    """From the start to beyond the last visible band, cm⁻¹; weak overtones do not count."""
    x, y = spectrum.frequency, spectrum.intensity
    top = float(y[x >= edge_of_zero(spectrum)].max())
    share = np.where(x <= _FUNDAMENTALS, _VISIBLE, _VISIBLE_BEYOND)
    visible = y > share * top
    last = float(x[visible][-1]) if visible.any() else float(x[-1])
    high = min(float(np.ceil((last + 200.0) / 100.0) * 100.0), float(x[-1]))
    return (0.0 if x[0] < 50.0 else float(x[0])), high
