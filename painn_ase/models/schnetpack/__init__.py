"""Models of SchNetPack 2.x: files read without running them, records made ours, units."""

from painn_ase.models.schnetpack.model import (
    DIPOLE_UNITS,
    ENERGY_UNITS,
    LENGTH_UNITS,
    POLARIZABILITY_UNITS,
    SchNetPackUnits,
    build_potential,
    load_schnetpack,
)

__all__ = [
    "DIPOLE_UNITS",
    "ENERGY_UNITS",
    "LENGTH_UNITS",
    "POLARIZABILITY_UNITS",
    "SchNetPackUnits",
    "build_potential",
    "load_schnetpack",
]
