"""Radial bases: functions of a distance that filters are made from.

Their constants are stored with the weights: a model trained with constants rounded to float32 is
a different function, by 1e-7, from one with exact constants.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from painn_ase.spec import NetworkSpec

__all__ = ["BesselBasis", "GaussianBasis", "build_radial_basis"]


class BesselBasis(nn.Module):
    """sin(nπd/d_cut)/d for n = 1..B (arXiv 2102.03150, 'message block'; Klicpera et al. 2020)."""

    frequencies: Tensor

    def __init__(self, n_rbf: int, cutoff: float) -> None:
        super().__init__()
        n = torch.arange(1, n_rbf + 1, dtype=torch.float64, device="cpu")
        self.register_buffer("frequencies", _as_weights(n * (math.pi / cutoff)))

    def forward(self, distances: Tensor) -> Tensor:
        """Basis values (n_edges, n_rbf) of distances (n_edges,) in Å."""
        d = distances.unsqueeze(-1)
        return torch.sin(d * self.frequencies) / d


class GaussianBasis(nn.Module):
    """exp(−(d − c_n)²/2w²) with centres c_n from 0 to the cutoff and the spacing as width w."""

    centers: Tensor
    widths: Tensor

    def __init__(self, n_rbf: int, cutoff: float) -> None:
        super().__init__()
        centers = torch.linspace(0.0, cutoff, n_rbf, dtype=torch.float64, device="cpu")
        widths = torch.full_like(centers, cutoff / max(n_rbf - 1, 1))
        self.register_buffer("centers", _as_weights(centers))
        self.register_buffer("widths", _as_weights(widths))

    def forward(self, distances: Tensor) -> Tensor:
        """Basis values (n_edges, n_rbf) of distances (n_edges,) in Å."""
        x = (distances.unsqueeze(-1) - self.centers) / self.widths
        return torch.exp(-0.5 * x * x)


def _as_weights(constants: Tensor) -> Tensor:
    """Constants in the dtype that weights are created in."""
    return constants.to(torch.get_default_dtype())


def build_radial_basis(spec: NetworkSpec) -> nn.Module:
    """The radial basis that `spec` names."""
    kinds = {"bessel": BesselBasis, "gaussian": GaussianBasis}
    return kinds[spec.radial_basis](spec.n_rbf, spec.cutoff)
