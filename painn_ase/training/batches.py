"""Frames as tensors: pair lists computed once, batches cut out by index with no per-frame work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from ase.geometry import complete_cell
from numpy.typing import NDArray
from torch import Tensor

from painn_ase.errors import DataError
from painn_ase.graph.neighbors import neighbor_pairs
from painn_ase.graph.record import AtomGraph
from painn_ase.training.frames import LABELS, LabeledFrame, label_shape

__all__ = ["Batch", "FrameTensors", "Labels"]


@dataclass(frozen=True)
class Labels:
    """Labels of a batch; NaN where a frame has none, None where no frame has any.

    Attributes
    ----------
    energy : Tensor (n_systems,) or None
    forces : Tensor (n_atoms, 3) or None
    stress, polarizability : Tensor (n_systems, 3, 3) or None
    dipole : Tensor (n_systems, 3) or None
    dipole_magnitude : Tensor (n_systems,) or None
    weight : Tensor (n_systems,) or None
        Of each structure's errors; None where all weigh the same.
    atom_weight : Tensor (n_atoms,) or None
        The same by atom.
    """

    energy: Tensor | None = None
    forces: Tensor | None = None
    stress: Tensor | None = None
    dipole: Tensor | None = None
    polarizability: Tensor | None = None
    dipole_magnitude: Tensor | None = None
    weight: Tensor | None = None
    atom_weight: Tensor | None = None

    def present(self) -> dict[str, Tensor]:
        """The labels there are, by name."""
        return {name: value for name, value in self.tensors().items() if name in LABELS}

    def tensors(self) -> dict[str, Tensor]:
        """Labels and weights, by name."""
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in pairs if value is not None}


@dataclass(frozen=True)
class Batch:
    """Structures with their labels."""

    graph: AtomGraph
    labels: Labels

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on `device`."""
        labels = {name: value.to(device) for name, value in self.labels.tensors().items()}
        return Batch(self.graph.to(device), Labels(**labels))


class FrameTensors:
    """All frames of a part in a few flat tensors, from which batches are gathered.

    Parameters
    ----------
    frames : sequence of LabeledFrame
    cutoff : float
        Of the pair lists, Å.
    labels : sequence of str
        Labels to carry along.
    """

    def __init__(
        self, frames: Sequence[LabeledFrame], cutoff: float, labels: Sequence[str]
    ) -> None:
        if not frames:
            raise DataError("a part of the data is empty; give it at least one frame.")
        pairs = [neighbor_pairs(f.positions, f.cell, f.pbc, cutoff) for f in frames]
        self.n_frames = len(frames)
        self.n_atoms = torch.tensor([f.n_atoms for f in frames])
        self.n_edges = torch.tensor([len(p.idx_i) for p in pairs])
        self._first_atom = torch.cumsum(self.n_atoms, 0) - self.n_atoms
        self._first_edge = torch.cumsum(self.n_edges, 0) - self.n_edges
        self._numbers = _joined([f.numbers for f in frames], torch.int64)
        self._positions = _joined([f.positions for f in frames], torch.float64)
        self._idx_i = _joined([p.idx_i for p in pairs], torch.int64)
        self._idx_j = _joined([p.idx_j for p in pairs], torch.int64)
        self._shifts = _joined([p.shifts for p in pairs], torch.float64)
        cells, pbc = np.stack([f.cell for f in frames]), np.stack([f.pbc for f in frames])
        if "stress" in labels:
            cells, pbc = _with_volumes(cells, pbc)
        self._cell, self._pbc = torch.from_numpy(cells), torch.from_numpy(pbc)
        self._charge = torch.tensor([f.charge for f in frames], dtype=torch.float64)
        self._labels = {name: _label_tensor(frames, name) for name in labels}
        weights = torch.tensor([f.weight for f in frames], dtype=torch.float64)
        if bool((weights != 1.0).any()):
            self._labels["weight"] = weights
            self._labels["atom_weight"] = torch.repeat_interleave(weights, self.n_atoms)

    @property
    def is_uniform(self) -> bool:
        """Whether all frames have the same atoms in the same order and the same pairs."""
        n, e = int(self.n_atoms[0]), int(self.n_edges[0])
        if bool((self.n_atoms != n).any()) or bool((self.n_edges != e).any()):
            return False
        if e == 0 or bool(self._pbc.any()):
            return False
        return all(
            bool((t.reshape(self.n_frames, -1) == t.reshape(self.n_frames, -1)[0]).all())
            for t in (self._numbers, self._idx_i, self._idx_j, self._charge)
        )

    @property
    def is_periodic(self) -> bool:
        """Whether any frame is periodic in any direction."""
        return bool(self._pbc.any())

    def batch(self, indices: Sequence[int] | Tensor) -> Batch:
        """The frames `indices` as one batch."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        n_atoms, n_edges = self.n_atoms[chosen], self.n_edges[chosen]
        atoms = _ragged(self._first_atom[chosen], n_atoms)
        edges = _ragged(self._first_edge[chosen], n_edges)
        offset = torch.repeat_interleave(torch.cumsum(n_atoms, 0) - n_atoms, n_edges)
        graph = AtomGraph(
            numbers=self._numbers[atoms],
            positions=self._positions[atoms],
            cell=self._cell[chosen],
            pbc=self._pbc[chosen],
            idx_i=self._idx_i[edges] + offset,
            idx_j=self._idx_j[edges] + offset,
            shifts=self._shifts[edges],
            system_idx=torch.repeat_interleave(torch.arange(len(chosen)), n_atoms),
            charge=self._charge[chosen],
        )
        rows = {
            name: value[atoms if name in ("forces", "atom_weight") else chosen]
            for name, value in self._labels.items()
        }
        return Batch(graph, Labels(**rows))


def _with_volumes(
    cells: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cells in which every frame has a volume, for batches of which some frames have a stress.

    A batch is asked for a stress as a whole. Molecules and slabs have none; here their open
    directions get unit vectors, along which no edge has a shift, so that nothing else changes.
    What comes out as their stress is compared with no label and reaches no gradient.
    """
    closed = np.where(pbc[:, :, None], cells, 0.0)
    return np.stack([complete_cell(cell) for cell in closed]), np.ones_like(pbc)


def _ragged(first: Tensor, counts: Tensor) -> Tensor:
    """Concatenated ranges first[k] .. first[k] + counts[k]."""
    start = torch.cumsum(counts, 0) - counts
    return torch.repeat_interleave(first - start, counts) + torch.arange(int(counts.sum()))


def _joined(arrays: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays)).to(dtype)


def _label_tensor(frames: Sequence[LabeledFrame], name: str) -> Tensor:
    """One label of all frames, NaN where it is missing; per atom for forces."""
    if name not in LABELS:
        raise DataError(f"unknown label {name!r}; allowed are {', '.join(LABELS)}.")
    values = []
    for frame in frames:
        value = frame.label(name)
        if name == "stress" and value is not None and not frame.pbc.all():
            raise DataError(
                f"{frame.source or 'a frame'} has a stress and is not periodic in all three "
                "directions: there is no volume to it. Leave the stress of molecules and slabs out."
            )
        if value is None:
            value = np.full(label_shape(name, frame.n_atoms), np.nan)
        values.append(value)
    joined = np.concatenate(values) if name == "forces" else np.stack(values)
    return torch.from_numpy(joined)
