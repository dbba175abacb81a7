"""The graphs of many copies of one system, in pieces a processor likes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from painn_ase.graph import AtomGraph, NeighborPairs, all_pairs, collate, from_ase, neighbor_pairs

__all__ = ["ReplicaBatch", "keep_freed_memory", "pieces"]

#: Isolated systems up to this many atoms list all their pairs, once and for all.
_ALL_PAIRS_UP_TO = 32
#: Edges × features of one call on a CPU, 16 ethanols at 128 features: smaller batches leave time to
#: overheads, larger ones fall out of the cache and are slower again.
_CPU_CHUNK = 150_000
#: Bytes; the largest block that glibc takes from its heap when told so by an earlier one.
_HEAP_BLOCK = 31 << 20


class ReplicaBatch:
    """The graphs of all replicas, whose pairs last while nobody has moved far.

    One graph on a GPU; on a CPU as many as keep a call's arrays in the cache.

    Parameters
    ----------
    template : ase.Atoms
        Elements, cell, periodicity.
    n_replicas : int
        Number of copies.
    cutoff, skin : float
        Å.
    device : torch.device or str
        Where the graph lives.
    charge : float or None
        Total charge of each copy, e; by default as :func:`~painn_ase.graph.from_ase` finds it.
    n_features : int
        Width of the network, which decides how many replicas one call takes on a CPU.
    keep_memory : bool
        Let the C library of this process keep what a step frees for the next one, on a CPU: see
        :func:`keep_freed_memory`.

    Attributes
    ----------
    reference : Tensor [n_replicas * n_atoms, 3] or None
        Positions for which pairs were searched; None where all pairs are listed.
    """

    def __init__(
        self,
        template: Atoms,
        n_replicas: int,
        cutoff: float,
        skin: float,
        device: torch.device | str,
        charge: float | None = None,
        n_features: int = 128,
        keep_memory: bool = True,
    ) -> None:
        self._template: Atoms = template.copy()
        self._n_replicas = n_replicas
        self._cutoff = cutoff
        self._skin = skin
        self._device = torch.device(device)
        self._charge = charge
        self._n_features = n_features
        self._graphs: tuple[AtomGraph, ...] = ()
        self.reference: Tensor | None = None
        self._lists_all = not any(template.pbc) and len(template) <= _ALL_PAIRS_UP_TO
        if keep_memory and self._device.type == "cpu":
            keep_freed_memory()

    @property
    def template(self) -> Atoms:
        """One copy, for those who evaluate copies one by one; not to be changed."""
        return self._template

    def update(self, positions: Tensor) -> tuple[AtomGraph, ...]:
        """Graphs at `positions` [n_replicas * n_atoms, 3], Å, on the device; replicas in order."""
        if not self._graphs:
            self._graphs = self._build(positions)
        elif self.reference is not None:
            moved = (positions - self.reference).square().sum(dim=1).max()
            if not float(moved) <= 0.25 * self._skin**2:
                self._graphs = self._build(positions)
        pieces = positions.split([graph.n_atoms for graph in self._graphs])
        return tuple(
            graph.replace(positions=piece)
            for graph, piece in zip(self._graphs, pieces, strict=True)
        )

    def _build(self, positions: Tensor) -> tuple[AtomGraph, ...]:
        graphs = self._fixed() if self._lists_all else self._searched(positions)
        return pieces(graphs, self._n_features, self._device)

    def _fixed(self) -> list[AtomGraph]:
        """All pairs there are, which nothing can be missing from."""
        i, j = all_pairs(len(self._template))
        pairs = NeighborPairs(i.copy(), j.copy(), np.zeros((len(i), 3)))
        one = from_ase(self._template, self._cutoff, charge=self._charge, pairs=pairs)
        return [one] * self._n_replicas

    def _searched(self, positions: Tensor) -> list[AtomGraph]:
        """Pairs up to cutoff and skin at `positions`, which become the reference."""
        self.reference = positions.clone()
        graphs = []
        for frame in positions.detach().cpu().numpy().reshape(self._n_replicas, -1, 3):
            self._template.arrays["positions"][:] = frame
            found = neighbor_pairs(
                frame, self._template.cell[:], self._template.pbc, self._cutoff + self._skin
            )
            graphs.append(from_ase(self._template, self._cutoff, charge=self._charge, pairs=found))
        return graphs


def pieces(
    graphs: Sequence[AtomGraph], n_features: int, device: torch.device
) -> tuple[AtomGraph, ...]:
    """Graphs joined, in order: one for a GPU, on a CPU as many as keep a call's arrays in cache."""
    size = len(graphs)
    if device.type == "cpu":
        edges = max(1, max(graph.n_edges for graph in graphs))
        size = max(1, _CPU_CHUNK // (edges * n_features))
    return tuple(collate(graphs[k : k + size]).to(device) for k in range(0, len(graphs), size))


def keep_freed_memory() -> None:
    """Make glibc keep what a step frees for the next step, instead of returning it to the system.

    This touches the whole process, and lasts: up to 31 MB more may stay with it. Fetching a batch's
    megabytes anew in every step costs up to a quarter of its time in page faults. glibc raises its
    thresholds for both, once and for all, to the size of the largest block it was ever given back
    (mallopt(3), M_MMAP_THRESHOLD), so one such block, never touched, is enough. Other allocators do
    not mind.
    """
    torch.empty(_HEAP_BLOCK, dtype=torch.uint8)
