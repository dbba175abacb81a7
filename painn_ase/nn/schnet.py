"""SchNet: continuous-filter convolutions of scalars, on an edge list.

Schütt et al., NIPS 2017; J. Chem. Phys. 148, 241722 (2018).
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from painn_ase.nn.cutoff import build_cutoff_function
from painn_ase.nn.network import AtomicNetwork, Exchange, Features, builds
from painn_ase.nn.radial import build_radial_basis
from painn_ase.nn.scatter import ScatterBackend, gather_rows, scatter_sum
from painn_ase.spec import SchNetSpec

__all__ = ["FilterConvolution", "SchNet", "ShiftedSoftplus"]

_LN2 = math.log(2.0)


class ShiftedSoftplus(nn.Module):
    """ssp(x) = ln(½eˣ + ½), SchNet's activation: zero at zero, and smooth."""

    def forward(self, x: Tensor) -> Tensor:
        """Ssp of every entry."""
        return nn.functional.softplus(x) - _LN2


class FilterConvolution(nn.Module):
    """One block (J. Chem. Phys. 148, 241722, section II).

    y = W_in x;  v_i = Σ_j y_j ∘ w(d_ij) f(d_ij);  x_i += W_4 ssp(W_3 v_i + b_3) + b_4, with the
    filter w(d) = W_2 ssp(W_1 φ(d) + b_1) + b_2.
    """

    def __init__(self, n_features: int, n_filters: int, n_rbf: int) -> None:
        super().__init__()
        self.carry = nn.Linear(n_features, n_filters, bias=False)
        nn.init.xavier_uniform_(self.carry.weight)
        self.filter = _two_layers(n_rbf, n_filters, n_filters)
        self.update = _two_layers(n_filters, n_features, n_features)

    def forward(
        self,
        scalars: Tensor,
        basis: Tensor,
        cutoff: Tensor,
        idx_i: Tensor,
        idx_j: Tensor,
        backend: ScatterBackend,
    ) -> Tensor:
        """New scalars (n_atoms, F) from basis (n_edges, n_rbf) and cutoff (n_edges, 1)."""
        sent = gather_rows(self.carry(scalars), idx_j, backend)
        messages = sent * (self.filter(basis) * cutoff)
        received = scatter_sum(messages, idx_i, scalars.shape[0], backend)
        out: Tensor = scalars + self.update(received)
        return out


def _two_layers(n_in: int, n_hidden: int, n_out: int) -> nn.Sequential:
    """Linear, ssp, linear."""
    layers = nn.Linear(n_in, n_hidden), nn.Linear(n_hidden, n_out)
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], ShiftedSoftplus(), layers[1])


@builds(SchNetSpec)
class SchNet(AtomicNetwork):
    """The network: embedding, then L convolutions of its scalars; no vectors.

    Parameters
    ----------
    spec : SchNetSpec
    n_elements : int
        Rows of the embedding.
    """

    def __init__(self, spec: SchNetSpec, n_elements: int) -> None:
        super().__init__(spec, n_elements)
        self.spec: SchNetSpec = spec
        n, n_filters = spec.n_features, spec.n_filters or spec.n_features
        n_weights = 1 if spec.shared_interactions else spec.n_interactions
        self.radial_basis = build_radial_basis(spec)
        self.cutoff_function = build_cutoff_function(spec)
        self.interactions = nn.ModuleList(
            FilterConvolution(n, n_filters, spec.n_rbf) for _ in range(n_weights)
        )

    def forward(
        self,
        element_idx: Tensor,
        edge_vectors: Tensor,
        idx_i: Tensor,
        idx_j: Tensor,
        exchange: Exchange | None = None,
    ) -> Features:
        """Features of every atom, see :meth:`.AtomicNetwork.forward`."""
        distances = torch.sqrt((edge_vectors * edge_vectors).sum(dim=-1))
        basis = self.radial_basis(distances)
        cutoff = self.cutoff_function(distances, self.spec.cutoff).unsqueeze(-1)
        scalars: Tensor = self.embedding(element_idx)
        for k in range(self.spec.n_interactions):
            if k > 0 and exchange is not None:
                (scalars,) = exchange(scalars)
            block = cast(FilterConvolution, self.interactions[k % len(self.interactions)])
            scalars = block(scalars, basis, cutoff, idx_i, idx_j, self.scatter_backend)
        return Features(scalars)

    def radial_filters(self, distances: Tensor) -> list[dict[str, Tensor]]:
        """The filter of each block, see :meth:`.AtomicNetwork.radial_filters`."""
        basis = self.radial_basis(distances)
        cutoff = self.cutoff_function(distances, self.spec.cutoff).unsqueeze(-1)
        blocks = [cast(FilterConvolution, block) for block in self.interactions]
        return [
            {"filter": blocks[k % len(blocks)].filter(basis) * cutoff}
            for k in range(self.spec.n_interactions)
        ]
