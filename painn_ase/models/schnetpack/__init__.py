"""Models of SchNetPack 2.x: files read without running them, records made ours, units."""

from painn_ase.models.schnetpack.model import build_potential, load_schnetpack
from painn_ase.models.schnetpack.units import SchNetPackUnits

__all__ = ["SchNetPackUnits", "build_potential", "load_schnetpack"]
