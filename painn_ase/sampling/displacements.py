"""Frames about a minimum: displacements along normal modes, and single bonds turned."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.bonds import BOND, bonded
from painn_ase.driven import DrivenCalculator
from painn_ase.spectra import HarmonicResult, harmonic
from painn_ase.spectra.anharmonic_field import quantum_variance, unit_lengths
from painn_ase.units import boltzmann_constant, ev_to_invcm

__all__ = ["bonds_of", "displaced", "modes_of", "turned", "widths"]

Array = NDArray[np.float64]

#: cm⁻¹; softer modes are as wide as if they had this wavenumber: their harmonic width is none.
_SOFTEST = 60.0
#: Å √amu and spreads: how far one mode is moved at most.
_LONGEST, _MOST = 0.35, 2.5
#: Å; a longer bond of these elements, in order of their numbers, is a single one.
_SINGLE = {(6, 6): 1.42, (6, 7): 1.40, (6, 8): 1.38, (7, 7): 1.35, (7, 8): 1.35, (8, 8): 1.35}


def modes_of(atoms: Atoms, calculator: Any) -> HarmonicResult:
    """Normal modes of `atoms` with any ASE calculator, from its Hessian or from its forces.

    Parameters
    ----------
    atoms : Atoms
        At or near a minimum.
    calculator : Calculator
    """
    still = atoms.copy()
    still.set_constraint()
    has = hasattr(calculator, "get_hessian")
    return harmonic(still, calculator if has else DrivenCalculator(calculator))


def widths(modes: HarmonicResult, temperature: float | Array, *, quantum: bool) -> Array:
    """Standard deviations of the modes' mass-weighted coordinates (n_modes,), Å √amu.

    Parameters
    ----------
    modes : HarmonicResult
    temperature : float or ndarray (n_modes,)
        K.
    quantum : bool
        Of quantum oscillators, ⟨q²⟩ = ½ coth(ħω/2kT), or of classical ones, kT/ħω.
    """
    wavenumbers = np.maximum(np.abs(modes.frequencies), _SOFTEST)
    if quantum:
        square = quantum_variance(wavenumbers, temperature)
    else:
        square = boltzmann_constant * np.asarray(temperature) * ev_to_invcm / wavenumbers
    return np.asarray(np.sqrt(square) * unit_lengths(wavenumbers))


def displaced(
    atoms: Atoms, modes: HarmonicResult, spread: Array, rng: np.random.Generator
) -> Atoms:
    """A copy moved along all modes by normally distributed amounts of the `spread` of each."""
    size = np.clip(rng.normal(size=len(spread)), -_MOST, _MOST) * np.minimum(spread, _LONGEST)
    moved = atoms.copy()
    moved.calc = None
    moved.positions += np.einsum("m,mak->ak", size, modes.modes / np.sqrt(modes.masses)[:, None])
    result: Atoms = moved
    return result


def bonds_of(atoms: Atoms, reach: float = BOND) -> NDArray[np.bool_]:
    """Which atoms are bonded (n_atoms, n_atoms): closer than so many sums of covalent radii."""
    z = atoms.numbers
    close = bonded(z[:, None], z[None], atoms.get_all_distances(), reach)
    np.fill_diagonal(close, False)
    return close


def turned(atoms: Atoms, rng: np.random.Generator) -> Atoms | None:
    """A copy with every single bond between heavy atoms turned by any angle; None without one."""
    bonds = _single_bonds(atoms)
    if not bonds:
        return None
    moved = atoms.copy()
    moved.calc = None
    for i, j, side in bonds:
        part = moved[side]
        axis = moved.positions[j] - moved.positions[i]
        part.rotate(rng.uniform(0.0, 360.0), axis, center=moved.positions[j])
        moved.positions[side] = part.positions
    result: Atoms = moved
    return result


def _single_bonds(atoms: Atoms) -> list[tuple[int, int, NDArray[np.bool_]]]:
    """Bonds about which a part of the molecule turns: their ends, and which atoms turn."""
    bonded = bonds_of(atoms)
    found = []
    for i, j in zip(*np.where(np.triu(bonded)), strict=True):
        pair = (int(min(atoms.numbers[[i, j]])), int(max(atoms.numbers[[i, j]])))
        if pair not in _SINGLE or atoms.get_distance(i, j) < _SINGLE[pair]:
            continue
        if bonded[i].sum() < 2 or bonded[j].sum() < 2:
            continue
        cut = bonded.copy()
        cut[i, j] = cut[j, i] = False
        side = np.zeros(len(atoms), bool)
        side[j] = True
        while (grown := side | cut[side].any(axis=0)).sum() > side.sum():
            side = grown
        if not side[i]:  # else the bond is part of a ring
            found.append((int(i), int(j), side))
    return found
