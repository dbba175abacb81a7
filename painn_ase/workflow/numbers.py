"""Numbers of the workflow: spectra of a time series, and band areas beside harmonic ones."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from painn_ase.errors import PaiNNWarning
from painn_ase.spectra import HarmonicResult, Spectrum, depolarisation_ratio
from painn_ase.spectra import infrared as infrared_spectrum
from painn_ase.spectra import raman as raman_spectrum
from painn_ase.spectra.advice import check_positive
from painn_ase.spectra.continuity import JumpPolicy
from painn_ase.trajectory import TimeSeries, TrajectoryReader, read_time_series
from painn_ase.trajectory.isolated import is_isolated_molecule
from painn_ase.workflow.records import Band, SpectrumConfig

__all__ = [
    "SeriesSpectra",
    "all_spectra",
    "compare_bands",
    "compute_spectra",
    "polarised_raman",
    "series_of_segments",
]

#: Harmonic lines farther apart than this (cm⁻¹) belong to different bands of the table.
_BAND_GAP = 250.0


@dataclass(frozen=True)
class SeriesSpectra:
    """What a time series gives.

    Attributes
    ----------
    infrared, raman : Spectrum or None
        Raman is unpolarised.
    depolarisation : (float, float or None) or None
        VH/VV over the whole Raman spectrum, and its error.
    polarised : (Spectrum, Spectrum) or None
        Raman with parallel (VV) and crossed (VH) polarisers.
    """

    infrared: Spectrum | None = None
    raman: Spectrum | None = None
    depolarisation: tuple[float, float | None] | None = None
    polarised: tuple[Spectrum, Spectrum] | None = None


def all_spectra(
    series: TimeSeries,
    *,
    temperature: float | None = None,
    laser: float = 532.0,
    resolution: float | None = None,
    timestep: float | None = None,
    charge: float = 0.0,
    jumps: JumpPolicy = "check",
) -> SeriesSpectra:
    """Infrared and Raman spectra of a time series in every geometry.

    Parameters
    ----------
    series : TimeSeries
        Fluxes where there are some, else dipole and polarizability.
    temperature : float, optional
        K; by default what the series says.
    laser : float
        nm.
    resolution : float, optional
        cm⁻¹; None for one segment as long as the series where there are several runs.
    timestep : float, optional
        Of velocity Verlet, fs: corrects the frequencies for its error.
    charge : float
        Of the system, e, for advice.
    jumps : {"check", "keep"}
        As for :func:`painn_ase.spectra.infrared`.

    Raises
    ------
    DataError
        Without a temperature, or with one that the series contradicts.
    """
    ir = None
    settings = _settings(series, temperature, resolution, timestep, jumps)
    if series.dipole_flux is not None or series.dipole is not None:
        ir = infrared_spectrum(series, **settings, charge=charge)
    if series.polarizability_flux is None and series.polarizability is None:
        return SeriesSpectra(ir)
    raman = raman_spectrum(series, **settings, laser_wavenumber=_laser_wavenumber(laser))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaiNNWarning)  # said once already
        # the ratio of areas does not depend on what was checked before
        polarised = polarised_raman(
            series,
            temperature=temperature,
            laser=laser,
            resolution=resolution,
            timestep=timestep,
            jumps="keep",
        )
    found = depolarisation_ratio(polarised[1], polarised[0])
    ratio = (float(found[0]), None if found[1] is None else float(found[1]))
    return SeriesSpectra(ir, raman, ratio, polarised)


def compute_spectra(
    series: TimeSeries, **settings: Any
) -> tuple[Spectrum | None, Spectrum | None, tuple[float, float | None] | None]:
    """Infrared and unpolarised Raman spectrum of a time series, and its depolarisation ratio.

    Parameters
    ----------
    series : TimeSeries
    **settings
        Those of :func:`all_spectra`: ``temperature``, ``laser``, ``resolution``, ``timestep``,
        ``charge`` and ``jumps``.

    Raises
    ------
    DataError
        Without a temperature, or with one that the series contradicts.
    """
    found = all_spectra(series, **settings)
    return found.infrared, found.raman, found.depolarisation


def polarised_raman(
    series: TimeSeries,
    *,
    temperature: float | None = None,
    laser: float = 532.0,
    resolution: float | None = None,
    timestep: float | None = None,
    jumps: JumpPolicy = "check",
) -> tuple[Spectrum, Spectrum]:
    """Raman spectra with parallel (VV) and crossed (VH) polarisers; their sum is the unpolarised.

    Arguments as for :func:`all_spectra`.
    """
    settings = _settings(series, temperature, resolution, timestep, jumps)
    settings["laser_wavenumber"] = _laser_wavenumber(laser)
    vv = raman_spectrum(series, **settings, component="vv")
    return vv, raman_spectrum(series, **settings, component="vh")


def _laser_wavenumber(laser: float) -> float:
    return 1e7 / check_positive(laser, "laser wavelength", "nm")


def _settings(
    series: TimeSeries,
    temperature: float | None,
    resolution: float | None,
    timestep: float | None,
    jumps: JumpPolicy,
) -> dict[str, Any]:
    return {
        "temperature": temperature,
        "verlet_timestep": timestep,
        "jumps": jumps,
        **_width(series, resolution),
    }


def _width(series: TimeSeries, resolution: float | None) -> dict[str, Any]:
    """The window: as asked, or a whole run each where there are several runs."""
    if resolution is not None:
        return {"resolution": resolution, "depth": None}
    return {"depth": series.shape[1], "resolution": None} if series.has_runs else {}


def compare_bands(ir: Spectrum | None, modes: HarmonicResult | None) -> tuple[Band, ...]:
    """Band areas of dynamics beside the harmonic sums, cut where the harmonic lines leave gaps."""
    if ir is None or modes is None or modes.infrared is None:
        return ()
    frequencies = np.sort(modes.frequencies[modes.frequencies > 0])
    if not len(frequencies):
        return ()
    gaps = np.flatnonzero(np.diff(frequencies) > _BAND_GAP)
    inner = [0.5 * (frequencies[g] + frequencies[g + 1]) for g in gaps]
    top = min(frequencies[-1] + 500.0, float(ir.frequency[-1]))
    edges = [0.0, *(edge for edge in inner if edge < top), top]
    bands = []
    for low, high in itertools.pairwise(edges):
        area = ir.band_area(low, high)
        inside = (modes.frequencies > low) & (modes.frequencies <= high)
        bands.append(
            Band(
                low=float(low),
                high=float(high),
                area=float(area.value),
                error=None if area.error is None else float(area.error),
                harmonic=float(modes.infrared[inside].sum()),
                modes=int(inside.sum()),
            )
        )
    return tuple(bands)


def series_of_segments(
    path: Path, config: SpectrumConfig, atoms: Atoms, temperature: float
) -> TimeSeries:
    """What the segments recorded; one molecule with vacuum around it is no bulk of its cell."""
    with TrajectoryReader(path) as reader:
        has_dipole = "dipole_flux" in reader.names
    alone = None
    if all(atoms.pbc) and has_dipole:  # Raman intensities do not depend on a volume
        alone = is_isolated_molecule(atoms.numbers, atoms.positions, atoms.cell[:])
    if alone:
        warnings.warn(
            "one molecule with vacuum around it in a periodic cell: its spectrum is given as a "
            "molecule's, because n·α of the bulk would depend on the size of the box",
            PaiNNWarning,
            stacklevel=2,
        )
    series = read_time_series(path, molecule=alone)
    origin = f"T = {temperature:.4g} K (of the segments)"
    series = replace(
        series, temperature=temperature, origins={**series.origins, "temperature": origin}
    )
    if config.nuclei != "classical":  # the temperature of beads is not that of the nuclei
        series = replace(series, measured_temperature=None)
    return series
