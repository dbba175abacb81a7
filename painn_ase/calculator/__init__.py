"""The ASE calculator of a potential, or of a committee of them."""

from __future__ import annotations

from painn_ase.calculator.ase_calculator import PaiNNCalculator, PropertyUnavailableError
from painn_ase.calculator.members import Model
from painn_ase.calculator.results import to_ase
from painn_ase.calculator.static_polarizability import StaticPolarizability

__all__ = [
    "Model",
    "PaiNNCalculator",
    "PropertyUnavailableError",
    "StaticPolarizability",
    "to_ase",
]
