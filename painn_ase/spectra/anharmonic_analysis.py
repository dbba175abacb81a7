"""From a quartic field to levels: which modes are frozen, which resonances are diagonalised."""

from __future__ import annotations

from collections.abc import Iterable
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
from painn_ase.spectra.anharmonic_field import QuarticField, check_modes
from painn_ase.spectra.anharmonic_levels import harmonic_infrared, harmonic_raman, levels_of
from painn_ase.spectra.anharmonic_result import AnharmonicResult
from painn_ase.spectra.normal_modes import tensor_activities

__all__ = ["anharmonic", "chosen_modes"]

Array = NDArray[np.float64]

#: |d_iiii|/ω above which a mode is no oscillator with a small correction
LARGEST_RATIO = 2.0


def anharmonic(
    field: QuarticField,
    *,
    window: float = 200.0,
    threshold: float = 1.0,
    mixing: float = 0.2,
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
    mixing : float
        A cubic resonance within ``window`` is also diagonalised where its two states, coupled and
        apart as they are, would mix by more than this (coupling over gap). Fundamentals that
        second order couples are diagonalised above half of it.
    frozen : "auto" or modes
        Numbers from 0 of modes that stay harmonic and out of every sum, beside those that the field
        itself has frozen. ``"auto"``: those with |d_iiii|/ω above 2, as torsions have.

    Returns
    -------
    AnharmonicResult
        Energies to second order; intensities of fundamentals to second, of states of two quanta,
        which have none in the harmonic picture, to first. Overtones meet combinations through
        cubic resonances alone, not through second-order couplings.

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
    check_positive(mixing, "mixing", "(coupling over gap)")
    n = len(field.frequencies)
    held = tuple(sorted({*chosen_modes(field, frozen), *field.frozen}))
    kept = np.array([k for k in range(n) if k not in held], dtype=np.intp)
    if not len(kept):
        raise DataError("all modes are frozen: nothing is left for perturbation theory")
    small = field.of_modes(kept)
    resonances = fermi_resonances(small, window, threshold, mixing)
    levels = levels_of(small, resonances, window, mixing)
    constants = VibrationalConstants.of(small, resonances)
    x = np.zeros((n, n))
    x[np.ix_(kept, kept)] = constants.x
    harmonic_rest = 0.5 * float(field.frequencies[list(held)].sum())
    result = AnharmonicResult(
        harmonic=field.frequencies,
        fundamentals=_spread(field.frequencies, levels.wavenumbers, kept),
        infrared=_of_fundamentals(harmonic_infrared(field), levels.infrared, kept),
        raman=_of_fundamentals(harmonic_raman(field), levels.raman, kept),
        depolarisation=_of_fundamentals(
            None
            if field.polarizability is None
            else tensor_activities(field.polarizability.slopes)[1],
            levels.depolarisation,
            kept,
        ),
        harmonic_infrared=harmonic_infrared(field),
        harmonic_raman=harmonic_raman(field),
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
        check=_check(field, kept, resonances, window, mixing),
    )
    _advise(result)
    return result


def chosen_modes(field: QuarticField, frozen: Iterable[int] | Literal["auto"]) -> tuple[int, ...]:
    """Modes to freeze: those named, or with "auto" those with |d_iiii|/ω above 2."""
    if isinstance(frozen, str) and frozen == "auto":
        return tuple(int(k) for k in np.flatnonzero(field.diagonal_ratios > LARGEST_RATIO))
    return check_modes(frozen, len(field.frequencies))


def _check(
    field: QuarticField,
    kept: NDArray[np.intp],
    resonances: tuple[Resonance, ...],
    window: float,
    mixing: float,
) -> Array | None:
    """Fundamentals of the field's check, with the same modes and resonances."""
    if field.check is None:
        return None
    other = field.check.of_modes(kept)
    return _spread(
        field.frequencies, levels_of(other, resonances, window, mixing).wavenumbers, kept
    )


def _spread(harmonic: Array, levels: Array, kept: NDArray[np.intp]) -> Array:
    values: Array = harmonic.copy()
    values[kept] = levels[: len(kept)]
    return values


def _of_fundamentals(
    harmonic: Array | None, strengths: Array | None, kept: NDArray[np.intp]
) -> Array | None:
    """Intensities of all modes, frozen ones harmonic."""
    if harmonic is None or strengths is None:
        return None
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
