"""Warnings about spectra that are given but should be read with care."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError, PaiNNWarning
from painn_ase.spectra.estimators import SpectralDensity
from painn_ase.units import invcm_to_radians_per_fs

__all__ = [
    "check_positive",
    "check_temperature",
    "warn",
    "warn_about_aliasing",
    "warn_about_bands",
    "warn_about_charge",
    "warn_about_friction",
    "warn_about_pieces",
    "warn_about_temperature",
]

Array = NDArray[np.float64]

#: no bond vibrates above it, cm⁻¹ (H2 aside)
HIGHEST_VIBRATION = 4000.0
#: share of Nyquist's frequency beyond which a band is no longer well sampled
NYQUIST_SHARE = 0.7
#: bands lower than this share of the highest are taken for noise
BAND_SHARE = 0.02
#: pieces below which the error bar itself is uncertain by more than a quarter
FEW_PIECES = 8


def warn(message: str) -> None:
    """Issue advice, attributed to the first caller outside this package."""
    level, frame_limit = 2, 30
    while level < frame_limit:
        try:
            name = sys._getframe(level).f_globals.get("__name__", "")
        except ValueError:
            break
        if not str(name).startswith("painn_ase."):
            break
        level += 1
    warnings.warn(message, PaiNNWarning, stacklevel=level + 1)


def check_positive(value: float, name: str, unit: str) -> float:
    """``value`` as a float, or DataError where it is not a positive finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be a positive number in {unit}, not {value!r}") from error
    if not (math.isfinite(number) and number > 0.0):
        raise DataError(f"{name} must be a positive number in {unit}, not {value!r}")
    return number


def check_temperature(temperature: float) -> float:
    """A positive temperature in kelvin, or DataError."""
    kelvin = check_positive(temperature, "temperature", "kelvin")
    if kelvin < 1e-6:
        raise DataError(f"temperature is {kelvin:g} K; allowed is 1e-6 K and above")
    return kelvin


def warn_about_aliasing(timestep: float, numbers: NDArray[np.int64] | None) -> None:
    """Advise where frames are too far apart for hydrogen's vibrations; fs and atomic numbers."""
    nyquist = math.pi / timestep / invcm_to_radians_per_fs
    if nyquist >= HIGHEST_VIBRATION or (numbers is not None and 1 not in numbers):
        return
    largest = math.pi / HIGHEST_VIBRATION / invcm_to_radians_per_fs
    who = "hydrogen vibrates" if numbers is not None else "hydrogen, if there is some, vibrates"
    warn(
        f"frames {timestep:g} fs apart tell wavenumbers below {nyquist:.0f} cm^-1 only; {who} up "
        f"to {HIGHEST_VIBRATION:.0f} cm^-1, and what lies above is folded back to a wrong place "
        f"below: record frames at most {largest:.2g} fs apart"
    )


def warn_about_bands(density: SpectralDensity, intensity: Array, frequency: Array) -> None:
    """Advise where the highest band stands too near to Nyquist's wavenumber."""
    if not intensity.size:
        return
    strong = intensity > BAND_SHARE * float(np.max(intensity))
    if not strong.any():
        return
    highest = float(frequency[strong][-1])
    if highest > NYQUIST_SHARE * density.nyquist:
        warn(
            f"the highest band, near {highest:.0f} cm^-1, stands above {NYQUIST_SHARE:g} of the "
            f"Nyquist wavenumber {density.nyquist:.0f} cm^-1: record frames more often, at most "
            f"{NYQUIST_SHARE * math.pi / highest / invcm_to_radians_per_fs:.2g} fs apart"
        )


def warn_about_pieces(density: SpectralDensity) -> None:
    """Advise where the error bar rests on few independent pieces, or there is none."""
    if density.estimator == "lag" or density.n_pieces >= FEW_PIECES:
        return
    if density.n_pieces < 2:
        warn(
            "there is no error bar: one run of one segment says nothing of its own scatter. Give "
            "several independent runs (an array of shape (n_runs, n_frames, ...)), a longer run, "
            f"or a coarser resolution than {density.fwhm:.3g} cm^-1, which cuts the run into more "
            "segments"
        )
        return
    what = "runs" if density.n_runs > 1 else "segments"
    warn(
        f"only {density.n_pieces} independent {what}: the standard error is rough; run more or "
        f"longer dynamics, or accept a coarser resolution than {density.fwhm:.3g} cm^-1"
    )


def warn_about_temperature(temperature: float, measured: object) -> None:
    """Advise where the mean of the temperatures measured along the run is more than 3 % off."""
    if measured is None:
        return
    try:
        mean = float(np.mean(np.asarray(measured, dtype=np.float64)))
    except (TypeError, ValueError) as error:
        raise DataError(f"measured_temperature is no number or array: {error}") from error
    if abs(mean / temperature - 1.0) > 0.03:
        warn(
            f"the run was at {mean:.1f} K, the spectrum is made for {temperature:.1f} K: every "
            f"intensity is off by a factor of {mean / temperature:.2f}; give the temperature of "
            "the run, or equilibrate longer"
        )


def warn_about_charge(charge: float, has_flux: bool) -> None:
    """Advise on the origin of the dipole of a charged system."""
    if charge:
        what = "flux less charge × velocity" if has_flux else "dipole about the position"
        warn(
            f"the system has a charge of {charge:g} e: its dipole depends on the origin, and its "
            f"drift radiates; give the {what} of the centre of mass"
        )


def warn_about_friction(friction: float | None, fwhm: float) -> None:
    """Advise where a Langevin thermostat widens the lines beyond the window; friction in 1/fs."""
    if not friction:
        return
    broadening = friction / invcm_to_radians_per_fs
    if broadening > 0.2 * fwhm:
        warn(
            f"Langevin dynamics with a friction of {friction:g}/fs widens every line by "
            f"{broadening:.1f} cm^-1 (window: {fwhm:.1f} cm^-1); use NVE runs started from the "
            "thermostatted one"
        )
