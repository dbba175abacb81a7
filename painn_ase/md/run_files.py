"""The two files of a run: the trajectory, and the restart file that never knows more than it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from painn_ase.errors import TrajectoryError
from painn_ase.md.state import RunState, read_state, write_state
from painn_ase.trajectory import System, TrajectoryWriter
from painn_ase.trajectory.writer import refuse_existing

__all__ = ["RunFiles", "check_same_settings"]


@dataclass
class RunFiles:
    """Where a run records and where it saves.

    Attributes
    ----------
    trajectory, state : Path or None
        H5MD file and restart file; the latter by default the trajectory's name with
        ``.state.npz``.
    writer : TrajectoryWriter or None
        The open trajectory.
    """

    trajectory: Path | None
    state: Path | None
    writer: TrajectoryWriter | None = None

    @classmethod
    def of(cls, trajectory: str | Path | None, state: str | Path | None) -> RunFiles:
        """The files that these arguments name."""
        trajectory = None if trajectory is None else Path(trajectory)
        if state is None and trajectory is not None:
            state = trajectory.with_suffix(".state.npz")
        return cls(trajectory, None if state is None else Path(state))

    def check_new(self, overwrite: bool) -> None:
        """Refuse a new run where another one is recorded, before its restart file is replaced.

        Raises
        ------
        TrajectoryError
            When the trajectory exists and `overwrite` is false.
        """
        if self.trajectory is not None and not overwrite:
            refuse_existing(self.trajectory)

    def read(self) -> RunState:
        """The last good state.

        Raises
        ------
        TrajectoryError
            When there is none.
        """
        if self.state is None:
            raise TrajectoryError("a restart needs the restart file: name it, or the trajectory.")
        return read_state(self.state)

    def open(
        self,
        step: int,
        system: System,
        strides: Mapping[str, int],
        *,
        restart: bool,
        provenance: Mapping[str, Any],
        author: str,
        overwrite: bool,
        dtype: str = "float64",
    ) -> TrajectoryWriter | None:
        """The trajectory: a new file, or one behind whose last frame that still counts it goes on.

        Parameters
        ----------
        step : int
            Steps the run has done.
        system, strides, provenance, author, overwrite, dtype
            As for :meth:`~painn_ase.trajectory.TrajectoryWriter.create`.
        restart : bool
            Whether the run goes on.

        Raises
        ------
        TrajectoryError
            When frames between trajectory and restart file would be lost, or the file cannot be
            written.
        """
        path = self.trajectory
        if path is None:
            return None
        if restart and path.exists() and path.stat().st_size:
            self.writer = _appended(path, step, strides)
        else:
            self.writer = TrajectoryWriter.create(
                path, system, strides, provenance=provenance, author=author, dtype=dtype,
                overwrite=overwrite or restart,
            )  # fmt: skip
        return self.writer

    def save(self, state: RunState) -> None:
        """Trajectory first, then the restart file."""
        if self.writer is not None:
            self.writer.flush()
        if self.state is not None:
            write_state(self.state, state)

    def abandon(self) -> None:
        """Let go of the trajectory as it is on disk."""
        if self.writer is not None:
            self.writer.abandon()


def _appended(path: Path, step: int, strides: Mapping[str, int]) -> TrajectoryWriter:
    writer = TrajectoryWriter.append(path)
    # A run that never got to its first step looks at its start anew.
    writer.truncate_after(step or -1)
    due = max(step - step % stride for stride in strides.values())
    if step and writer.last_step < due:
        writer.abandon()
        raise TrajectoryError(
            f"{path} ends at step {writer.last_step}, but the restart file is at step {step}; "
            "frames between would be lost. Restore the trajectory, or record into a new file."
        )
    return writer


def check_same_settings(
    path: Path | None,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    changeable: Collection[str],
) -> None:
    """A restart may be longer, saved and watched otherwise; anything else would be another run.

    Raises
    ------
    TrajectoryError
        Names what was and what is.
    """
    changed = [k for k in now if k not in changeable and now[k] != before.get(k)]
    if changed:
        raise TrajectoryError(
            f"{path} belongs to a run with other settings: "
            + ", ".join(f"{k} was {before.get(k)!r}, is {now[k]!r}" for k in changed)
            + ". Restart with the same, or begin a new run."
        )
