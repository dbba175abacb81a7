"""What a batch of replicas is asked to do, and how it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import SpecError

__all__ = ["FLUXES", "RESPONSES", "ReplicaConfig", "ReplicaResult"]

FLUXES = ("dipole_flux", "polarizability_flux")
#: What a model can give along the way.
RESPONSES = (*FLUXES, "dipole", "polarizability")


@dataclass(frozen=True)
class ReplicaConfig:
    """NVE segments of many replicas.

    Attributes
    ----------
    steps : int
        Total steps of each replica, however often the run is restarted.
    timestep : float
        fs.
    record : tuple of str
        What the model gives along the way: fluxes, dipole, polarizability.
    stride : int
        Steps between recorded responses.
    energy_stride : int
        Steps between recorded energies and temperatures.
    position_stride : int
        Steps between recorded positions and velocities; 0 for never.
    rotation : {"remove", "keep"}
        Whether the angular momentum of isolated molecules is taken out at the start. The motion of
        the centre of mass always is.
    save_every : int
        Steps between restart files.
    max_displacement : float
        Å per step of any atom; beyond it the run is stopped as an explosion.
    max_drift : float or None
        eV per atom that the mean conserved energy may stray from its start before the run stops.
    skin : float
        Å added to the pair search of periodic or large systems.
    guard : {"warn", "stop", "off"}
        What to do when two atoms come closer than any such pair in the training data, as far as
        the model file says how close that was.
    """

    steps: int
    timestep: float = 0.5
    record: tuple[str, ...] = FLUXES
    stride: int = 2
    energy_stride: int = 20
    position_stride: int = 0
    rotation: Literal["remove", "keep"] = "remove"
    save_every: int = 1000
    max_displacement: float = 1.0
    max_drift: float | None = None
    skin: float = 0.5
    guard: Literal["warn", "stop", "off"] = "warn"

    def __post_init__(self) -> None:
        for name in ("stride", "energy_stride", "save_every"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1; got {getattr(self, name)!r}.")
        if self.steps < 0 or self.position_stride < 0 or self.skin < 0:
            raise SpecError("steps, position_stride and skin must not be negative.")
        if not (0 < self.timestep < math.inf and self.max_displacement > 0):
            raise SpecError("timestep and max_displacement must be positive.")
        if self.max_drift is not None and not self.max_drift > 0:
            raise SpecError(f"max_drift must be positive; got {self.max_drift!r}.")
        if unknown := set(self.record) - set(RESPONSES):
            raise SpecError(
                f"record: {', '.join(sorted(unknown))} unknown; allowed: {', '.join(RESPONSES)}."
            )

    def strides(self) -> dict[str, int]:
        """Channels of the trajectory with their strides."""
        strides = dict.fromkeys(self.record, self.stride)
        for name in ("potential_energy", "kinetic_energy", "conserved_energy", "temperature"):
            strides[name] = self.energy_stride
        if self.position_stride:
            strides |= {"positions": self.position_stride, "velocities": self.position_stride}
        return strides


@dataclass(frozen=True)
class ReplicaResult:
    """How a batch of replicas ended.

    Attributes
    ----------
    step : int
        Steps each replica has done since the very beginning.
    completed : bool
        Whether that is all of them.
    signal : int or None
        The signal that stopped it.
    temperature : float
        Mean over replicas and time, K.
    drift : float or None
        Of the mean total energy, eV per atom and ps.
    atom_steps_per_second : float
        Of this start.
    degrees_of_freedom : int
        Of each replica.
    positions, velocities : ndarray [n_replicas, n_atoms, 3]
        At the end, ASE's units.
    trajectory, state : Path or None
        Files.
    """

    step: int
    completed: bool
    signal: int | None
    temperature: float
    drift: float | None
    atom_steps_per_second: float
    degrees_of_freedom: int
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    trajectory: Path | None
    state: Path | None
