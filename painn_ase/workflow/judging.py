"""How good a committee is at the minimum of a molecule: frequencies of its members.

Frequencies at the minimum see soft modes, which the spread of forces misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from numpy.typing import NDArray

from painn_ase.calculator import PaiNNCalculator
from painn_ase.spectra import HarmonicResult, harmonic

__all__ = ["Judgement", "judge", "largest_spread", "with_spread"]

Array = NDArray[np.float64]

#: cm⁻¹; below are torsions of large amplitude, which no harmonic frequency describes.
COUNTED = 200.0
#: eV/Å and steps of the relaxations.
_FMAX, _STEPS = 1e-3, 400


@dataclass(frozen=True, eq=False)
class Judgement:
    """The committee's minimum and what its members say of it.

    Attributes
    ----------
    minimum : Atoms
        Relaxed with the committee.
    modes : HarmonicResult
        Of the committee's mean.
    frequencies, spread : ndarray (n_modes,)
        Mean and standard deviation over the members, each at its own minimum, cm⁻¹.
    """

    minimum: Atoms
    modes: HarmonicResult
    frequencies: Array
    spread: Array

    @property
    def agreed(self) -> float | None:
        """Largest spread of modes above 200 cm⁻¹; None with an imaginary one."""
        if np.any(self.frequencies <= 0.0):
            return None
        return _largest(self.spread, self.frequencies)

    def moved(self, before: Sequence[float] | None) -> float | None:
        """Largest change of modes above 200 cm⁻¹ since `before`; None without one."""
        if before is None or len(before) != len(self.frequencies):
            return None
        return _largest(np.abs(self.frequencies - np.asarray(before)), self.frequencies)

    def worst(self, n: int) -> NDArray[np.intp]:
        """Numbers of the modes on which the members disagree most."""
        return np.argsort(-self.spread)[:n]


def judge(members: PaiNNCalculator, atoms: Atoms) -> Judgement:
    """Relax a molecule with a committee and with each of its members, and compare frequencies.

    Parameters
    ----------
    members : PaiNNCalculator
        A committee in float64.
    atoms : Atoms
        Near the minimum.
    """
    minimum, modes = _relaxed(atoms, members)
    frequencies = _of_members(members, minimum)
    return Judgement(minimum, modes, frequencies.mean(axis=0), frequencies.std(axis=0, ddof=1))


def with_spread(modes: HarmonicResult, calculator: object, minimum: Atoms) -> HarmonicResult:
    """Modes of a committee with the standard deviation of their frequencies over its members.

    Parameters
    ----------
    modes : HarmonicResult
        Of the committee's mean at its `minimum`.
    calculator : Calculator
        The committee; modes of anything else stay as they are, and so do those of structures with
        periods or with coordinates held, which a member's own minimum may have elsewhere.
    minimum : Atoms
    """
    if not isinstance(calculator, PaiNNCalculator) or len(calculator.potentials) < 2:
        return modes
    if minimum.pbc.any() or modes.n_held:
        return modes
    frequencies = _of_members(calculator, minimum)
    return replace(modes, frequency_std=frequencies.std(axis=0, ddof=1))


def largest_spread(modes: HarmonicResult) -> float | None:
    """Of modes above 200 cm⁻¹, cm⁻¹; None where members were not asked."""
    if modes.frequency_std is None:
        return None
    return _largest(modes.frequency_std, modes.frequencies)


def _of_members(committee: PaiNNCalculator, minimum: Atoms) -> Array:
    """Frequencies of each member at its own minimum (n_members, n_modes), cm⁻¹."""
    each = (
        PaiNNCalculator(p, dtype="float64", charge=committee.charge) for p in committee.potentials
    )
    return np.array([_relaxed(minimum, member)[1].frequencies for member in each])


def _relaxed(atoms: Atoms, calculator: PaiNNCalculator) -> tuple[Atoms, HarmonicResult]:
    """The minimum and its modes."""
    minimum = atoms.copy()
    minimum.set_constraint()
    minimum.calc = calculator
    BFGS(minimum, logfile=None).run(fmax=_FMAX, steps=_STEPS)
    modes = harmonic(minimum, calculator)
    minimum.calc = None
    return minimum, modes


def _largest(values: Array, frequencies: Array) -> float:
    counted = np.abs(frequencies) > COUNTED
    return float(values[counted].max()) if counted.any() else 0.0
