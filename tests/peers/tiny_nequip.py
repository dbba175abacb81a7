"""A small NequIP model of random weights, made by NequIP's own classes, as a driver names it."""

from __future__ import annotations

from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.integrations.ase import NequIPCalculator
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state

TYPES = ["H", "O"]


def driver() -> NequIPCalculator:
    """Energy and forces; NequIP has no dipole."""
    set_global_state()
    model = NequIPGNNModel(
        seed=0, model_dtype="float64", r_max=4.0, type_names=TYPES, num_layers=2, l_max=1,
        num_features=8, radial_mlp_width=8, avg_num_neighbors=3.0, per_type_energy_scales=0.1,
    )  # fmt: skip
    return NequIPCalculator(
        model.eval(),
        device="cpu",
        transforms=[ChemicalSpeciesToAtomTypeMapper(TYPES), NeighborListTransform(r_max=4.0)],
    )
