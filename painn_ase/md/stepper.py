"""What moves many copies of one system by a time step: the protocol, and velocity Verlet.

A stepper holds the equations of motion and nothing else. Pairs, networks, files and the watch over
the run belong to whoever calls it (:mod:`painn_ase.md.replica_run`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from painn_ase.units import boltzmann_constant

__all__ = ["BatchState", "Copies", "ForceCall", "Stepper", "VelocityVerlet"]

#: Positions [n_copies * n_atoms, 3], Å → energies [n_copies], eV, and forces like the positions,
#: eV/Å, all float64 on the device.
ForceCall = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass
class BatchState:
    """All copies at one moment, float64 on the device; the beads of a replica lie side by side.

    Attributes
    ----------
    positions, velocities, forces : Tensor [n_copies * n_atoms, 3]
        Å, Å·√(eV/amu)/Å, eV/Å.
    energy : Tensor [n_copies]
        Potential energies, eV.
    """

    positions: Tensor
    velocities: Tensor
    forces: Tensor
    energy: Tensor


@dataclass(frozen=True)
class Copies:
    """The system that is copied.

    Attributes
    ----------
    n_replicas : int
        Copies of the system; a ring polymer with all its beads is one.
    masses : ndarray [n_atoms]
        amu.
    held : ndarray of bool [n_atoms, 3]
        Cartesian coordinates that a constraint holds.
    degrees_of_freedom : int
        Of one replica that carry kinetic energy.
    """

    n_replicas: int
    masses: NDArray[np.float64]
    held: NDArray[np.bool_]
    degrees_of_freedom: int

    @property
    def n_atoms(self) -> int:
        """Atoms of one copy."""
        return len(self.masses)

    @property
    def inertia(self) -> NDArray[np.float64]:
        """What resists a push, amu [n_atoms, 3], or [n_atoms, 1] where nothing is held.

        A held coordinate is infinitely heavy.
        """
        if not self.held.any():
            return self.masses[:, None]
        return np.where(self.held, np.inf, self.masses[:, None])


class Stepper(Protocol):
    """Equations of motion of a batch.

    Attributes
    ----------
    name : str
        As a trajectory's record calls it.
    n_beads : int
        Copies that make one replica.
    """

    name: str
    n_beads: int

    def start(self, state: BatchState) -> None:
        """Give velocities to a batch that begins, where this stepper draws them."""

    def step(self, state: BatchState, forces_of: ForceCall) -> None:
        """Move the batch by one time step, in place."""

    def reduce(self, per_copy: Tensor) -> Tensor:
        """What a replica shows [n_replicas, ...] of a quantity of its copies [n_copies, ...]."""

    def energies(self, state: BatchState) -> dict[str, Tensor]:
        """Energies (eV) and temperature (K) of each replica [n_replicas], by channel name."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of what the next step depends on besides the batch."""

    def load_state(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Put a saved memory back."""


class VelocityVerlet:
    """Newton's equations by velocity Verlet (Swope et al., J. Chem. Phys. 76, 637 (1982)).

    Parameters
    ----------
    copies : Copies
        What moves.
    timestep : float
        ASE's unit of time.
    device : torch.device
        Where the batch lives.
    """

    name = "velocity Verlet"
    n_beads = 1

    def __init__(self, copies: Copies, timestep: float, device: torch.device) -> None:
        self._copies = copies
        self._dt = timestep
        n = copies.n_replicas
        self._masses = torch.tensor(np.tile(copies.masses, n)[:, None], device=device)
        self._inertia = torch.tensor(np.tile(copies.inertia, (n, 1)), device=device)

    def start(self, state: BatchState) -> None:
        """Replicas move as they were given."""

    def step(self, state: BatchState, forces_of: ForceCall) -> None:
        """Half a kick, a drift, half a kick."""
        state.velocities = state.velocities + self._kick(state.forces)
        state.positions = state.positions + self._dt * state.velocities
        state.energy, state.forces = forces_of(state.positions)
        state.velocities = state.velocities + self._kick(state.forces)

    def _kick(self, forces: Tensor) -> Tensor:
        return 0.5 * self._dt * forces / self._inertia

    def reduce(self, per_copy: Tensor) -> Tensor:
        """A copy is a replica."""
        return per_copy

    def energies(self, state: BatchState) -> dict[str, Tensor]:
        """The total energy is what is conserved."""
        weighted = self._masses * state.velocities.square()
        twice = weighted.reshape(self._copies.n_replicas, -1).sum(dim=1)
        free = max(1, self._copies.degrees_of_freedom)
        return {
            "potential_energy": state.energy,
            "kinetic_energy": 0.5 * twice,
            "conserved_energy": state.energy + 0.5 * twice,
            "temperature": twice / (free * boltzmann_constant),
        }

    def state(self) -> dict[str, NDArray[Any]]:
        """Nothing: positions and velocities are all there is."""
        return {}

    def load_state(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Nothing to put back."""
