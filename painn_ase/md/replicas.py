"""Many copies of one system in the NVE ensemble, evaluated as one batch each step.

One small molecule in NVE keeps the energy of each of its modes, so a single long run gives band
areas that scatter without end; many short ones, begun from decorrelated frames of a thermostatted
run, do not. The same code serves CPU and GPU: positions and velocities live on the device in
float64, and one call of the potential moves all copies.
"""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import ase.units
import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor

from painn_ase._version import __version__
from painn_ase.errors import GeometryError, SpecError, TrajectoryError, UnstableRunError
from painn_ase.graph import AtomGraph
from painn_ase.md.batch import ReplicaBatch
from painn_ase.md.committee import Committee
from painn_ase.md.guard import ExtrapolationGuard
from painn_ase.md.monitor import Drift
from painn_ase.md.runner import StopSignals
from painn_ase.md.state import RunState, read_state, write_state
from painn_ase.md.velocities import remove_rotation, remove_translation
from painn_ase.potential import Prediction
from painn_ase.spec import from_dict, to_dict
from painn_ase.trajectory import System, TrajectoryWriter
from painn_ase.units import boltzmann_constant

__all__ = ["BatchedPotential", "ReplicaBatch", "ReplicaConfig", "ReplicaResult", "run_replicas"]

#: Steps between looks at whether everything is still finite (each look waits for the device).
_CHECK_EVERY = 20
#: Recorded frames that wait on the device before they are fetched together.
_FETCH_EVERY = 16
_FLUXES = ("dipole_flux", "polarizability_flux")
_RESPONSES = (*_FLUXES, "dipole", "polarizability")


