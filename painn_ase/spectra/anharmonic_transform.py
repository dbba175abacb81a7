"""Van Vleck's transformation of a quartic field, as polynomials in the ladder variables.

A symmetrically ordered operator is a polynomial in z = (a_1 … a_n, a_1* … a_n*), and for what
second order needs the commutator is the Poisson bracket {f, g} = ∂f J ∂g exactly, for one of the
two is always of second degree or less, or its higher terms are constants. Normal order, from
which matrix elements are read, is exp(¼ S ∂∂) of the polynomial.

``e^G H e^−G`` couples no states but those in resonance: G₁ = V₁/(E_a − E_b) without resonances,
H₂ = V₂ + ½[G₁, V₁ + V₁res], G₂ = H₂/(E_a − E_b) (Rosnik & Polik, Mol. Phys. 112, 261 (2014)).
A property is ``μ + [G, μ] + ½[G₁, [G₁, μ]]`` (Vázquez & Stanton, Mol. Phys. 104, 377 (2006);
Bloino & Barone, J. Chem. Phys. 136, 124108 (2012)).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from painn_ase.spectra.anharmonic_constants import Resonance
from painn_ase.spectra.anharmonic_field import QuarticField
from painn_ase.spectra.property_surface import PropertySurface

__all__ = ["Transform"]

Array = NDArray[np.float64]


class Transform:
    """The generators G₁ and G₂ of a field whose cubic resonances are left out of G₁.

    Fundamentals whose second-order coupling is above half of ``mixing`` times their gap are left
    out of G₂: of such a mixing G₂ has only the first power, and G₁ has the square of its own.

    Attributes
    ----------
    couplings : ndarray (n_modes, n_modes)
        ⟨1_i|H₂|1_j⟩, cm⁻¹; its diagonal is what second order moves the fundamentals by.
    coupled : ndarray of bool (n_modes, n_modes)
        Pairs for which that is left out of G₂: they are to be diagonalised.
    """

    def __init__(
        self, field: QuarticField, resonances: tuple[Resonance, ...], mixing: float
    ) -> None:
        n = len(field.frequencies)
        self._n = n
        shift = np.concatenate([-field.frequencies, field.frequencies])
        cubic = np.tile(field.cubic / math.sqrt(8.0), (2, 2, 2))
        energy = shift[:, None, None] + shift[:, None] + shift
        resonant = _resonant(n, resonances)
        self._generator = np.where(resonant, 0.0, cubic / np.where(resonant, 1.0, energy))
        self._traced = self._traces(self._generator)
        quadratic = self._second_order(field, np.where(resonant, 2.0, 1.0) * cubic)
        self.couplings: Array = quadratic[n:, :n]
        energy = shift[:, None] + shift
        gaps = np.abs(energy[n:, :n])
        own = np.eye(n, dtype=bool)
        self.coupled = (np.abs(self.couplings) > mixing / 2.0 * gaps) & ~own
        left = np.zeros((2 * n, 2 * n), dtype=bool)
        left[n:, :n] = left[:n, n:] = self.coupled | own
        self._second = np.where(left, 0.0, quadratic / np.where(left, 1.0, energy))

    def _turned(self, vectors: Array) -> Array:
        """J v along the first axis: (v_a*, −v_a), for {f, g} = ∂f/∂a ∂g/∂a* − ∂f/∂a* ∂g/∂a."""
        return np.concatenate([vectors[self._n :], -vectors[: self._n]])

    def _swapped(self, array: Array) -> Array:
        """S v along the second axis: a and a* exchanged."""
        return np.concatenate([array[:, self._n :], array[:, : self._n]], axis=1)

    def _traces(self, cubic: Array) -> Array:
        """S_xy c_xyz (2n,)."""
        return np.asarray(2.0 * np.einsum("iiz->z", cubic[: self._n, self._n :]))

    def _second_order(self, field: QuarticField, cubic: Array) -> Array:
        """Second derivatives of the normal-ordered H₂ (2n, 2n), of its part with two ladders."""
        quartic = np.tile(field.quartic.sum(axis=0) / 8.0, (2, 2))
        turned = self._turned(cubic)  # J c along the first index
        one = np.tensordot(self._traced, turned, 1)
        other = -np.tensordot(self._traces(cubic), self._turned(self._generator), 1)
        # G_zxu J_zw S_xy c_wyv
        both = np.tensordot(self._generator, self._swapped(turned), axes=([0, 1], [0, 1]))
        bracket = (one + other) / 4.0 + (both + both.T) / 2.0
        result: Array = quartic + bracket / 2.0
        if field.rotor is not None:
            roots = np.sqrt(field.frequencies)
            # π_α = Σ ζ_rs √(ω_s/ω_r) q_r p_s, with i left out of p = i(a* − a)/√2
            half = field.rotor.coriolis * roots / roots[:, None] / 2.0
            half = np.concatenate([-half, half], axis=2)
            angular = np.concatenate([half, half], axis=1)
            angular = angular + angular.transpose(0, 2, 1)
            squares = np.einsum("axu,axv->auv", angular, self._swapped(angular))
            result = result - np.tensordot(field.rotor.constants, squares, 1)
        return result

    def moments(self, surface: PropertySurface) -> tuple[Array, Array, Array]:
        """Moments from the ground state, flat over the property's components.

        Returns
        -------
        first, second : ndarray (n_modes, k)
            Of one quantum: to first order, and what second order adds.
        pairs : ndarray (n_modes, n_modes, k)
            Of one quantum in each of two modes, to first order; times √½ for two in one.
        """
        n = self._n
        slopes, curvatures, thirds = surface.flat()
        linear = np.tile(slopes, (2, 1)) / math.sqrt(2.0)
        quadratic = np.tile(curvatures, (2, 2, 1)) / 2.0
        turned = self._turned(linear)
        once = np.tensordot(self._generator, turned, 1)  # [G₁, μ₁]
        # [G₁, μ₂ + ½[G₁, μ₁]], its part with one ladder
        inner = self._turned(quadratic + once / 2.0)
        second = np.tensordot(self._traced, inner, 1) / 4.0
        met = np.tensordot(self._generator, self._swapped(inner), axes=([1, 2], [0, 1]))
        second = second + met / 2.0
        second = second + self._second @ turned
        second = second[:n] + thirds.sum(axis=0) / 4.0 / math.sqrt(2.0)
        return linear[:n], second, (quadratic + once)[:n, :n]


def _resonant(n: int, resonances: tuple[Resonance, ...]) -> NDArray[np.bool_]:
    """Where the cubic polynomial in a and a* holds one of the resonances (2n, 2n, 2n)."""
    marks = np.zeros((2 * n, 2 * n, 2 * n), dtype=bool)
    for r in resonances:
        for born in ((r.i + n, r.j + n, r.k), (r.i, r.j, r.k + n)):
            for place in itertools.permutations(born):
                marks[place] = True
    return marks
