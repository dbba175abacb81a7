"""The record a network reads: atoms and directed edges of one or many structures, as tensors.

Here the edge convention is stated once: edge e carries a message from neighbour ``idx_j[e]`` to
centre ``idx_i[e]`` along ``r_ij = r_j − r_i + S·cell`` with integer shifts ``S = shifts[e]``.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from painn_ase.elements import ATOMIC_MASSES
from painn_ase.errors import GeometryError

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
        Stays on the host whatever the device: it decides which properties exist, and asking a
        GPU would wait for it.
    idx_i, idx_j : Tensor (n_edges,), int64
        Centre (receives) and neighbour (sends) of each edge.
    shifts : Tensor (n_edges, 3), float64
        Integer cell shifts S of the neighbour.
    system_idx : Tensor (n_atoms,), int64
        Which structure each atom belongs to, ascending.
    charge : Tensor (n_systems,), float64
        Total charges, e.
    masses : Tensor (n_atoms,), float64, or None
        amu, as the dynamics has them: the dipole of an ion counts from the centre that they
        define. None stands for the standard masses of the elements.
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
    masses: Tensor | None = None

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
        """The same graph on `device` (its pbc stays on the host)."""
        moved = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        stays = {k: v for k, v in moved.items() if k == "pbc" or v is None}
        return AtomGraph(**{k: v.to(device) for k, v in moved.items() if k not in stays}, **stays)

    def replace(self, **changes: Tensor) -> AtomGraph:
        """The same graph with some fields exchanged."""
        return dataclasses.replace(self, **changes)

    def atom_counts(self) -> Tensor:
        """Number of atoms of each structure (n_systems,)."""
        return torch.bincount(self.system_idx, minlength=self.n_systems)


# Ghost atoms stand this far apart (Å): beyond any cutoff, near enough for float32 to stay exact.
_GHOST_SPACING = 1024.0


def collate(graphs: Sequence[AtomGraph]) -> AtomGraph:
    """One graph of many: structures of different size, cell and pbc side by side.

    Parameters
    ----------
    graphs : sequence of AtomGraph
        Each may itself hold many structures. All on one device.

    Returns
    -------
    AtomGraph
        Structures in the given order; no edge joins two of them.

    Raises
    ------
    GeometryError
        The sequence is empty.
    """
    if not graphs:
        raise GeometryError("There are no graphs to collate; give at least one structure.")
    if len(graphs) == 1:
        return graphs[0]
    idx_i, idx_j, system_idx = [], [], []
    n_atoms = n_systems = 0
    for graph in graphs:
        idx_i.append(graph.idx_i + n_atoms)
        idx_j.append(graph.idx_j + n_atoms)
        system_idx.append(graph.system_idx + n_systems)
        n_atoms += graph.n_atoms
        n_systems += graph.n_systems
    return AtomGraph(
        numbers=torch.cat([g.numbers for g in graphs]),
        positions=torch.cat([g.positions for g in graphs]),
        cell=torch.cat([g.cell for g in graphs]),
        pbc=torch.cat([g.pbc for g in graphs]),
        idx_i=torch.cat(idx_i),
        idx_j=torch.cat(idx_j),
        shifts=torch.cat([g.shifts for g in graphs]),
        system_idx=torch.cat(system_idx),
        charge=torch.cat([g.charge for g in graphs]),
        masses=_joined_masses(graphs),
    )


def _joined_masses(graphs: Sequence[AtomGraph]) -> Tensor | None:
    """The masses of all atoms, standard ones where a graph has none; None where no graph has."""
    if all(g.masses is None for g in graphs):
        return None
    standard = torch.tensor(ATOMIC_MASSES, dtype=torch.float64, device=graphs[0].device)
    return torch.cat([standard[g.numbers] if g.masses is None else g.masses for g in graphs])


def split(graph: AtomGraph) -> list[AtomGraph]:
    """The structures of a graph one by one; the inverse of `collate`.

    Parameters
    ----------
    graph : AtomGraph

    Returns
    -------
    list of AtomGraph
        ``n_systems`` graphs with one structure each, the order of atoms and edges kept.
    """
    if graph.n_systems == 1:
        return [graph]
    edge_system = graph.system_idx[graph.idx_i]
    order = torch.argsort(edge_system, stable=True)
    atom_counts = graph.atom_counts().tolist()
    edge_counts = torch.bincount(edge_system, minlength=graph.n_systems).tolist()
    starts = [0, *itertools.accumulate(atom_counts)]
    columns = zip(
        torch.split(graph.numbers, atom_counts),
        torch.split(graph.positions, atom_counts),
        torch.split(graph.idx_i[order], edge_counts),
        torch.split(graph.idx_j[order], edge_counts),
        torch.split(graph.shifts[order], edge_counts),
        strict=True,
    )
    return [
        AtomGraph(
            numbers=numbers,
            positions=positions,
            cell=graph.cell[s : s + 1],
            pbc=graph.pbc[s : s + 1],
            idx_i=idx_i - starts[s],
            idx_j=idx_j - starts[s],
            shifts=shifts,
            system_idx=torch.zeros_like(numbers),
            charge=graph.charge[s : s + 1],
            masses=None if graph.masses is None else graph.masses[starts[s] : starts[s + 1]],
        )
        for s, (numbers, positions, idx_i, idx_j, shifts) in enumerate(columns)
    ]


def pad_graph(graph: AtomGraph, n_atoms: int, n_edges: int) -> AtomGraph:
    """The same structures in tensors of a chosen size, for programs compiled to static shapes.

    One ghost structure is appended last: isolated, neutral, of an element already present, its
    atoms farther apart than any cutoff. The padding edges join two of them, where every cutoff
    function is exactly zero, so nothing about the real structures changes.

    Parameters
    ----------
    graph : AtomGraph
    n_atoms : int
        Atoms after padding; at least two more than there are.
    n_edges : int
        Edges after padding; at least as many as there are.

    Returns
    -------
    AtomGraph
        A graph with ``n_systems + 1`` structures.

    Raises
    ------
    GeometryError
        The sizes do not fit.
    """
    n_ghosts = n_atoms - graph.n_atoms
    n_ghost_edges = n_edges - graph.n_edges
    if n_ghosts < 2 or n_ghost_edges < 0:
        raise GeometryError(
            f"A graph of {graph.n_atoms} atoms and {graph.n_edges} edges does not fit into "
            f"{n_atoms} atoms and {n_edges} edges: two ghost atoms need {graph.n_atoms + 2} atoms "
            f"or more, and there must be {graph.n_edges} edges or more."
        )
    numbers = graph.numbers[:1].expand(n_ghosts)
    positions = graph.positions.new_zeros((n_ghosts, 3))
    positions[:, 0] = torch.arange(n_ghosts, device=graph.device) * _GHOST_SPACING
    ghosts = AtomGraph(
        numbers=numbers,
        positions=positions,
        cell=graph.cell.new_zeros((1, 3, 3)),
        pbc=graph.pbc.new_zeros((1, 3)),
        # One centre for all: edges stay sorted by centre.
        idx_i=graph.idx_i.new_zeros(n_ghost_edges),
        idx_j=graph.idx_j.new_ones(n_ghost_edges),
        shifts=graph.shifts.new_zeros((n_ghost_edges, 3)),
        system_idx=torch.zeros_like(numbers),
        charge=graph.charge.new_zeros(1),
    )
    return collate([graph, ghosts])
