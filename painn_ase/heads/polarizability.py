"""Polarizability heads: with positions for molecules, local for periodic systems."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from painn_ase.heads.energy import ElementTable
from painn_ase.heads.placement import Placement
from painn_ase.heads.tensors import AtomicTensors, build_gated_stack
from painn_ase.nn.network import Features
from painn_ase.spec import PolarizabilitySpec

__all__ = ["LatentPositionPolarizability", "LocalPolarizability", "build_polarizability_head"]


class LatentPositionPolarizability(nn.Module):
    """α = Σ_i α0(q_i) 1 + ν(μ_i) ⊗ r_i + r_i ⊗ ν(μ_i) (arXiv 2102.03150, 'polarizability').

    The paper takes r from the coordinates' origin, so that α depends on where the molecule is
    put; here r counts from the centre of the elements' standard masses unless the spec says
    otherwise, for every isotopologue the same.
    """

    needs_origin = True

    def __init__(self, spec: PolarizabilitySpec, n_features: int, n_elements: int) -> None:
        super().__init__()
        self.scale, self.origin = spec.scale, spec.origin
        self.isotropic = ElementTable(spec.isotropic, n_elements)
        self.stack = build_gated_stack(n_features, spec.n_hidden, (1, 1), spec.gate_epsilon)

    def forward(self, features: Features, placement: Placement) -> Tensor:
        """Polarizability (n_systems, 3, 3) in e²Å²/eV, float64."""
        raw, vectors = self.stack(features)
        lever = placement.positions
        if self.origin == "center_of_mass":
            lever = lever - placement.standard_centers
        outer = self.scale * vectors.squeeze(-1).double().unsqueeze(-1) * lever.unsqueeze(-2)
        sphere = self.scale * raw.squeeze(-1).double() + self.isotropic(placement.element_idx)
        return placement.sum_over_atoms(outer + outer.mT + _spheres(sphere))


class LocalPolarizability(nn.Module):
    """α = Σ_i [α0(q_i) 1 + Σ_k λ_k(q_i) ν_k(i) ⊗ ν_k(i)]: symmetric, no origin."""

    needs_origin = False

    def __init__(self, spec: PolarizabilitySpec, n_features: int, n_elements: int) -> None:
        super().__init__()
        self.scale = spec.scale
        self.isotropic = ElementTable(spec.isotropic, n_elements)
        self.tensors = AtomicTensors(
            n_features,
            order=2,
            rank=spec.rank,
            symmetric=True,
            n_hidden=spec.n_hidden,
            n_invariants=1,
            epsilon=spec.gate_epsilon,
        )

    def forward(self, features: Features, placement: Placement) -> Tensor:
        """Polarizability (n_systems, 3, 3) in e²Å²/eV, float64."""
        atomic, raw = self.tensors(features)
        sphere = self.scale * raw.squeeze(-1).double() + self.isotropic(placement.element_idx)
        return placement.sum_over_atoms(self.scale * atomic.double() + _spheres(sphere))


def _spheres(values: Tensor) -> Tensor:
    """Values (n,) times the unit matrix (n, 3, 3)."""
    eye = torch.eye(3, dtype=values.dtype, device=values.device)
    return values.reshape(-1, 1, 1) * eye


def build_polarizability_head(
    spec: PolarizabilitySpec, n_features: int, n_elements: int
) -> nn.Module:
    """The polarizability head that `spec` names."""
    kinds = {"latent_position": LatentPositionPolarizability, "local": LocalPolarizability}
    return kinds[spec.kind](spec, n_features, n_elements)
