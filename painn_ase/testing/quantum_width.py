"""Does a surface hold where quantum nuclei go? Energies at displacements of quantum width.

A proton's zero-point motion reaches where classical nuclei go at 2,700 K. A network that learnt
classical frames can have holes there, into which ring polymers fall, with excellent force errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import DataError, GeometryError
from painn_ase.evaluation import evaluate
from painn_ase.spectra import HarmonicResult
from painn_ase.spectra.anharmonic_field import quantum_variance, unit_moves
from painn_ase.testing.findings import Finding
from painn_ase.testing.properties import compute_properties
from painn_ase.units import ev_to_invcm

__all__ = ["STIFF", "QuantumWidth", "draw_quantum", "examine_width", "quantum_width"]

Array = NDArray[np.float64]

#: cm⁻¹; below, modes are wide at room temperature without quantum mechanics, and not harmonic.
STIFF = 500.0
#: E/E_harmonic below which a surface is doubtful. Water's own goes down to 0.56 in 20,000 draws.
DOUBTFUL = 0.5
#: Of the largest harmonic energy drawn: lower ones have ratios of rounding and of soft directions.
_SMALL = 0.05
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class QuantumWidth:
    """What a surface does over the quantum width of its stiff modes.

    Attributes
    ----------
    lowest, highest : float
        Of E/E_harmonic over the draws, energies counted from the minimum.
    n_draws, n_holes : int
        Structures, and those below the minimum or without a finite energy.
    n_modes : int
        Modes that were displaced, those above 500 cm⁻¹.
    worst : ndarray (n_atoms, 3)
        The structure of `lowest`, Å.
    """

    lowest: float
    highest: float
    n_draws: int
    n_holes: int
    n_modes: int
    worst: Array

    @property
    def is_doubtful(self) -> bool:
        """Whether there is a hole, or an energy below half of the harmonic one."""
        return self.n_holes > 0 or self.lowest < DOUBTFUL

    def __str__(self) -> str:
        holes = f"{self.n_holes} below the minimum" if self.n_holes else "no hole"
        return (
            f"E/E_harmonic {self.lowest:.2f} to {self.highest:.2f} in {self.n_draws} draws of "
            f"{self.n_modes} modes, {holes}"
        )


def draw_quantum(
    modes: HarmonicResult, n_draws: int, *, temperature: float = 300.0, seed: int = 0
) -> tuple[Array, Array]:
    """Structures of quantum width along the stiff modes, and their harmonic energies.

    Dimensionless coordinates are drawn with ⟨q²⟩ = ½ coth(hcω/2kT), the thermal width of a
    quantum oscillator.

    Parameters
    ----------
    modes : HarmonicResult
        Of the molecule at its minimum.
    n_draws : int
    temperature : float
        K; 0 for the ground state.
    seed : int
        Of the random numbers.

    Returns
    -------
    positions : ndarray (n_draws, n_atoms, 3)
        Å.
    energies : ndarray (n_draws,)
        ½ Σ ħω q², eV.

    Raises
    ------
    DataError
        When no mode is above 500 cm⁻¹.
    """
    stiff = modes.frequencies > STIFF
    if not stiff.any():
        raise DataError(
            f"no mode is above {STIFF:g} cm⁻¹: nothing here has a quantum width to examine."
        )
    frequencies = modes.frequencies[stiff]
    spread = np.sqrt(quantum_variance(frequencies, temperature))
    q = np.random.default_rng(seed).normal(size=(n_draws, len(frequencies))) * spread
    moves = unit_moves(modes, np.maximum(modes.frequencies, STIFF))[stiff]  # no root below zero
    positions = modes.positions + np.einsum("nm,mak->nak", q, moves)
    return positions, 0.5 * np.einsum("nm,m->n", q**2, frequencies / ev_to_invcm)


def quantum_width(
    calculator: Calculator,
    atoms: Atoms,
    modes: HarmonicResult,
    *,
    n_draws: int = 20_000,
    temperature: float = 300.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> QuantumWidth:
    """Energies over the quantum width of the stiff modes, beside the harmonic ones.

    Parameters
    ----------
    calculator : Calculator
        Any that gives energies; a PaiNNCalculator is evaluated in batches.
    atoms : Atoms
        The molecule of `modes`; elements, charge and masses are taken from it.
    modes : HarmonicResult
        Of the same calculator, at the minimum.
    n_draws : int
    temperature : float
        K.
    seed : int
    progress : callable, optional
        Called with the number of structures that are done, and their total.

    Raises
    ------
    DataError
        When no mode is above 500 cm⁻¹, or `n_draws` is not positive.
    GeometryError
        When `modes` are of another number of atoms.
    """
    if n_draws < 1:
        raise DataError(f"n_draws is {n_draws}; give 1 or more.")
    if modes.positions.shape != (len(atoms), 3):
        raise GeometryError(
            f"the modes are of {len(modes.positions)} atoms, the structure has {len(atoms)}."
        )
    positions, expected = draw_quantum(modes, n_draws, temperature=temperature, seed=seed)
    still = atoms.copy()
    still.set_constraint()
    still.positions = modes.positions
    lowest = _energies(calculator, still, modes.positions[None])[0]
    energies = np.empty(n_draws)
    for begin in range(0, n_draws, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        energies[part] = _energies(calculator, still, positions[part]) - lowest
        if progress is not None:
            progress(min(begin + _CHUNK, n_draws), n_draws)
    # not-a-number counts as a hole of any depth
    ratios = np.where(np.isfinite(energies), energies, -np.inf) / expected
    counted = expected > _SMALL * expected.max()
    worst = int(np.argmin(np.where(counted, ratios, np.inf)))
    return QuantumWidth(
        lowest=float(ratios[worst]),
        highest=float(ratios[counted].max()),
        n_draws=n_draws,
        n_holes=int((ratios < 0.0).sum()),
        n_modes=int((modes.frequencies > STIFF).sum()),
        worst=positions[worst],
    )


def examine_width(
    calculator: Calculator, atoms: Atoms, modes: HarmonicResult, *, n_draws: int, seed: int
) -> list[Finding]:
    """As a line of the examination: how far the lowest ratio is below one."""
    found = quantum_width(calculator, atoms, modes, n_draws=n_draws, seed=seed)
    return [Finding("quantum width", "energy", 1.0 - found.lowest, 1.0 - DOUBTFUL, note=str(found))]


def _energies(calculator: Calculator, atoms: Atoms, positions: Array) -> Array:
    frames = []
    for x in positions:
        frame = atoms.copy()
        frame.positions = x
        frames.append(frame)
    if isinstance(calculator, PaiNNCalculator):
        given = evaluate(calculator, frames, ["energy"])
        return np.array([one["energy"] for one in given], float)
    return np.array(
        [float(compute_properties(calculator, frame, ["energy"])["energy"]) for frame in frames]
    )
