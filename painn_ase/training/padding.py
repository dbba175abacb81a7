"""Batches of mixed structures brought to a few fixed sizes, so that compiled functions fit them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from painn_ase.graph.record import pad_graph
from painn_ase.training.batches import Batch, FrameTensors, Labels

__all__ = ["BatchSize", "choose_sizes", "pad_batch"]

#: Random batches looked at to learn how large batches come.
_N_SAMPLED = 2000
# Batches up to this quantile get a size of their own: the best cut in two of normally distributed
# sizes, where one size for all would have to hold the largest.
_QUANTILE = 0.8
# Two sizes nearer than this do not pay for compiling twice.
_WORTH_TWO = 0.93


@dataclass(frozen=True, order=True)
class BatchSize:
    """Shape of a batch as a compiled function takes it.

    Attributes
    ----------
    n_atoms, n_edges : int
    n_systems : int
        Structures; where there is padding, its ghost structure included.
    """

    n_atoms: int
    n_edges: int
    n_systems: int

    def holds(self, batch: Batch) -> bool:
        """Whether `batch` has this size or can be padded to it."""
        graph = batch.graph
        if graph.n_systems == self.n_systems:
            return (graph.n_atoms, graph.n_edges) == (self.n_atoms, self.n_edges)
        fits = graph.n_atoms + 2 <= self.n_atoms and graph.n_edges <= self.n_edges
        return graph.n_systems + 1 == self.n_systems and fits


def choose_sizes(frames: FrameTensors, batch_size: int) -> tuple[BatchSize, ...]:
    """One or two sizes, ascending, that hold nearly every batch drawn from `frames`.

    Frames that are all alike give the one size they have, without padding; otherwise the sizes are
    quantiles over random batches, two atoms added for the ghosts of the padding, and rounded up,
    so that another split of the same data has the same sizes and need not be compiled again.
    """
    batch_size = min(batch_size, frames.n_frames)
    if frames.is_uniform:
        n_atoms, n_edges = int(frames.n_atoms[0]), int(frames.n_edges[0])
        return (BatchSize(batch_size * n_atoms, batch_size * n_edges, batch_size),)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(frames.n_frames, (_N_SAMPLED, batch_size), generator=generator)
    totals = torch.stack([n[chosen].sum(dim=1) for n in (frames.n_atoms, frames.n_edges)])
    small, large = (
        BatchSize(_rounded(int(n_atoms) + 2), _rounded(int(n_edges)), batch_size + 1)
        for n_atoms, n_edges in (
            torch.quantile(totals.double(), _QUANTILE, dim=1).ceil().tolist(),
            totals.amax(dim=1).tolist(),
        )
    )
    if small.n_atoms * small.n_edges > _WORTH_TWO**2 * large.n_atoms * large.n_edges:
        return (large,)
    return (small, large)


def _rounded(n: int) -> int:
    """`n` rounded up to one of sixteen steps between powers of two: at most 6 % more."""
    step = 1 << max(n.bit_length() - 5, 0)
    return -(-n // step) * step


def pad_batch(batch: Batch, size: BatchSize) -> Batch:
    """The batch in tensors of `size`: a ghost structure without labels stands last.

    Raises
    ------
    GeometryError
        If it does not fit.
    """
    if batch.graph.n_systems == size.n_systems:
        return batch
    graph = pad_graph(batch.graph, size.n_atoms, size.n_edges)
    # Stress divides by the volume, and 0/0 would reach the weights through the gradient of a
    # masked error. No ghost edge has a shift, so a cell changes nothing else.
    graph.cell[-1] = torch.eye(3, dtype=graph.cell.dtype, device=graph.cell.device)
    n_ghosts = graph.n_atoms - batch.graph.n_atoms
    labels = {}
    for name, value in batch.labels.tensors().items():
        rows = n_ghosts if name in ("forces", "atom_weight") else 1
        filled = torch.nan if name in batch.labels.present() else 0.0
        labels[name] = torch.cat([value, value.new_full((rows, *value.shape[1:]), filled)])
    return Batch(graph, Labels(**labels))
