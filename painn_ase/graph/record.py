"""The record a network reads: atoms and directed edges of one or many structures, as tensors.

Here the edge convention is stated once: edge e carries a message from neighbour ``idx_j[e]`` to
centre ``idx_i[e]`` along ``r_ij = r_j − r_i + S·cell`` with integer shifts ``S = shifts[e]``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["AtomGraph", "collate", "pad_graph", "split"]


@dataclass(frozen=True)
class AtomGraph:
    """One or many structures with their pair lists.

    Positions and cells stay in float64: differences are taken before anything is rounded to the
    network's dtype.

    Attributes
    ----------
    numbers : Tensor (n_atoms,), int64
        Atomic numbers.
    positions : Tensor (n_atoms, 3), float64
        Å.
    cell : Tensor (n_systems, 3, 3), float64
        Row vectors, Å; the true cell, zero where there is none.
    pbc : Tensor (n_systems, 3), bool
    idx_i, idx_j : Tensor (n_edges,), int64
        Centre (receives) and neighbour (sends) of each edge.
    shifts : Tensor (n_edges, 3), float64
        Integer cell shifts S of the neighbour.
    system_idx : Tensor (n_atoms,), int64
        Which structure each atom belongs to, ascending.
    charge : Tensor (n_systems,), float64
        Total charges, e.
    """

    numbers: Tensor
    positions: Tensor
    cell: Tensor
    pbc: Tensor
    idx_i: Tensor
    idx_j: Tensor
    shifts: Tensor
    system_idx: Tensor
    charge: Tensor

    @property
    def n_atoms(self) -> int:
        """Number of atoms over all structures."""
        return self.numbers.shape[0]

    @property
    def n_edges(self) -> int:
        """Number of directed edges over all structures."""
        return self.idx_i.shape[0]

    @property
    def n_systems(self) -> int:
        """Number of structures."""
        return self.cell.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.positions.device

    def to(self, device: torch.device | str) -> AtomGraph:
        """The same graph on `device`."""
        return AtomGraph(*(getattr(self, f.name).to(device) for f in dataclasses.fields(self)))

    def replace(self, **changes: Tensor) -> AtomGraph:
        """The same graph with some fields exchanged."""
        return dataclasses.replace(self, **changes)

    def atom_counts(self) -> Tensor:
        """Number of atoms of each structure (n_systems,)."""
        return torch.bincount(self.system_idx, minlength=self.n_systems)
