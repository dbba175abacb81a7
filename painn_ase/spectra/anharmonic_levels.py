"""Levels, dipole and polarizability moments of fundamentals, overtones and combinations.

Deperturbed energies stand on the diagonal. States that a cubic resonance joins, and overtones of
two modes near each other (Darling & Dennison, Phys. Rev. 57, 128 (1940)), are coupled by a small
diagonalisation (GVPT2: Barone, J. Chem. Phys. 122, 014108 (2005)), which mixes their moments
too (Vázquez & Stanton, Mol. Phys. 104, 377 (2006)). So are fundamentals that second order itself
mixes strongly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from painn_ase.spectra.anharmonic_constants import (
    Resonance,
    VibrationalConstants,
    overtone_couplings,
)
from painn_ase.spectra.anharmonic_field import QuarticField, rotational_invcm_amu_angstrom2
from painn_ase.spectra.anharmonic_transform import Transform
from painn_ase.spectra.normal_modes import tensor_activities
from painn_ase.spectra.property_surface import PropertySurface
from painn_ase.units import e2_per_amu_to_km_per_mol

__all__ = ["LevelList", "harmonic_infrared", "harmonic_raman", "levels_of"]

Array = NDArray[np.float64]
State = tuple[int, ...]

#: states of more quanta are not followed along chains of resonances: two quanta that each split
MOST_QUANTA = 4
#: overtones are coupled where that would move them by more, cm⁻¹
SMALLEST_SHIFT = 1.0
#: second-order parts of a moment above this share of the molecule's largest slope are not believed
LARGEST_CORRECTION = 0.5


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
    polarizabilities : ndarray (n_states, 3, 3) or None
        Transition polarizabilities from the ground state, Å³.
    shares : ndarray (n_states,)
        How much of the level is that state, 0 to 1; below about ½ the name means little.
    orders : ndarray (n_states,) of int
        To which order the moments are: 2 of fundamentals, or 1 where second order is too large
        to be believed; 1 of two quanta, which is their lowest.
    coupled : ndarray (n_states,) of bool
        Whether the state was diagonalised together with others.
    """

    quanta: NDArray[np.intp]
    wavenumbers: Array
    moments: Array | None
    polarizabilities: Array | None
    shares: Array
    orders: NDArray[np.intp]
    coupled: NDArray[np.bool_]

    @property
    def infrared(self) -> Array | None:
        """Integrated absorption, km/mol (n_states,)."""
        return None if self.moments is None else _absorption(self.wavenumbers, self.moments)

    @property
    def raman(self) -> Array | None:
        """Raman activity 45a² + 7γ², Å⁴/amu (n_states,).

        In the harmonic limit that of the normal modes; it goes into a cross section at the level's
        own wavenumber as theirs does.
        """
        if self.polarizabilities is None:
            return None
        return _activity(self.wavenumbers, self.polarizabilities)

    @property
    def depolarisation(self) -> Array | None:
        """Of plane-polarised light, 0 to ¾; 0 where there is no activity (n_states,)."""
        given = self.polarizabilities
        return None if given is None else tensor_activities(given)[1]


def harmonic_infrared(field: QuarticField) -> Array | None:
    """Absorption of each mode by the dipole's slope alone, km/mol (n_modes,)."""
    if field.dipole is None:
        return None
    return _absorption(field.frequencies, field.dipole.slopes / math.sqrt(2.0))


def harmonic_raman(field: QuarticField) -> Array | None:
    """Raman activity of each mode by the polarizability's slope alone, Å⁴/amu (n_modes,)."""
    if field.polarizability is None:
        return None
    return _activity(field.frequencies, field.polarizability.slopes / math.sqrt(2.0))


def _absorption(wavenumbers: Array, moments: Array) -> Array:
    scale = e2_per_amu_to_km_per_mol / rotational_invcm_amu_angstrom2
    return np.asarray(scale * wavenumbers * np.sum(moments**2, axis=1))


def _activity(wavenumbers: Array, moments: Array) -> Array:
    # <0|q|1> = 1/√2: the square of a slope along Q is that of the moment times 4πcω/ħ
    return tensor_activities(moments)[0] * wavenumbers / rotational_invcm_amu_angstrom2


