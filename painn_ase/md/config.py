"""What a molecular-dynamics run is, as frozen records that a file can hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from painn_ase.errors import SpecError
from painn_ase.spec import from_dict, to_dict

__all__ = ["CHANGEABLE", "Ensemble", "MDConfig", "RecordConfig"]

#: Settings that a restart may change: how long, how often saved and told, when to stop.
CHANGEABLE = (
    "steps", "log_every", "save_every", "max_temperature", "max_displacement", "max_drift", "guard",
)  # fmt: skip
Ensemble = Literal["nve", "langevin", "baoab", "bussi", "nose-hoover", "npt"]


@dataclass(frozen=True)
class RecordConfig:
    """How often what is written, in steps; 0 for never.

    Attributes
    ----------
    positions, velocities, forces, energies : int
        Structure, velocities, forces, and energies with the temperature.
    dipole, polarizability, dipole_flux, polarizability_flux, charges : int
        What the response model gives.
    dtype : {"float64", "float32"}
        Precision in the file.
    """

    positions: int = 10
    velocities: int = 10
    forces: int = 0
    energies: int = 10
    dipole: int = 0
    polarizability: int = 0
    dipole_flux: int = 0
    polarizability_flux: int = 0
    charges: int = 0
    dtype: Literal["float64", "float32"] = "float64"

    def __post_init__(self) -> None:
        for name, value in self._strides().items():
            _require(value >= 0, f"record.{name} is a number of steps, 0 for never", value)

    def strides(self, *, changing_cell: bool = False) -> dict[str, int]:
        """Channels of the trajectory with their strides, those that are wanted."""
        strides = self._strides()
        energies = strides.pop("energies")
        for name in ("potential_energy", "kinetic_energy", "conserved_energy", "temperature"):
            strides[name] = energies
        if changing_cell:
            strides["cell"] = strides["positions"]
        return {name: stride for name, stride in strides.items() if stride}

    def response(self) -> tuple[str, ...]:
        """Names of the recorded quantities that come from a response model."""
        names = ("dipole", "polarizability", "dipole_flux", "polarizability_flux", "charges")
        return tuple(n for n in names if getattr(self, n))

    def _strides(self) -> dict[str, int]:
        return {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "dtype"
        }


@dataclass(frozen=True)
class MDConfig:
    """One run of molecular dynamics.

    Attributes
    ----------
    steps : int
        Total number of steps, counted from the very beginning however often the run is restarted.
    ensemble : {"nve", "langevin", "baoab", "bussi", "nose-hoover", "npt"}
        Velocity Verlet; Langevin (Vanden-Eijnden and Ciccotti 2006); Langevin in BAOAB splitting
        (Leimkuhler and Matthews 2013); stochastic velocity rescaling (Bussi 2007); Nosé–Hoover
        chain; BAOAB with an isotropic Langevin barostat (Quigley and Probert 2004).
    timestep : float
        fs.
    temperature : float
        K; in the NVE ensemble only of the initial velocities.
    friction : float
        Of the Langevin thermostats, 1/fs. A spectrum taken under it is widened by friction/2πc.
    time_constant : float
        Of the Bussi and Nosé–Hoover thermostats, fs.
    pressure : float
        Of the ``npt`` ensemble, GPa, including the ideal-gas part.
    pressure_time_constant : float
        Of the barostat, fs.
    seed : int
        Of every random number in the run.
    center_of_mass : {"fix", "free"}
        Whether the centre of mass stays where it is. ``fix`` takes its motion out at the start;
        under the Langevin thermostats, whose noise would push it, ASE's ``FixCom`` constraint
        holds it, never the ``fixcm`` of ASE's Langevin, which overheats small molecules by half.
        With ``npt`` it is free, and counted.
    rotation : {"auto", "remove", "keep"}
        Angular momentum of an isolated molecule at the start. The global thermostats (Bussi,
        Nosé–Hoover) and NVE cannot change it, so ``auto`` removes it there and counts its degrees
        of freedom out; the Langevin ones thermalise it, so ``auto`` keeps it there.
    velocities : {"draw", "keep"}
        Draw from the Maxwell–Boltzmann distribution, or keep those of the structure.
    log_every : int
        Steps between log lines.
    save_every : int
        Steps between restart files.
    max_temperature : float
        K; a run that exceeds it is stopped as an explosion.
    max_displacement : float
        Å per step of any atom; beyond it the run is stopped as an explosion.
    max_drift : float or None
        eV per atom that the conserved energy may stray from its start before the run stops.
    guard : {"warn", "stop", "off"}
        What to do when two atoms come closer than any such pair in the training data, as far as
        the model file says how close that was.
    record : RecordConfig
        What goes into the trajectory.
    """

    steps: int
    ensemble: Ensemble = "nve"
    timestep: float = 0.5
    temperature: float = 300.0
    friction: float = 0.01
    time_constant: float = 100.0
    pressure: float = 0.0
    pressure_time_constant: float = 1000.0
    seed: int = 0
    center_of_mass: Literal["fix", "free"] = "fix"
    rotation: Literal["auto", "remove", "keep"] = "auto"
    velocities: Literal["draw", "keep"] = "draw"
    log_every: int = 1000
    save_every: int = 1000
    max_temperature: float = 1e5
    max_displacement: float = 1.0
    max_drift: float | None = None
    guard: Literal["warn", "stop", "off"] = "warn"
    record: RecordConfig = field(default_factory=RecordConfig)

    def __post_init__(self) -> None:
        _require(self.steps >= 0, "steps must not be negative", self.steps)
        _require(self.seed >= 0, "seed must not be negative", self.seed)
        for name, allowed in _WORDS.items():
            choice = f"{name} is one of {', '.join(allowed)}"
            _require(getattr(self, name) in allowed, choice, getattr(self, name))
        for name in ("log_every", "save_every"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1", getattr(self, name))
        for name in (
            "timestep", "friction", "time_constant", "pressure_time_constant", "max_temperature",
            "max_displacement",
        ):  # fmt: skip
            value = getattr(self, name)
            _require(0 < value < math.inf, f"{name} must be a positive number", value)
        _require(
            0 <= self.temperature < math.inf, "temperature must not be negative", self.temperature
        )
        _require(
            self.temperature > 0 or self.ensemble == "nve",
            "a thermostat needs a temperature above 0 K",
            self.temperature,
        )
        _require(
            self.max_drift is None or self.max_drift > 0,
            "max_drift must be positive",
            self.max_drift,
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MDConfig:
        """The configuration a dictionary describes; unknown or wrong entries are a SpecError."""
        config: MDConfig = from_dict(cls, data)
        return config

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready dictionary."""
        return to_dict(self)

    @property
    def removes_rotation(self) -> bool:
        """What ``rotation`` means for an isolated molecule in this ensemble."""
        if self.rotation == "auto":
            return self.ensemble in ("nve", "bussi", "nose-hoover")
        return self.rotation == "remove"


#: Settings that are one of some words.
_WORDS: dict[str, tuple[str, ...]] = {
    "ensemble": get_args(Ensemble),
    "center_of_mass": ("fix", "free"),
    "rotation": ("auto", "remove", "keep"),
    "velocities": ("draw", "keep"),
    "guard": ("warn", "stop", "off"),
}


def _require(condition: bool, rule: str, given: object) -> None:
    if not condition:
        raise SpecError(f"{rule}; got {given!r}.")
