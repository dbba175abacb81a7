"""What the columns of another program's or a spectrometer's table mean.

The headings say it; what they leave open is asked for where a guess could be wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError
from painn_ase.spectra.spectrum import Spectrum

__all__ = ["Columns", "as_absorbance", "is_axis", "read_headings", "wavenumbers"]

Array = NDArray[np.float64]

#: rows below which a table is too short to be judged by its looks
_FEW_ROWS = 16
#: (what the heading of the axis holds, power of its numbers, factor to cm⁻¹), first fit counts
_AXES: tuple[tuple[str, int, float], ...] = (
    (r"cm|wave ?num|raman shift|kayser", 1, 1.0),
    (r"\bnm\b|nanomet", -1, 1e7),
    (r"[µμ]m|\bum\b|micron|micromet", -1, 1e4),
    (r"thz", 1, 33.35640951981521),
    (r"\bmev\b", 1, 8.065543937349212),
    (r"\bev\b", 1, 8065.543937349212),
)
_WAVELENGTH = re.compile(r"wave ?length|lambda|λ")
_ERROR = re.compile(r"\b(error|err|std|stdev|stderr|sd|se|sigma|uncertainty|deviation)\b|±|σ")
_NAME_AND_UNIT = re.compile(r"^(.*?)\s*(?:[\[(](.*)[\])]|/\s(.*))\s*$")
_HEADED = (
    "Head the columns in the file's first line, e.g. `wavenumber,absorbance`, "
    "`wavelength (um),transmittance` or `wavelength (nm),intensity`"
)


@dataclass(frozen=True)
class Columns:
    """What the headings of a table say.

    Attributes
    ----------
    axis : str
        Heading of the first column, lower case.
    quantity, unit : str
        Of the second column.
    third_is_error : bool
    third : str
        Heading of the third column.
    """

    axis: str = ""
    quantity: str = "intensity"
    unit: str = "arbitrary"
    third_is_error: bool = False
    third: str = ""


def read_headings(cells: list[str]) -> Columns:
    """The meaning of a table's columns from their headings (none, or one for each column)."""
    if len(cells) < 2:
        return Columns()
    quantity, unit = _ordinate(cells[1])
    third = cells[2].strip() if len(cells) > 2 else ""
    plain = re.sub(r"[_\-.]", " ", third.lower())
    return Columns(cells[0].strip().lower(), quantity, unit, bool(_ERROR.search(plain)), third)


def is_axis(heading: str) -> bool:
    """Whether a heading can be that of a spectral axis."""
    text = heading.lower()
    known = any(re.search(pattern, text) for pattern, _, _ in _AXES)
    return known or bool(_WAVELENGTH.search(text)) or "freq" in text


def wavenumbers(x: Array, axis: str) -> Array:
    """The first column in cm⁻¹; a wavelength without a unit is a question.

    Raises
    ------
    DataError
        When the numbers could be wavelengths, or a wavelength is not positive.
    """
    for pattern, power, factor in _AXES:
        if re.search(pattern, axis):
            if power < 0 and np.any(x <= 0.0):
                raise DataError("a wavelength of zero or less")
            converted: Array = factor * x**power
            return converted
    low, high = float(x.min()), float(x.max())
    many = len(x) >= _FEW_ROWS
    if _WAVELENGTH.search(axis) or (many and low >= 1.0 and high <= 60.0):
        raise DataError(
            f"the first column, {low:g} to {high:g}, looks like wavelengths, and nothing says in "
            f"which unit. {_HEADED}"
        )
    if many and low > 0.0 and high > 14_000.0:
        raise DataError(
            f"the first column, {low:g} to {high:g}, goes beyond any vibration: wavelengths in nm? "
            f"{_HEADED}"
        )
    return x


def _ordinate(heading: str) -> tuple[str, str]:
    """Quantity and unit of the second column."""
    text = heading.strip()
    lower = text.lower()
    percent = "%" in lower or "percent" in lower
    if "transmit" in lower or re.fullmatch(r"%\s*t|t\s*[\[(]?%[\])]?", lower):
        return text, "% transmittance" if percent else "transmittance"
    if "absorptance" in lower or ("absorption" in lower and percent):
        return text, "% absorptance" if percent else "absorptance"
    if "absorbance" in lower:
        return text, "absorbance"
    if "reflect" in lower:
        return text, "reflectance"
    if "normali" in lower:
        return text, "normalised"
    match = _NAME_AND_UNIT.match(text)
    if match and (unit := (match.group(2) or match.group(3) or "").strip()):
        vague = re.fullmatch(r"a\.?\s*u\.?|arb.*|arbitrary.*", unit.lower())
        return match.group(1) or "intensity", "arbitrary" if vague else unit
    return text or "intensity", "arbitrary"


def as_absorbance(spectrum: Spectrum) -> Spectrum:
    """A measured spectrum with bands upwards, in proportion to what is absorbed.

    Transmittance T becomes −log₁₀ T and absorptance A (the share absorbed) −log₁₀(1 − A), each as
    a share or in percent. Absorbance, absorption coefficients and whatever else points upwards
    stay as they are.

    Raises
    ------
    DataError
        For reflectance, and where bands point downwards and nothing says transmittance.
    """
    unit = spectrum.unit.lower()
    top = float(spectrum.intensity.max())
    if "reflect" in unit:
        raise DataError(
            "reflectance is no absorption: convert it in the spectrometer's program "
            "(Kramers–Kronig or Kubelka–Munk), or give absorbance or transmittance"
        )
    share = spectrum.intensity / (100.0 if "%" in unit or top > 2.0 else 1.0)
    if "transmit" in unit:
        step, passed = "transmittance to absorbance", share
    elif "absorptance" in unit:
        step, passed = "absorptance to absorbance", 1.0 - share
    else:
        _ask_about_direction(spectrum)
        return spectrum
    return replace(
        spectrum,
        intensity=-np.log10(np.clip(passed, 1e-4, None)),
        error=None,
        samples=None,
        unit="absorbance",
        history=(*spectrum.history, step),
    )


def _ask_about_direction(spectrum: Spectrum) -> None:
    """Ask where a baseline near the top and bands downwards look like transmittance."""
    y = spectrum.intensity
    if "absor" in spectrum.unit.lower() or len(y) < _FEW_ROWS or float(y.min()) < -0.05 * y.max():
        return
    low, middle, high = np.quantile(y, [0.0, 0.5, 0.98])
    if high > 0.0 and high - middle < 0.25 * (high - low) and middle > 0.6 * high:
        raise DataError(
            "the bands of the experiment point downwards, as in transmittance, and nothing says "
            f"so. {_HEADED}"
        )
