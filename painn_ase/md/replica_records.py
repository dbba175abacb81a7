"""What a batch of replicas is asked to do, and how it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import SpecError

__all__ = ["FLUXES", "RESPONSES", "ReplicaConfig", "ReplicaEnsemble", "ReplicaResult"]

FLUXES = ("dipole_flux", "polarizability_flux")
#: What a model can give along the way.
RESPONSES = (*FLUXES, "dipole", "polarizability")
ReplicaEnsemble = Literal["nve", "langevin", "pimd", "trpmd", "rpmd"]
_RING_POLYMERS = ("pimd", "trpmd", "rpmd")
#: Beads where nobody says how many: an O–H stretch at 300 K has 96 % of its energy.
_BEADS = 32


@dataclass(frozen=True)
class ReplicaConfig:
    """A run of many replicas.

    Attributes
    ----------
    steps : int
        Total steps of each replica, however often the run is restarted.
    ensemble : {"nve", "langevin", "pimd", "trpmd", "rpmd"}
        Velocity Verlet from the starts' velocities; Langevin in BAOAB splitting; ring polymers:
        path-integral dynamics under PILE thermostats for averages, thermostatted (λ = ½) and plain
        ring-polymer dynamics for spectra. All but "nve" draw their own velocities.
    timestep : float
        fs; 0.25 is right for the dynamics of ring polymers.
    temperature : float
        K; of all but "nve".
    beads : int or None
        Of a ring polymer; None for 32, and one where nuclei are classical.
    friction : float
        Of Langevin dynamics, and of the centroid in "pimd", 1/fs.
    thermostat : {"local", "global"}
        Whether the friction of "langevin" and "pimd" acts on each coordinate of the centroid, or on
        its kinetic energy as a whole.
    seed : int
        Of every random number.
    record : tuple of str
        What the model gives along the way: fluxes, dipole, polarizability.
    stride : int
        Steps between recorded responses.
    energy_stride : int
        Steps between recorded energies and temperatures.
    position_stride : int
        Steps between recorded positions and velocities, of a ring polymer its centroid's; 0 for
        never.
    bead_stride : int
        Steps between recorded positions of all beads; 0 for never.
    heat_capacity : bool
        Record with the energies of a ring polymer what its heat capacity needs; two calls for
        forces each time.
    rotation : {"remove", "keep"}
        Whether the angular momentum of isolated molecules is taken out at the start, of a ring
        polymer its centroid's, which is kept from coming back. The motion of the centre of mass is
        taken out, too. A local thermostat gives both back, so under it nothing is taken out.
    save_every : int
        Steps between restart files.
    max_displacement : float
        Å per step of any atom; beyond it the run is stopped as an explosion.
    max_drift : float or None
        eV per atom that the mean conserved energy may stray from its start before the run stops.
    skin : float
        Å added to the pair search of periodic or large systems.
    keep_memory : bool
        On a CPU, let the C library keep what a step frees for the next one: a block of 31 MB, asked
        for once and never touched, raises glibc's thresholds for the rest of the process, and up to
        a quarter of the time is saved. False leaves the process as it is.
    guard : {"warn", "stop", "off"}
        What to do when two atoms come closer than any such pair in the training data, as far as
        the model file says how close that was.
    """

    steps: int
    ensemble: ReplicaEnsemble = "nve"
    timestep: float = 0.5
    temperature: float = 300.0
    beads: int | None = None
    friction: float = 0.01
    thermostat: Literal["local", "global"] = "local"
    seed: int = 0
    record: tuple[str, ...] = FLUXES
    stride: int = 2
    energy_stride: int = 20
    position_stride: int = 0
    bead_stride: int = 0
    heat_capacity: bool = False
    rotation: Literal["remove", "keep"] = "remove"
    save_every: int = 1000
    max_displacement: float = 1.0
    max_drift: float | None = None
    skin: float = 0.5
    keep_memory: bool = True
    guard: Literal["warn", "stop", "off"] = "warn"

    def __post_init__(self) -> None:
        for name in ("stride", "energy_stride", "save_every"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1; got {getattr(self, name)!r}.")
        for name in ("steps", "position_stride", "bead_stride", "skin", "friction", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SpecError(f"{name} must not be negative; got {getattr(self, name)!r}.")
        for name in ("timestep", "max_displacement", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise SpecError(f"{name} must be positive; got {getattr(self, name)!r}.")
        self._check_ensemble()
        if self.max_drift is not None and not self.max_drift > 0:
            raise SpecError(f"max_drift must be positive; got {self.max_drift!r}.")
        if unknown := set(self.record) - set(RESPONSES):
            raise SpecError(
                f"record: {', '.join(sorted(unknown))} unknown; allowed: {', '.join(RESPONSES)}."
            )

    def _check_ensemble(self) -> None:
        if self.ensemble not in get_args(ReplicaEnsemble):
            raise SpecError(
                f"there is no ensemble {self.ensemble!r} of replicas; allowed: "
                f"{', '.join(get_args(ReplicaEnsemble))}."
            )
        quantum = self.ensemble in _RING_POLYMERS
        if self.beads is not None and not (self.beads >= 1 and (quantum or self.beads == 1)):
            raise SpecError(
                f"{self.beads} beads in the ensemble {self.ensemble!r}: ring polymers "
                f"({', '.join(_RING_POLYMERS)}) have one or more, all else is classical."
            )
        if (self.bead_stride or self.heat_capacity) and self.n_beads == 1:
            raise SpecError("bead_stride and heat_capacity are for ring polymers of many beads.")
        for name, allowed in (
            ("thermostat", ("local", "global")),
            ("rotation", ("remove", "keep")),
            ("guard", ("warn", "stop", "off")),
        ):
            if getattr(self, name) not in allowed:
                choice = " or ".join(map(repr, allowed))
                raise SpecError(f"{name} is {choice}, not {getattr(self, name)!r}.")
        if self.thermostat != "local" and self.ensemble not in ("langevin", "pimd"):
            raise SpecError(
                f"thermostat={self.thermostat!r} does nothing in the ensemble {self.ensemble!r}: "
                "it is of langevin and pimd. Leave it out."
            )

    @property
    def n_beads(self) -> int:
        """Beads of one replica; one where the nuclei are classical."""
        if self.beads is not None:
            return self.beads
        return _BEADS if self.ensemble in _RING_POLYMERS else 1

    @property
    def removes_rigid_motion(self) -> bool:
        """Whether drift and rotation stay out once they are taken out."""
        thermostatted = self.ensemble in ("langevin", "pimd")
        return not thermostatted or self.thermostat == "global"

    def strides(self) -> dict[str, int]:
        """Channels of the trajectory with their strides."""
        strides = dict.fromkeys(self.record, self.stride)
        for name in ("potential_energy", "kinetic_energy", "conserved_energy", "temperature"):
            strides[name] = self.energy_stride
        if self.position_stride:
            strides |= {"positions": self.position_stride, "velocities": self.position_stride}
        if self.n_beads > 1:
            strides |= dict.fromkeys(("kinetic_virial", "radius_of_gyration"), self.energy_stride)
        if self.heat_capacity:
            strides["virial_curvature"] = self.energy_stride
        if self.bead_stride:
            strides["bead_positions"] = self.bead_stride
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
        Mean over replicas and time, K; of a ring polymer that of its beads' momenta over their
        number.
    drift : float or None
        Of the mean conserved energy, eV per atom and ps.
    atom_steps_per_second : float
        Of this start.
    degrees_of_freedom : int
        Of each replica.
    positions, velocities : ndarray [n_replicas, n_atoms, 3]
        At the end, ASE's units; of a ring polymer its centroid's.
    beads : ndarray [n_replicas, n_beads, n_atoms, 3]
        Positions of all beads at the end, Å: where another run of ring polymers may start.
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
    beads: NDArray[np.float64]
    trajectory: Path | None
    state: Path | None
