"""Many copies of one system, evaluated as one batch each step.

One small molecule in NVE keeps the energy of each of its modes, so a single long run gives band
areas that scatter without end; many short ones, begun from decorrelated frames of a thermostatted
run, do not. The same code serves CPU and GPU: positions and velocities live on the device in
float64, and one call of the potential moves all copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.calculator import PaiNNCalculator
from painn_ase.driven import DrivenCalculator
from painn_ase.md.batch import ReplicaBatch
from painn_ase.md.batched import BatchedPotential, model_of
from painn_ase.md.driven_batch import batched
from painn_ase.md.guard import ExtrapolationGuard
from painn_ase.md.replica_records import ReplicaConfig, ReplicaResult
from painn_ase.md.replica_run import ReplicaRun
from painn_ase.md.replica_starts import Starts
from painn_ase.md.run_files import RunFiles
from painn_ase.md.stop_signals import StopSignals

__all__ = ["BatchedPotential", "ReplicaBatch", "ReplicaConfig", "ReplicaResult", "run_replicas"]


def run_replicas(
    potential: BatchedPotential | PaiNNCalculator | DrivenCalculator,
    starts: Sequence[Atoms],
    config: ReplicaConfig,
    *,
    device: torch.device | str | None = None,
    charge: float | None = None,
    beads: NDArray[np.float64] | None = None,
    trajectory: str | Path | None = None,
    state: str | Path | None = None,
    restart: bool = False,
    progress: Callable[[int, str], None] | None = None,
    provenance: dict[str, Any] | None = None,
    author: str = "unknown",
    overwrite: bool = False,
    guard: ExtrapolationGuard | None = None,
) -> ReplicaResult:
    """Dynamics of all `starts` at once: NVE, Langevin, or ring polymers.

    Parameters
    ----------
    potential : BatchedPotential, PaiNNCalculator or DrivenCalculator
        With an energy head, and the heads that `config.record` asks for. A
        :class:`~painn_ase.md.committee.Committee` moves the replicas by the mean of its members; a
        :class:`~painn_ase.driven.DrivenCalculator` by the forces of another program, copy by copy,
        while its model gives what is recorded for all copies at once.
    starts : sequence of ase.Atoms
        One structure with velocities for each replica; the same atoms, masses, cell, charge and
        constraints in all. FixAtoms and FixCartesian are obeyed, and then nothing is taken out
        of the motion.
    config : ReplicaConfig
        Steps and strides.
    device : torch.device or str, optional
        Where the potential lives; by default the calculator's, or the CPU.
    charge : float, optional
        Total charge of each replica, e; by default the calculator's, else what the starts say,
        else the model's (:func:`~painn_ase.graph.total_charge`).
    beads : ndarray [n_replicas, n_beads, n_atoms, 3], optional
        First positions of a ring polymer's beads, Å, as ``beads`` of an earlier result; by default
        all beads of a replica lie at its start.
    trajectory, state : str or Path, optional
        H5MD file to record into; restart file, by default the trajectory's with ``.state.npz``.
    restart : bool
        Continue from the restart file, bit for bit.
    progress : callable, optional
        Called after each step with the steps done and a short note.
    provenance : dict, optional
        More for the record that trajectory and restart file keep; JSON-ready. A restart without it
        keeps what was there.
    author, overwrite
        As in :func:`~painn_ase.md.run_md`.
    guard : ExtrapolationGuard, optional
        Looks at the replicas; by default the one that fits the model, as ``config.guard`` says.

    Raises
    ------
    GeometryError
        When the starts are not copies of one system, or have constraints a batch cannot obey.
    UnstableRunError
        When a replica explodes, or the guard stops it; names replica, atom and step.
    TrajectoryError
        When files cannot be written or continued.
    """
    if isinstance(potential, PaiNNCalculator | DrivenCalculator):
        device = _model(potential).device if device is None else device
        charge = potential.charge if charge is None else charge
        driver: BatchedPotential = batched(potential)
    else:
        driver = potential
    begun = Starts.of(starts, charge, model_of(driver).spec.total_charge)
    run = ReplicaRun(driver, begun, config, device or "cpu", beads)
    run.guard = guard or ExtrapolationGuard.of(driver, config.guard)
    run.files = RunFiles.of(trajectory, state)
    run.provenance = dict(provenance or {})
    with ExitStack() as stack:
        if restart:
            run.load()
        else:
            run.files.check_new(overwrite)
            run.begin()
            run.save()
        run.open_trajectory(restart, author, overwrite)
        stack.callback(run.files.abandon)
        return run.loop(stack.enter_context(StopSignals()), progress)


def _model(calculator: PaiNNCalculator | DrivenCalculator) -> PaiNNCalculator:
    return calculator.model if isinstance(calculator, DrivenCalculator) else calculator
