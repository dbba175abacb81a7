"""Closed formulas of second-order vibrational perturbation theory, in partial fractions.

Mills, in Molecular Spectroscopy: Modern Research I, p. 115 (1972); Barone, J. Chem. Phys. 122,
014108 (2005). Every denominator ω_i + ω_j − ω_k stands in one place, so that a resonance is taken
out of all constants alike, and the energies of all states stay consistent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from painn_ase.spectra.anharmonic_field import QuarticField, unit_lengths

__all__ = [
    "Resonance",
    "VibrationalConstants",
    "fermi_resonances",
    "ground_state_rotation",
    "overtone_couplings",
]

Array = NDArray[np.float64]

#: gaps below which a denominator is left out however weak the coupling, cm⁻¹
NO_GAP = 0.1


@dataclass(frozen=True)
class Resonance:
    """A cubic resonance ω_i + ω_j ≈ ω_k; i = j for 2ω_i ≈ ω_k.

    Attributes
    ----------
    i, j, k : int
        Modes, i ≤ j.
    gap : float
        ω_i + ω_j − ω_k, cm⁻¹.
    error : float
        What second order errs by for these two levels alone, cm⁻¹ (Martin's test).
    """

    i: int
    j: int
    k: int
    gap: float
    error: float


def fermi_resonances(
    field: QuarticField, window: float = 200.0, threshold: float = 1.0, mixing: float = 0.2
) -> tuple[Resonance, ...]:
    """Resonances that second order cannot take, by the test of Martin et al., and strong mixing.

    J. Chem. Phys. 103, 2589 (1995): c⁴/(256Δ³) for 2ω_i ≈ ω_k and c⁴/(64Δ³) for ω_i + ω_j ≈ ω_k,
    above ``threshold`` and with Δ within ``window``, both in cm⁻¹. Energies feel a small coupling
    over a small gap less than intensities do: also where the coupling, c/4 or c/√8, is above
    ``mixing`` times the gap, states are taken as resonant.
    """
    w, c = field.frequencies, field.cubic
    n = len(w)
    gap = w[:, None, None] + w[None, :, None] - w[None, None, :]
    small = np.maximum(np.abs(gap), 1e-6)
    weight = np.where(np.eye(n, dtype=bool), 256.0, 64.0)[:, :, None]
    error = c**4 / (weight * small**3)
    strong = (error > threshold) | (c**2 > np.sqrt(weight) * mixing**2 * small**2)
    found = (strong & (np.abs(gap) < window)) | (np.abs(gap) < NO_GAP)
    i, j, k = np.indices(gap.shape)
    found &= (i <= j) & (k != i) & (k != j)
    return tuple(
        Resonance(int(a), int(b), int(t), float(gap[a, b, t]), float(error[a, b, t]))
        for a, b, t in np.argwhere(found)
    )


@dataclass(frozen=True, eq=False)
class VibrationalConstants:
    """``E = χ0 + Σ ω(v+½) + Σ_{r≤s} x_rs (v_r+½)(v_s+½)``, cm⁻¹, resonances left out.

    Attributes
    ----------
    frequencies : ndarray (n_modes,)
    x : ndarray (n_modes, n_modes)
    constant : float
        χ0.
    """

    frequencies: Array
    x: Array
    constant: float

    @classmethod
    def of(
        cls, field: QuarticField, resonances: tuple[Resonance, ...] = ()
    ) -> VibrationalConstants:
        """Constants of a field, all its modes taken, without the fractions of ``resonances``."""
        sums, gaps = denominators(field, resonances)
        x = _x_matrix(field, sums, gaps)
        return cls(field.frequencies, x, _constant_term(field, sums, gaps))

    @property
    def zero_point(self) -> float:
        """Energy of the ground state, cm⁻¹."""
        return float(self._energies(np.zeros((1, len(self.frequencies))))[0])

    def excitations(self, quanta: ArrayLike) -> Array:
        """Energies of states above the ground state, cm⁻¹; quanta (n_states, n_modes)."""
        states = np.asarray(quanta, dtype=np.float64)
        above: Array = self._energies(states) - self.zero_point
        return above

    def _energies(self, states: Array) -> Array:
        v = states + 0.5
        pairs = np.einsum("nr,rs,ns->n", v, self.x, v) + v**2 @ np.diag(self.x)
        energies: Array = self.constant + v @ self.frequencies + 0.5 * pairs
        return energies


def denominators(field: QuarticField, resonances: tuple[Resonance, ...]) -> tuple[Array, Array]:
    """1/(ω_i+ω_j+ω_k) and 1/(ω_i+ω_j−ω_k) at [i, j, k], the latter 0 for resonances."""
    w = field.frequencies
    pairs = w[:, None, None] + w[None, :, None]
    gaps = pairs - w
    for r in resonances:
        gaps[r.i, r.j, r.k] = gaps[r.j, r.i, r.k] = np.inf
    return 1.0 / (pairs + w), 1.0 / gaps


def _x_matrix(field: QuarticField, sums: Array, gaps: Array) -> Array:
    w, c, d = field.frequencies, field.cubic, field.quartic
    # c_rst² against every way in which two of the three modes can meet the third
    ways = sums + gaps.transpose(2, 0, 1) + gaps.transpose(0, 2, 1) - gaps
    x: Array = np.einsum("rss->rs", d) / 4.0 - np.sum(c**2 * ways, axis=2) / 8.0
    halves = np.einsum("rrt->rt", c)
    x = x - (halves / w) @ halves.T / 4.0
    if field.rotor is not None:
        ratios = w[:, None] / w[None, :]
        squares = np.einsum("a,ars->rs", field.rotor.constants, field.rotor.coriolis**2)
        x = x + squares * (ratios + ratios.T)
    # the same mode twice: at s = r the sum gives the -5c²/48ω of a single oscillator
    s = np.einsum("rrs->rs", sums) - np.einsum("rrs->rs", gaps) + 4.0 / w
    diagonal = np.einsum("iii->i", d) / 16.0 - np.sum(halves**2 * s, axis=1) / 32.0
    np.fill_diagonal(x, diagonal)
    return x


def _constant_term(field: QuarticField, sums: Array, gaps: Array) -> float:
    w, c = field.frequencies, field.cubic
    n = len(w)
    single = np.sum(np.einsum("iii->i", field.quartic)) / 64.0
    single -= 7.0 / 576.0 * np.sum(np.einsum("iii->i", c) ** 2 / w)
    halves = np.einsum("iij->ij", c) ** 2 * np.einsum("iij->ij", gaps - sums)
    double = 3.0 / 128.0 * (np.sum(halves) - np.trace(halves))
    i, j, k = np.indices((n, n, n))
    ways = gaps + gaps.transpose(0, 2, 1) + gaps.transpose(2, 0, 1) - sums
    triple = np.sum(np.where((i < j) & (j < k), c**2 * ways, 0.0)) / 32.0
    total = single + double + triple
    if field.rotor is not None:
        pairs = np.sum(field.rotor.coriolis**2, axis=(1, 2))  # Σ over r≠s: twice Σ over r<s
        total -= np.sum(field.rotor.constants * (1.0 + pairs)) / 4.0
    return float(total)


def overtone_couplings(field: QuarticField, resonances: tuple[Resonance, ...] = ()) -> Array:
    """Second-order (Darling–Dennison) matrix elements <2_r|H|2_s> at [r, s], r ≠ s, cm⁻¹.

    The part a_r†² a_s² of ½[G, V₁] and of V₂, by hand as the constants above.
    """
    w, c = field.frequencies, field.cubic
    sums, gaps = denominators(field, resonances)
    halves = np.einsum("rrt->rt", c)
    reach = np.einsum("rrt->rt", gaps) - np.einsum("rrt->rt", sums)
    one_way = (halves * reach) @ halves.T
    exchanged = np.sum(c**2 * (gaps.transpose(2, 0, 1) + gaps.transpose(0, 2, 1)), axis=2)
    elements: Array = np.einsum("rss->rs", field.quartic) / 8.0
    elements = elements + (one_way + one_way.T) / 32.0 - exchanged / 8.0
    if field.rotor is not None:
        ratios = w[:, None] / w[None, :]
        squares = np.einsum("a,ars->rs", field.rotor.constants, field.rotor.coriolis**2)
        elements = elements - squares * (ratios + ratios.T + 2.0) / 2.0
    return elements


def ground_state_rotation(field: QuarticField) -> Array | None:
    """Rotational constants of the vibrational ground state, cm⁻¹ (3,); None without a rotor.

    Mills's vibration–rotation constants summed over the modes; in the sum no denominator is
    resonant.
    """
    if field.rotor is None:
        return None
    w, rotor = field.frequencies, field.rotor
    inertia = 0.75 * np.einsum("rbg,g,r->b", rotor.slopes**2, 1.0 / rotor.moments, 1.0 / w)
    r, s = w[:, None], w[None, :]
    pairs = (r - s) ** 2 / (r * s * (r + s))
    coriolis = 0.5 * np.einsum("brs,rs->b", rotor.coriolis**2, pairs)
    strain = np.einsum("rrs->s", field.cubic) / (2.0 * unit_lengths(w) * w**2)
    shift = inertia - coriolis + np.einsum("sbb,s->b", rotor.slopes, strain)
    constants: Array = rotor.constants + rotor.constants**2 * shift
    return constants
