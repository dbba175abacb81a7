"""Where replicas begin: copies of one system, and the motions that are taken out of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian, FixCom
from numpy.typing import NDArray

from painn_ase.errors import GeometryError
from painn_ase.graph import total_charge
from painn_ase.md.velocities import count_rotations, remove_rotation, remove_translation

__all__ = ["Starts", "held_coordinates"]


@dataclass(frozen=True)
class Starts:
    """The first frames of all replicas.

    Attributes
    ----------
    template : ase.Atoms
        Elements, masses, cell, periodicity and constraints, the same in all.
    positions, velocities : ndarray [n_replicas, n_atoms, 3]
        ASE's units.
    held : ndarray of bool [n_atoms, 3]
        Coordinates that a constraint holds.
    charge : float
        Total charge of each replica, e.
    """

    template: Atoms
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    held: NDArray[np.bool_]
    charge: float

    @classmethod
    def of(
        cls, starts: Sequence[Atoms], charge: float | None = None, model_charge: float = 0.0
    ) -> Starts:
        """The starts that these structures are.

        Parameters
        ----------
        starts : sequence of ase.Atoms
            With velocities.
        charge, model_charge : float
            As for :func:`~painn_ase.graph.total_charge`, e.

        Raises
        ------
        GeometryError
            When they are not copies of one system, or held by a constraint that a batch does not
            know.
        """
        if not starts:
            raise GeometryError("there are no replicas to run; give at least one structure.")
        template = starts[0]
        held = held_coordinates(template)
        total = total_charge(template, charge, model_charge)
        for n, other in enumerate(starts):
            _check_copy(n, other, template, held)
            if (others := total_charge(other, charge, model_charge)) != total:
                raise _differs(n, "total charge", others, total)
        velocities = np.array([a.get_velocities() for a in starts])
        velocities[:, held] = 0.0
        return cls(template, np.array([a.positions for a in starts]), velocities, held, total)

    @property
    def turns(self) -> bool:
        """Whether a replica can turn as a whole: isolated, of more than one atom, nothing held."""
        template = self.template
        return not (any(template.pbc) or self.held.any()) and len(template) > 1

    def degrees_of_freedom(self, *, at_rest: bool, turning: bool) -> int:
        """Of one replica, those that carry kinetic energy.

        Parameters
        ----------
        at_rest : bool
            Whether the centre of mass rests; where a coordinate is held it never counts as such.
        turning : bool
            Whether the replica turns.
        """
        n = int(np.sum(~self.held))
        if at_rest and not self.held.any():
            n -= 3
        if self.turns and not turning:
            n -= count_rotations(self.template)
        return n

    def without_rigid_motion(
        self, velocities: NDArray[np.float64], positions: NDArray[np.float64], *, turning: bool
    ) -> NDArray[np.float64]:
        """Velocities [n_replicas, n_atoms, 3] without drift and, unless `turning`, rotation.

        Where a coordinate is held there is no rigid motion, and nothing is taken out.
        """
        if self.held.any():
            return velocities
        masses = self.template.get_masses()
        velocities = remove_translation(velocities, masses)
        if self.turns and not turning:
            velocities = remove_rotation(velocities, positions, masses)
        return velocities


#: What all copies have in common, and how it is called.
_COMMON: tuple[tuple[str, Callable[[Atoms], Any]], ...] = (
    ("atoms", lambda a: a.numbers),
    ("cell", lambda a: a.cell[:]),
    ("periodicity", lambda a: a.pbc),
    ("masses", lambda a: a.get_masses()),
)


def _check_copy(n: int, other: Atoms, first: Atoms, held: NDArray[np.bool_]) -> None:
    """Replicas are copies of one system."""
    for what, read in _COMMON:
        if not np.array_equal(read(other), read(first)):
            raise _differs(n, what, read(other), read(first))
    if not np.array_equal(of_other := held_coordinates(other), held):
        raise _differs(n, "constraints", np.argwhere(of_other), np.argwhere(held))


def _differs(n: int, what: str, has: Any, first: Any) -> GeometryError:
    return GeometryError(
        f"replica {n} differs from the first in its {what}: {_short(has)} instead of "
        f"{_short(first)}. Replicas are copies of one system; run others apart."
    )


def _short(value: Any) -> str:
    text = np.array2string(np.asarray(value), threshold=12, precision=6, separator=", ")
    return " ".join(text.split())


def held_coordinates(atoms: Atoms) -> NDArray[np.bool_]:
    """Cartesian coordinates [n_atoms, 3] that the constraints of `atoms` hold.

    Raises
    ------
    GeometryError
        For a constraint that holds something else.
    """
    free = np.ones((len(atoms), 3))
    rests = False
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms | FixCartesian):
            constraint.adjust_forces(atoms, free)  # its own word on what it holds
        elif isinstance(constraint, FixCom):
            rests = True
        else:
            raise GeometryError(
                f"replicas cannot be held by {type(constraint).__name__}; FixAtoms, FixCartesian "
                "and FixCom they can. Take the constraint off, or run single copies "
                "(painn_ase.md.run_md)."
            )
    held: NDArray[np.bool_] = free == 0.0
    if rests and held.any():
        raise GeometryError(
            "FixCom together with FixAtoms or FixCartesian leaves no frame to move in. Drop one."
        )
    return held
