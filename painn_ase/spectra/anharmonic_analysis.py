"""From a quartic field to levels: which modes are frozen, which resonances are diagonalised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError
from painn_ase.spectra.advice import check_positive, warn
from painn_ase.spectra.anharmonic_constants import (
    Resonance,
    VibrationalConstants,
    fermi_resonances,
    ground_state_rotation,
)
from painn_ase.spectra.anharmonic_field import (
    QuarticField,
    check_modes,
    rotational_invcm_amu_angstrom2,
)
from painn_ase.spectra.anharmonic_levels import levels_of
from painn_ase.spectra.anharmonic_result import AnharmonicResult
from painn_ase.units import e2_per_amu_to_km_per_mol

__all__ = ["anharmonic", "chosen_modes"]

Array = NDArray[np.float64]

#: |d_iiii|/ω above which a mode is no oscillator with a small correction
LARGEST_RATIO = 2.0


def anharmonic(
    field: QuarticField,
    *,
    window: float = 200.0,
    threshold: float = 1.0,
    frozen: Iterable[int] | Literal["auto"] = "auto",
) -> AnharmonicResult:
    """Fundamentals, overtones, combinations and zero-point energy by perturbation theory (GVPT2).

    Parameters
    ----------
    field : QuarticField
        As :func:`painn_ase.quartic.quartic_field` measures it.
    window, threshold : float
        A cubic resonance within ``window`` cm⁻¹ is diagonalised where second order would err by
        more than ``threshold`` cm⁻¹ (Martin's test). Overtones of two modes within ``window`` of
        each other are coupled to second order (Darling–Dennison).
    frozen : "auto" or modes
        Numbers from 0 of modes that stay harmonic and out of every sum, beside those that the field
        itself has frozen. ``"auto"``: those with |d_iiii|/ω above 2, as torsions have.

    Returns
    -------
    AnharmonicResult
        Energies to second order, intensities to first. Overtones meet combinations through cubic
        resonances alone, not through second-order couplings.

    Raises
    ------
    DataError
        Where all modes are frozen, or a mode number does not exist.

    Warns
    -----
    PaiNNWarning
        For frozen modes, and for modes on which the field and its ``check`` disagree.
    """
    check_positive(window, "window", "cm^-1")
    check_positive(threshold, "threshold", "cm^-1")
    n = len(field.frequencies)
    held = tuple(sorted({*chosen_modes(field, frozen), *field.frozen}))
    kept = np.array([k for k in range(n) if k not in held], dtype=np.intp)
    if not len(kept):
        raise DataError("all modes are frozen: nothing is left for perturbation theory")
    small = _of_modes(field, kept)
    resonances = fermi_resonances(small, window, threshold)
    levels = levels_of(small, resonances, window)
    constants = VibrationalConstants.of(small, resonances)
    x = np.zeros((n, n))
    x[np.ix_(kept, kept)] = constants.x
    harmonic_rest = 0.5 * float(field.frequencies[list(held)].sum())
    result = AnharmonicResult(
        harmonic=field.frequencies,
        fundamentals=_spread(field.frequencies, levels.wavenumbers, kept),
        infrared=_fundamental_intensities(field, levels.infrared, kept),
        levels=levels,
        x=x,
        zero_point=constants.zero_point + harmonic_rest,
        rotation=None if field.rotor is None else field.rotor.constants,
        ground_rotation=ground_state_rotation(small),
        frozen=held,
        resonances=tuple(
            Resonance(int(kept[r.i]), int(kept[r.j]), int(kept[r.k]), r.gap, r.error)
            for r in resonances
        ),
        check=_check(field, kept, resonances, window),
    )
    _advise(result)
    return result


def chosen_modes(field: QuarticField, frozen: Iterable[int] | Literal["auto"]) -> tuple[int, ...]:
    """Modes to freeze: those named, or with "auto" those with |d_iiii|/ω above 2."""
    if isinstance(frozen, str) and frozen == "auto":
        return tuple(int(k) for k in np.flatnonzero(field.diagonal_ratios > LARGEST_RATIO))
    return check_modes(frozen, len(field.frequencies))


def _of_modes(field: QuarticField, kept: NDArray[np.intp]) -> QuarticField:
    """The field of some modes alone."""
    cube = np.ix_(kept, kept, kept)
    slopes, curvatures = field.dipole_slopes, field.dipole_curvatures
    return QuarticField(
        frequencies=field.frequencies[kept],
        cubic=field.cubic[cube],
        quartic=field.quartic[cube],
        rotor=None if field.rotor is None else field.rotor.of_modes(kept),
        dipole_slopes=None if slopes is None else slopes[kept],
        dipole_curvatures=None if curvatures is None else curvatures[np.ix_(kept, kept)],
    )


def _check(
    field: QuarticField,
    kept: NDArray[np.intp],
    resonances: tuple[Resonance, ...],
    window: float,
) -> Array | None:
    """Fundamentals of the field's check, with the same modes and resonances."""
    if field.check is None:
        return None
    other = _of_modes(replace(field.check, check=None), kept)
    return _spread(field.frequencies, levels_of(other, resonances, window).wavenumbers, kept)


def _spread(harmonic: Array, levels: Array, kept: NDArray[np.intp]) -> Array:
    values: Array = harmonic.copy()
    values[kept] = levels[: len(kept)]
    return values


def _fundamental_intensities(
    field: QuarticField, strengths: Array | None, kept: NDArray[np.intp]
) -> Array | None:
    if field.dipole_slopes is None or strengths is None:
        return None
    # <0|μ|1> = (∂μ/∂q)/√2 of a harmonic oscillator
    scale = e2_per_amu_to_km_per_mol / rotational_invcm_amu_angstrom2 / 2.0
    harmonic = scale * field.frequencies * np.sum(field.dipole_slopes**2, axis=1)
    return _spread(harmonic, strengths, kept)


def _advise(result: AnharmonicResult) -> None:
    if result.frozen:
        modes = ", ".join(f"{k + 1} ({result.harmonic[k]:.0f} cm^-1)" for k in result.frozen)
        warn(
            f"frozen, left harmonic and out of every sum: mode {modes}. Modes that couple to them "
            "are less certain."
        )
    if result.undetermined and result.check is not None:
        modes = ", ".join(
            f"{k + 1} ({result.fundamentals[k]:.0f} or {result.check[k]:.0f} cm^-1)"
            for k in result.undetermined
        )
        warn(
            f"the model does not determine the fundamental of mode {modes}: wide and narrow "
            "displacements disagree. Its data do not reach as far as the quantum motion, or its "
            "surface is rough; train it on wider displacements."
        )
