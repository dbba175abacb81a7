"""Infrared, Raman and power spectra in absolute units, from dynamics and from normal modes.

Needs numpy and scipy alone: time series of any program's dipoles and polarizabilities will do, and
no model. Nothing here imports torch or ASE.
"""

from painn_ase.spectra.absorption import atomic_flux, infrared, infrared_by_atom
from painn_ase.spectra.anharmonic_analysis import anharmonic
from painn_ase.spectra.anharmonic_field import QuarticField, Rotor, rotor_of
from painn_ase.spectra.anharmonic_result import AnharmonicResult
from painn_ase.spectra.density_of_states import power, power_by_atom
from painn_ase.spectra.estimators import SpectralDensity, spectral_density
from painn_ase.spectra.files import load_spectrum, save_spectrum
from painn_ase.spectra.harmonic_result import HarmonicResult
from painn_ase.spectra.lines import harmonic_lines
from painn_ase.spectra.normal_modes import harmonic, harmonic_from_arrays
from painn_ase.spectra.property_surface import PropertySurface
from painn_ase.spectra.scattering import depolarisation_ratio, raman
from painn_ase.spectra.spectrum import BandArea, Peak, Spectrum
from painn_ase.spectra.windows import window_fwhm

__all__ = [
    "AnharmonicResult",
    "BandArea",
    "HarmonicResult",
    "Peak",
    "PropertySurface",
    "QuarticField",
    "Rotor",
    "SpectralDensity",
    "Spectrum",
    "anharmonic",
    "atomic_flux",
    "depolarisation_ratio",
    "harmonic",
    "harmonic_from_arrays",
    "harmonic_lines",
    "infrared",
    "infrared_by_atom",
    "load_spectrum",
    "power",
    "power_by_atom",
    "raman",
    "rotor_of",
    "save_spectrum",
    "spectral_density",
    "window_fwhm",
]
