"""Runs of replicas that were made in pieces, put together as if they had been one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from painn_ase.errors import TrajectoryError
from painn_ase.md.state import RunState, read_state, write_state
from painn_ase.trajectory import TrajectoryReader, TrajectoryWriter

__all__ = ["merge_replicas"]

#: Arrays of a restart file that all pieces have in common, and those that are put end to end.
_SHARED = ("numbers", "masses", "held", "charge", "cell")
_JOINED = ("positions", "velocities")


def merge_replicas(pieces: Sequence[Path], target: Path) -> None:
    """Put runs of the same system and settings, each of other replicas, into one run.

    Parameters
    ----------
    pieces : sequence of Path
        Trajectories of finished runs, with their restart files beside them; their replicas are
        numbered in this order.
    target : Path
        The trajectory to write, and a restart file beside it, of a run that is finished.

    Raises
    ------
    TrajectoryError
        When the pieces are not of one run, not finished, or of ring polymers.
    """
    states = [read_state(_state_of(path)) for path in pieces]
    first = states[0]
    for path, state in zip(pieces, states, strict=True):
        _check_belongs(path, state, pieces[0], first)
    shares = [len(state.arrays["positions"]) // len(first.arrays["numbers"]) for state in states]
    _merge_trajectories(pieces, target, sum(shares))
    write_state(_state_of(target), _merged(states, shares))


def _state_of(trajectory: Path) -> Path:
    return trajectory.with_suffix(".state.npz")


def _check_belongs(path: Path, state: RunState, other: Path, first: RunState) -> None:
    if state.step < int(state.header["replicas"]["steps"]):
        raise TrajectoryError(f"{path} is not finished: it is at step {state.step}.")
    if any(name.startswith("stepper.") for name in state.arrays):
        raise TrajectoryError(
            f"{path} is of ring polymers or a thermostat, whose random numbers are drawn for all "
            "replicas together; such runs cannot be put together."
        )
    for key in sorted({*state.header, *first.header} - {"first_energy"}):
        if state.header.get(key) != first.header.get(key):
            raise TrajectoryError(f"{path} and {other} are not of one run: other {key}.")
    for name in _SHARED:
        if not np.array_equal(state.arrays[name], first.arrays[name]):
            raise TrajectoryError(f"{path} and {other} are not of one run: other {name}.")


def _merged(states: Sequence[RunState], shares: Sequence[int]) -> RunState:
    """Copies end to end; statistics, which are means over replicas, weighted by their number."""
    arrays = {name: states[0].arrays[name] for name in _SHARED}
    for name in _JOINED:
        arrays[name] = np.concatenate([state.arrays[name] for state in states])
    weights = np.array(shares) / sum(shares)
    first = float(sum(w * s.header["first_energy"] for w, s in zip(weights, states, strict=True)))
    for name in ("drift", "temperatures"):  # sums over steps of 1, t, e, tt, te; of 1, T
        arrays[name] = np.einsum("p,pk->k", weights, [state.arrays[name] for state in states])
    header = {**states[0].header, "first_energy": first}
    for key in ("layout", "step"):
        header.pop(key, None)
    return RunState(states[0].step, header, arrays)


def _merge_trajectories(pieces: Sequence[Path], target: Path, n_replicas: int) -> None:
    readers = [TrajectoryReader(path) for path in pieces]
    try:
        system, strides, provenance = _description(readers, n_replicas)
        writer = TrajectoryWriter.create(
            target, system, strides, provenance=provenance, overwrite=True
        )
        with writer:
            steps = {name: readers[0].steps(name) for name in strides}
            times = {name: readers[0].times(name) for name in strides}
            values = {
                name: np.concatenate([reader.read(name) for reader in readers], axis=1)
                for name in strides
            }
            at = dict.fromkeys(strides, 0)
            for step in sorted({int(s) for own in steps.values() for s in own}):
                frame = {}
                for name in strides:
                    n = at[name]
                    if n < len(steps[name]) and steps[name][n] == step:
                        frame[name] = values[name][n]
                        time = float(times[name][n])
                        at[name] += 1
                writer.write(step, time, frame)
    finally:
        for reader in readers:
            reader.close()


def _description(
    readers: Sequence[TrajectoryReader], n_replicas: int
) -> tuple[Any, dict[str, int], dict[str, Any]]:
    """System, strides and provenance of the whole."""
    from dataclasses import replace

    first = readers[0]
    names = tuple(name for name in first.names)
    for reader in readers[1:]:
        same = set(reader.names) == set(names) and all(
            np.array_equal(reader.steps(name), first.steps(name)) for name in names
        )
        if not same:
            raise TrajectoryError(f"{reader.path} and {first.path} did not record the same.")
    strides = {}
    for name in names:
        steps = first.steps(name)
        strides[name] = int(steps[1] - steps[0]) if len(steps) > 1 else 1
    provenance = dict(first.provenance)
    provenance["replicas"] = {**provenance.get("replicas", {}), "n_replicas": n_replicas}
    return replace(first.system, n_replicas=n_replicas), strides, provenance
