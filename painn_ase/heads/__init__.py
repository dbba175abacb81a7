"""Heads: from atomic features to energy, dipole, polarizability, charges and general tensors."""

from painn_ase.heads.charges import ChargesHead
from painn_ase.heads.dipole import (
    LatentChargeDipole,
    LocalDipole,
    PointChargeDipole,
    build_dipole_head,
)
from painn_ase.heads.energy import EnergyHead
from painn_ase.heads.placement import Placement
from painn_ase.heads.polarizability import (
    LatentPositionPolarizability,
    LocalPolarizability,
    build_polarizability_head,
)
from painn_ase.heads.tensors import AtomicTensors, build_gated_stack

__all__ = [
    "AtomicTensors",
    "ChargesHead",
    "EnergyHead",
    "LatentChargeDipole",
    "LatentPositionPolarizability",
    "LocalDipole",
    "LocalPolarizability",
    "Placement",
    "PointChargeDipole",
    "build_dipole_head",
    "build_gated_stack",
    "build_polarizability_head",
]
