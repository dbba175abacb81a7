"""What a network is to the rooms above it, and the one place that builds one from its record.

A network sees edge vectors and element rows only: no positions, no cells, no structures. So
∂E/∂r_ij comes from one backward pass, and atoms may be ghosts of another process, whose features
the hook ``exchange`` fills in between blocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from painn_ase.errors import SpecError
from painn_ase.nn.scatter import ScatterBackend
from painn_ase.spec import NetworkSpec

__all__ = ["AtomicNetwork", "Exchange", "Features", "build_network", "builds", "element_embedding"]


class Exchange(Protocol):
    """Hook between blocks: fills in the features of atoms that another process owns."""

    def __call__(self, *features: Tensor) -> tuple[Tensor, ...]:
        """The same tensors (n_atoms, ...), the rows of ghosts as their owners have them.

        All that one block passes on comes in one call, so that it can travel in one message.
        """
        ...


@dataclass(frozen=True)
class Features:
    """What a network says of each atom.

    Attributes
    ----------
    scalars : Tensor (n_atoms, F)
        Invariants; PaiNN's q_i (the paper's s_i).
    vectors : Tensor (n_atoms, 3, F) or None
        Equivariant vectors in the order x, y, z, PaiNN's μ_i (the paper's v_i); None from a
        network that has none.
    """

    scalars: Tensor
    vectors: Tensor | None = None

    def first(self, n_atoms: int | None) -> Features:
        """Those of the first `n_atoms` atoms; of all for None."""
        if n_atoms is None:
            return self
        vectors = None if self.vectors is None else self.vectors[:n_atoms]
        return Features(self.scalars[:n_atoms], vectors)


class AtomicNetwork(nn.Module, ABC):
    """Element rows and edges in, features out.

    Parameters
    ----------
    spec : NetworkSpec
    n_elements : int
        Rows of the embedding.
    """

    embedding: nn.Embedding

    def __init__(self, spec: NetworkSpec, n_elements: int) -> None:
        super().__init__()
        self.spec = spec
        self.scatter_backend: ScatterBackend = "torch"
        self.embedding = element_embedding(n_elements, spec.n_features)

    @abstractmethod
    def forward(
        self,
        element_idx: Tensor,
        edge_vectors: Tensor,
        idx_i: Tensor,
        idx_j: Tensor,
        exchange: Exchange | None = None,
    ) -> Features:
        """Features of every atom.

        Without data-dependent Python, so that it can be traced; atoms or edges may be none, and
        lists one-sided.

        Parameters
        ----------
        element_idx : Tensor (n_atoms,), int64
            Row of the embedding for each atom.
        edge_vectors : Tensor (n_edges, 3)
            r_ij = r_j − r_i + S·cell in Å; edges beyond the cutoff contribute exactly nothing.
        idx_i, idx_j : Tensor (n_edges,), int64
            Receiving centre and sending neighbour.
        exchange : Exchange, optional
            Called between blocks, as often on every process, with what the next block reads of
            neighbours; the identity on one process.
        """

    @abstractmethod
    def radial_filters(self, distances: Tensor) -> list[dict[str, Tensor]]:
        """What each block multiplies a neighbour's features with, cutoff included.

        Parameters
        ----------
        distances : Tensor (n,)
            Å.

        Returns
        -------
        list of dict
            For each block name → filters (n, F).
        """


def element_embedding(n_elements: int, n_features: int) -> nn.Embedding:
    """One row of standard normal numbers per element.

    On the meta device (shapes only) nothing is drawn: torch draws meta numbers through its
    compiler stack, whose import costs seconds.
    """
    weight = torch.empty((n_elements, n_features))
    if not weight.is_meta:
        nn.init.normal_(weight)
    return nn.Embedding(n_elements, n_features, _weight=weight)


_Network = TypeVar("_Network", bound=AtomicNetwork)
_BUILDERS: dict[type[NetworkSpec], type[AtomicNetwork]] = {}


def builds(spec: type[NetworkSpec]) -> Callable[[type[_Network]], type[_Network]]:
    """Class decorator: this module is what a record of type `spec` describes."""

    def register(network: type[_Network]) -> type[_Network]:
        _BUILDERS[spec] = network
        return network

    return register


def build_network(spec: NetworkSpec, n_elements: int) -> AtomicNetwork:
    """The network that `spec` describes, its weights random.

    Raises
    ------
    SpecError
        If no module is registered for records of this type.
    """
    if type(spec) not in _BUILDERS:
        known = ", ".join(s.__name__ for s in _BUILDERS)
        raise SpecError(
            f"no network is registered for {type(spec).__name__}; known are {known}. Decorate the "
            "module with painn_ase.nn.builds."
        )
    return _BUILDERS[type(spec)](spec, n_elements)
