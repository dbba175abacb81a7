"""What a check of a calculator found: the size of a fault beside what rounding may cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from painn_ase.quantities import QUANTITIES
from painn_ase.testing.tolerances import Tolerance

__all__ = ["Finding", "compare"]

FloatArray = NDArray[np.float64]

#: Energies carry large constants (reference energies): rounding goes with those, faults do not.
_ENERGIES = ("energy", "free_energy", "energies")
_ENERGY_RTOL = 1e-7


@dataclass(frozen=True)
class Finding:
    """One line of a calculator's examination.

    Attributes
    ----------
    check : str
        What was done, for instance "rotation".
    quantity : str
        What was looked at, for instance "forces".
    size : float or None
        How far it is from what it should be; None where it could not be measured.
    allowed : float
        Up to which size this is rounding.
    unit : str
        Unit of both.
    note : str
        Where the fault sits, or why nothing was measured.
    """

    check: str
    quantity: str
    size: float | None = None
    allowed: float = 0.0
    unit: str = ""
    note: str = ""

    @property
    def is_fault(self) -> bool:
        """Measured and too large; NaN is too large."""
        return self.size is not None and not self.size <= self.allowed

    @property
    def severity(self) -> float:
        """Size over allowed size; −1 where nothing was measured."""
        if self.size is None:
            return -1.0
        return np.inf if np.isnan(self.size) else self.size / max(self.allowed, 1e-300)

    @property
    def verdict(self) -> str:
        """One of "ok", "FAULT" and "not measured"."""
        return "not measured" if self.size is None else "FAULT" if self.is_fault else "ok"

    def __str__(self) -> str:
        if self.size is None:
            return f"{self.check}, {self.quantity}: not measured ({self.note})"
        text = f"{self.check}, {self.quantity}: {self.size:.3e} {self.unit}".rstrip()
        note = f" ({self.note})" if self.note else ""
        return f"{text}, allowed are {self.allowed:.1e}: {self.verdict}{note}"


def compare(
    check: str,
    name: str,
    given: FloatArray,
    expected: FloatArray,
    tolerance: Tolerance,
    note: str = "",
) -> Finding:
    """The finding that `given` is, or is not, the `expected` value of quantity `name`."""
    largest = float(np.abs(expected).max(initial=0.0))
    rtol = min(tolerance.rtol, _ENERGY_RTOL) if name in _ENERGIES else tolerance.rtol
    allowed = tolerance.atol + rtol * largest
    size = float(np.abs(given - expected).max(initial=0.0))
    return Finding(check, name, size, allowed, QUANTITIES[name].unit, note)
