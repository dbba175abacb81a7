"""What a calculator says of a structure, as arrays whose axes are known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from painn_ase.quantities import QUANTITIES

__all__ = ["FLUX_OF", "available_properties", "axes_of", "compute_properties", "turn_property"]

FloatArray = NDArray[np.float64]


def compute_properties(
    calculator: Calculator, atoms: Atoms, properties: Iterable[str] | None = None
) -> dict[str, FloatArray]:
    """What `calculator` says of `atoms`, by name, with tensors as full matrices.

    Parameters
    ----------
    calculator : Calculator
        Ours, or one with the same methods for what ASE has no name for.
    atoms : Atoms
    properties : iterable of str, optional
        Names from :data:`painn_ase.quantities.QUANTITIES`; all that the calculator has, and the
        fluxes of those, if not given. Stress is left out where the structure has none.
    """
    names = list(available_properties(calculator, atoms) if properties is None else properties)
    values: dict[str, FloatArray] = {}
    for name in names:
        if name in FLUX_OF:
            value = getattr(calculator, f"get_{name}")(atoms)
        else:
            value = calculator.get_property(name, atoms)
        values[name] = _shaped(name, np.asarray(value, dtype=float), len(atoms))
    return values


def _shaped(name: str, value: FloatArray, n_atoms: int) -> FloatArray:
    """`value` in the shape of its quantity; other programs give (1, 3), (9,) and their like."""
    if name == "stress":
        full: FloatArray = voigt_6_to_full_3x3_stress(value) if value.size == 6 else value
        return full.reshape(3, 3)
    shape = tuple(n_atoms if n == "n_atoms" else int(n) for n in QUANTITIES[name].shape)
    if value.size != int(np.prod(shape)):
        raise PropertyNotImplementedError(
            f"{name} of {n_atoms} atoms has the shape {value.shape}; expected is {shape}."
        )
    return value.reshape(shape)


#: Functions of the velocities, which have methods of their own → what they are the rate of.
FLUX_OF = {"dipole_flux": "dipole", "polarizability_flux": "polarizability"}


def available_properties(calculator: Calculator, atoms: Atoms) -> list[str]:
    """Names of what `calculator` has for `atoms`, with its fluxes; stress only where periodic."""
    names = [n for n in QUANTITIES if n in calculator.implemented_properties]
    names += [f for f, of in FLUX_OF.items() if of in names and hasattr(calculator, f"get_{f}")]
    return [n for n in names if n != "stress" or atoms.pbc.all()]


def axes_of(name: str, kind: object) -> list[int]:
    """Axes of a quantity that run over `kind`: 3 for Cartesian ones, "n_atoms" for atoms."""
    shape = (3, 3) if name == "stress" else QUANTITIES[name].shape
    return [axis for axis, length in enumerate(shape) if length == kind]


def turn_property(name: str, value: FloatArray, matrix: FloatArray) -> FloatArray:
    """The quantity `name` of a structure whose every vector is turned by `matrix` (3, 3)."""
    for axis in axes_of(name, 3):
        value = np.moveaxis(np.tensordot(matrix, value, axes=(1, axis)), 0, axis)
    return value
