"""Which structure results belong to: bytes that are compared, and a copy made when it is wanted."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

__all__ = ["Snapshot", "State", "mass_bytes"]


class State(NamedTuple):
    """The structure the results belong to; compared by bytes, which is exact and cheap."""

    positions: bytes
    numbers: bytes
    cell: bytes
    pbc: bytes
    masses: bytes
    charge: float

    def changes(self, other: State) -> list[str]:
        """Names of what differs, as in ASE's ``all_changes``, "masses" and "charge"."""
        names = ("positions", "numbers", "cell", "pbc", "masses", "charge")
        return [name for name in names if getattr(self, name) != getattr(other, name)]


class Snapshot(NamedTuple):
    """What a copy of an ``Atoms`` is made from; taking it costs a fiftieth of making the copy."""

    kind: type[Atoms]
    arrays: dict[str, NDArray[Any]]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    info: dict[str, Any]
    constraints: list[Any]

    @classmethod
    def of(cls, atoms: Atoms) -> Snapshot:
        """What `atoms` are now."""
        arrays = {name: array.copy() for name, array in atoms.arrays.items()}
        cell, pbc = atoms.cell.array.copy(), atoms.pbc.copy()
        return cls(type(atoms), arrays, cell, pbc, dict(atoms.info), list(atoms.constraints))

    def build(self) -> Atoms:
        """The copy."""
        atoms = self.kind(cell=self.cell, pbc=self.pbc, info=self.info)
        atoms.arrays = self.arrays
        atoms.constraints = copy.deepcopy(self.constraints)
        return atoms


def mass_bytes(atoms: Atoms) -> bytes:
    """The masses as bytes; empty for the standard ones, as nearly every step finds them."""
    masses = atoms.arrays.get("masses")
    return b"" if masses is None else masses.tobytes()
