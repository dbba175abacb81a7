"""Fast paths behind one interface: each gives what the potential gives, sooner, or says why not."""

from painn_ase.kernels.fused import FusedKernel, why_not_fused
from painn_ase.kernels.fused_backend import FusedBackend
from painn_ase.kernels.interface import (
    Backend,
    BackendStatus,
    EagerBackend,
    available_backends,
    register_backend,
    select_backend,
)
from painn_ase.kernels.packing import KernelNetwork, packs
from painn_ase.kernels.painn_weights import PaiNNWeights
from painn_ase.kernels.schnet_weights import SchNetWeights
from painn_ase.kernels.structure import EnergyForces

__all__ = [
    "Backend",
    "BackendStatus",
    "EagerBackend",
    "EnergyForces",
    "FusedBackend",
    "FusedKernel",
    "KernelNetwork",
    "PaiNNWeights",
    "SchNetWeights",
    "available_backends",
    "packs",
    "register_backend",
    "select_backend",
    "why_not_fused",
]
