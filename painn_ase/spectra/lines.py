"""Harmonic lines on the scale of a spectrum: areas in its unit, not Raman activities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from painn_ase.errors import DataError
from painn_ase.spectra.harmonic_result import HarmonicResult
from painn_ase.spectra.spectrum import Spectrum

__all__ = ["harmonic_lines"]

Array = NDArray[np.float64]

#: 1 km/mol as an area of a cross section a molecule, cm² · cm⁻¹
_KM_PER_MOL_TO_CM: float = 1e5 / constants.N_A


def harmonic_lines(modes: HarmonicResult, spectrum: Spectrum) -> Array:
    """Wavenumbers (cm⁻¹) and areas (unit of the spectrum times cm⁻¹) of the real modes (n, 2).

    The areas that the modes would have in that spectrum: with its geometry, laser and temperature
    for a Raman cross section, with its volume for n·α (the modes then are those of all that the
    volume holds).

    Raises
    ------
    DataError
        For a unit in which a harmonic mode has no area, and where the spectrum does not say its
        temperature, laser or volume.
    """
    unit = spectrum.unit
    if unit == "km/mol/cm^-1":
        return modes.infrared_sticks()
    if unit == "cm^2":
        return modes.infrared_sticks() * [1.0, _KM_PER_MOL_TO_CM]
    if unit == "cm^-1":
        volume = _fact(spectrum, "volume_angstrom3", "volume")
        return modes.infrared_sticks() * [1.0, _KM_PER_MOL_TO_CM / (volume * 1e-24)]
    if unit == "angstrom^4/amu/cm^-1":
        return modes.raman_sticks()
    if unit == "1e-40 m^2/sr/cm^-1":
        return modes.raman_cross_sections(
            temperature=_fact(spectrum, "temperature_K", "temperature"),
            laser_wavenumber=_fact(spectrum, "laser_invcm", "laser"),
            component=str(spectrum.provenance.get("component", "unpolarised")),
        )
    raise DataError(
        f"harmonic lines have no areas on the scale of {spectrum.quantity} in {unit!r}; allowed "
        "are infrared absorption in km/mol/cm^-1, cm^2 or cm^-1 (n*alpha), and Raman spectra of "
        "this package"
    )


def _fact(spectrum: Spectrum, key: str, name: str) -> float:
    value = spectrum.provenance.get(key)
    if not isinstance(value, int | float):
        raise DataError(
            f"the {spectrum.quantity} does not say its {name}, which harmonic lines on its scale "
            "need; make it anew with this version"
        )
    return float(value)
