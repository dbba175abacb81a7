"""Infrared spectra in absolute units from dipoles, or their fluxes, along dynamics.

Linear response: a molecule absorbs with the cross section σ = S_μ̇/(6 ε0 c kT), a bulk sample with
n(ω)α(ω) = S_Ṁ/(6 ε0 c V kT), times the quantum correction. McQuarrie, Statistical Mechanics,
ch. 21; Thomas, Brehm, Fligg, Vöhringer, Kirchner, Phys. Chem. Chem. Phys. 15, 6608 (2013).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants

from painn_ase.errors import DataError
from painn_ase.spectra.advice import check_positive
from painn_ase.spectra.continuity import JumpPolicy, continuous, with_unfolded_jumps
from painn_ase.spectra.corrections import Correction, absorption_factor, reduced_energy
from painn_ase.spectra.dynamics import Conditions, density_of_flux, spectrum_from_density
from painn_ase.spectra.estimators import SpectralDensity
from painn_ase.spectra.recorded import recorded
from painn_ase.spectra.series import grouped_sum, share_of_total
from painn_ase.spectra.spectrum import Spectrum
from painn_ase.spectra.windows import Estimator, Window
from painn_ase.units import invcm_to_radians_per_fs

if TYPE_CHECKING:
    from painn_ase.trajectory.series import TimeSeries

__all__ = ["AbsorptionUnit", "atomic_flux", "infrared", "infrared_by_atom"]

Array = NDArray[np.float64]
AbsorptionUnit = Literal["molar", "cross_section", "n_alpha", "epsilon2"]

#: e²Å²/fs (flux squared times time) in SI, C²m²/s
_DENSITY_TO_SI = constants.e**2 * 1e-20 * 1e15

_UNITS: dict[str, tuple[str, str]] = {
    "molar": ("molar absorption", "km/mol/cm^-1"),
    "cross_section": ("absorption cross section", "cm^2"),
    "n_alpha": ("infrared absorption n*alpha", "cm^-1"),
    "epsilon2": ("imaginary part of the permittivity", "1"),
}


def infrared(
    series: TimeSeries | None = None,
    *,
    dipole: Any = None,
    flux: Any = None,
    input_unit: str | None = None,
    timestep: float | None = None,
    temperature: float | None = None,
    volume: float | None = None,
    estimator: Estimator = "segments",
    window: Window = "hann",
    depth: int | None = None,
    resolution: float | None = None,
    correction: Correction = "harmonic",
    unit: AbsorptionUnit | None = None,
    charge: float = 0.0,
    friction: float | None = None,
    measured_temperature: ArrayLike | None = None,
    verlet_timestep: float | None = None,
    cell: ArrayLike | None = None,
    jumps: JumpPolicy = "check",
) -> Spectrum:
    """Infrared absorption from the dipole, or better its flux, along dynamics.

    Parameters
    ----------
    series : TimeSeries, optional
        Of :func:`painn_ase.trajectory.read_time_series`: brings its units, time step, volume,
        cell, and the temperature where it knows it. Its flux is taken where it has one.
    dipole : array-like (n_frames, 3) or (n_runs, n_frames, 3), optional
        Instead of a series. Jumps of a dipole folded back into a cell are taken out and counted
        where the ``cell`` is given, and refused where it is not.
    flux : array-like of the same shape, optional
        dμ/dt. Preferred: it
        is free of the finite difference, and the only choice for periodic systems without
        continuous dipoles. Anything with ``shape`` and slices will do, e.g. an HDF5 dataset.
    input_unit : str, optional
        Of an array, which has none by itself: ``"e*Angstrom"``, ``"Debye"``, ``"a.u."``; of a flux
        ``"e*Angstrom/fs"``, or ``"e*Angstrom/ase_time"`` as the calculator gives it.
    timestep : float, optional
        Femtoseconds between the frames of an array.
    temperature : float, optional
        Kelvin; by default the series'.
    volume : float, optional
        Å³; with it the spectrum is that of the bulk.
    estimator : {"segments", "lag"}
        Averaged tapered segments with errors, or the windowed correlation function (TRAVIS).
    window : {"hann", "blackman", "gaussian", "none"}
    depth : int, optional
        Frames in a segment, or lags.
    resolution : float, optional
        Instead of ``depth``: full width at half maximum, cm⁻¹. Without either, 10 cm⁻¹, or as
        much more as it takes to leave an error bar.
    correction : {"harmonic", "standard", "schofield", "none"}
        Quantum correction; the default makes harmonic intensities exact.
    unit : {"molar", "cross_section", "n_alpha", "epsilon2"}, optional
        km/mol per cm⁻¹ (area: km/mol; default), cm² a molecule; with a volume n(ω)α(ω) in cm⁻¹
        (default), or ε₂(ω), natural logarithm throughout.
    charge, friction, measured_temperature : optional
        Facts about the run, for advice: e, 1/fs, K.
    verlet_timestep : float, optional
        Integrator step, fs: corrects the frequencies for velocity Verlet's error.
    cell : array-like (3, 3) or (n_frames, 3, 3), optional
        Lattice vectors as rows, Å, zero where not periodic; unfolds a folded dipole.
    jumps : {"check", "keep"}
        "keep" takes a dipole as it is, see :func:`painn_ase.spectra.continuity.continuous`.

    Returns
    -------
    Spectrum

    Raises
    ------
    DataError
        Shapes, names or numbers that do not fit; a dipole that jumps.
    NonFiniteError
        NaN or infinite values, naming the frame.

    Notes
    -----
    With several runs the error is the scatter between runs; with one run, between its segments.
    The segments of one molecule without a thermostat are not independent: each mode keeps its
    energy. Use many short runs.
    """
    given = recorded(
        series,
        "dipole",
        values=dipole,
        flux=flux,
        input_unit=input_unit,
        timestep=timestep,
        temperature=temperature,
    )
    dipole, flux = given.values, given.flux
    volume, cell = given.fact("volume", volume), given.fact("cell", cell)
    conditions = Conditions(
        given.timestep,
        given.temperature,
        estimator,
        window,
        depth,
        resolution,
        charge,
        given.fact("friction", friction),
        given.fact("measured_temperature", measured_temperature),
        verlet_timestep,
    )
    wanted = _checked_unit(unit, volume)
    pairing = (grouped_sum(np.zeros(3, dtype=np.int64)), 3, 1)
    n_jumps = 0
    if dipole is not None:
        dipole, n_jumps = continuous(dipole, (3,), "dipole", cell=cell, jumps=jumps)
    density = density_of_flux(
        ("dipole", dipole), ("flux", flux), (3,), _vector_components, pairing, conditions
    )
    spectrum = _spectrum(density, np.ones(1), conditions, correction, wanted, volume)
    return given.described(with_unfolded_jumps(spectrum, n_jumps))


def infrared_by_atom(
    *,
    flux: Any,
    input_unit: str | None = None,
    timestep: float,
    temperature: float,
    labels: Sequence[Hashable] | None = None,
    volume: float | None = None,
    estimator: Estimator = "segments",
    window: Window = "hann",
    depth: int | None = None,
    resolution: float | None = None,
    correction: Correction = "harmonic",
    unit: AbsorptionUnit | None = None,
) -> dict[Hashable, Spectrum]:
    """The share of each atom, or group of atoms, in the infrared spectrum; the shares add up.

    A share is the correlation of the atom's flux with the total one, so it may be negative.

    Parameters
    ----------
    flux : array-like (n_frames, n_atoms, 3) or (n_runs, n_frames, n_atoms, 3)
        ``Z*_i v_i``, see :func:`atomic_flux`.
    input_unit : str
        Of the flux: ``"e*Angstrom/fs"``, or ``"e*Angstrom/ase_time"`` with ASE's velocities.
    labels : sequence of n_atoms hashables, optional
        Group of each atom, e.g. its element; by default its index.
    timestep, temperature, volume, estimator, window, depth, resolution, correction, unit
        As for :func:`infrared`.

    Returns
    -------
    dict from label to Spectrum, in order of first appearance.
    """
    flux = recorded(
        None,
        "dipole",
        values=None,
        flux=flux,
        input_unit=input_unit,
        timestep=timestep,
        temperature=temperature,
    ).flux
    conditions = Conditions(timestep, temperature, estimator, window, depth, resolution)
    wanted = _checked_unit(unit, volume)
    shape = getattr(flux, "shape", None) or np.shape(flux)
    n_atoms = int(shape[-2]) if len(shape) >= 2 else 0
    names, index = group_index(labels, n_atoms)
    pairing = (share_of_total(n_atoms, index), 3 * n_atoms, len(names))
    density = density_of_flux(
        None, ("flux", flux), (n_atoms, 3), _vector_components, pairing, conditions
    )
    return {
        name: _spectrum(density, row, conditions, correction, wanted, volume, advise=False)
        for name, row in zip(names, np.eye(len(names)), strict=True)
    }


def group_index(
    labels: Sequence[Hashable] | None, n_atoms: int
) -> tuple[list[Hashable], NDArray[np.int64]]:
    """Distinct labels in order of appearance, and the group of each atom (n_atoms,)."""
    labels = list(range(n_atoms)) if labels is None else list(labels)
    if len(labels) != n_atoms or not labels:
        raise DataError(f"{len(labels)} labels for {n_atoms} atoms; give one label an atom")
    names = list(dict.fromkeys(labels))
    place = {name: k for k, name in enumerate(names)}
    return names, np.array([place[label] for label in labels], dtype=np.int64)


def atomic_flux(born_charges: ArrayLike, velocities: ArrayLike) -> Array:
    """Each atom's part of the dipole flux, ``Z*_i v_i`` (…, n_atoms, 3), in e × that of velocity.

    ``born_charges`` (…, n_atoms, 3, 3) holds ∂μ_a/∂r_ib at [i, a, b]; ``velocities``
    (…, n_atoms, 3).
    """
    result: Array = np.einsum(
        "...iab,...ib->...ia",
        np.asarray(born_charges, dtype=np.float64),
        np.asarray(velocities, dtype=np.float64),
    )
    return result


def _vector_components(frames: Array) -> Array:
    return np.ascontiguousarray(frames.reshape(len(frames), -1).T)


def _checked_unit(unit: str | None, volume: float | None) -> str:
    if volume is not None:
        check_positive(volume, "volume", "cubic Ångström")
    allowed = ("molar", "cross_section") if volume is None else tuple(_UNITS)
    if unit is None:
        return "molar" if volume is None else "n_alpha"
    if unit not in allowed:
        hint = " (the others need a volume)" if volume is None else ""
        raise DataError(f"unit {unit!r} is not one of {', '.join(allowed)}{hint}")
    return unit


def _spectrum(
    density: SpectralDensity,
    weights: Array,
    conditions: Conditions,
    correction: str,
    unit: str,
    volume: float | None,
    advise: bool = True,
) -> Spectrum:
    quantity, symbol = _UNITS[unit]
    facts: dict[str, str | float | int] = {"correction": correction}
    if volume is not None:
        facts["volume_angstrom3"] = float(volume)
    return spectrum_from_density(
        density,
        weights,
        _intensity_factor(unit, conditions.temperature, correction, volume),
        conditions,
        unit=symbol,
        quantity=quantity,
        # ε₂ carries a 1/ω: nothing to give at zero
        keep=(lambda f: f > 0.0) if unit == "epsilon2" else None,
        facts=facts,
        advise=advise,
    )


def _intensity_factor(
    unit: str, temperature: float, correction: str, volume: float | None
) -> Callable[[Array], Array]:
    """Factor from S_μ̇ in e²Å²/fs to the wanted unit, as a function of the wavenumber."""
    cross_section: float = _DENSITY_TO_SI / (
        6.0 * constants.epsilon_0 * constants.c * constants.k * temperature
    )  # m² a system

    def factor(frequency: Array) -> Array:
        scale: Array = cross_section * absorption_factor(
            correction, reduced_energy(frequency, temperature)
        )
        if unit == "cross_section":
            return scale * 1e4
        if unit == "molar":
            # m²/mol over m⁻¹ → km/mol over cm⁻¹
            return scale * (float(constants.N_A) * 0.1)
        bulk = scale / (float(volume or 0.0) * 1e-30)  # m⁻¹
        if unit == "n_alpha":
            return bulk * 1e-2
        omega = frequency * invcm_to_radians_per_fs * 1e15
        return bulk * float(constants.c) / omega

    return factor
