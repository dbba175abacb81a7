"""What of torch-sim 0.6 our adapter touches, for Pythons that torch-sim does not run on.

Names, arguments, shapes, units and the order of calls are those of torch-sim 0.6.2
(`torch_sim/state.py`, `models/interface.py`, `runners.py`, `trajectory.py`, `integrators/nve.py`);
the same tests run with the real package where it is installed.
"""

from __future__ import annotations

import enum
import sys
import types
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from ase.units import fs, kB

PICOSECOND = 1000.0 * fs  # in units of Å √(amu/eV)


class SimState:
    """Systems side by side; cells are column vectors, pbc is one for all."""

    def __init__(self, atoms: list[Any], device: torch.device, dtype: torch.dtype) -> None:
        if len({tuple(a.pbc) for a in atoms}) != 1:
            raise ValueError("All systems must have the same periodic boundary conditions")

        def joined(arrays: list[Any]) -> torch.Tensor:
            return torch.tensor(np.concatenate(arrays), dtype=dtype, device=device)

        self.positions = joined([a.positions for a in atoms])
        self.masses = joined([a.get_masses() for a in atoms])
        self.cell = joined([a.cell.array.T[None] for a in atoms])
        self.pbc = torch.tensor(atoms[0].pbc, dtype=torch.bool, device=device)
        self.atomic_numbers = torch.tensor(
            np.concatenate([a.numbers for a in atoms]), dtype=torch.int64, device=device
        )
        self.system_idx = torch.repeat_interleave(
            torch.arange(len(atoms), device=device), torch.tensor([len(a) for a in atoms])
        )
        self.system_extras: dict[str, torch.Tensor] = {}
        self.atom_extras: dict[str, torch.Tensor] = {}
        self.momenta = torch.zeros_like(self.positions)

    @property
    def n_systems(self) -> int:
        return self.cell.shape[0]

    @property
    def n_atoms(self) -> int:
        return self.positions.shape[0]

    @property
    def velocities(self) -> torch.Tensor:
        return self.momenta / self.masses[:, None]

    def get_number_of_degrees_of_freedom(self) -> torch.Tensor:
        return 3 * torch.bincount(self.system_idx)

    def store_model_extras(self, output: dict[str, torch.Tensor]) -> None:
        for name, value in output.items():
            if name in ("energy", "forces", "stress"):
                continue
            if value.shape[0] == self.n_atoms:
                self.atom_extras[name] = value
            elif value.shape[0] == self.n_systems:
                self.system_extras[name] = value


class ModelInterface(torch.nn.Module, ABC):
    @property
    def device(self) -> torch.device:
        return self._device  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype  # type: ignore[no-any-return]

    @property
    def compute_stress(self) -> bool:
        return self._compute_stress

    @compute_stress.setter
    def compute_stress(self, compute_stress: bool) -> None:
        raise NotImplementedError

    @property
    def compute_forces(self) -> bool:
        return self._compute_forces

    @compute_forces.setter
    def compute_forces(self, compute_forces: bool) -> None:
        raise NotImplementedError

    @abstractmethod
    def forward(self, state: Any, **kwargs: Any) -> dict[str, torch.Tensor]: ...


class TrajectoryReporter:
    def __init__(self, filenames: Any, state_frequency: int = 100, **_: Any) -> None:
        if filenames is not None:
            raise NotImplementedError("files of torch-sim's own")
        self.trajectories: list[Any] = []

    @property
    def filenames(self) -> None:
        return None

    @property
    def mode(self) -> str:
        raise ValueError("No trajectories loaded.")

    def __enter__(self) -> TrajectoryReporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None: ...


class Integrator(enum.Enum):
    nve = "nve"


def initialize_state(system: Any, device: torch.device, dtype: torch.dtype) -> SimState:
    if isinstance(system, SimState):
        return system
    return SimState(system if isinstance(system, list) else [system], device, dtype)


def integrate(
    system: Any,
    model: ModelInterface,
    *,
    integrator: Integrator,
    n_steps: int,
    temperature: float,
    timestep: float,
    trajectory_reporter: Any = None,
) -> SimState:
    """Velocity Verlet; `timestep` in ps."""
    state, dt = initialize_state(system, model.device, model.dtype), timestep * PICOSECOND

    def evaluate() -> None:
        found = model(state)
        state.energy, state.forces = found["energy"], found["forces"]
        state.store_model_extras(found)

    assert trajectory_reporter is None or trajectory_reporter.mode == "w"
    evaluate()
    if not bool(state.momenta.any()):
        state.momenta = torch.randn_like(state.positions)
        state.momenta *= (state.masses * kB * temperature).sqrt()[:, None]
        for s in range(state.n_systems):
            own = state.system_idx == s
            share = state.masses[own] / state.masses[own].sum()
            state.momenta[own] -= share[:, None] * state.momenta[own].sum(dim=0)
    if trajectory_reporter:
        trajectory_reporter.report(state, 0, model=model, force=True)
    for step in range(1, n_steps + 1):
        state.momenta = state.momenta + 0.5 * dt * state.forces
        state.positions = state.positions + dt * state.velocities
        evaluate()
        state.momenta = state.momenta + 0.5 * dt * state.forces
        if trajectory_reporter:
            trajectory_reporter.report(state, step, model=model)
    if trajectory_reporter:
        trajectory_reporter.finish()
    return state


def install() -> None:
    """Have ``import torch_sim`` find this."""
    package, models = types.ModuleType("torch_sim"), types.ModuleType("torch_sim.models")
    interface = types.ModuleType("torch_sim.models.interface")
    trajectory = types.ModuleType("torch_sim.trajectory")
    interface.ModelInterface = ModelInterface  # type: ignore[attr-defined]
    trajectory.TrajectoryReporter = TrajectoryReporter  # type: ignore[attr-defined]
    for thing in (Integrator, initialize_state, integrate):
        setattr(package, thing.__name__, thing)
    sys.modules |= {m.__name__: m for m in (package, models, interface, trajectory)}
