"""From ``Atoms`` to the record a network reads: pairs, skin, batches."""

from painn_ase.graph.charge import CHARGE_KEYS, finite_charge, stated_charge, total_charge
from painn_ase.graph.from_ase import checked_masses, from_ase
from painn_ase.graph.neighbors import NeighborPairs, all_pairs, neighbor_pairs
from painn_ase.graph.record import AtomGraph, collate, pad_graph, split
from painn_ase.graph.verlet import VerletList

__all__ = [
    "CHARGE_KEYS",
    "AtomGraph",
    "NeighborPairs",
    "VerletList",
    "all_pairs",
    "checked_masses",
    "collate",
    "finite_charge",
    "from_ase",
    "neighbor_pairs",
    "pad_graph",
    "split",
    "stated_charge",
    "total_charge",
]
