"""Raman spectra in absolute units from polarizabilities, or their fluxes, along dynamics.

Placzek's theory for Stokes scattering by freely oriented molecules. Long, The Raman Effect (2002),
ch. 5; Thomas et al., Phys. Chem. Chem. Phys. 15, 6608 (2013).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants

from painn_ase.errors import DataError
from painn_ase.spectra.advice import check_positive
from painn_ase.spectra.continuity import JumpPolicy, continuous
from painn_ase.spectra.corrections import Correction, quantum_factor, reduced_energy
from painn_ase.spectra.dynamics import Conditions, density_of_flux, spectrum_from_density
from painn_ase.spectra.integral import integral
from painn_ase.spectra.recorded import recorded
from painn_ase.spectra.series import grouped_sum
from painn_ase.spectra.spectrum import BandArea, Spectrum
from painn_ase.spectra.windows import Estimator, Window
from painn_ase.units import e2_angstrom2_per_ev_to_angstrom3

if TYPE_CHECKING:
    from painn_ase.trajectory.series import TimeSeries

__all__ = ["RamanComponent", "component_weights", "depolarisation_ratio", "raman", "raman_factor"]

Array = NDArray[np.float64]
RamanComponent = Literal["unpolarised", "iso", "aniso", "vv", "vh"]

#: weights of the isotropic and anisotropic densities in what a geometry detects
_COMPONENTS: dict[str, tuple[float, float]] = {
    "unpolarised": (1.0, 7.0 / 45.0),
    "iso": (1.0, 0.0),
    "aniso": (0.0, 1.0),
    "vv": (1.0, 4.0 / 45.0),
    "vh": (0.0, 1.0 / 15.0),
}
_UNIT = "1e-40 m^2/sr/cm^-1"
#: a frequency-doubled Nd:YAG laser, 532 nm
_GREEN_LASER = 1e7 / 532.0
#: below the highest vibrations nothing is left to scatter; a smaller number is a wavelength
_LOWEST_LASER = 5000.0


def raman(
    series: TimeSeries | None = None,
    *,
    polarizability: Any = None,
    flux: Any = None,
    input_unit: str | None = None,
    timestep: float | None = None,
    temperature: float | None = None,
    laser_wavenumber: float = _GREEN_LASER,
    component: RamanComponent = "unpolarised",
    estimator: Estimator = "segments",
    window: Window = "hann",
    depth: int | None = None,
    resolution: float | None = None,
    correction: Correction = "harmonic",
    friction: float | None = None,
    measured_temperature: ArrayLike | None = None,
    verlet_timestep: float | None = None,
    jumps: JumpPolicy = "check",
) -> Spectrum:
    """Raman (Stokes) differential cross section from the polarizability along dynamics.

    dσ/dΩdν̃ = 4π² (ν̃0−ν̃)⁴ Q(x) S/(c ν̃²), with S of the flux of the polarizability volume.

    Parameters
    ----------
    series : TimeSeries, optional
        Of :func:`painn_ase.trajectory.read_time_series`: brings its units, time step and, where it
        knows it, the temperature. Its flux is taken where it has one.
    polarizability : array-like (n_frames, 3, 3) or (n_runs, n_frames, 3, 3), optional
        Instead of a series.
    flux : array-like of the same shape, optional
        Its rate of change; preferred.
    input_unit : str, optional
        Of an array, which has none by itself: ``"Angstrom^3"``, ``"e^2*Angstrom^2/eV"`` as the
        calculator gives it, ``"a.u."``; of a flux ``"Angstrom^3/fs"``, ….
    timestep, temperature : float, optional
        Femtoseconds between the frames of an array; kelvin, by default the series'.
    laser_wavenumber : float
        cm⁻¹ (1e7 over the wavelength in nm; by default 532 nm).
    component : {"unpolarised", "iso", "aniso", "vv", "vh"}
        Detected geometry: S_iso + 7/45 S_γ; S_iso; S_γ; S_iso + 4/45 S_γ; S_γ/15.
    estimator, window, depth, resolution, correction, friction : optional
        As for :func:`painn_ase.spectra.infrared`. The harmonic correction contains the Bose
        factor of the Stokes side.
    measured_temperature, verlet_timestep : optional
        As there.
    jumps : {"check", "keep"}
        A polarizability that jumps, from dipoles folded in one field and not in another or from a
        calculation that did not converge, is refused; "keep" takes it as it is.

    Returns
    -------
    Spectrum
        In 1e-40 m²/sr per cm⁻¹, from above zero to below the laser.
    """
    given = recorded(
        series,
        "polarizability",
        values=polarizability,
        flux=flux,
        input_unit=input_unit,
        timestep=timestep,
        temperature=temperature,
        scale=e2_angstrom2_per_ev_to_angstrom3,
    )
    polarizability, flux, kelvin = given.values, given.flux, given.temperature
    conditions = Conditions(
        timestep=given.timestep,
        temperature=kelvin,
        estimator=estimator,
        window=window,
        depth=depth,
        resolution=resolution,
        friction=given.fact("friction", friction),
        measured_temperature=given.fact("measured_temperature", measured_temperature),
        verlet_timestep=verlet_timestep,
    )
    laser = check_positive(laser_wavenumber, "laser_wavenumber", "cm^-1")
    if laser < _LOWEST_LASER:
        raise DataError(
            f"laser_wavenumber is {laser:g} cm^-1; allowed is {_LOWEST_LASER:g} and above. A "
            f"wavelength in nm? {laser:g} nm is {1e7 / laser:.1f} cm^-1"
        )
    weights = np.array(component_weights(component))
    if polarizability is not None:
        continuous(polarizability, (3, 3), "polarizability", jumps=jumps)
    pairing = (grouped_sum(np.array([0, 1, 1, 1, 1, 1, 1])), 7, 2)
    density = density_of_flux(
        ("polarizability", polarizability),
        ("flux", flux),
        (3, 3),
        _invariant_components,
        pairing,
        conditions,
    )
    spectrum = spectrum_from_density(
        density,
        weights,
        lambda frequency: raman_factor(frequency, laser, kelvin, correction),
        conditions,
        unit=_UNIT,
        quantity=f"Raman cross section, {component}",
        keep=lambda frequency: (frequency > 0.0) & (frequency < laser),
        facts={"correction": correction, "laser_invcm": laser, "component": component},
    )
    return given.described(spectrum)


def component_weights(component: str) -> tuple[float, float]:
    """Weights of the isotropic and the anisotropic density in what a geometry detects."""
    if component not in _COMPONENTS:
        raise DataError(f"unknown component {component!r}; allowed are {', '.join(_COMPONENTS)}")
    return _COMPONENTS[component]


def raman_factor(
    frequency: Array, laser_wavenumber: float, temperature: float, correction: str = "harmonic"
) -> Array:
    """Factor from S of the polarizability flux (Å⁶/fs) to 1e-40 m²/sr per cm⁻¹.

    16π⁴ (ν̃0−ν̃)⁴ Q(x)/(4π²cν̃²); with Q = x/(1 − e^−x) this is Placzek's
    4π² h (ν̃0−ν̃)⁴/(kTν̃(1 − e^−x)).
    """
    stokes = (100.0 * (laser_wavenumber - frequency)) ** 4
    bose = quantum_factor(correction, reduced_energy(frequency, temperature))
    per_metre: Array = 4.0 * math.pi**2 * stokes * bose / (constants.c * (100.0 * frequency) ** 2)
    # Å⁶/fs → m⁶/s; per m⁻¹ → per cm⁻¹; in 1e-40 m²
    return per_metre * (1e-60 * 1e15) * 100.0 * 1e40


def depolarisation_ratio(
    vh: Spectrum, vv: Spectrum, low: float | None = None, high: float | None = None
) -> BandArea:
    """Depolarisation ratio of a band, area VH / area VV, with its standard error.

    With samples of both from the same pieces the error is the jackknife's, which knows that the two
    fluctuate together; else it adds the relative errors, or is None.
    """
    a, b = vh.band_area(low, high), vv.band_area(low, high)
    if b.value == 0.0:
        raise DataError("the VV spectrum has no area in this band; the ratio is not defined")
    ratio = a.value / b.value
    if vh.samples is not None and vv.samples is not None and vh.samples.shape == vv.samples.shape:
        numerators, denominators = _sample_areas(vh, low, high), _sample_areas(vv, low, high)
        n = len(numerators)
        left_out = (numerators.sum() - numerators) / (denominators.sum() - denominators)
        return BandArea(ratio, math.sqrt((n - 1) * float(np.var(left_out))))
    if a.error is None or b.error is None:
        return BandArea(ratio, None)
    return BandArea(ratio, abs(a.error / b.value) + abs(ratio * b.error / b.value))


def _sample_areas(spectrum: Spectrum, low: float | None, high: float | None) -> Array:
    band = spectrum.cropped(low, high)
    if band.samples is None:
        raise DataError("the spectrum has no samples")
    return integral(band.samples, band.frequency)


def _invariant_components(frames: Array) -> Array:
    """The mean and six anisotropic components whose squares add up to γ² (7, n).

    γ² = ½[(xx−yy)² + (yy−zz)² + (zz−xx)²] + 3[xy² + yz² + zx²], of the symmetric part.
    """
    xx, yy, zz = frames[:, 0, 0], frames[:, 1, 1], frames[:, 2, 2]
    xy = 0.5 * (frames[:, 0, 1] + frames[:, 1, 0])
    yz = 0.5 * (frames[:, 1, 2] + frames[:, 2, 1])
    zx = 0.5 * (frames[:, 2, 0] + frames[:, 0, 2])
    half, three = math.sqrt(0.5), math.sqrt(3.0)
    return np.stack(
        [
            (xx + yy + zz) / 3.0,
            half * (xx - yy),
            half * (yy - zz),
            half * (zz - xx),
            three * xy,
            three * yz,
            three * zx,
        ]
    )
