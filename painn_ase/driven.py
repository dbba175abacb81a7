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

__all__ = ["DrivenCalculator", "hessian_of_forces", "in_float64", "slopes_by_differences"]

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
    slopes = slopes_by_differences(atoms, calculator, "forces", displacement)
    matrix = -slopes.reshape(3 * len(atoms), 3 * len(atoms))
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
        Of a model with a dipole or polarizability; by default the driver's own as far as it has
        them, with derivatives by central differences of 0.005 Å.
    name : str, optional
        What records call the driver: ``module:factory``. By default its class.

    Raises
    ------
    UnsupportedPropertyError
        When the driver has no forces, or the model neither dipole nor polarizability.
    """

    def __init__(
        self,
        driver: Calculator,
        response: PaiNNCalculator | None = None,
        *,
        name: str | None = None,
    ) -> None:
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
        self.name_of_driver = name or type(driver).__name__
        if response is None:
            gives = has
        self.implemented_properties = [
            *(name for name in _DRIVEN if name in has),
            *(name for name in _RESPONSES if name in gives),
        ]

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Everything, always: both calculators keep what they found, and know what they read.

        ASE compares no ``info``, where the charge stands that a model reads.
        """
        return list(all_changes)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """What is asked for, from whom has it."""
        super().calculate(atoms, list(properties), list(system_changes))  # type: ignore[no-untyped-call]
        for name in properties:  # ASE has refused those that neither implements
            source = self.driver if name in _DRIVEN else self.response or self.driver
            self.results[name] = np.copy(source.get_property(name, self.atoms))

    @property
    def model(self) -> PaiNNCalculator:
        """The response.

        Raises
        ------
        UnsupportedPropertyError
            When there is none.
        """
        if self.response is None:
            raise UnsupportedPropertyError(
                f"fluxes, and all that is recorded for many copies at once, are a model's, and "
                f"beside {self.name_of_driver} there is none. Name one (--response MODEL)."
            )
        return self.response

    @property
    def charge(self) -> float | None:
        """Total charge that the response was told, e."""
        return None if self.response is None else self.response.charge

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
            quantity = _DIFFERENCES.get(name.removeprefix("get_"))
            if quantity in self.__dict__.get("implemented_properties", ()):
                return lambda atoms: slopes_by_differences(atoms, self.driver, str(quantity))
        raise AttributeError(f"{type(self).__name__} has no {name}")


def in_float64(
    calculator: PaiNNCalculator | DrivenCalculator,
) -> PaiNNCalculator | DrivenCalculator:
    """The same calculator with its model in float64; a driver stays what it is."""
    if isinstance(calculator, PaiNNCalculator):
        return PaiNNCalculator(
            list(calculator.potentials), dtype="float64", device=calculator.device,
            charge=calculator.charge,
        )  # fmt: skip
    exact = None if calculator.response is None else in_float64(calculator.response)
    assert not isinstance(exact, DrivenCalculator)
    return DrivenCalculator(calculator.driver, exact, name=calculator.name_of_driver)


def slopes_by_differences(
    atoms: Atoms, calculator: Calculator, name: str, displacement: float = 0.005
) -> Array:
    """Derivatives of forces, a dipole or a polarizability by central differences.

    Parameters
    ----------
    atoms : Atoms
    calculator : Calculator
    name : {"forces", "dipole", "polarizability"}
        In eV/Å, e·Å, or e²Å²/eV.
    displacement : float
        Å, to both sides.

    Returns
    -------
    ndarray
        ∂μ_a/∂r_ib at [i, a, b], e; ∂α_ab/∂r_ic at [i, c, a, b], e²Å/eV; ∂F_jb/∂r_ia at
        [i, a, j, b], eV/Å².
    """
    moved = atoms.copy()
    moved.set_constraint()
    start = moved.get_positions()
    slopes = []
    for coordinate in range(start.size):
        ends = []
        for sign in (1.0, -1.0):
            positions = start.copy()
            positions.flat[coordinate] += sign * displacement
            moved.positions = positions
            ends.append(np.array(calculator.get_property(name, moved), dtype=np.float64))
        slopes.append((ends[0] - ends[1]) / (2.0 * displacement))
    found: Array = np.array(slopes).reshape(len(atoms), 3, *slopes[0].shape)
    return found.transpose(0, 2, 1) if name == "dipole" else found


#: Derivatives that can be had of what a driver gives itself.
_DIFFERENCES = {"born_charges": "dipole", "polarizability_derivatives": "polarizability"}
#: What a response model is asked for by methods that ASE has no name for.
_METHODS = (
    "born_charges",
    "polarizability",
    "polarizability_derivatives",
    "dipole_flux",
    "polarizability_flux",
    "fluxes",
)
