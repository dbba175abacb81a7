"""The vibrational density of states: power spectra of velocities, counted in degrees of freedom."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from painn_ase.errors import DataError
from painn_ase.spectra.absorption import group_index
from painn_ase.spectra.advice import check_positive, warn
from painn_ase.spectra.dynamics import Conditions, density_of_flux, spectrum_from_density
from painn_ase.spectra.estimators import SpectralDensity
from painn_ase.spectra.integral import integral
from painn_ase.spectra.recorded import Recorded, recorded
from painn_ase.spectra.series import grouped_sum
from painn_ase.spectra.spectrum import Spectrum
from painn_ase.spectra.windows import Estimator, Window, reciprocal_fs_to_invcm
from painn_ase.units import boltzmann_constant, fs_to_ase_time
from painn_ase.unwrapping import unwrapped_positions

__all__ = ["power", "power_by_atom"]

Array = NDArray[np.float64]


def power(
    velocities: Any,
    masses: ArrayLike | None = None,
    *,
    positions: Any = None,
    timestep: float | None = None,
    temperature: float | None = None,
    degrees_of_freedom: float | None = None,
    estimator: Estimator = "segments",
    window: Window = "hann",
    depth: int | None = None,
    resolution: float | None = None,
    verlet_timestep: float | None = None,
) -> Spectrum:
    """The density of states, in modes per cm⁻¹: its area is the number of degrees of freedom.

    Parameters
    ----------
    velocities : TimeSeries, or array-like (n_frames, n_atoms, 3) or (n_runs, n_frames, n_atoms, 3)
        A series with velocities, or positions whose rate of change is taken
        (``read_time_series(path, quantities=("positions", "velocities"))``); or an array in Å/fs
        (ASE's times ``units.per_ase_time_to_per_fs``), or None.
    masses : array-like (n_atoms,), optional
        amu; by default the series'.
    positions : array-like, same shape, optional
        Å, never folded back into a cell: instead of velocities, with a correction for the finite
        difference.
    timestep : float, optional
        Femtoseconds between the frames of an array.
    temperature : float, optional
        Kelvin, compared with the kinetic temperature for advice only; by default the series'.
    degrees_of_freedom : float, optional
        What the whole spectrum integrates to; 3 n_atoms by default. Give 3 n_atoms − 6 where
        overall motion was removed.
    estimator, window, depth, resolution, verlet_timestep
        As for :func:`painn_ase.spectra.infrared`.
    """
    shares = power_by_atom(
        velocities,
        masses,
        positions=positions,
        timestep=timestep,
        labels="all",
        temperature=temperature,
        degrees_of_freedom=degrees_of_freedom,
        estimator=estimator,
        window=window,
        depth=depth,
        resolution=resolution,
        verlet_timestep=verlet_timestep,
    )
    return shares["all"]


def power_by_atom(
    velocities: Any,
    masses: ArrayLike | None = None,
    *,
    positions: Any = None,
    timestep: float | None = None,
    labels: Sequence[Hashable] | str | None = None,
    temperature: float | None = None,
    degrees_of_freedom: float | None = None,
    estimator: Estimator = "segments",
    window: Window = "hann",
    depth: int | None = None,
    resolution: float | None = None,
    verlet_timestep: float | None = None,
) -> dict[Hashable, Spectrum]:
    """The density of states split over atoms or groups of atoms; the shares add up.

    ``labels`` (n_atoms,) names the group of each atom, e.g. ``atoms.get_chemical_symbols()``; by
    default each atom is its own. One string stands for all atoms. The rest as for :func:`power`.
    """
    given = _given(velocities, positions, masses, timestep, temperature)
    temperature = given.fact("temperature", temperature)
    mass = _checked_masses(given.fact("masses", masses))
    n_atoms = len(mass)
    groups = [labels] * n_atoms if isinstance(labels, str) else labels
    names, index = group_index(groups, n_atoms)
    order = np.argsort(index, kind="stable")
    conditions = Conditions(
        given.timestep,
        temperature=300.0 if temperature is None else temperature,
        estimator=estimator,
        window=window,
        depth=depth,
        resolution=resolution,
        verlet_timestep=verlet_timestep,
    )
    pairing = (grouped_sum(np.repeat(index[order], 3)), 3 * n_atoms, len(names))
    density = density_of_flux(
        ("positions", _paths(given)),
        ("velocities", given.flux),
        (n_atoms, 3),
        _mass_weighted(np.sqrt(mass)[order], order),
        pairing,
        conditions,
    )
    count = 3.0 * n_atoms if degrees_of_freedom is None else degrees_of_freedom
    check_positive(count, "degrees_of_freedom", "modes")
    scale = _modes_per_density(density, count, temperature)
    facts: dict[str, str | float | int] = {"degrees_of_freedom": float(count)}
    shares = {
        name: spectrum_from_density(
            density,
            row,
            lambda frequency: np.full(len(frequency), scale),
            conditions,
            unit="modes/cm^-1",
            quantity="density of states",
            facts=facts,
            advise=len(names) == 1,
        )
        for name, row in zip(names, np.eye(len(names)), strict=True)
    }
    if temperature is None:  # none was used
        shares = {name: _without_temperature(share) for name, share in shares.items()}
    return {name: given.described(share) for name, share in shares.items()}


def _without_temperature(spectrum: Spectrum) -> Spectrum:
    facts = {k: v for k, v in spectrum.provenance.items() if k != "temperature_K"}
    return replace(spectrum, provenance=facts)


def _given(
    velocities: Any,
    positions: Any,
    masses: ArrayLike | None,
    timestep: float | None,
    temperature: float | None,
) -> Recorded:
    """A series, or an array of velocities in Å/fs with its masses and time step."""
    if hasattr(velocities, "origins"):
        if positions is not None:
            raise DataError("the time series says the positions already; leave them out")
        if velocities.masses is None and masses is None:
            raise DataError(
                f"{velocities.source} names neither masses nor elements; give masses in amu"
            )
        return recorded(
            velocities,
            "positions",
            values=None,
            flux=None,
            input_unit=None,
            timestep=timestep,
            temperature=_advisory(velocities, temperature),
        )
    if masses is None or timestep is None:
        raise DataError("an array of velocities needs its masses (amu) and timestep (fs)")
    return Recorded(positions, velocities, timestep, 300.0)


def _advisory(series: Any, temperature: float | None) -> float:
    """A temperature that the numbers of modes do not depend on."""
    return float(temperature or series.temperature or 300.0)


def _paths(given: Recorded) -> Any:
    """Positions whose atoms do not jump where they cross the cell; None where there are none."""
    if given.values is None:
        return None
    positions = np.asarray(given.values, dtype=np.float64)
    cell = None if given.series is None else given.series.cell
    runs = positions if positions.ndim == 4 else positions[None]
    followed = [unwrapped_positions(run, cell) for run in runs]
    if crossings := sum(count for _, count in followed):
        warn(f"atoms crossed the cell {crossings} times; they were followed through it")
    paths = np.stack([path for path, _ in followed])
    return paths if positions.ndim == 4 else paths[0]


def _mass_weighted(roots: Array, order: NDArray[np.int64]) -> Callable[[Array], Array]:
    def project(frames: Array) -> Array:
        weighted = frames[:, order] * roots[:, None]
        return np.ascontiguousarray(weighted.reshape(len(frames), -1).T)

    return project


def _checked_masses(masses: ArrayLike) -> Array:
    mass = np.asarray(masses, dtype=np.float64)
    if mass.ndim != 1 or not len(mass) or not np.all(mass > 0.0) or not np.isfinite(mass).all():
        raise DataError(f"masses must be positive numbers in amu (n_atoms,), not {masses!r}")
    return mass


def _modes_per_density(density: SpectralDensity, count: float, temperature: float | None) -> float:
    """Factor that makes the whole area ``count``; advice where the run was not at temperature."""
    area = float(integral(density.density.sum(axis=0), density.frequency))
    if area <= 0.0:
        raise DataError("the velocities are zero throughout; there is no density of states")
    if temperature is not None:
        # one-sided area over frequency in 1/fs is half of Σ m⟨v²⟩
        mean_square = 2.0 * area / reciprocal_fs_to_invcm
        kinetic = mean_square / (fs_to_ase_time**2) / (count * boltzmann_constant)
        if abs(kinetic / temperature - 1.0) > 0.03:
            warn(
                f"the velocities have a temperature of {kinetic:.1f} K for {count:g} degrees of "
                f"freedom, {temperature:.1f} K was given: equilibrate longer, or correct the count"
            )
    return count / area
