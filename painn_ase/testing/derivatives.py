"""Derivatives against finite differences of what they differentiate."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from painn_ase.testing.properties import FLUX_OF, available_properties, compute_properties
from painn_ase.testing.tolerances import DIFFERENCES, Tolerance, assert_close

__all__ = ["arranged", "check_finite_differences", "position_slopes", "strain_slopes"]

FloatArray = NDArray[np.float64]

#: Derivative → what it differentiates with respect to positions.
_DERIVATIVES = {
    "forces": "energy",
    "hessian": "forces",
    "born_effective_charges": "dipole",
    "polarizability_derivatives": "polarizability",
}
#: Five-point stencil: (offset, weight), exact to the fourth order in the step.
_STENCIL = ((-2, 1.0 / 12.0), (-1, -8.0 / 12.0), (1, 8.0 / 12.0), (2, -1.0 / 12.0))


def check_finite_differences(
    calculator: Calculator,
    atoms: Atoms,
    properties: Iterable[str] | None = None,
    *,
    step: float = 5e-5,
    tolerance: Tolerance = DIFFERENCES,
) -> None:
    """Every derivative agrees with finite differences of what it differentiates.

    Forces, stress, Hessian, Born charges, ∂α/∂r and both fluxes, by a five-point stencil; for
    float64 calculators. The dipole of an ion counts from the centre of mass, which Born charges
    hold fixed: Q·m_i/M is added to the differences there.

    Parameters
    ----------
    calculator : Calculator
    atoms : Atoms
        With velocities, if fluxes are to mean something.
    properties : iterable of str, optional
        The derivatives to check; all that the calculator has, if not given.
    step : float
        Å; a strain of step/(10 Å) for the stress, a time of `step` (ASE's unit) for fluxes.
    tolerance : Tolerance

    Raises
    ------
    AssertionError
        Naming the derivative.
    """
    names = set(available_properties(calculator, atoms) if properties is None else properties)
    values = compute_properties(calculator, atoms, names)
    for name in names & set(_DERIVATIVES):
        slopes = position_slopes(calculator, atoms, _DERIVATIVES[name], step)
        expected = arranged(name, slopes, calculator, atoms)
        assert_close(name, values[name], expected, tolerance, "against finite differences")
    if "stress" in names:
        expected = strain_slopes(calculator, atoms, 0.1 * step) / atoms.get_volume()
        assert_close("stress", values["stress"], expected, tolerance, "against finite differences")
    for name in names & set(FLUX_OF):
        expected = np.zeros_like(values[name])
        for k, weight in _STENCIL:
            expected += weight / step * _moved(calculator, atoms, FLUX_OF[name], k * step)
        assert_close(name, values[name], expected, tolerance, "against the change along the motion")


def position_slopes(
    calculator: Calculator,
    atoms: Atoms,
    name: str,
    step: float,
    which: Sequence[int] | None = None,
) -> FloatArray:
    """∂(value)/∂r (n, 3, …) of the quantity `name` for the n atoms in `which`, else for all."""
    chosen = range(len(atoms)) if which is None else which
    moved = atoms.copy()
    slopes: list[FloatArray] = []
    for n, axis in itertools.product(chosen, range(3)):
        slope = np.zeros(())
        for k, weight in _STENCIL:
            moved.positions[n, axis] = atoms.positions[n, axis] + k * step
            slope = slope + weight / step * compute_properties(calculator, moved, [name])[name]
        moved.positions[n, axis] = atoms.positions[n, axis]
        slopes.append(slope)
    return np.array(slopes).reshape(len(chosen), 3, *np.shape(slopes[0]))


def arranged(
    name: str,
    slopes: FloatArray,
    calculator: Calculator,
    atoms: Atoms,
    which: Sequence[int] | None = None,
) -> FloatArray:
    """Slopes (n, 3, …) with the sign and the axes of the derivative `name`."""
    if name in ("forces", "hessian"):
        return -slopes
    if name == "born_effective_charges":
        charge = calculator.total_charge(atoms) if hasattr(calculator, "total_charge") else 0.0
        potential = getattr(calculator, "potential", None)
        if getattr(potential, "dipole_has_origin", False):
            masses = atoms.get_masses()
            drift: FloatArray = (masses / masses.sum())[:, None, None] * np.eye(3)
            slopes = slopes + charge * (drift if which is None else drift[list(which)])
        return np.swapaxes(slopes, 1, 2)
    return slopes


def strain_slopes(calculator: Calculator, atoms: Atoms, step: float) -> FloatArray:
    """∂E/∂ε (3, 3) for a symmetric strain ε."""
    slopes = np.zeros((3, 3))
    for a, b in itertools.product(range(3), repeat=2):
        for k, weight in _STENCIL:
            strain = np.eye(3)
            strain[a, b] += 0.5 * k * step
            strain[b, a] += 0.5 * k * step
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energy = compute_properties(calculator, strained, ["energy"])["energy"]
            slopes[a, b] += weight / step * float(energy)
    return slopes


def _moved(calculator: Calculator, atoms: Atoms, name: str, time: float) -> FloatArray:
    """A quantity after moving along the velocities for `time`."""
    moved = atoms.copy()
    moved.positions += time * atoms.get_velocities()
    return compute_properties(calculator, moved, [name])[name]
