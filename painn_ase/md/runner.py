"""A run of molecular dynamics that can be watched, stopped, killed and continued bit for bit."""

from __future__ import annotations

import dataclasses
import time as clock
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.constraints import FixCom
from numpy.typing import NDArray

from painn_ase._version import __version__
from painn_ase.errors import GeometryError, PaiNNError, TrajectoryError, UnstableRunError
from painn_ase.md.calculators import describe_calculator
from painn_ase.md.config import CHANGEABLE, MDConfig
from painn_ase.md.constraints import check_constraints, convergence_error, is_only_center
from painn_ase.md.guard import ExtrapolationGuard
from painn_ase.md.identity import RunIdentity
from painn_ase.md.integrators import Integrator, build_integrator
from painn_ase.md.monitor import Drift, Monitor
from painn_ase.md.observers import Frame, Observer, Recorder, Response
from painn_ase.md.run_files import RunFiles, check_same_settings
from painn_ase.md.saved import saved_constraints
from painn_ase.md.state import RunState
from painn_ase.md.stop_signals import StopSignals
from painn_ase.md.velocities import (
    count_degrees_of_freedom,
    draw_velocities,
    remove_rotation,
    remove_translation,
)
from painn_ase.trajectory import (
    System,
    constraint_records,
    constraints_of,
)

__all__ = ["MDResult", "run_md"]

#: Steps between the copies kept in memory to go back to when a run explodes.
_SNAPSHOT_EVERY = 10
#: Steps between looks for rigid motion that a global thermostat has made of rounding.
_REST_EVERY = 100
#: Steps between samples of the conserved energy.
_DRIFT_EVERY = 10


@dataclass(frozen=True)
class MDResult:
    """How a run ended.

    Attributes
    ----------
    step : int
        Steps done since the very beginning.
    completed : bool
        Whether that is all of them.
    signal : int or None
        The signal that stopped it.
    temperature : float
        Mean over the run, K.
    drift : float or None
        Of the conserved energy, eV per atom and ps; None for ensembles that conserve none.
    steps_per_second : float
        Of this start.
    trajectory : Path or None
        Where the frames are.
    state : Path or None
        Where the restart file is.
    """

    step: int
    completed: bool
    signal: int | None
    temperature: float
    drift: float | None
    steps_per_second: float
    trajectory: Path | None
    state: Path | None


def run_md(
    atoms: Atoms,
    config: MDConfig,
    *,
    trajectory: str | Path | None = None,
    state: str | Path | None = None,
    restart: bool = False,
    response: Calculator | None = None,
    observers: Sequence[Observer] = (),
    provenance: Mapping[str, Any] | None = None,
    author: str = "unknown",
    overwrite: bool = False,
) -> MDResult:
    """Molecular dynamics of `atoms`, driven by whatever calculator is attached to them.

    Parameters
    ----------
    atoms : ase.Atoms
        With a calculator. Moved in place. Where it has no constraints and the configuration does
        not free it, the centre of mass is held by ``FixCom`` for the length of the run.
    config : MDConfig
        What to do; ``config.steps`` is the total.
    trajectory : str or Path, optional
        H5MD file to record into.
    state : str or Path, optional
        Restart file; by default the trajectory's name with ``.state.npz``.
    restart : bool
        Continue from the restart file. Continuing gives the same numbers, bit for bit, as not
        having stopped (same machine, same number of threads), if the calculator depends on nothing
        but the structure or offers ``restart_state()`` and ``load_restart_state(state, atoms)``.
    response : Calculator, optional
        Source of recorded dipoles, polarizabilities and fluxes; by default the calculator that
        drives.
    observers : sequence of Observer
        Shown the frames they want: log lines, a progress bar, anything with the two methods.
    provenance : mapping, optional
        More for the record that trajectory and restart file keep; JSON-ready. A restart without it
        keeps what was there.
    author : str
        Goes into the trajectory.
    overwrite : bool
        Replace a trajectory that is there.

    Returns
    -------
    MDResult
        After the last step, or after a signal asked for a stop.

    Raises
    ------
    UnstableRunError
        When the run explodes. The last good state is in the restart file, the broken frame in an
        extxyz file beside it.
    TrajectoryError
        When files cannot be written or continued.
    """
    if atoms.calc is None:
        raise GeometryError("the structure has no calculator: set atoms.calc.")
    constraints = list(atoms.constraints)
    try:
        files = RunFiles.of(trajectory, state)
        run = _Run(atoms, config, files, Response(response or atoms.calc))
        run.provenance = dict(provenance or {})
        with ExitStack() as stack:
            if restart:
                run.load()
            else:
                files.check_new(overwrite)
                run.prepare()
                run.save(run.snapshot())
            run.open_trajectory(restart, author, overwrite)
            stack.callback(files.abandon)
            if (guard := ExtrapolationGuard.of(atoms.calc, config.guard)) is not None:
                run.observers.append(guard)
            run.observers.extend(observers)
            return run.loop(stack.enter_context(StopSignals()))
    finally:
        atoms.set_constraint(constraints)


