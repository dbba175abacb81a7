"""What does not change along a trajectory: atoms, cell, charge, constraints, copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from painn_ase.trajectory.constraints import constraint_records

__all__ = ["System"]


@dataclass(frozen=True)
class System:
    """What does not change along a trajectory.

    Attributes
    ----------
    numbers : ndarray [n_atoms]
        Atomic numbers.
    masses : ndarray [n_atoms]
        amu.
    cell : ndarray [3, 3]
        Cell vectors as rows, Å; of the first frame where the cell changes.
    pbc : tuple of bool
        Periodic directions.
    n_replicas : int or None
        Copies of the system that run side by side; every frame then holds all of them and has one
        leading axis more.
    n_beads : int
        Of the ring polymer that each copy is; one where nuclei are classical.
    charge : float or None
        Total charge that the system was evaluated with, e; None where nothing says.
    constraints : tuple of dict
        What held the atoms, as :func:`~painn_ase.trajectory.constraint_records` says it.
    """

    numbers: NDArray[np.int64]
    masses: NDArray[np.float64]
    cell: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 3)))
    pbc: tuple[bool, bool, bool] = (False, False, False)
    n_replicas: int | None = None
    n_beads: int = 1
    charge: float | None = None
    constraints: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(
        cls,
        atoms: Any,
        n_replicas: int | None = None,
        n_beads: int = 1,
        charge: float | None = None,
    ) -> System:
        """The system of an :class:`ase.Atoms`, constraints included.

        Raises
        ------
        GeometryError
            For a constraint that no file could hold.
        """
        return cls(
            numbers=np.asarray(atoms.numbers, dtype=np.int64),
            masses=np.asarray(atoms.get_masses(), dtype=np.float64),
            cell=np.asarray(atoms.cell[:], dtype=np.float64),
            pbc=(bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
            n_replicas=n_replicas,
            n_beads=n_beads,
            charge=charge,
            constraints=tuple(constraint_records(atoms)),
        )
