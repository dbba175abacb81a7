"""The moving parts of a batch of replicas: evaluation, watch, record, restart around a stepper."""

from __future__ import annotations

import time as clock
import warnings
from collections.abc import Callable
from typing import Any

import ase.units
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from painn_ase._version import __version__
from painn_ase.errors import GeometryError, PaiNNWarning, TrajectoryError, UnstableRunError
from painn_ase.md.batch import ReplicaBatch
from painn_ase.md.batched import BatchedPotential, BatchEvaluation, model_of
from painn_ase.md.guard import ExtrapolationGuard, copy_name
from painn_ase.md.monitor import Drift, worst_atom
from painn_ase.md.replica_records import FLUXES, RESPONSES, ReplicaConfig, ReplicaResult
from painn_ase.md.replica_starts import Starts
from painn_ase.md.run_files import RunFiles, check_same_settings
from painn_ase.md.state import RunState
from painn_ase.md.stepper import BatchState, Copies, Stepper, VelocityVerlet
from painn_ase.md.stepper_ring import RingPolymer, Thermostat
from painn_ase.md.stop_signals import StopSignals
from painn_ase.spec import from_dict, to_dict
from painn_ase.trajectory import System, constraint_records

__all__ = ["ReplicaRun"]

#: Steps between looks at whether everything is still finite (each look waits for the device).
_CHECK_EVERY = 20
#: Recorded frames that wait on the device before they are fetched together.
_FETCH_EVERY = 16
#: eV per atom and ps: a drift of the conserved energy beyond which ring polymers warn, three times
#: that of water at 0.5 fs, whose averages are right; and ps before anything is said.
_DRIFT_BOUND = 0.05
_DRIFT_AFTER = 0.5
#: Settings that a restart may change.
_CHANGEABLE = ("steps", "save_every", "guard", "max_drift", "keep_memory")
#: What defines the system, and where a restart file keeps it.
_SAVED_NAMES = {
    "atoms": "numbers", "masses": "masses", "constraints": "held", "total charge": "charge",
    "cell": "cell",
}  # fmt: skip
#: λ of the internal modes' friction 2λω_k; Langevin dynamics has none of them.
_DAMPING = {"langevin": 1.0, "pimd": 1.0, "trpmd": 0.5, "rpmd": 0.0}