def levels_of(
    field: QuarticField,
    resonances: tuple[Resonance, ...],
    window: float = 200.0,
    mixing: float = 0.2,
) -> LevelList:
    """Fundamentals, overtones and combinations of a field, all its modes taken.

    Overtones 2ν_r and 2ν_s are coupled where the modes are within ``window`` cm⁻¹ and it matters,
    fundamentals where second order would mix them by more than half of ``mixing``.
    """
    transform = Transform(field, resonances, mixing)
    exchanges = _exchanges(field, resonances, window, transform)
    constants = VibrationalConstants.of(field, resonances)
    states = _states(len(field.frequencies))
    energies = constants.excitations(states)
    moments, believed = _moments(transform, (field.dipole, field.polarizability))
    shares = np.ones(len(states))
    coupled = np.zeros(len(states), dtype=bool)
    place = {tuple(state): row for row, state in enumerate(states.tolist())}
    for block in _blocks(map(tuple, states.tolist()), exchanges):
        rows = [place.get(state) for state in block]
        hamiltonian = _couplings(block, exchanges)
        np.fill_diagonal(hamiltonian, constants.excitations(block))
        values, vectors = np.linalg.eigh(hamiltonian)
        bright = np.zeros((len(block), moments.shape[1]))
        for k, row in enumerate(rows):
            if row is not None:
                bright[k] = moments[row]
        bright = vectors.T @ bright
        for k, column in enumerate(_columns(vectors)):
            row = rows[k]
            if row is not None:
                energies[row], shares[row] = values[column], vectors[k, column] ** 2
                moments[row], coupled[row] = bright[column], True
    first = 0 if field.dipole is None else 3
    return LevelList(
        quanta=states,
        wavenumbers=energies,
        moments=None if field.dipole is None else moments[:, :3],
        polarizabilities=(
            None if field.polarizability is None else moments[:, first:].reshape(-1, 3, 3)
        ),
        shares=shares,
        orders=np.where(believed, 2, 1),
        coupled=coupled,
    )


def _states(n: int) -> NDArray[np.intp]:
    """One quantum in each mode, then two in every way (n_states, n_modes)."""
    one = np.eye(n, dtype=np.intp)
    i, j = np.triu_indices(n)
    return np.concatenate([one, one[i] + one[j]])


def _moments(
    transform: Transform, surfaces: tuple[PropertySurface | None, ...]
) -> tuple[Array, NDArray[np.bool_]]:
    """Moments from the ground state to the states of ``_states``, side by side (n_states, k).

    And for each state whether they are to second order (n_states,).
    """
    n = len(transform.couplings)
    i, j = np.triu_indices(n)
    twice = np.where(i == j, math.sqrt(0.5), 1.0)[:, None]
    believed = np.arange(n + len(i)) < n
    found = [transform.moments(surface) for surface in surfaces if surface is not None]
    for first, second, _ in found:
        sizes = np.linalg.norm(second, axis=1)
        largest = np.linalg.norm(first, axis=1).max()
        believed[:n] &= ~(sizes > LARGEST_CORRECTION * largest)
    columns = [
        np.concatenate([first + believed[:n, None] * second, twice * pairs[i, j]])
        for first, second, pairs in found
    ]
    return np.concatenate([np.zeros((n + len(i), 0)), *columns], axis=1), believed


# ---------------------------------------------------------------------- resonances


@dataclass(frozen=True)
class _Exchange:
    """``strength`` × Π a† over ``born`` × Π a over ``lost``, cm⁻¹.

    With ``alone`` only states of one quantum are coupled: between others the same order has more
    terms.
    """

    born: tuple[int, ...]
    lost: tuple[int, ...]
    strength: float
    alone: bool = False

    def reversed(self) -> _Exchange:
        """Its conjugate."""
        return replace(self, born=self.lost, lost=self.born)

    def applied(self, state: State) -> tuple[State, float] | None:
        """The state that the operator makes of another, and the matrix element; None for zero."""
        if self.alone and sum(state) != 1:
            return None
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
    field: QuarticField, resonances: tuple[Resonance, ...], window: float, transform: Transform
) -> list[_Exchange]:
    """What couples states: cubic resonances to first order; fundamentals, overtones to second.

    Each with its conjugate.
    """
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
    for a, b in np.argwhere(np.triu(transform.coupled, 1)).tolist():
        found.append(_Exchange((a,), (b,), float(transform.couplings[a, b]), alone=True))
    return [*found, *(exchange.reversed() for exchange in found)]


def _neighbours(state: State, exchanges: list[_Exchange]) -> Iterable[tuple[State, float]]:
    """States coupled to one, with the matrix elements."""
    for exchange in exchanges:
        made = exchange.applied(state)
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
