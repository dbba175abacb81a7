"""Levels and first-order dipole moments of fundamentals, overtones and combinations.

Deperturbed energies stand on the diagonal. States that a cubic resonance joins, and overtones of
two modes near each other (Darling & Dennison, Phys. Rev. 57, 128 (1940)), are coupled by a small
diagonalisation (GVPT2: Barone, J. Chem. Phys. 122, 014108 (2005)), which mixes their dipoles
too (Vázquez & Stanton, Mol. Phys. 104, 377 (2006)).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from painn_ase.spectra.anharmonic_constants import (
    Resonance,
    VibrationalConstants,
    denominators,
    overtone_couplings,
)
from painn_ase.spectra.anharmonic_field import QuarticField, rotational_invcm_amu_angstrom2
from painn_ase.units import e2_per_amu_to_km_per_mol

__all__ = ["LevelList", "levels_of"]

Array = NDArray[np.float64]
State = tuple[int, ...]

#: states of more quanta are not followed along chains of resonances: two quanta that each split
MOST_QUANTA = 4
#: overtones are coupled where that would move them by more, cm⁻¹
SMALLEST_SHIFT = 1.0


@dataclass(frozen=True, eq=False)
class LevelList:
    """States of one and two quanta, each with the level that is most like it.

    Attributes
    ----------
    quanta : ndarray (n_states, n_modes) of int
        Fundamentals first, in the order of the modes.
    wavenumbers : ndarray (n_states,)
        Above the ground state, cm⁻¹.
    moments : ndarray (n_states, 3) or None
        Transition dipoles from the ground state, e Å.
    shares : ndarray (n_states,)
        How much of the level is that state, 0 to 1; below about ½ the name means little.
    """

    quanta: NDArray[np.intp]
    wavenumbers: Array
    moments: Array | None
    shares: Array

    @property
    def infrared(self) -> Array | None:
        """Integrated absorption, km/mol (n_states,)."""
        if self.moments is None:
            return None
        scale = e2_per_amu_to_km_per_mol / rotational_invcm_amu_angstrom2
        return np.asarray(scale * self.wavenumbers * np.sum(self.moments**2, axis=1))


def levels_of(
    field: QuarticField, resonances: tuple[Resonance, ...], window: float = 200.0
) -> LevelList:
    """Fundamentals, overtones and combinations of a field, all its modes taken.

    Overtones 2ν_r and 2ν_s are coupled where the modes are within ``window`` cm⁻¹ and it matters.
    """
    n = len(field.frequencies)
    exchanges = _exchanges(field, resonances, window)
    constants = VibrationalConstants.of(field, resonances)
    states = _states(n)
    energies = constants.excitations(states)
    moments = _moments(field, resonances)
    shares = np.ones(len(states))
    place = {tuple(state): row for row, state in enumerate(states.tolist())}
    for block in _blocks(map(tuple, states.tolist()), exchanges):
        rows = [place.get(state) for state in block]
        hamiltonian = _couplings(block, exchanges)
        np.fill_diagonal(hamiltonian, constants.excitations(block))
        values, vectors = np.linalg.eigh(hamiltonian)
        bright = np.zeros((len(block), 3))
        if moments is not None:
            for k, row in enumerate(rows):
                if row is not None:
                    bright[k] = moments[row]
            bright = vectors.T @ bright
        for k, column in enumerate(_columns(vectors)):
            row = rows[k]
            if row is not None:
                energies[row], shares[row] = values[column], vectors[k, column] ** 2
                if moments is not None:
                    moments[row] = bright[column]
    return LevelList(states, energies, moments, shares)


def _states(n: int) -> NDArray[np.intp]:
    """One quantum in each mode, then two in every way (n_states, n_modes)."""
    one = np.eye(n, dtype=np.intp)
    i, j = np.triu_indices(n)
    return np.concatenate([one, one[i] + one[j]])


def _moments(field: QuarticField, resonances: tuple[Resonance, ...]) -> Array | None:
    """Transition dipoles from the ground state to the states of ``_states``, first order, e Å.

    One quantum: μ_i/√2. Two: the dipole's curvature, and its slopes through the cubic constants.
    """
    slopes = field.dipole_slopes
    if slopes is None:
        return None
    sums, gaps = denominators(field, resonances)
    i, j = np.triu_indices(len(slopes))
    # the last index of c_ijk[1/(i+j-k) - 1/(i+j+k)] meets the dipole's slope along k
    pairs = np.einsum("ijk,ka->ija", field.cubic * (gaps - sums), slopes) / 4.0
    if field.dipole_curvatures is not None:
        pairs = pairs + field.dipole_curvatures / 2.0
    twice = np.where(i == j, math.sqrt(0.5), 1.0)[:, None]
    return np.concatenate([slopes / math.sqrt(2.0), twice * pairs[i, j]])


# ---------------------------------------------------------------------- resonances


@dataclass(frozen=True)
class _Exchange:
    """``strength`` × Π a† over ``born`` × Π a over ``lost``, and its conjugate, cm⁻¹."""

    born: tuple[int, ...]
    lost: tuple[int, ...]
    strength: float

    def applied(self, state: State) -> tuple[State, float] | None:
        """The state that the operator makes of another, and the matrix element; None for zero."""
        new, factor = list(state), 1.0
        for k in self.lost:
            factor *= new[k]
            new[k] -= 1
        for k in self.born:
            new[k] += 1
            factor *= new[k]
        if factor <= 0.0 or sum(new) > MOST_QUANTA:
            return None
        return tuple(new), self.strength * math.sqrt(factor)


def _exchanges(
    field: QuarticField, resonances: tuple[Resonance, ...], window: float
) -> list[_Exchange]:
    """What couples states: cubic resonances to first order, overtones of two modes to second."""
    found = []
    for r in resonances:
        strength = field.cubic[r.i, r.j, r.k] / math.sqrt(8.0)
        half = 0.5 if r.i == r.j else 1.0
        found.append(_Exchange((r.i, r.j), (r.k,), half * float(strength)))
    elements = overtone_couplings(field, resonances)
    w = field.frequencies
    gaps = np.abs(w[:, None] - w)
    coupled = (gaps < window) & (elements**2 > SMALLEST_SHIFT * 2.0 * gaps)
    for a, b in np.argwhere(np.triu(coupled, 1)).tolist():
        found.append(_Exchange((a, a), (b, b), 0.5 * float(elements[a, b])))
    return found


def _neighbours(state: State, exchanges: list[_Exchange]) -> Iterable[tuple[State, float]]:
    """States coupled to one, with the matrix elements."""
    for exchange in exchanges:
        for way in (exchange, _Exchange(exchange.lost, exchange.born, exchange.strength)):
            made = way.applied(state)
            if made is not None:
                yield made


def _blocks(starts: Iterable[State], exchanges: list[_Exchange]) -> list[list[State]]:
    """Groups of more than one state that are coupled, each with at least one of ``starts``."""
    seen: set[State] = set()
    groups = []
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        group = [start]
        for state in group:  # grows while it is walked through
            for new, _ in _neighbours(state, exchanges):
                if new not in seen:
                    seen.add(new)
                    group.append(new)
        if len(group) > 1:
            groups.append(group)
    return groups


def _couplings(block: list[State], exchanges: list[_Exchange]) -> Array:
    """Matrix elements between the states of a block."""
    place = {state: row for row, state in enumerate(block)}
    matrix = np.zeros((len(block), len(block)))
    for row, state in enumerate(block):
        for new, element in _neighbours(state, exchanges):
            if new in place:
                matrix[row, place[new]] += element
    return matrix


def _columns(vectors: Array) -> list[int]:
    """For each state the eigenvector most like it, each eigenvector once."""
    weights = vectors**2
    columns = [0] * len(weights)
    for _ in range(len(weights)):
        state, column = np.unravel_index(int(np.argmax(weights)), weights.shape)
        columns[int(state)] = int(column)
        weights[state, :] = weights[:, column] = -1.0
    return columns
