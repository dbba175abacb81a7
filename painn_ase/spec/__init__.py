"""The typed description of a model: what a model file's header says, as frozen dataclasses.

Pure Python, no torch: networks and heads are built *from* these records, files hold them as JSON.
Unknown keys, wrong types and impossible values are :class:`~painn_ase.errors.SpecError`.
"""

from painn_ase.spec.fields import from_dict, to_dict
from painn_ase.spec.heads import (
    ChargesSpec,
    DipoleSpec,
    EnergySpec,
    HeadsSpec,
    PolarizabilitySpec,
)
from painn_ase.spec.model import SCHEMA_VERSION, ModelSpec
from painn_ase.spec.networks import NetworkSpec, PaiNNSpec, SchNetSpec, SO3netSpec, network_kind

__all__ = [
    "SCHEMA_VERSION",
    "ChargesSpec",
    "DipoleSpec",
    "EnergySpec",
    "HeadsSpec",
    "ModelSpec",
    "NetworkSpec",
    "PaiNNSpec",
    "PolarizabilitySpec",
    "SO3netSpec",
    "SchNetSpec",
    "from_dict",
    "network_kind",
    "to_dict",
]
