"""Fast paths behind one interface: each gives what the potential gives, sooner, or says why not."""

from painn_ase.kernels.fused import EnergyForces, FusedEnergy, why_not_fused
from painn_ase.kernels.interface import (
    FUSED_PROPERTIES,
    Backend,
    BackendStatus,
    EagerBackend,
    FusedBackend,
    available_backends,
    select_backend,
)

__all__ = [
    "FUSED_PROPERTIES",
    "Backend",
    "BackendStatus",
    "EagerBackend",
    "EnergyForces",
    "FusedBackend",
    "FusedEnergy",
    "available_backends",
    "select_backend",
    "why_not_fused",
]
