"""Radial bases: functions of a distance that filters are made from."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from painn_ase.spec import PaiNNSpec

__all__ = ["BesselBasis", "GaussianBasis", "build_radial_basis"]


class BesselBasis(nn.Module):
    """sin(nπd/d_cut)/d for n = 1..B (arXiv 2102.03150, 'message block'; Klicpera et al. 2020)."""

    frequencies: Tensor

    def __init__(self, n_rbf: int, cutoff: float) -> None:
        super().__init__()
        n = torch.arange(1, n_rbf + 1, dtype=torch.float64)
        self.register_buffer("frequencies", n * (math.pi / cutoff), persistent=False)

    def forward(self, distances: Tensor) -> Tensor:
        """Basis values (n_edges, n_rbf) of distances (n_edges,) in Å."""
        d = distances.unsqueeze(-1)
        return torch.sin(d * self.frequencies.to(d.dtype)) / d


class GaussianBasis(nn.Module):
    """exp(−(d − c_n)²/2w²) with centres c_n from 0 to the cutoff and the spacing as width w."""

    centers: Tensor

    def __init__(self, n_rbf: int, cutoff: float) -> None:
        super().__init__()
        self.width = cutoff / max(n_rbf - 1, 1)
        centers = torch.linspace(0.0, cutoff, n_rbf, dtype=torch.float64)
        self.register_buffer("centers", centers, persistent=False)

    def forward(self, distances: Tensor) -> Tensor:
        """Basis values (n_edges, n_rbf) of distances (n_edges,) in Å."""
        x = (distances.unsqueeze(-1) - self.centers.to(distances.dtype)) / self.width
        return torch.exp(-0.5 * x * x)


def build_radial_basis(spec: PaiNNSpec) -> nn.Module:
    """The radial basis that `spec` names."""
    kinds = {"bessel": BesselBasis, "gaussian": GaussianBasis}
    return kinds[spec.radial_basis](spec.n_rbf, spec.cutoff)
