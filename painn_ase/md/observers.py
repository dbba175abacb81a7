"""What looks at a run while it goes: the frame it sees, the recorder, log lines, a progress bar."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Collection
from functools import cached_property
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from numpy.typing import NDArray

from painn_ase.errors import UnsupportedPropertyError
from painn_ase.md.velocities import temperature_of
from painn_ase.trajectory import TrajectoryWriter

__all__ = ["Frame", "LogLines", "Observer", "ProgressBar", "Recorder", "Response"]


class Frame:
    """The run after a step, as observers see it; energies are computed once, when asked for.

    Attributes
    ----------
    step : int
        Steps done since the very beginning.
    time : float
        fs.
    atoms : ase.Atoms
        The running structure: look, do not change.
    n_steps : int
        Total the run will have.
    drift : float or None
        Of the conserved energy so far, eV per atom and ps.
    steps_per_second : float
        Over the steps since this start.
    """

    def __init__(
        self,
        step: int,
        time: float,
        atoms: Atoms,
        degrees_of_freedom: int,
        conserved: Callable[[], float] | None,
        n_steps: int,
        steps_per_second: float,
        drift: float | None,
    ) -> None:
        self.step = step
        self.time = time
        self.atoms = atoms
        self.n_steps = n_steps
        self.steps_per_second = steps_per_second
        self.drift = drift
        self._degrees_of_freedom = degrees_of_freedom
        self._conserved = conserved

    @cached_property
    def potential_energy(self) -> float:
        """Potential energy, eV."""
        return float(self.atoms.get_potential_energy())

    @cached_property
    def kinetic_energy(self) -> float:
        """Kinetic energy, eV."""
        return float(self.atoms.get_kinetic_energy())

    @cached_property
    def conserved_energy(self) -> float:
        """eV; the total energy where the integrator conserves nothing."""
        if self._conserved is None:
            return self.potential_energy + self.kinetic_energy
        return self._conserved()

    @cached_property
    def temperature(self) -> float:
        """K, over the degrees of freedom that move."""
        return temperature_of(self.kinetic_energy, self._degrees_of_freedom)


class Observer(Protocol):
    """Something that is shown frames of a run."""

    def wants(self, step: int) -> bool:
        """Whether to be shown the frame of this step."""

    def observe(self, frame: Frame) -> None:
        """Look at a frame."""


class Response:
    """Dipole, polarizability and their fluxes along a run, from any calculator that has them.

    The calculator need not be the one that drives: forces may come from any other program, and a
    PaiNN model tells what the light sees.

    Parameters
    ----------
    calculator : ase.calculators.calculator.Calculator
        A :class:`~painn_ase.calculator.PaiNNCalculator`, or any calculator for what ASE knows.
    """

    def __init__(self, calculator: Calculator) -> None:
        self.calculator = calculator

    def evaluate(self, atoms: Atoms, names: Collection[str]) -> dict[str, NDArray[np.float64]]:
        """Quantities of a structure with velocities, in ASE's units.

        Raises
        ------
        UnsupportedPropertyError
            When the calculator cannot give one of them.
        """
        wanted = set(names)
        results: dict[str, Any] = {}
        if wanted & {"dipole_flux", "polarizability_flux"}:
            if not hasattr(self.calculator, "get_fluxes"):
                raise UnsupportedPropertyError(
                    f"{type(self.calculator).__name__} has no fluxes. Record dipoles instead, or "
                    "give a PaiNN model as the response."
                )
            fluxes = self.calculator.get_fluxes(atoms)
            results = {name: fluxes[name] for name in wanted & set(fluxes)}
        for name in sorted(wanted - set(results)):
            try:
                results[name] = self.calculator.get_property(name, atoms)
            except PropertyNotImplementedError as error:
                raise UnsupportedPropertyError(
                    f"{type(self.calculator).__name__} cannot give {name!r}. Do not record it, or "
                    "give a PaiNN model that has it as the response."
                ) from error
        return {name: np.asarray(value, dtype=np.float64) for name, value in results.items()}


class Recorder:
    """Writes frames into a trajectory, each quantity at its own stride.

    Parameters
    ----------
    writer : TrajectoryWriter
        Where to.
    response : Response or None
        Source of dipole, polarizability, charges and fluxes.
    """

    def __init__(self, writer: TrajectoryWriter, response: Response | None) -> None:
        self.writer = writer
        self.response = response

    def wants(self, step: int) -> bool:
        """Whether any channel has a frame at this step."""
        return bool(self.writer.due(step))

    def observe(self, frame: Frame) -> None:
        """Write what is due."""
        due = self.writer.due(frame.step)
        values: dict[str, Any] = {
            name: source(frame) for name in due if (source := _FROM_FRAME.get(name)) is not None
        }
        if missing := set(due) - set(values):
            if self.response is None:
                raise UnsupportedPropertyError(
                    f"recording {', '.join(sorted(missing))} needs a response calculator."
                )
            values |= self.response.evaluate(frame.atoms, missing)
        self.writer.write(frame.step, frame.time, values)


_FROM_FRAME: dict[str, Callable[[Frame], Any]] = {
    "positions": lambda frame: frame.atoms.positions,
    "velocities": lambda frame: frame.atoms.get_velocities(),
    "forces": lambda frame: frame.atoms.get_forces(apply_constraint=False),
    "cell": lambda frame: frame.atoms.cell[:],
    "potential_energy": lambda frame: frame.potential_energy,
    "kinetic_energy": lambda frame: frame.kinetic_energy,
    "conserved_energy": lambda frame: frame.conserved_energy,
    "temperature": lambda frame: frame.temperature,
}


class LogLines:
    """One line of text every so many steps.

    Parameters
    ----------
    every : int
        Steps between lines.
    write : callable
        Takes a line; ``print``, or a logger's method.
    """

    def __init__(self, every: int, write: Callable[[str], object]) -> None:
        self.every = every
        self.write = write
        self._titled = False

    def wants(self, step: int) -> bool:
        """Whether a line is due."""
        return step % self.every == 0

    def observe(self, frame: Frame) -> None:
        """Write the line of this frame, under a title the first time."""
        if not self._titled:
            self.write(
                f"{'step':>10} {'time/ps':>10} {'E_pot/eV':>14} {'E_cons/eV':>14} {'T/K':>8} "
                f"{'drift/meV/atom/ps':>18} {'steps/s':>9}"
            )
            self._titled = True
        drift = "-" if frame.drift is None else f"{1e3 * frame.drift:.3e}"
        self.write(
            f"{frame.step:>10} {1e-3 * frame.time:>10.3f} {frame.potential_energy:>14.6f} "
            f"{frame.conserved_energy:>14.6f} {frame.temperature:>8.1f} {drift:>18} "
            f"{frame.steps_per_second:>9.1f}"
        )


class ProgressBar:
    """A bar with the time left, for a terminal; use it in a ``with`` statement.

    Parameters
    ----------
    n_steps : int
        Total of the run.
    label : str
        Text before the bar.
    seconds : float
        Between updates.
    """

    def __init__(self, n_steps: int, label: str = "dynamics", seconds: float = 0.2) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        self._task = self._progress.add_task(label, total=n_steps, note="")
        self._seconds = seconds
        self._next = 0.0
        self._n_steps = n_steps

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def wants(self, step: int) -> bool:
        """Whether enough time has passed to draw again."""
        return step == self._n_steps or clock.monotonic() >= self._next

    def observe(self, frame: Frame) -> None:
        """Draw."""
        self.show(frame.step, f"{frame.temperature:.0f} K, {frame.steps_per_second:.0f} steps/s")

    def show(self, done: int, note: str = "") -> None:
        """Draw `done` steps with a note beside them."""
        self._next = clock.monotonic() + self._seconds
        self._progress.update(self._task, completed=done, note=note)