class BatchedPotential(Protocol):
    """An :class:`~painn_ase.potential.AtomisticPotential`, or a backend that evaluates one."""

    def __call__(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> Prediction:
        """Quantities of every system in the graph."""


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
    skin : float
        Å added to the pair search of periodic or large systems.
    guard : {"warn", "stop", "off"}
        What to do when two atoms come closer than any such pair in the training data, as far as
        the model file says how close that was.
    """

    steps: int
    timestep: float = 0.5
    record: tuple[str, ...] = _FLUXES
    stride: int = 2
    energy_stride: int = 20
    position_stride: int = 0
    rotation: Literal["remove", "keep"] = "remove"
    save_every: int = 1000
    max_displacement: float = 1.0
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
        if unknown := set(self.record) - set(_RESPONSES):
            raise SpecError(
                f"record: {', '.join(sorted(unknown))} unknown; allowed: {', '.join(_RESPONSES)}."
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


def run_replicas(
    potential: BatchedPotential,
    starts: Sequence[Atoms],
    config: ReplicaConfig,
    *,
    device: torch.device | str = "cpu",
    charge: float | None = None,
    trajectory: str | Path | None = None,
    state: str | Path | None = None,
    restart: bool = False,
    progress: Callable[[int, str], None] | None = None,
    provenance: dict[str, Any] | None = None,
    author: str = "unknown",
    overwrite: bool = False,
    guard: ExtrapolationGuard | None = None,
) -> ReplicaResult:
    """NVE dynamics of all `starts` at once, by velocity Verlet.

    Parameters
    ----------
    potential : BatchedPotential
        With an energy head, and the heads that `config.record` asks for. A
        :class:`~painn_ase.md.committee.Committee` moves the replicas by the mean of its members.
    starts : sequence of ase.Atoms
        One structure with velocities for each replica; the same atoms and cell in all.
    config : ReplicaConfig
        Steps and strides.
    device : torch.device or str
        Where the potential lives.
    charge : float, optional
        Total charge of each replica, e.
    trajectory, state : str or Path, optional
        H5MD file to record into; restart file, by default the trajectory's with ``.state.npz``.
    restart : bool
        Continue from the restart file, bit for bit.
    progress : callable, optional
        Called after each step with the steps done and a short note.
    provenance : dict, optional
        More for the trajectory's record.
    author, overwrite
        As in :func:`~painn_ase.md.run_md`.
    guard : ExtrapolationGuard, optional
        Looks at the replicas; by default the one that fits the model, as ``config.guard`` says.

    Raises
    ------
    GeometryError
        When the starts are not copies of one system.
    UnstableRunError
        When a replica explodes, or the guard stops it; names replica, atom and step.
    TrajectoryError
        When files cannot be written or continued.
    """
    trajectory = None if trajectory is None else Path(trajectory)
    if state is None and trajectory is not None:
        state = trajectory.with_suffix(".state.npz")
    run = _ReplicaRun(potential, starts, config, device, charge)
    run.guard = guard or ExtrapolationGuard.of(potential, config.guard)
    run.state_path = None if state is None else Path(state)
    with ExitStack() as stack:
        if restart:
            run.load()
        else:
            run.save()
        if trajectory is not None:
            run.writer = run.open_trajectory(
                trajectory, restart, provenance or {}, author, overwrite
            )
            stack.callback(run.writer.abandon)
        return run.loop(stack.enter_context(StopSignals()), progress)


class _ReplicaRun:
    """The moving parts of a batch of replicas."""

    def __init__(
        self,
        potential: BatchedPotential,
        starts: Sequence[Atoms],
        config: ReplicaConfig,
        device: torch.device | str,
        charge: float | None,
    ) -> None:
        _check_copies(starts)
        template = starts[0]
        self.potential = potential
        self._model: Any = getattr(potential, "potential", potential)
        self._model.check_elements(starts[0].numbers.tolist() if starts else [])
        self.config = config
        self.template = template
        self.n_replicas, self.n_atoms = len(starts), len(template)
        masses = template.get_masses()
        velocities = remove_translation(np.array([a.get_velocities() for a in starts]), masses)
        positions = np.array([a.positions for a in starts])
        isolated = not any(template.pbc)
        self.rotation_removed = isolated and config.rotation == "remove" and self.n_atoms > 1
        self.degrees_of_freedom = 3 * self.n_atoms - 3
        if self.rotation_removed:
            velocities = remove_rotation(velocities, positions, masses)
            moments = template.get_moments_of_inertia()
            self.degrees_of_freedom -= int(np.sum(moments > 1e-6 * moments.max()))
        self.device = torch.device(device)
        self.positions = self._tensor(positions.reshape(-1, 3))
        self.velocities = self._tensor(velocities.reshape(-1, 3))
        self.masses = self._tensor(np.tile(masses, self.n_replicas)[:, None])
        self.batch = ReplicaBatch(
            template,
            self.n_replicas,
            self._model.cutoff,
            config.skin,
            device,
            charge,
            self._model.spec.representation.n_features,
        )
        self.dt = config.timestep * ase.units.fs
        self.step = self._first_step = 0
        self.drift = Drift.empty()
        self.temperatures = np.zeros(2)
        self.state_path: Path | None = None
        self.writer: TrajectoryWriter | None = None
        self.guard: ExtrapolationGuard | None = None
        self._waiting: list[tuple[int, dict[str, Tensor]]] = []

    # -- dynamics ------------------------------------------------------------------------------

    def loop(self, stop: StopSignals, progress: Callable[[int, str], None] | None) -> ReplicaResult:
        """Steps until all are done or a signal asks for a stop."""
        started = clock.monotonic()
        graphs, found = self._evaluate()
        if self.step == 0:
            self.drift, self.temperatures = Drift.empty(), np.zeros(2)
            self._record(graphs, found)
        while self.step < self.config.steps and stop.received is None:
            self.velocities = self.velocities + self._kick(found)
            self.positions = self.positions + self.dt * self.velocities
            graphs, found = self._evaluate()
            self.velocities = self.velocities + self._kick(found)
            self.step += 1
            if self.step % _CHECK_EVERY == 0:
                self._check()
            self._look(found)
            self._record(graphs, found)
            if self.step % self.config.save_every == 0:
                self.save()
            if progress is not None:
                progress(self.step, f"{self._mean_temperature():.0f} K")
        self._check()
        self.save()
        seconds = max(1e-9, clock.monotonic() - started)
        slope = self.drift.slope
        return ReplicaResult(
            step=self.step,
            completed=self.step >= self.config.steps,
            signal=stop.received,
            temperature=self._mean_temperature(),
            drift=None if slope is None else slope / self.n_atoms,
            atom_steps_per_second=len(self.masses) * (self.step - self._first_step) / seconds,
            degrees_of_freedom=self.degrees_of_freedom,
            positions=self._frames(self.positions),
            velocities=self._frames(self.velocities),
            trajectory=self.writer.path if self.writer else None,
            state=self.state_path,
        )

    def _evaluate(self) -> tuple[tuple[AtomGraph, ...], dict[str, Tensor]]:
        """Graphs, energies and forces at the present positions."""
        graphs = self.batch.update(self.positions)
        return graphs, self._quantities(graphs, ("energy", "forces"))

    def _quantities(
        self, graphs: Sequence[AtomGraph], names: Collection[str], velocities: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Quantities of all replicas in order, and their spread where there is a committee."""
        pieces: Sequence[Tensor | None] = [None] * len(graphs)
        if velocities is not None:
            pieces = velocities.split([graph.n_atoms for graph in graphs])
        parts = [
            self._of_one(graph, names, piece) for graph, piece in zip(graphs, pieces, strict=True)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _of_one(
        self, graph: AtomGraph, names: Collection[str], velocities: Tensor | None
    ) -> dict[str, Tensor]:
        if not isinstance(self.potential, Committee):
            return self.potential(graph, names, velocities).present()
        mean, spread = self.potential.with_spread(graph, names, velocities)
        return {**mean.present(), **spread}

    def _kick(self, found: dict[str, Tensor]) -> Tensor:
        return 0.5 * self.dt * found["forces"].to(torch.float64) / self.masses

    def _look(self, found: dict[str, Tensor]) -> None:
        """Show the replicas to the guard when it wants to see them."""
        if self.guard is None or not self.guard.wants(self.step):
            return
        spread = found.get("forces_std")
        self.guard.look_at_replicas(
            self.step,
            self.template,
            self._frames(self.positions),
            None if spread is None else self._frames(spread),
        )

    def _check(self) -> None:
        """Look for numbers that are none and atoms that fly."""
        farthest = self.velocities.abs().max() * self.dt
        if float(farthest) <= self.config.max_displacement:  # NaN fails this, too
            return
        speeds = self.velocities.square().sum(dim=1).sqrt().cpu().numpy()
        worst = int(np.argmax(np.where(np.isfinite(speeds), speeds, np.inf)))
        replica, atom = divmod(worst, self.n_atoms)
        saved = "" if self.state_path is None else f" The last good state is in {self.state_path}."
        raise UnstableRunError(
            f"replica {replica} exploded by step {self.step}: atom {atom} "
            f"({self.template.symbols[atom]}) moves by {speeds[worst] * self.dt:.2g} Å per "
            f"step.{saved} Use a shorter time step, or a model trained on such structures."
        )

    # -- recording -----------------------------------------------------------------------------

    def _record(self, graphs: Sequence[AtomGraph], found: dict[str, Tensor]) -> None:
        values: dict[str, Tensor] = {}
        if self.step % self.config.energy_stride == 0:
            values |= self._energies(found["energy"].to(torch.float64))
        if self.writer is None:
            self._waiting.append((self.step, values)) if values else None
        else:
            due = self.writer.due(self.step)
            if responses := [name for name in self.config.record if name in due]:
                moving = self.velocities if set(responses) & set(_FLUXES) else None
                computed = self._quantities(graphs, responses, moving)
                values |= {name: computed[name] for name in responses}
            if "positions" in due:
                values |= {"positions": self.positions, "velocities": self.velocities}
            if due:
                self._waiting.append((self.step, values))
        if len(self._waiting) >= _FETCH_EVERY:
            self._fetch()

    def _energies(self, potential: Tensor) -> dict[str, Tensor]:
        twice = (self.masses * self.velocities.square()).reshape(self.n_replicas, -1).sum(dim=1)
        kinetic = 0.5 * twice
        return {
            "potential_energy": potential,
            "kinetic_energy": kinetic,
            "conserved_energy": potential + kinetic,
            "temperature": twice / (max(1, self.degrees_of_freedom) * boltzmann_constant),
        }

    def _fetch(self) -> None:
        """Bring waiting frames from the device into the trajectory and the statistics."""
        for step, tensors in self._waiting:
            values = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
            for name in set(values) & {*_RESPONSES, "potential_energy"}:
                if not np.all(np.isfinite(values[name])):
                    raise UnstableRunError(
                        f"{name} is not a number at step {step}. Look at the last good state in "
                        f"{self.state_path}."
                    )
            time = step * self.config.timestep
            if "conserved_energy" in values:
                self.drift.add(time, float(values["conserved_energy"].mean()))
                self.temperatures += (1.0, values["temperature"].mean())
            if self.writer is not None:
                self.writer.write(step, time, values)
        self._waiting.clear()

    def _mean_temperature(self) -> float:
        return float(self.temperatures[1] / max(1.0, self.temperatures[0]))

    # -- files ---------------------------------------------------------------------------------

    def open_trajectory(
        self, path: Path, restart: bool, provenance: dict[str, Any], author: str, overwrite: bool
    ) -> TrajectoryWriter:
        """A writer on a new file, or behind the last frame that still counts."""
        if restart and path.exists() and path.stat().st_size:
            writer = TrajectoryWriter.append(path)
            writer.truncate_after(self.step or -1)
            due = max(self.step - self.step % s for s in self.config.strides().values())
            if self.step and writer.last_step < due:
                writer.abandon()
                raise TrajectoryError(
                    f"{path} ends at step {writer.last_step}, before the restart file's "
                    f"{self.step}. Restore the trajectory, or begin a new run."
                )
            return writer
        record = {
            "replicas": {
                **to_dict(self.config),
                "n_replicas": self.n_replicas,
                "ensemble": "nve",
                "integrator": "velocity Verlet",
                "translation_removed": True,
                "rotation_removed": self.rotation_removed,
                "degrees_of_freedom": self.degrees_of_freedom,
            },
            "code": {"painn_ase": __version__, "torch": torch.__version__},
            "device": str(self.device),
            **provenance,
        }
        record["model"] = to_dict(self._model.spec)
        if isinstance(self.potential, Committee):
            record["committee"] = [to_dict(m.potential.spec) for m in self.potential.members]
        record["backend"] = getattr(self.potential, "name", "eager")
        return TrajectoryWriter.create(
            path,
            System.of(self.template, n_replicas=self.n_replicas),
            self.config.strides(),
            provenance=record,
            author=author,
            overwrite=overwrite or restart,
        )

    def save(self) -> None:
        """Trajectory first, then the restart file."""
        self._fetch()
        if self.writer is not None:
            self.writer.flush()
        if self.state_path is None:
            return
        arrays: dict[str, NDArray[Any]] = {
            "numbers": self.template.numbers,
            "positions": self.positions.cpu().numpy(),
            "velocities": self.velocities.cpu().numpy(),
            "drift": self.drift.sums.copy(),
            "temperatures": self.temperatures.copy(),
        }
        if self.batch.reference is not None:
            arrays["reference"] = self.batch.reference.cpu().numpy()
        header = {"replicas": to_dict(self.config), "first_energy": self.drift.first}
        write_state(self.state_path, RunState(self.step, header, arrays))

    def load(self) -> None:
        """Everything as it was when the restart file was written."""
        if self.state_path is None:
            raise TrajectoryError("a restart needs the restart file: name it, or the trajectory.")
        saved = read_state(self.state_path)
        try:
            before = from_dict(ReplicaConfig, saved.header["replicas"])
            now, then = to_dict(self.config), to_dict(before)
            free = ("steps", "save_every", "guard")
            changed = [k for k in now if k not in free and now[k] != then[k]]
            if changed or saved.arrays["positions"].shape != tuple(self.positions.shape):
                raise TrajectoryError(
                    f"{self.state_path} belongs to another run ({', '.join(changed) or 'size'} "
                    "differs). Restart with the same settings, or begin a new run."
                )
            if "reference" in saved.arrays:
                self.batch.update(self._tensor(saved.arrays["reference"]))
            self.positions = self._tensor(saved.arrays["positions"])
            self.velocities = self._tensor(saved.arrays["velocities"])
            self.drift = Drift(saved.arrays["drift"].copy(), float(saved.header["first_energy"]))
            self.temperatures = saved.arrays["temperatures"].copy()
        except (KeyError, ValueError, TypeError) as error:
            raise TrajectoryError(
                f"{self.state_path} does not fit this run ({error}). Begin a new run."
            ) from error
        self.step = self._first_step = saved.step

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.tensor(array, dtype=torch.float64, device=self.device)

    def _frames(self, tensor: Tensor) -> NDArray[np.float64]:
        frames: NDArray[np.float64] = tensor.cpu().numpy().reshape(self.n_replicas, -1, 3)
        return frames


def _check_copies(starts: Sequence[Atoms]) -> None:
    if not starts:
        raise GeometryError("there are no replicas to run; give at least one structure.")
    first = starts[0]
    for n, other in enumerate(starts):
        if (
            other.numbers.tolist() != first.numbers.tolist()
            or not np.array_equal(other.cell[:], first.cell[:])
            or not np.array_equal(other.pbc, first.pbc)
        ):
            raise GeometryError(
                f"replica {n} differs from the first in its atoms or cell; replicas are copies of "
                "one system."
            )
