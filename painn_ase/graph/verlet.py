"""A pair list with a skin, kept while no atom has moved far enough to matter (Verlet 1967)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from painn_ase.errors import GeometryError
from painn_ase.graph.neighbors import FloatArray, NeighborPairs, neighbor_pairs

__all__ = ["VerletList"]


@dataclass(frozen=True)
class _Reference:
    """The structure a list was built for; compared by bytes, which is exact and cheap."""

    positions: FloatArray
    numbers: bytes
    cell: bytes
    pbc: bytes
    complete: bool


class VerletList:
    """Neighbour pairs of one moving structure, rebuilt only when they could have changed.

    Pairs are searched to ``cutoff + skin``. While no atom is farther than half the skin from where
    it was at the last search, no pair can have come inside the cutoff unlisted, and `update` gives
    back the very same object: identity tells a caller that nothing needs to be sent to a device.
    A change of cell, pbc, numbers or atom count always searches anew. (L. Verlet, Phys. Rev. 159,
    98 (1967).)

    The list of an isolated molecule (no periodic direction) in which every atom is a neighbour of
    every other holds all pairs there are. Nothing can ever be missing from it, so it stays until
    the numbers or pbc change.

    The list is part of the state of a simulation, because sums over pairs round in its order. To
    continue one bitwise, save `reference_positions`, and on restart call `update` with them before
    calling it with the current positions.

    Parameters
    ----------
    cutoff : float
        Å.
    skin : float
        Å; 0 searches anew whenever anything moves.

    Attributes
    ----------
    n_builds : int
        How often pairs were searched.

    Raises
    ------
    GeometryError
        The cutoff is not positive or the skin is negative.
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        if not 0.0 < cutoff < math.inf:
            raise GeometryError(f"The cutoff is {cutoff!r}; it must be a positive finite length.")
        if not 0.0 <= skin < math.inf:
            raise GeometryError(f"The skin is {skin!r}; it must be zero or a finite length in Å.")
        self.cutoff = cutoff
        self.skin = skin
        self.n_builds = 0
        self._pairs: NeighborPairs | None = None
        self._reference: _Reference | None = None

    @property
    def reference_positions(self) -> FloatArray | None:
        """Positions of the last search (n_atoms, 3), Å, as a copy; None before the first one."""
        return None if self._reference is None else self._reference.positions.copy()

    def reset(self) -> None:
        """Forget the list, so that the next `update` searches anew."""
        self._pairs = None
        self._reference = None

    def update(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike, pbc: ArrayLike
    ) -> NeighborPairs:
        """Pairs that hold every pair within the cutoff: the last ones, or new ones.

        Parameters
        ----------
        numbers : array (n_atoms,)
            Atomic numbers.
        positions : array (n_atoms, 3)
            Å, wrapped or not.
        cell : array (3, 3)
            Row vectors, Å.
        pbc : array (3,), bool

        Returns
        -------
        NeighborPairs
            Pairs up to ``cutoff + skin`` at the last search. Shifts hold for the given positions.

        Raises
        ------
        GeometryError
            The structure has no meaning, see `neighbor_pairs`.
        """
        positions = np.asarray(positions, dtype=np.float64)
        numbers = np.asarray(numbers)
        cell = np.asarray(cell, dtype=np.float64)
        pbc = np.asarray(pbc, dtype=bool)
        if self._pairs is not None and self._holds(numbers, positions, cell, pbc):
            return self._pairs
        return self._build(numbers, positions, cell, pbc)

    def _holds(
        self,
        numbers: NDArray[Any],
        positions: FloatArray,
        cell: FloatArray,
        pbc: NDArray[np.bool_],
    ) -> bool:
        """Whether the list still has every pair of this structure; False for NaN positions."""
        reference = self._reference
        if (
            reference is None
            or positions.shape != reference.positions.shape
            or numbers.tobytes() != reference.numbers
            or pbc.tobytes() != reference.pbc
        ):
            return False
        if reference.complete:
            flat = positions.ravel()
            return math.isfinite(flat.dot(flat))
        if cell.tobytes() != reference.cell:
            return False
        moved = positions - reference.positions
        squares = np.einsum("ia,ia->i", moved, moved)
        return bool(squares.max() <= 0.25 * self.skin * self.skin)

    def _build(
        self,
        numbers: NDArray[Any],
        positions: FloatArray,
        cell: FloatArray,
        pbc: NDArray[np.bool_],
    ) -> NeighborPairs:
        """A new list, and the structure it was built for."""
        self.reset()
        if positions.ndim == 2 and numbers.shape != positions.shape[:1]:
            raise GeometryError(
                f"There are {numbers.size} atomic numbers (shape {numbers.shape}) for "
                f"{len(positions)} positions; give one number for each atom."
            )
        pairs = neighbor_pairs(positions, cell, pbc, self.cutoff + self.skin)
        n_atoms = len(positions)
        self._reference = _Reference(
            positions=positions.copy(),
            numbers=numbers.tobytes(),
            cell=cell.tobytes(),
            pbc=pbc.tobytes(),
            complete=not pbc.any() and pairs.n_edges == n_atoms * (n_atoms - 1),
        )
        self._pairs = pairs
        self.n_builds += 1
        return pairs