class ReplicaRun:
    """A batch of replicas under way.

    Parameters
    ----------
    potential : BatchedPotential
        Moves the copies and tells what is recorded.
    starts : Starts
        First frames.
    config : ReplicaConfig
        What to do.
    device : torch.device or str
        Where the potential lives.
    beads : ndarray [n_replicas, n_beads, n_atoms, 3], optional
        First positions of all beads, Å; by default they lie on top of each other at the starts.
    """

    def __init__(
        self,
        potential: BatchedPotential,
        starts: Starts,
        config: ReplicaConfig,
        device: torch.device | str,
        beads: NDArray[np.float64] | None = None,
    ) -> None:
        model = model_of(potential)
        model.check_elements(starts.template.numbers.tolist())
        self.config = config
        self.starts = starts
        self.template = starts.template
        self.turning = config.rotation == "keep" or not config.removes_rigid_motion
        self.copies = Copies(
            n_replicas=len(starts.positions),
            masses=self.template.get_masses(),
            held=starts.held,
            degrees_of_freedom=starts.degrees_of_freedom(
                at_rest=config.removes_rigid_motion, turning=self.turning
            ),
        )
        self.device = torch.device(device)
        self.dt = config.timestep * ase.units.fs
        self.stepper = build_stepper(
            config, self.copies, self.dt, self.device, rests=starts.turns and not self.turning
        )
        self.batch = ReplicaBatch(
            self.template,
            self.copies.n_replicas * self.stepper.n_beads,
            model.cutoff,
            config.skin,
            device,
            starts.charge,
            model.spec.representation.n_features,
            keep_memory=config.keep_memory,
        )
        self.step = self._first_step = 0
        self.drift = Drift.empty()
        self.temperatures = np.zeros(2)
        self.files = RunFiles(None, None)
        self.provenance: dict[str, Any] = {}
        self.evaluation = BatchEvaluation(potential, self.batch)
        self.guard: ExtrapolationGuard | None = None
        self._waiting: list[tuple[int, dict[str, Tensor]]] = []
        # At rest, and not yet evaluated.
        frames = self._tensor(self._first_beads(beads))
        self.state = BatchState(frames, torch.zeros_like(frames), frames, frames.new_zeros(0))

    def _first_beads(self, beads: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Positions of all beads [n_copies * n_atoms, 3] at the start."""
        starts, n_beads = self.starts.positions, self.stepper.n_beads
        if beads is None:
            return _repeated(starts, n_beads)
        shape = (len(starts), n_beads, *starts.shape[1:])
        if np.shape(beads) != shape or not np.all(np.isfinite(beads)):
            raise GeometryError(
                f"beads have the shape {np.shape(beads)} or are not all numbers; {shape} are "
                "wanted: replicas, beads, atoms and 3, as `beads` of a run's result."
            )
        return np.asarray(beads, dtype=np.float64).reshape(-1, 3)

    # -- dynamics ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Velocities of a run that begins: the starts' or the stepper's, without rigid motion."""
        state, n_beads = self.state, self.stepper.n_beads
        state.velocities = self._tensor(_repeated(self.starts.velocities, n_beads))
        self.stepper.start(state)
        if not self.config.removes_rigid_motion:
            return
        moving = self._frames(self._per_replica(state.velocities))
        where = self._frames(self._per_replica(state.positions))
        rest = self.starts.without_rigid_motion(moving, where, turning=self.turning)
        if n_beads == 1:
            state.velocities = self._tensor(rest.reshape(-1, 3))
        else:
            state.velocities = state.velocities + self._tensor(_repeated(rest - moving, n_beads))

    def loop(self, stop: StopSignals, progress: Callable[[int, str], None] | None) -> ReplicaResult:
        """Steps until all are done or a signal asks for a stop."""
        started = clock.monotonic()
        state, config = self.state, self.config
        state.energy, state.forces = self.evaluation.forces_of(state.positions)
        if self.step == 0:
            self.drift, self.temperatures = Drift.empty(), np.zeros(2)
            self._record()
        while self.step < config.steps and stop.received is None:
            self.stepper.step(state, self.evaluation.forces_of)
            self.step += 1
            if self.step % _CHECK_EVERY == 0:
                self._check()
            self._look()
            self._record()
            if self.step % config.save_every == 0:
                self.save()
            if progress is not None:
                progress(self.step, f"{self._mean_temperature():.0f} K")
        self._check()
        self.save()
        self._warn_of_drift()
        return self._result(stop.received, max(1e-9, clock.monotonic() - started))

    def _result(self, signal: int | None, seconds: float) -> ReplicaResult:
        slope = self.drift.slope
        n_atoms = self.copies.n_atoms
        moved = len(self.state.positions) * (self.step - self._first_step)
        return ReplicaResult(
            step=self.step,
            completed=self.step >= self.config.steps,
            signal=signal,
            temperature=self._mean_temperature(),
            drift=None if slope is None else slope / n_atoms,
            atom_steps_per_second=moved / seconds,
            degrees_of_freedom=self.copies.degrees_of_freedom,
            positions=self._frames(self._per_replica(self.state.positions)),
            velocities=self._frames(self._per_replica(self.state.velocities)),
            beads=self._all_beads().cpu().numpy(),
            trajectory=self.files.writer.path if self.files.writer else None,
            state=self.files.state,
        )

    # -- watching ------------------------------------------------------------------------------

    def _look(self) -> None:
        """Show the copies to the guard when it wants to see them."""
        if self.guard is None or not self.guard.wants(self.step):
            return
        spread = self.evaluation.spread
        self.guard.look_at_replicas(
            self.step,
            self.template,
            self._frames(self.state.positions),
            None if spread is None else self._frames(spread),
            n_beads=self.stepper.n_beads,
        )

    def _check(self) -> None:
        """Look for numbers that are none and atoms that fly."""
        farthest = self.state.velocities.abs().max() * self.dt
        if float(farthest) <= self.config.max_displacement:  # NaN fails this, too
            return
        worst, what = worst_atom(self.state.velocities.cpu().numpy(), self.dt)
        copy, atom = divmod(worst, self.copies.n_atoms)
        kept = "" if self.files.state is None else f" The last good state is in {self.files.state}."
        raise UnstableRunError(
            f"{copy_name(copy, self.stepper.n_beads)} exploded by step {self.step}, atom {atom} "
            f"({self.template.symbols[atom]}): {what}.{kept} Use a shorter time step, or a model "
            "trained on such structures."
        )

    def _warn_of_drift(self) -> None:
        """A ring polymer's stiff springs ask for a time step that nothing else asks for."""
        slope = self.drift.slope
        if self.stepper.n_beads == 1 or slope is None or self._done_ps() < _DRIFT_AFTER:
            return
        if abs(drift := slope / self.copies.n_atoms) > _DRIFT_BOUND:
            warnings.warn(
                f"the conserved energy of the ring polymers drifts by {1e3 * drift:.0f} meV per "
                f"atom and ps at a time step of {self.config.timestep:g} fs. Averages may hold "
                "nevertheless; for spectra take a shorter one (0.25 fs).",
                PaiNNWarning,
                stacklevel=2,
            )

    def _done_ps(self) -> float:
        return 1e-3 * self.step * self.config.timestep

    # -- recording -----------------------------------------------------------------------------

    def _record(self) -> None:
        """Set aside what the trajectory and the statistics want of this step."""
        values: dict[str, Tensor] = {}
        if self.step % self.config.energy_stride == 0:
            values |= self._energies()
        if (writer := self.files.writer) is not None:
            due = writer.due(self.step)
            if responses := [name for name in self.config.record if name in due]:
                moving = self.state.velocities if set(responses) & set(FLUXES) else None
                computed = self.evaluation.quantities(responses, moving)
                values |= {name: self.stepper.reduce(computed[name]) for name in responses}
            if "positions" in due:
                values["positions"] = self._per_replica(self.state.positions)
                values["velocities"] = self._per_replica(self.state.velocities)
            if "bead_positions" in due:
                values["bead_positions"] = self._all_beads()
        if values:
            self._waiting.append((self.step, values))
        if len(self._waiting) >= _FETCH_EVERY:
            self._fetch()

    def _energies(self) -> dict[str, Tensor]:
        values = self.stepper.energies(self.state)
        if self.config.heat_capacity and isinstance(self.stepper, RingPolymer):
            curvature = self.stepper.virial_curvature(self.state, self.evaluation.forces_of)
            self.evaluation.go_to(self.state.positions)  # responses are asked for here
            values["virial_curvature"] = curvature
        return values

    def _fetch(self) -> None:
        """Bring waiting frames from the device into the trajectory and the statistics."""
        for step, tensors in self._waiting:
            values = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
            for name in set(values) & {*RESPONSES, "potential_energy"}:
                if not np.all(np.isfinite(values[name])):
                    raise UnstableRunError(
                        f"{name} is not a number at step {step}. Look at the last good state in "
                        f"{self.files.state}."
                    )
            time = step * self.config.timestep
            if "conserved_energy" in values:
                energy = float(values["conserved_energy"].mean())
                self.drift.add(time, energy)
                self.drift.check(energy, self.copies.n_atoms, self.config.max_drift, step)
                self.temperatures += (1.0, values["temperature"].mean())
            if self.files.writer is not None:
                self.files.writer.write(step, time, values)
        self._waiting.clear()

    def _mean_temperature(self) -> float:
        return float(self.temperatures[1] / max(1.0, self.temperatures[0]))

    # -- files ---------------------------------------------------------------------------------

    def open_trajectory(self, restart: bool, author: str, overwrite: bool) -> None:
        """Have the trajectory, where one is wanted, ready for the next frame."""
        self.files.open(
            self.step,
            System.of(
                self.template,
                n_replicas=self.copies.n_replicas,
                n_beads=self.stepper.n_beads,
                charge=self.starts.charge,
            ),
            self.config.strides(),
            restart=restart,
            provenance={**self._provenance(), **self.provenance},
            author=author,
            overwrite=overwrite,
        )

    def _provenance(self) -> dict[str, Any]:
        return {
            "replicas": {
                **to_dict(self.config),
                "n_replicas": self.copies.n_replicas,
                "beads": self.stepper.n_beads,
                "integrator": self.stepper.name,
                "translation_removed": self.config.removes_rigid_motion
                and not self.starts.held.any(),
                "rotation_removed": self.starts.turns and not self.turning,
                "degrees_of_freedom": self.copies.degrees_of_freedom,
                "free_coordinates": int(np.sum(~self.starts.held)),
                "charge": self.starts.charge,
            },
            "constraints": constraint_records(self.template),
            "code": {"painn_ase": __version__, "torch": torch.__version__},
            "device": str(self.device),
            **self.evaluation.describe(),
        }

    def save(self) -> None:
        """Trajectory first, then the restart file."""
        self._fetch()
        arrays: dict[str, NDArray[Any]] = {
            "numbers": self.template.numbers,
            "masses": self.copies.masses,
            "held": self.copies.held,
            "charge": np.array(self.starts.charge),
            "positions": self.state.positions.cpu().numpy(),
            "velocities": self.state.velocities.cpu().numpy(),
            "drift": self.drift.sums.copy(),
            "temperatures": self.temperatures.copy(),
        }
        if self.batch.reference is not None:
            arrays["reference"] = self.batch.reference.cpu().numpy()
        for name, value in self.stepper.state().items():
            arrays[f"stepper.{name}"] = value
        arrays["cell"] = np.array(self.template.cell[:])
        header = {
            "replicas": to_dict(self.config),
            "first_energy": self.drift.first,
            "pbc": [bool(p) for p in self.template.pbc],
            "constraints": constraint_records(self.template),
            **self.evaluation.digests,
            "provenance": self.provenance,
        }
        self.files.save(RunState(self.step, header, arrays))

    def load(self) -> None:
        """Everything as it was when the restart file was written."""
        saved = self.files.read()
        try:
            self._check_same_run(saved)
            self._restore(saved)
        except (KeyError, ValueError, TypeError) as error:
            raise TrajectoryError(
                f"{self.files.state} does not fit this run ({error}). Begin a new run."
            ) from error

    def _check_same_run(self, saved: RunState) -> None:
        before = to_dict(from_dict(ReplicaConfig, saved.header["replicas"]))
        check_same_settings(self.files.state, before, to_dict(self.config), _CHANGEABLE)
        now = {
            "atoms": self.template.numbers,
            "masses": self.copies.masses,
            "constraints": self.copies.held,
            "total charge": self.starts.charge,
            "cell": np.array(self.template.cell[:]),
            "periodicity": [bool(p) for p in self.template.pbc],
        }
        was = {name: saved.arrays.get(key) for name, key in _SAVED_NAMES.items()}
        was["periodicity"] = saved.header.get("pbc")
        for name, value in was.items():
            # Files of 0.1.0 hold the numbers alone.
            if value is not None and not np.array_equal(value, now[name]):
                raise TrajectoryError(
                    f"{self.files.state} belongs to a run with other {name}. Restart with the "
                    "same structure, or begin a new run."
                )
        for what, digest in self.evaluation.digests.items():
            # Version 0.1.0 knew no drivers.
            if saved.header.get(what, "" if what == "driver" else digest) != digest:
                raise TrajectoryError(
                    f"{self.files.state} belongs to a run with another model: other {what}. "
                    "Restart with the same, or begin a new run."
                )
        if saved.arrays["positions"].shape != tuple(self.state.positions.shape):
            raise TrajectoryError(
                f"{self.files.state} belongs to a run with another number of replicas. Restart "
                "with as many starts, or begin a new run."
            )

    def _restore(self, saved: RunState) -> None:
        arrays = saved.arrays
        self.provenance = self.provenance or dict(saved.header.get("provenance", {}))
        if "reference" in arrays:
            self.batch.update(self._tensor(arrays["reference"]))
        self.state.positions = self._tensor(arrays["positions"])
        self.state.velocities = self._tensor(arrays["velocities"])
        self.stepper.load_state(
            {n.removeprefix("stepper."): v for n, v in arrays.items() if n.startswith("stepper.")}
        )
        self.drift = Drift(arrays["drift"].copy(), float(saved.header["first_energy"]))
        self.temperatures = arrays["temperatures"].copy()
        self.step = self._first_step = saved.step

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.tensor(array, dtype=torch.float64, device=self.device)

    def _per_replica(self, per_atom: Tensor) -> Tensor:
        """What replicas show [n_replicas, n_atoms, 3] of the copies' [n_copies * n_atoms, 3]."""
        return self.stepper.reduce(per_atom.reshape(-1, self.copies.n_atoms, 3))

    def _all_beads(self) -> Tensor:
        """Positions [n_replicas, n_beads, n_atoms, 3]."""
        return self.state.positions.reshape(
            self.copies.n_replicas, self.stepper.n_beads, self.copies.n_atoms, 3
        )

    def _frames(self, tensor: Tensor) -> NDArray[np.float64]:
        frames: NDArray[np.float64] = tensor.cpu().numpy().reshape(-1, self.copies.n_atoms, 3)
        return frames


def _repeated(per_replica: NDArray[np.float64], n_beads: int) -> NDArray[np.float64]:
    """The same for all beads, [n_copies * n_atoms, 3] of [n_replicas, n_atoms, 3]."""
    return np.repeat(per_replica[:, None], n_beads, axis=1).reshape(-1, 3)


def build_stepper(
    config: ReplicaConfig, copies: Copies, timestep: float, device: torch.device, *, rests: bool
) -> Stepper:
    """The equations of motion that `config` asks for; the time step in ASE's unit.

    What `rests` once stays at rest by itself, but the centroid of a ring polymer does not.
    """
    if config.ensemble == "nve":
        return VelocityVerlet(copies, timestep, device)
    thermostatted = config.ensemble in ("langevin", "pimd")
    return RingPolymer(
        copies,
        timestep,
        device,
        n_beads=config.n_beads,
        temperature=config.temperature,
        thermostat=Thermostat(
            damping=_DAMPING[config.ensemble],
            friction=config.friction / ase.units.fs if thermostatted else 0.0,
            globally=config.thermostat == "global",
        ),
        seed=config.seed,
        rests=rests and config.n_beads > 1,
    )
