"""Dipole and polarizability: their origin, symmetry and sum rule."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from painn_ase.graph import total_charge
from painn_ase.testing.findings import Finding, compare
from painn_ase.testing.properties import compute_properties
from painn_ase.testing.tolerances import Tolerance, tolerance_of

__all__ = [
    "check_dipole_origin",
    "measure_asymmetry",
    "measure_born_sum",
    "measure_dipole_shift",
    "measure_polarizability_shift",
    "total_charge_of",
]

FloatArray = NDArray[np.float64]

#: Where the structure is moved to, Å: far, and along no axis.
_SHIFT = np.array([7.0, -5.0, 4.0])


def total_charge_of(calculator: Calculator, atoms: Atoms) -> float:
    """Charge of the structure in e: what the calculator or ``atoms`` say of it, else zero."""
    if hasattr(calculator, "total_charge"):
        return float(calculator.total_charge(atoms))
    return total_charge(atoms, model=float(atoms.get_initial_charges().sum()))


def check_dipole_origin(
    calculator: Calculator, atoms: Atoms, *, tolerance: Tolerance | None = None
) -> None:
    """A dipole does not depend on where the structure is put, but for an ion's, by its charge.

    Parameters
    ----------
    calculator : Calculator
        Any ASE calculator with a dipole.
    atoms : Atoms
    tolerance : Tolerance, optional
        That of the calculator's dtype, if not given.

    Raises
    ------
    AssertionError
        With the charge that the shift shows.
    """
    finding = measure_dipole_shift(calculator, atoms, tolerance_of(calculator, tolerance))
    if finding.is_fault:
        raise AssertionError(str(finding))


def measure_dipole_shift(calculator: Calculator, atoms: Atoms, tolerance: Tolerance) -> Finding:
    """How far the dipole of the moved structure is from Δμ = Q·Δr or, with an own origin, 0."""
    before, after = _before_and_after(calculator, atoms, "dipole")
    charge = total_charge_of(calculator, atoms)
    seen = round(float((after - before) @ _SHIFT / (_SHIFT @ _SHIFT)), 6)
    note = f"moves as with a charge of {seen + 0.0:.4f} e; the structure has {charge:g} e"
    allowed = [compare("", "dipole", after - q * _SHIFT, before, tolerance) for q in (0.0, charge)]
    best = min(allowed, key=lambda finding: finding.severity)
    return Finding("dipole against shift", "dipole", best.size, best.allowed, best.unit, note)


def measure_polarizability_shift(
    calculator: Calculator, atoms: Atoms, tolerance: Tolerance
) -> Finding:
    """How far the polarizability of the moved structure is from that before."""
    before, after = _before_and_after(calculator, atoms, "polarizability")
    return compare("α against shift", "polarizability", after, before, tolerance)


def measure_asymmetry(calculator: Calculator, atoms: Atoms, tolerance: Tolerance) -> Finding:
    """How far the polarizability is from its transpose."""
    alpha = compute_properties(calculator, atoms, ["polarizability"])["polarizability"]
    return compare("α symmetric", "polarizability", alpha.T, alpha, tolerance)


def measure_born_sum(calculator: Calculator, atoms: Atoms, tolerance: Tolerance) -> Finding:
    """How far the Born charges are from summing to Q·1."""
    name = "born_effective_charges"
    born = compute_properties(calculator, atoms, [name])[name]
    charge = total_charge_of(calculator, atoms)
    expected = np.broadcast_to(charge * np.eye(3) / len(atoms), born.shape)
    largest = tolerance.rtol * float(np.abs(born).max())
    size = float(np.abs((born - expected).sum(axis=0)).max())
    note = f"to be {charge:g} e times the unit matrix"
    return Finding("Born sum rule", name, size, tolerance.atol + largest, "e", note)


def _before_and_after(
    calculator: Calculator, atoms: Atoms, name: str
) -> tuple[FloatArray, FloatArray]:
    before = compute_properties(calculator, atoms, [name])[name]
    moved = atoms.copy()
    moved.positions += _SHIFT
    return before, compute_properties(calculator, moved, [name])[name]
