"""The free ring polymer: its normal modes, their frequencies, and closed forms of P beads.

A quantum particle at temperature T is a classical ring of P copies, bound by springs of frequency
ω_P = P kT/ħ, at the temperature P T: M. Parrinello, A. Rahman, J. Chem. Phys. 80, 860 (1984); modes
and thermostats as M. Ceriotti, M. Parrinello, T. E. Markland, D. E. Manolopoulos, J. Chem. Phys.
133, 124104 (2010). Times are ASE's, energies eV.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from painn_ase.units import (
    boltzmann_constant,
    ev_to_invcm,
    sqrt_ev_per_angstrom2_amu_to_invcm,
)

__all__ = [
    "HalfStep",
    "beads_for",
    "cayley_half_step",
    "harmonic_energy",
    "mode_frequencies",
    "mode_matrix",
]

Array = NDArray[np.float64]
#: ħ in eV times ASE's unit of time: from two ways to write the same frequency.
_HBAR = sqrt_ev_per_angstrom2_amu_to_invcm / ev_to_invcm


def mode_matrix(n_beads: int) -> Array:
    """Orthogonal C [n_beads, n_beads] with modes = C @ beads; √P times the centroid first."""
    j = np.arange(n_beads)
    rows = [np.full(n_beads, 1.0 / math.sqrt(n_beads))]
    for k in range(1, n_beads):
        angle = 2.0 * math.pi * k * j / n_beads
        if 2 * k == n_beads:
            rows.append((-1.0) ** j / math.sqrt(n_beads))
        else:
            wave = np.cos(angle) if 2 * k < n_beads else np.sin(angle)
            rows.append(math.sqrt(2.0 / n_beads) * wave)
    return np.array(rows)


def mode_frequencies(n_beads: int, temperature: float) -> Array:
    """ω_k = 2 ω_P sin(kπ/P) [n_beads], per ASE's unit of time; the centroid's is zero.

    Parameters
    ----------
    n_beads : int
        P.
    temperature : float
        K.
    """
    omega_p = n_beads * boltzmann_constant * temperature / _HBAR
    return 2.0 * omega_p * np.sin(np.pi * np.arange(n_beads) / n_beads)


class HalfStep(NamedTuple):
    """Half a time step of the free modes: x ← a x + b v, v ← g x + a v, each [n_beads]."""

    a: Array
    b: Array
    g: Array


def cayley_half_step(frequencies: Array, timestep: float) -> HalfStep:
    """The square root of Cayley's form of a free step, a turn of (ωx, v) by atan(ω dt/2).

    The exact turn by ω dt/2 heats where it meets π/2 (0.63 fs for 64 beads at 300 K); this one
    never reaches it: R. Korol, N. Bou-Rabee, T. F. Miller, J. Chem. Phys. 151, 124103 (2019).
    """
    half = 0.5 * timestep
    angle = np.arctan(frequencies * half)
    moving = np.where(frequencies > 0.0, frequencies, 1.0)
    b = np.where(frequencies > 0.0, np.sin(angle) / moving, half)
    return HalfStep(np.cos(angle), b, -frequencies * np.sin(angle))


def harmonic_energy(invcm: float, n_beads: int, temperature: float) -> float:
    """Mean potential energy of a harmonic degree of freedom, eV; its kinetic energy is the same.

    ½kT Σ_k ω²/(ω² + ω_k²), exact for P beads; ħω/4 coth(ħω/2kT) for infinitely many.

    Parameters
    ----------
    invcm : float
        ω, cm⁻¹.
    n_beads : int
        P.
    temperature : float
        K.
    """
    omega = invcm / sqrt_ev_per_angstrom2_amu_to_invcm
    squares = mode_frequencies(n_beads, temperature) ** 2
    # The centroid's share is one whatever ω, also where there is no well at all.
    share = 1.0 + float(np.sum(omega**2 / (omega**2 + squares[1:])))
    return 0.5 * boltzmann_constant * temperature * share


def beads_for(invcm: float, temperature: float, tolerance: float = 0.02) -> int:
    """Beads for which a harmonic mode's energy is right within `tolerance`: a power of two.

    Parameters
    ----------
    invcm : float
        The stiffest frequency of the system, cm⁻¹.
    temperature : float
        K.
    tolerance : float
        Relative error of the energy of that mode.
    """
    theta = 0.5 * invcm / (boltzmann_constant * temperature * ev_to_invcm)
    exact = 0.25 * invcm / ev_to_invcm / math.tanh(theta) if theta > 0.0 else 0.0
    n_beads = 1
    while harmonic_energy(invcm, n_beads, temperature) < (1.0 - tolerance) * exact:
        n_beads *= 2
    return n_beads
