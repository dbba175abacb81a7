"""How good a committee is at the minimum of a molecule: frequencies of its members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from numpy.typing import NDArray

from painn_ase.calculator import PaiNNCalculator
from painn_ase.spectra import HarmonicResult, harmonic

__all__ = ["Judgement", "judge"]

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

    Frequencies at the minimum see soft modes, which the spread of forces misses.

    Parameters
    ----------
    members : PaiNNCalculator
        A committee in float64.
    atoms : Atoms
        Near the minimum.
    """
    minimum, modes = _relaxed(atoms, members)
    each = [PaiNNCalculator(p, dtype="float64", charge=members.charge) for p in members.potentials]
    frequencies = np.array([_relaxed(minimum, member)[1].frequencies for member in each])
    return Judgement(minimum, modes, frequencies.mean(axis=0), frequencies.std(axis=0, ddof=1))


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
