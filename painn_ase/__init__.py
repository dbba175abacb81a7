"""PaiNN models as an ASE calculator, and IR and Raman spectra in absolute units.

Importing this package prints nothing, configures nothing and touches no network. The public names
are loaded when first used, so that ``import painn_ase`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from painn_ase._version import __version__

if TYPE_CHECKING:
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.evaluation import evaluate
    from painn_ase.md import MDConfig, ReplicaConfig, run_md, run_replicas
    from painn_ase.models import bundled_models, load_model, save_model
    from painn_ase.models.schnetpack import load_schnetpack
    from painn_ase.potential import AtomisticPotential

__all__ = [
    "AtomisticPotential",
    "MDConfig",
    "PaiNNCalculator",
    "ReplicaConfig",
    "__version__",
    "bundled_models",
    "evaluate",
    "load_model",
    "load_schnetpack",
    "run_md",
    "run_replicas",
    "save_model",
]

_HOMES = {
    "AtomisticPotential": "painn_ase.potential",
    "MDConfig": "painn_ase.md",
    "PaiNNCalculator": "painn_ase.calculator",
    "ReplicaConfig": "painn_ase.md",
    "bundled_models": "painn_ase.models",
    "evaluate": "painn_ase.evaluation",
    "load_model": "painn_ase.models",
    "load_schnetpack": "painn_ase.models.schnetpack",
    "run_md": "painn_ase.md",
    "run_replicas": "painn_ase.md",
    "save_model": "painn_ase.models",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
