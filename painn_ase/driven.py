"""Forces from any ASE calculator, dipoles and polarizabilities from a model of ours beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import UnsupportedPropertyError

__all__ = ["DrivenCalculator", "hessian_of_forces"]

Array = NDArray[np.float64]

#: Of a response model: what it gives beside a driver.
_RESPONSES = ("dipole", "polarizability", "charges", "born_effective_charges")
#: Of a driver.
_DRIVEN = ("energy", "free_energy", "forces", "stress")


def hessian_of_forces(atoms: Atoms, calculator: Calculator, displacement: float = 0.005) -> Array:
    """The Hessian (n_atoms, 3, n_atoms, 3), eV/Å², by central differences of forces.

    Parameters
    ----------
    atoms : Atoms
        Constraints are not applied.
    calculator : Calculator
        Any that gives forces.
    displacement : float
        Å, to both sides.
    """
    moved = atoms.copy()
    moved.set_constraint()
    moved.calc = calculator
    start = moved.get_positions()
    rows = []
    for coordinate in range(start.size):
        sides = []
        for sign in (1.0, -1.0):
            positions = start.copy()
            positions.flat[coordinate] += sign * displacement
            moved.positions = positions
            sides.append(np.array(moved.get_forces(), dtype=np.float64).ravel())
        rows.append((sides[1] - sides[0]) / (2.0 * displacement))
    matrix = np.array(rows)
    found: Array = 0.5 * (matrix + matrix.T)
    return found.reshape(len(atoms), 3, len(atoms), 3)


class DrivenCalculator(Calculator):
    """One calculator of two: a driver's energies and forces, a model's responses.

    Whatever asks a PaiNNCalculator for a Hessian or for the derivatives of its dipole can ask this
    one: harmonic analysis, relaxation, dynamics with recorded fluxes.

    Parameters
    ----------
    driver : Calculator
        Any ASE calculator with energy and forces.
    response : PaiNNCalculator, optional
        Of a model with a dipole or polarizability.

    Raises
    ------
    UnsupportedPropertyError
        When the driver has no forces, or the model neither dipole nor polarizability.
    """

    def __init__(self, driver: Calculator, response: PaiNNCalculator | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        has = tuple(driver.implemented_properties)
        if "forces" not in has or "energy" not in has:
            raise UnsupportedPropertyError(
                f"{type(driver).__name__} cannot drive: it has no forces or no energy; it gives "
                f"{', '.join(has)}."
            )
        gives = () if response is None else tuple(response.implemented_properties)
        if response is not None and not {"dipole", "polarizability"} & set(gives):
            raise UnsupportedPropertyError(
                "the model for responses has neither a dipole nor a polarizability; it gives "
                f"{', '.join(gives)}."
            )
        self.driver, self.response = driver, response
        self.implemented_properties = [
            *(name for name in _DRIVEN if name in has),
            *(name for name in _RESPONSES if name in gives),
        ]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """What is asked for, from whom has it."""
        super().calculate(atoms, list(properties), list(system_changes))  # type: ignore[no-untyped-call]
        for name in properties:  # ASE has refused those that neither implements
            source = self.driver if name in _DRIVEN else self.response
            assert source is not None
            self.results[name] = np.copy(source.get_property(name, self.atoms))

    def get_hessian(self, atoms: Atoms) -> Array:
        """The driver's own Hessian, or differences of its forces, (n, 3, n, 3) in eV/Å²."""
        own = getattr(self.driver, "get_hessian", None)
        if own is None:
            return hessian_of_forces(atoms, self.driver)
        found: Array = np.asarray(own(atoms), dtype=np.float64)
        return found.reshape(len(atoms), 3, len(atoms), 3)

    def __getattr__(self, name: str) -> Any:
        """Methods for responses are the model's: get_born_charges, get_dipole_flux, …"""
        if name.startswith("get_") and name.removeprefix("get_") in _METHODS:
            response = self.__dict__.get("response")
            if response is not None:
                return getattr(response, name)
        raise AttributeError(f"{type(self).__name__} has no {name}")


#: What a response model is asked for by methods that ASE has no name for.
_METHODS = (
    "born_charges",
    "polarizability",
    "polarizability_derivatives",
    "dipole_flux",
    "polarizability_flux",
)