class _Run:
    """The moving parts of one run."""

    def __init__(self, atoms: Atoms, config: MDConfig, files: RunFiles, response: Response) -> None:
        self.atoms = atoms
        self.config = config
        self.files = files
        self.response = response
        self.provenance: dict[str, Any] = {}
        self.observers: list[Observer] = []
        self.rng = np.random.default_rng(config.seed)
        self.step = 0
        self.drift = Drift.empty()
        self.temperatures = np.zeros(2)  # n, ΣT
        self._started = clock.monotonic()
        self._first_step = 0
        check_constraints(atoms, config.ensemble)
        self.identity = RunIdentity.of(
            atoms, response.calculator, changing_cell=config.ensemble == "npt"
        )
        self.holds_center = (
            config.center_of_mass == "fix" and config.ensemble != "npt" and not atoms.constraints
        )
        # Only the noise of Langevin thermostats pushes the centre of mass; elsewhere one that
        # starts at rest stays there, and FixCom would cost time and rounding.
        pushed = config.ensemble in ("langevin", "baoab")
        if self.holds_center and pushed:
            atoms.set_constraint(FixCom())
        self.removes_rotation = (
            config.removes_rotation and not any(atoms.pbc) and is_only_center(atoms)
        )
        self.degrees_of_freedom = count_degrees_of_freedom(
            atoms, rotation_removed=self.removes_rotation
        ) - (3 if self.holds_center and not pushed else 0)
        if self.degrees_of_freedom <= 0 and config.ensemble != "nve":
            raise GeometryError(
                f"{atoms.get_chemical_formula()} has no degrees of freedom left for a thermostat: "
                f"{3 * len(atoms)} coordinates, and constraints, the resting centre of mass or the "
                "removed rotation take them all. Free some (center_of_mass = 'free'), or run nve."
            )
        self.monitor = Monitor(config, self.degrees_of_freedom)
        self.integrator: Integrator | None = None

    # -- the start -----------------------------------------------------------------------------

    def prepare(self) -> None:
        """Velocities and integrator of a run that begins."""
        atoms, config = self.atoms, self.config
        masses = atoms.get_masses()
        velocities = (
            draw_velocities(masses, config.temperature, self.rng)
            if config.velocities == "draw"
            else atoms.get_velocities()
        )
        try:
            atoms.set_momenta(self._without_rigid_motion(velocities) * masses[:, None])
        except RuntimeError as error:
            if (reason := convergence_error(error)) is not None:
                raise GeometryError(f"{reason}. Look at atoms.constraints.") from error
            raise
        self._build_integrator()

    def _without_rigid_motion(self, velocities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Velocities (n_atoms, 3) without the motions this run has not."""
        masses = self.atoms.get_masses()
        if self.holds_center:
            velocities = remove_translation(velocities, masses)
        if self.removes_rotation:
            velocities = remove_rotation(velocities, self.atoms.positions, masses)
        return velocities

    def load(self) -> None:
        """Everything as it was when the restart file was written."""
        saved = self.files.read()
        before = MDConfig.from_dict(saved.header["config"]).to_dict()
        check_same_settings(self.files.state, before, self.config.to_dict(), CHANGEABLE)
        if saved.arrays["numbers"].tolist() != self.atoms.numbers.tolist():
            raise TrajectoryError(f"{self.files.state} belongs to a run of other atoms.")
        self.identity.check(saved.header, self.files.state)
        try:
            self._restore(saved)
        except (KeyError, ValueError, TypeError) as error:
            raise TrajectoryError(
                f"{self.files.state} does not fit this run ({error}). Start the run anew."
            ) from error

    def _restore(self, saved: RunState) -> None:
        atoms, arrays = self.atoms, saved.arrays
        if self.identity.system["constraints"]:
            # To the last bit of the lengths of bonds.
            atoms.set_constraint(constraints_of(saved_constraints(saved.header)))
        # Around the constraints, which would move what must come back exactly.
        atoms.set_cell(arrays["cell"], scale_atoms=False)
        atoms.arrays["positions"][:] = arrays["positions"]
        atoms.set_momenta(arrays["momenta"], apply_constraint=False)
        if hasattr(atoms.calc, "load_restart_state"):
            memory = {
                name.removeprefix("calculator."): value
                for name, value in arrays.items()
                if name.startswith("calculator.")
            }
            atoms.calc.load_restart_state(memory, atoms)
        self._build_integrator()
        assert self.integrator is not None
        self.integrator.load_state(
            {
                n.removeprefix("integrator."): v
                for n, v in arrays.items()
                if n.startswith("integrator.")
            }
        )
        self.rng.bit_generator.state = saved.header["random"]
        self.provenance = self.provenance or dict(saved.header.get("provenance", {}))
        self.step = self._first_step = saved.step
        self.drift = Drift(arrays["drift"].copy(), float(saved.header["first_energy"]))
        self.temperatures = arrays["temperatures"].copy()

    def _build_integrator(self) -> None:
        self.integrator = build_integrator(
            self.atoms, self.config, self.rng, self.degrees_of_freedom
        )

    def open_trajectory(self, restart: bool, author: str, overwrite: bool) -> None:
        """Have the trajectory, where one is wanted, recorded into."""
        writer = self.files.open(
            self.step,
            self._system(),
            self.config.record.strides(changing_cell=self.config.ensemble == "npt"),
            restart=restart,
            provenance=self._provenance(),
            author=author,
            overwrite=overwrite,
            dtype=self.config.record.dtype,
        )
        if writer is not None:
            self.observers.append(Recorder(writer, self.response))

    def _system(self) -> System:
        """What the trajectory says of the atoms; of constraints those that the user put on."""
        own = tuple(self.identity.system["constraints"])
        system = System.of(self.atoms, charge=self.identity.system["charge"])
        return dataclasses.replace(system, constraints=own)

    def _provenance(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "code": {"painn_ase": __version__, "ase": ase.__version__, "numpy": np.__version__},
            "calculator": describe_calculator(self.atoms.calc),
            "response": describe_calculator(self.response.calculator),
            "constraints": constraint_records(self.atoms),
            "degrees_of_freedom": self.degrees_of_freedom,
            "rotation_removed": self.removes_rotation,
            "started": clock.strftime("%Y-%m-%dT%H:%M:%SZ", clock.gmtime()),
            **self.provenance,
        }

    # -- the way -------------------------------------------------------------------------------

    def loop(self, stop: StopSignals) -> MDResult:
        """Steps until all are done or a signal asks for a stop."""
        self._started = clock.monotonic()
        if self.step == 0:
            self.drift, self.temperatures = Drift.empty(), np.zeros(2)
            self._look([o for o in self.observers if o.wants(0)])
        snapshot = self.snapshot()
        while self.step < self.config.steps and stop.received is None:
            try:
                self._advance()
                if self.step % _SNAPSHOT_EVERY == 0:
                    snapshot = self.snapshot()
                if self.step % self.config.save_every == 0:
                    self.save(snapshot if snapshot.step == self.step else self.snapshot())
            except TrajectoryError:
                raise  # files, not physics: the restart file on disk is the last good state
            except (PaiNNError, ArithmeticError, ValueError) as error:
                raise self._exploded(error, snapshot) from error
        self.save(self.snapshot())
        return MDResult(
            step=self.step,
            completed=self.step >= self.config.steps,
            signal=stop.received,
            temperature=float(self.temperatures[1] / max(1.0, self.temperatures[0])),
            drift=self._drift_per_atom(),
            steps_per_second=self._speed(),
            trajectory=self.files.writer.path if self.files.writer else None,
            state=self.files.state,
        )

    def _advance(self) -> None:
        """One step, looked at by whoever wants to."""
        assert self.integrator is not None
        self.integrator.step()
        self.step += 1
        if self.step % _REST_EVERY == 0 and self.config.ensemble in ("bussi", "nose-hoover"):
            # These multiply all momenta by one number after another, whose product wanders over
            # decades: the angular momentum of rounding becomes a turning molecule, and the
            # vibrations are left too cold.
            momenta = self._without_rigid_motion(self.atoms.get_velocities())
            self.integrator.set_momenta(momenta * self.atoms.get_masses()[:, None])
        self.monitor.check(self.atoms, self.step)
        watching = [o for o in self.observers if o.wants(self.step)]
        sample = self.step % _DRIFT_EVERY == 0
        if watching or sample:
            self._look(watching, sample)

    def _look(self, watching: Iterable[Observer], sample: bool = True) -> None:
        assert self.integrator is not None
        time = self.step * self.config.timestep
        frame = Frame(
            step=self.step,
            time=time,
            atoms=self.atoms,
            degrees_of_freedom=self.degrees_of_freedom,
            conserved=self.integrator.conserved,
            n_steps=self.config.steps,
            steps_per_second=self._speed(),
            drift=self._drift_per_atom(),
        )
        if sample:
            self.temperatures += (1.0, frame.temperature)
            if self.integrator.conserved is not None:
                self.drift.add(time, frame.conserved_energy)
                self.drift.check(
                    frame.conserved_energy, len(self.atoms), self.config.max_drift, self.step
                )
        for observer in watching:
            observer.observe(frame)

    def _drift_per_atom(self) -> float | None:
        slope = self.drift.slope
        return None if slope is None else slope / len(self.atoms)

    def _speed(self) -> float:
        return (self.step - self._first_step) / max(1e-9, clock.monotonic() - self._started)

    # -- saving --------------------------------------------------------------------------------

    def snapshot(self) -> RunState:
        """Copies of everything that makes the next step what it is."""
        assert self.integrator is not None
        atoms = self.atoms
        arrays = {
            "numbers": atoms.numbers,
            "positions": atoms.positions.copy(),
            "momenta": atoms.arrays["momenta"].copy(),
            "cell": np.array(atoms.cell[:]),
            "drift": self.drift.sums.copy(),
            "temperatures": self.temperatures.copy(),
        }
        for name, value in self.integrator.state().items():
            arrays[f"integrator.{name}"] = value
        if hasattr(atoms.calc, "restart_state"):
            for name, value in atoms.calc.restart_state().items():
                arrays[f"calculator.{name}"] = np.array(value)
        header = {"random": self.rng.bit_generator.state, "first_energy": self.drift.first}
        return RunState(self.step, header, arrays)

    def save(self, snapshot: RunState) -> None:
        """Trajectory first, then the restart file: the file never knows more than is on disk."""
        header = {
            **snapshot.header,
            "config": self.config.to_dict(),
            "provenance": self.provenance,
            "pbc": [bool(p) for p in self.atoms.pbc],
            "masses": self.atoms.get_masses().tolist(),
            "identity": self.identity.header(),
        }
        self.files.save(RunState(snapshot.step, header, snapshot.arrays))

    def _exploded(self, error: Exception, snapshot: RunState) -> UnstableRunError:
        """Save the last good state and the broken frame, and say where they are."""
        where = ""
        if self.files.state is not None:
            broken = self.files.state.with_suffix(".failed.extxyz")
            _write_frame(broken, self.atoms, self.identity.system["charge"])
            self.save(snapshot)
            where = (
                f" The state of step {snapshot.step} is in {self.files.state}, the broken frame in "
                f"{broken}."
            )
        what = str(error)
        if not isinstance(error, UnstableRunError):
            what = f"the run broke at step {self.step + 1}: {error}"
        return UnstableRunError(
            f"{what}{where} Look at the frame; use a shorter time step, relax the structure first, "
            "or a model trained on such structures."
        )


def _write_frame(path: Path, atoms: Atoms, charge: float | None) -> None:
    """What a new run would need of the broken frame: isotopes and charge, too."""
    frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    frame.arrays["momenta"] = atoms.arrays["momenta"].copy()
    if atoms.has("masses"):
        frame.set_masses(atoms.get_masses())
    if charge is not None:
        frame.info["charge"] = charge
    try:
        ase.io.write(path, frame, format="extxyz")
    except OSError:
        return  # the explosion is the news; a frame that cannot be written is not
