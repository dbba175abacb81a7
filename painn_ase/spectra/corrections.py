"""Quantum corrections: what a classical correlation function lacks at high frequency.

A correction is a factor Q(x), x = hcν̃/kT, that turns the classical spectral density of a
coordinate into an estimate of the quantum one. Ramírez, López-Ciudad, Kumar, Marx, J. Chem. Phys.
121, 3973 (2004).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from painn_ase.errors import DataError

__all__ = ["CORRECTIONS", "Correction", "absorption_factor", "quantum_factor", "reduced_energy"]

Array = NDArray[np.float64]
Correction = Literal["none", "standard", "harmonic", "schofield"]
CORRECTIONS: tuple[str, ...] = ("none", "standard", "harmonic", "schofield")

#: second radiation constant hc/k in cm·K
second_radiation_constant: float = constants.h * constants.c / constants.k * 100.0


def reduced_energy(frequency: Array, temperature: float) -> Array:
    """Quantum of energy over thermal energy, x = hcν̃/kT, for cm⁻¹ and kelvin."""
    return second_radiation_constant / temperature * frequency


def quantum_factor(correction: str, x: Array) -> Array:
    """Q(x), the factor on the classical spectral density of a coordinate; 1 at x = 0.

    ============  ===================  =============================================
    name          Q(x)                 exact for
    ============  ===================  =============================================
    none          1                    –
    standard      2/(1 + e^−x)         a symmetrised correlation function
    harmonic      x/(1 − e^−x)         harmonic motion, and the Kubo transform
    schofield     e^(x/2)              – (Phys. Rev. Lett. 4, 239 (1960))
    ============  ===================  =============================================

    Raises DataError for another name, or where Schofield's factor overflows.
    """
    if correction == "none":
        return np.ones_like(x)
    if correction == "standard":
        return 2.0 / (1.0 + np.exp(-x))
    if correction == "harmonic":
        # x/(1 − e^−x) → 1 at zero
        safe = np.where(x == 0.0, 1.0, x)
        return np.where(x == 0.0, 1.0, safe / -np.expm1(-safe))
    if correction == "schofield":
        if x.size and float(np.max(x)) > 1000.0:
            raise DataError(
                "Schofield's correction e^(hcν/2kT) overflows at this temperature; use 'harmonic'"
            )
        return np.exp(0.5 * x)
    raise DataError(f"unknown correction {correction!r}; allowed are {', '.join(CORRECTIONS)}")


def absorption_factor(correction: str, x: Array) -> Array:
    """Factor on the classical absorption, Q(x)(1 − e^−x)/x: exactly 1 for ``harmonic``.

    Net absorption is absorption less stimulated emission, hence the (1 − e^−x); the flux form of
    the correlation function has already spent one factor of frequency, hence the 1/x.
    """
    return quantum_factor(correction, x) / quantum_factor("harmonic", x)
