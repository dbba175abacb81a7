"""Small blocks shared by the network and its heads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["GatedEquivariantBlock", "build_mlp", "vector_norm"]


def build_mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given widths with SiLU between them, none at the end."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.SiLU()]
    for layer in layers[::2]:
        nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers[:-1])


def vector_norm(vectors: Tensor, epsilon: float) -> Tensor:
    """√(Σ v² + ε) over the Cartesian axis of vectors (n, 3, c).

    With ε = 0 the plain norm, whose derivatives are taken as 0 at the origin: torch's own norm has
    NaN second derivatives there, and an isolated atom has all its vectors there.
    """
    square = (vectors * vectors).sum(dim=-2)
    if epsilon > 0:
        return torch.sqrt(square + epsilon)
    positive = square > 0
    root = torch.sqrt(torch.where(positive, square, torch.ones_like(square)))
    return torch.where(positive, root, torch.zeros_like(root))


class GatedEquivariantBlock(nn.Module):
    """Gated equivariant block (arXiv 2102.03150, figure 3; Weiler et al. 2018).

    V, W = bias-free linear of v;  (s', g) = MLP([s; |V|]);  v' = g ∘ W.

    Parameters
    ----------
    n_in, n_out : (int, int)
        Number of scalars and of vectors coming in and going out.
    epsilon : float
        ε of the norm |V| = √(ΣV² + ε).
    """

    def __init__(self, n_in: tuple[int, int], n_out: tuple[int, int], epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.n_out = n_out
        scalars, vectors = n_in
        self.vector_mix = nn.Linear(vectors, 2 * n_out[1], bias=False)
        nn.init.xavier_uniform_(self.vector_mix.weight)
        self.context = build_mlp((scalars + n_out[1], scalars, sum(n_out)))

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars (n, n_out[0]) and vectors (n, 3, n_out[1])."""
        left, right = self.vector_mix(vectors).chunk(2, dim=-1)
        context = self.context(torch.cat((scalars, vector_norm(left, self.epsilon)), dim=-1))
        new_scalars, gates = context.split(self.n_out, dim=-1)
        return new_scalars, gates.unsqueeze(-2) * right
