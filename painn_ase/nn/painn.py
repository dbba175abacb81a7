"""PaiNN, the polarizable atom interaction network, on an edge list.

Schütt, Unke, Gastegger, ICML 2021, arXiv 2102.03150. The network sees edge vectors and element
indices only: no positions, no cells, no structures. So ∂E/∂r_ij comes from one backward pass, and
atoms may be ghosts of another process, whose features the hook ``exchange`` fills in between
blocks.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from painn_ase.nn.blocks import build_mlp, vector_norm
from painn_ase.nn.cutoff import build_cutoff_function
from painn_ase.nn.network import AtomicNetwork, Exchange, Features, builds
from painn_ase.nn.radial import build_radial_basis
from painn_ase.nn.scatter import ScatterBackend, gather_rows, scatter_sum
from painn_ase.spec import PaiNNSpec

__all__ = ["Interaction", "Mixing", "PaiNN"]


class Interaction(nn.Module):
    """Message block (arXiv 2102.03150, eqs. 7-8).

    x = MLP(q); x_j ∘ W_ij = (dq, dμR, dμμ); q_i += Σ_j dq; μ_i += Σ_j (dμR ⊗ u_ij + dμμ ∘ μ_j).
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.context = build_mlp((n_features, n_features, 3 * n_features))

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor | None,
        filters: Tensor,
        directions: Tensor,
        idx_i: Tensor,
        idx_j: Tensor,
        backend: ScatterBackend,
    ) -> tuple[Tensor, Tensor]:
        """New scalars (n_atoms, F) and vectors (n_atoms, 3, F); `vectors` None stands for zeros."""
        n_atoms = scalars.shape[0]
        x_scalar, x_radial, x_vector = self.context(scalars).chunk(3, dim=-1)
        w_scalar, w_radial, w_vector = filters.chunk(3, dim=-1)
        d_scalar = gather_rows(x_scalar, idx_j, backend) * w_scalar
        d_radial = gather_rows(x_radial, idx_j, backend) * w_radial
        flow = d_radial.unsqueeze(-2) * directions.unsqueeze(-1)
        if vectors is not None:
            # x_j ∘ μ_j is one product for each atom, not one for each of its many edges.
            carried = gather_rows(x_vector.unsqueeze(-2) * vectors, idx_j, backend)
            flow = torch.addcmul(flow, w_vector.unsqueeze(-2), carried)
        new_vectors = scatter_sum(flow, idx_i, n_atoms, backend)
        if vectors is not None:
            new_vectors = vectors + new_vectors
        return scalars + scatter_sum(d_scalar, idx_i, n_atoms, backend), new_vectors


class Mixing(nn.Module):
    """Update block (arXiv 2102.03150, eqs. 9-10).

    (V, W) = bias-free linear of μ; (a, b, c) = MLP([q; √(ΣV² + ε)]); q += a + c ∘ ⟨V, W⟩;
    μ += b ∘ W.
    """

    def __init__(self, n_features: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.vector_mix = nn.Linear(n_features, 2 * n_features, bias=False)
        nn.init.xavier_uniform_(self.vector_mix.weight)
        self.context = build_mlp((2 * n_features, n_features, 3 * n_features))

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """New scalars (n_atoms, F) and vectors (n_atoms, 3, F)."""
        left, right = self.vector_mix(vectors).chunk(2, dim=-1)
        norm = vector_norm(left, self.epsilon)
        add, gate, scale = self.context(torch.cat((scalars, norm), dim=-1)).chunk(3, dim=-1)
        new_scalars = scalars + add + scale * (left * right).sum(dim=-2)
        return new_scalars, vectors + gate.unsqueeze(-2) * right


def _filter(net: nn.Sequential, basis: Tensor, cutoff: Tensor) -> Tensor:
    """W(d)·f_cut(d) (n_edges, 3F), with the cutoff multiplied in before the last layer.

    There it costs a product with as many columns as the basis, not 3F, in every derivative too:
    a step of training is a fifth faster. The bias is multiplied as well: W(d_cut) = 0 whatever the
    weights.
    """
    inner, last = net[:-1](basis), cast(nn.Linear, net[-1])
    weight = torch.cat((last.weight, last.bias.unsqueeze(-1)), dim=-1)
    return torch.cat((inner * cutoff, cutoff), dim=-1) @ weight.T


@builds(PaiNNSpec)
class PaiNN(AtomicNetwork):
    """The network: embedding, then L times interaction and mixing.

    Parameters
    ----------
    spec : PaiNNSpec
    n_elements : int
        Rows of the embedding.
    """

    def __init__(self, spec: PaiNNSpec, n_elements: int) -> None:
        super().__init__(spec, n_elements)
        self.spec: PaiNNSpec = spec
        n, n_blocks = spec.n_features, spec.n_interactions
        n_filters = 1 if spec.shared_filters else n_blocks
        n_weights = 1 if spec.shared_interactions else n_blocks
        self.radial_basis = build_radial_basis(spec)
        self.cutoff_function = build_cutoff_function(spec)
        widths = (spec.n_rbf, *spec.filter_hidden, 3 * n)
        self.filters = nn.ModuleList(build_mlp(widths) for _ in range(n_filters))
        self.interactions = nn.ModuleList(Interaction(n) for _ in range(n_weights))
        self.mixings = nn.ModuleList(Mixing(n, spec.epsilon) for _ in range(n_weights))

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
        directions = edge_vectors / distances.unsqueeze(-1)
        basis = self.radial_basis(distances)
        cutoff = self.cutoff_function(distances, self.spec.cutoff).unsqueeze(-1)
        filters = [_filter(cast(nn.Sequential, net), basis, cutoff) for net in self.filters]

        scalars: Tensor = self.embedding(element_idx)
        vectors: Tensor | None = None
        for k in range(self.spec.n_interactions):
            if k > 0 and exchange is not None and vectors is not None:
                scalars, vectors = exchange(scalars, vectors)
            weights = k % len(self.interactions)
            scalars, vectors = self.interactions[weights](
                scalars,
                vectors,
                filters[k % len(filters)],
                directions,
                idx_i,
                idx_j,
                self.scatter_backend,
            )
            scalars, vectors = self.mixings[weights](scalars, vectors)
        assert vectors is not None  # n_interactions >= 1 by PaiNNSpec
        return Features(scalars, vectors)

    def radial_filters(self, distances: Tensor) -> list[dict[str, Tensor]]:
        """The three filters of each block, see :meth:`.AtomicNetwork.radial_filters`."""
        basis = self.radial_basis(distances)
        cutoff = self.cutoff_function(distances, self.spec.cutoff).unsqueeze(-1)
        filters = [_filter(cast(nn.Sequential, net), basis, cutoff) for net in self.filters]
        names = ("to scalars", "to directions", "to vectors")
        return [
            dict(zip(names, filters[k % len(filters)].chunk(3, dim=-1), strict=True))
            for k in range(self.spec.n_interactions)
        ]
