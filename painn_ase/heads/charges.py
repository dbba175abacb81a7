"""Charges head: partial charges from the scalars, corrected to the total charge."""

from __future__ import annotations

from torch import Tensor, nn

from painn_ase.heads.energy import head_widths
from painn_ase.heads.placement import Placement
from painn_ase.nn.blocks import build_mlp
from painn_ase.nn.network import Features
from painn_ase.spec import ChargesSpec

__all__ = ["ChargesHead"]


class ChargesHead(nn.Module):
    """q_i = scale · MLP(q_i), then shifted evenly so that Σ q_i is the total charge."""

    def __init__(self, spec: ChargesSpec, n_features: int) -> None:
        super().__init__()
        self.scale = spec.scale
        self.mlp = build_mlp(head_widths(n_features, spec.n_hidden))

    def forward(self, features: Features, placement: Placement) -> Tensor:
        """Charges (n_atoms,) in e, float64."""
        return placement.corrected_charges(self.scale * self.mlp(features.scalars).squeeze(-1))
