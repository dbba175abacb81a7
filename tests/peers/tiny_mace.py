"""Small MACE models of random weights, made by MACE's own classes, as a driver names them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from e3nn import o3
from mace import modules
from mace.calculators import MACECalculator

DEBYE = 0.20819433270334  # e·Å

Z = [1, 6, 8]


def _shared(hidden: str) -> dict[str, Any]:
    interaction = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    return {
        "r_max": 4.0,
        "num_bessel": 4,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "interaction_cls": interaction,
        "interaction_cls_first": interaction,
        "num_interactions": 2,
        "num_elements": len(Z),
        "hidden_irreps": o3.Irreps(hidden),
        "MLP_irreps": o3.Irreps("8x1o"),
        "avg_num_neighbors": 4.0,
        "atomic_numbers": Z,
        "correlation": 2,
        "gate": torch.nn.functional.silu,
    }


def energy_model() -> Any:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    shared = _shared("8x0e + 8x1o") | {"MLP_irreps": o3.Irreps("8x0e")}
    return modules.ScaleShiftMACE(
        **shared, atomic_energies=np.zeros(len(Z)), atomic_inter_scale=0.1, atomic_inter_shift=0.0
    )


def dipole_model() -> Any:
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    return modules.AtomicDipolesMACE(**_shared("8x0e + 8x1o"), atomic_energies=None)


def driver() -> MACECalculator:
    """Energy and forces."""
    return MACECalculator(models=energy_model(), device="cpu", default_dtype="float64")


def dipoles() -> MACECalculator:
    """MACE's dipole model as MACE gives it, in Debye."""
    return MACECalculator(
        models=dipole_model(),
        device="cpu",
        default_dtype="float64",
        model_type="DipoleMACE",
        arrays_keys={
            "charges": "Qs"
        },  # its argument charges_key looks the names up the wrong way round
    )


class WithDipole(MACECalculator):
    """Energy and forces of one MACE, the dipole of another in e·Å: one driver with both."""

    def __init__(self) -> None:
        super().__init__(models=energy_model(), device="cpu", default_dtype="float64")
        self.of_dipoles = dipoles()
        self.implemented_properties = [*self.implemented_properties, "dipole"]

    def calculate(self, atoms=None, properties=None, system_changes=None) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results["dipole"] = self.of_dipoles.get_property("dipole", atoms) * DEBYE


def both() -> WithDipole:
    return WithDipole()
