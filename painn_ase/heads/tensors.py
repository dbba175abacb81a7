"""General Cartesian tensors from atomic features, the form all local heads come from.

T = Σ_i Σ_k λ_k(q_i) ν_{k,1} ⊗ … ⊗ ν_{k,M}: order M, rank R (arXiv 2102.03150, 'tensorial
properties'). No positions enter, so it needs no origin and holds in periodic cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from painn_ase.nn.blocks import GatedEquivariantBlock
from painn_ase.nn.network import Features

__all__ = ["AtomicTensors", "GatedStack", "build_gated_stack"]


class GatedStack(nn.Module):
    """Two gated equivariant blocks with SiLU on the scalars between them."""

    def __init__(self, n_features: int, n_hidden: int, n_out: tuple[int, int], epsilon: float):
        super().__init__()
        self.blocks = nn.ModuleList(
            (
                GatedEquivariantBlock((n_features, n_features), (n_hidden, n_hidden), epsilon),
                GatedEquivariantBlock((n_hidden, n_hidden), n_out, epsilon),
            )
        )

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Scalars (n_atoms, n_out[0]) and vectors (n_atoms, 3, n_out[1])."""
        assert features.vectors is not None  # ModelSpec refuses such heads on scalar networks
        scalars, vectors = self.blocks[0](features.scalars, features.vectors)
        out: tuple[Tensor, Tensor] = self.blocks[1](nn.functional.silu(scalars), vectors)
        return out


def build_gated_stack(
    n_features: int, n_hidden: int | None, n_out: tuple[int, int], epsilon: float
) -> GatedStack:
    """A gated stack of hidden width `n_hidden`, F/2 if None."""
    hidden = max(n_features // 2, 1) if n_hidden is None else n_hidden
    return GatedStack(n_features, hidden, n_out, epsilon)


class AtomicTensors(nn.Module):
    """Atomic tensors T_i = Σ_k λ_k(q_i) ν_{k,1}(i) ⊗ … ⊗ ν_{k,M}(i).

    Parameters
    ----------
    n_features : int
    order : int
        M: 0 gives scalars, 1 vectors, 2 matrices, …
    rank : int
        R, the number of terms.
    symmetric : bool
        ν_{k,1} = … = ν_{k,M}: the tensor is then symmetric under exchange of any two indices.
    n_hidden : int or None
        Width between the gated blocks; None for F/2.
    n_invariants : int
        Further scalars per atom from the same stack (an isotropic part, for instance).
    epsilon : float
        ε of the gated blocks' norms.
    """

    def __init__(
        self,
        n_features: int,
        *,
        order: int,
        rank: int,
        symmetric: bool = False,
        n_hidden: int | None = None,
        n_invariants: int = 0,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__()
        if order < 0 or rank < 1:
            raise ValueError(f"order must be >= 0 and rank >= 1; got {order} and {rank}.")
        self.order, self.rank = order, rank
        self.n_distinct = min(order, 1) if symmetric else order
        n_out = (rank + n_invariants, max(rank * self.n_distinct, 1))
        self.stack = build_gated_stack(n_features, n_hidden, n_out, epsilon)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Atomic tensors (n_atoms, 3, …, 3) with M axes of 3, and invariants (n_atoms, …)."""
        scalars, vectors = self.stack(features)
        weights, invariants = scalars[:, : self.rank], scalars[:, self.rank :]
        if self.order == 0:
            return weights.sum(dim=-1), invariants
        n_atoms = scalars.shape[0]
        factors = vectors.reshape(n_atoms, 3, self.n_distinct, self.rank).unbind(dim=2)
        product = weights.unsqueeze(1) * factors[0]  # (n_atoms, 3, rank), grows an axis per factor
        for m in range(1, self.order):
            factor = factors[m % self.n_distinct]
            shape = (n_atoms, *(1,) * m, 3, self.rank)
            product = product.unsqueeze(-2) * factor.reshape(shape)
        return torch.sum(product, dim=-1), invariants
