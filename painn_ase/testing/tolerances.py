"""How far two evaluations of the same thing may differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

__all__ = ["DIFFERENCES", "TOLERANCES", "Tolerance", "assert_close", "tolerance_of"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Tolerance:
    """How far two evaluations of the same thing may differ: |a − b| ≤ atol + rtol·max|b|."""

    rtol: float
    atol: float


#: One table for all numeric tests, by dtype of the network. Positions and sums are float64
#: in both; float32 rounding of the network leaves about 1e-6 relative.
TOLERANCES: dict[torch.dtype, Tolerance] = {
    torch.float32: Tolerance(rtol=1e-5, atol=1e-5),
    torch.float64: Tolerance(rtol=1e-10, atol=1e-11),
}


#: How far a float64 derivative may lie from a five-point difference.
DIFFERENCES = Tolerance(rtol=1e-7, atol=1e-8)


def assert_close(
    name: str, given: FloatArray, expected: FloatArray, tolerance: Tolerance, what: str
) -> None:
    """Raise AssertionError, with the deviation, unless |given − expected| is within `tolerance`."""
    allowed = tolerance.atol + tolerance.rtol * float(np.abs(expected).max(initial=0.0))
    deviation = float(np.abs(given - expected).max(initial=0.0))
    if not deviation <= allowed:
        raise AssertionError(
            f"{name} {what}: differs by {deviation:.3e}, allowed are {allowed:.3e} "
            f"(largest entry {np.abs(expected).max(initial=0.0):.3e})."
        )


def tolerance_of(calculator: Calculator, given: Tolerance | None) -> Tolerance:
    """`given`, or the tolerance of the calculator's dtype; float64 where it names none."""
    return given or TOLERANCES[getattr(calculator, "dtype", torch.float64)]
