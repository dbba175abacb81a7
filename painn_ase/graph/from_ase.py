"""From ASE's ``Atoms`` to the graph of one structure."""

from __future__ import annotations

import math

import torch
from ase import Atoms

from painn_ase.errors import GeometryError
from painn_ase.graph.neighbors import NeighborPairs, neighbor_pairs
from painn_ase.graph.record import AtomGraph

__all__ = ["from_ase"]


def from_ase(
    atoms: Atoms,
    cutoff: float,
    *,
    charge: float | None = None,
    pairs: NeighborPairs | None = None,
) -> AtomGraph:
    """The graph of one structure, on the CPU.

    The tensors are copies: later changes of `atoms` do not reach them.

    Parameters
    ----------
    atoms : Atoms
        The structure. Its cell is taken as it is, also where it is not periodic.
    cutoff : float
        Å.
    charge : float, optional
        Total charge, e; ``atoms.info["charge"]`` or else 0 when not given.
    pairs : NeighborPairs, optional
        Pairs known already, for example from a Verlet list; searched when not given.

    Returns
    -------
    AtomGraph
        A graph with ``n_systems == 1``.

    Raises
    ------
    GeometryError
        The structure has no meaning (see `neighbor_pairs`), or its charge is not a finite number.
    """
    cell = atoms.cell.array
    if pairs is None:
        pairs = neighbor_pairs(atoms.positions, cell, atoms.pbc, cutoff)
    return AtomGraph(
        numbers=torch.tensor(atoms.numbers, dtype=torch.int64),
        positions=torch.tensor(atoms.positions, dtype=torch.float64),
        cell=torch.tensor(cell, dtype=torch.float64)[None],
        pbc=torch.tensor(atoms.pbc, dtype=torch.bool)[None],
        idx_i=torch.tensor(pairs.idx_i),
        idx_j=torch.tensor(pairs.idx_j),
        shifts=torch.tensor(pairs.shifts),
        system_idx=torch.zeros(len(atoms), dtype=torch.int64),
        charge=torch.tensor(
            [finite_charge(atoms.info.get("charge", 0.0) if charge is None else charge)],
            dtype=torch.float64,
        ),
    )


def finite_charge(value: object) -> float:
    """`value` as a total charge, e.

    Raises
    ------
    GeometryError
        It is not a finite number.
    """
    try:
        charge = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        charge = math.nan
    if not math.isfinite(charge):
        raise GeometryError(
            f"The total charge is {value!r}; it must be a finite number in e. Set charge=… or "
            'atoms.info["charge"].'
        )
    return charge
