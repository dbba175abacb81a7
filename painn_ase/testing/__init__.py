"""Tools for tests and benchmarks, ours and other people's: random potentials, tolerances, checks.

Public, so that a package that builds on this one can test itself with the same means. The checks
take any ASE calculator.
"""

from painn_ase.testing.conservation import check_energy_conservation
from painn_ase.testing.contract import check_calculator_contract
from painn_ase.testing.derivatives import check_finite_differences
from painn_ase.testing.doctor import ROUNDING, examine
from painn_ase.testing.findings import Finding
from painn_ase.testing.potentials import random_potential
from painn_ase.testing.properties import compute_properties
from painn_ase.testing.quantum_width import QuantumWidth, draw_quantum, quantum_width
from painn_ase.testing.responses import check_dipole_origin
from painn_ase.testing.smoothness import check_smoothness
from painn_ase.testing.structures import random_atoms
from painn_ase.testing.symmetry import check_equivariance
from painn_ase.testing.tolerances import TOLERANCES, Tolerance, assert_close

__all__ = [
    "ROUNDING",
    "TOLERANCES",
    "Finding",
    "QuantumWidth",
    "Tolerance",
    "assert_close",
    "check_calculator_contract",
    "check_dipole_origin",
    "check_energy_conservation",
    "check_equivariance",
    "check_finite_differences",
    "check_smoothness",
    "compute_properties",
    "draw_quantum",
    "examine",
    "quantum_width",
    "random_atoms",
    "random_potential",
]
