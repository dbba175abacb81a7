"""What the spectra from dynamics share: from a time series to a density, and on to a Spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from painn_ase._version import __version__
from painn_ase.errors import DataError
from painn_ase.spectra.advice import (
    check_positive,
    check_temperature,
    warn_about_bands,
    warn_about_charge,
    warn_about_friction,
    warn_about_pieces,
    warn_about_temperature,
)
from painn_ase.spectra.estimators import SpectralDensity, spectral_density
from painn_ase.spectra.series import ComponentStream, Pairing, open_series
from painn_ase.spectra.spectrum import Spectrum

__all__ = ["Conditions", "density_of_flux", "spectrum_from_density"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Conditions:
    """How a run was made and how its spectrum is to be estimated.

    Attributes
    ----------
    timestep : float
        Between recorded frames, fs.
    temperature : float
        Of the run, K.
    estimator, window : str
        See :func:`painn_ase.spectra.spectral_density`.
    depth : int or None
        Frames in a segment, or lags.
    resolution : float or None
        FWHM in cm⁻¹, instead of the depth.
    charge : float
        Total charge, e; only for advice.
    friction : float or None
        Of a Langevin thermostat during recording, 1/fs; only for advice.
    measured_temperature : float or array-like or None
        Kinetic temperatures along the run, K; only for advice.
    verlet_timestep : float or None
        Time step of the velocity-Verlet integrator, fs, where frequencies are to be corrected.
    """

    timestep: float
    temperature: float
    estimator: str = "segments"
    window: str = "hann"
    depth: int | None = None
    resolution: float | None = None
    charge: float = 0.0
    friction: float | None = None
    measured_temperature: Any = None
    verlet_timestep: float | None = None

    def __post_init__(self) -> None:
        check_positive(self.timestep, "timestep", "femtoseconds")
        check_temperature(self.temperature)
        if self.verlet_timestep is not None:
            step = check_positive(self.verlet_timestep, "verlet_timestep", "femtoseconds")
            if step > self.timestep * (1.0 + 1e-9):
                raise DataError(
                    f"verlet_timestep {step:g} fs is longer than the {self.timestep:g} fs between "
                    "frames; it is the integrator's own step"
                )


def density_of_flux(
    series: tuple[str, Any] | None,
    flux: tuple[str, Any] | None,
    tail: tuple[int | None, ...],
    project: Callable[[Array], Array],
    pairing: tuple[Pairing, int, int],
    conditions: Conditions,
) -> SpectralDensity:
    """Spectral density of a flux, or of the rate of change of a series; exactly one is given.

    ``series`` and ``flux`` are (name, values) pairs; ``pairing`` is (pair, n_components, n_groups).
    """
    named = [given for given in (series, flux) if given is not None and given[1] is not None]
    if len(named) != 1:
        names = " or ".join(given[0] for given in (series, flux) if given is not None)
        raise DataError(f"give exactly one of {names}; {len(named)} were given")
    name, values = named[0]
    is_flux = flux is not None and values is flux[1]
    opened = open_series(values, tail, name)
    # a forward difference sees up to Nyquist; TRAVIS takes central ones, and "lag" is its mode
    difference = 0 if is_flux else (2 if conditions.estimator == "lag" else 1)
    pair, n_components, n_groups = pairing
    stream = ComponentStream(
        opened, float(conditions.timestep), project, pair, n_components, n_groups, difference
    )
    density = spectral_density(
        stream,
        estimator=conditions.estimator,
        window=conditions.window,
        depth=conditions.depth,
        resolution=conditions.resolution,
    )
    if conditions.verlet_timestep is not None:
        density = density.verlet_corrected(conditions.verlet_timestep)
    warn_about_charge(conditions.charge, is_flux)
    warn_about_friction(conditions.friction, density.fwhm)
    warn_about_temperature(conditions.temperature, conditions.measured_temperature)
    warn_about_pieces(density)
    return density


def spectrum_from_density(
    density: SpectralDensity,
    weights: Array,
    factor: Callable[[Array], Array],
    conditions: Conditions,
    *,
    unit: str,
    quantity: str,
    keep: Callable[[Array], NDArray[np.bool_]] | None = None,
    facts: dict[str, str | float | int] | None = None,
    advise: bool = True,
) -> Spectrum:
    """The spectrum factor(ν̃) · Σ_g weights_g S_g(ν̃) where ``keep`` holds, errors by samples."""
    frequency = density.frequency
    kept = np.ones(len(frequency), dtype=bool) if keep is None else keep(frequency)
    frequency = frequency[kept]
    scale = factor(frequency)
    intensity = np.tensordot(weights, density.density[:, kept], axes=1) * scale
    samples = None
    if density.samples is not None:
        samples = np.tensordot(density.samples[..., kept], weights, axes=(1, 0)) * scale
    if advise:
        warn_about_bands(density, intensity, frequency)
    provenance: dict[str, str | float | int] = {
        "software": f"painn_ase {__version__}",
        "timestep_fs": float(conditions.timestep),
        "temperature_K": float(conditions.temperature),
        "estimator": density.estimator,
        "window": density.window,
        "depth_frames": density.depth,
        "n_runs": density.n_runs,
        "n_frames_per_run": density.n_frames,
        "n_independent_pieces": density.n_pieces,
        **(facts or {}),
    }
    if conditions.verlet_timestep is not None:
        provenance["verlet_timestep_fs"] = float(conditions.verlet_timestep)
    return Spectrum.from_samples(
        frequency,
        intensity,
        samples,
        unit=unit,
        quantity=quantity,
        fwhm=density.fwhm,
        provenance=provenance,
    )
