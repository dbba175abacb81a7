"""From ASE's ``Atoms`` to the graph of one structure."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.errors import GeometryError
from painn_ase.graph.charge import total_charge
from painn_ase.graph.neighbors import NeighborPairs, neighbor_pairs
from painn_ase.graph.record import AtomGraph

__all__ = ["checked_masses", "from_ase"]


def from_ase(
    atoms: Atoms,
    cutoff: float,
    *,
    charge: float | None = None,
    model_charge: float = 0.0,
    pairs: NeighborPairs | None = None,
) -> AtomGraph:
    """The graph of one structure, on the CPU.

    The tensors are copies: later changes of `atoms` do not reach them.

    Parameters
    ----------
    atoms : Atoms
        The structure. Its cell is taken as it is, also where it is not periodic; its masses are
        those of the Atoms, isotopes included.
    cutoff : float
        Å.
    charge : float, optional
        Total charge, e; see :func:`~painn_ase.graph.total_charge` for what holds otherwise.
    model_charge : float
        What the model was trained on, ``potential.spec.total_charge``: the total charge where
        neither `charge` nor ``atoms.info`` says one.
    pairs : NeighborPairs, optional
        Pairs known already, for example from a Verlet list; searched when not given.

    Returns
    -------
    AtomGraph
        A graph with ``n_systems == 1``.

    Raises
    ------
    GeometryError
        The structure has no meaning (see `neighbor_pairs`), its charge is not a finite number, or
        its masses are no masses.
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
        charge=torch.tensor([total_charge(atoms, charge, model_charge)], dtype=torch.float64),
        masses=torch.from_numpy(checked_masses(atoms)),
    )


def checked_masses(atoms: Atoms) -> NDArray[np.float64]:
    """The masses of `atoms` (n_atoms,), amu, as a copy; some may be zero, not all.

    Raises
    ------
    GeometryError
        They are no masses.
    """
    masses: NDArray[np.float64] = np.array(atoms.get_masses(), dtype=np.float64)
    if not (np.isfinite(masses) & (masses >= 0)).all() or not masses.any():
        raise GeometryError(
            f"the masses of {atoms.get_chemical_formula()} must be finite numbers of 0 amu or more "
            "and not all 0: an ion's dipole counts from the centre of mass. Set them with "
            "atoms.set_masses(…)."
        )
    return masses
