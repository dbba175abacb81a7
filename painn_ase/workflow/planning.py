"""How much dynamics a machine can do in a given time, measured."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from painn_ase.calculator import PaiNNCalculator
from painn_ase.md.committee import driving
from painn_ase.md.replicas import ReplicaConfig, run_replicas
from painn_ase.md.velocities import draw_velocities
from painn_ase.workflow.records import SpectrumConfig

__all__ = ["plan_replicas"]


def plan_replicas(
    calculator: PaiNNCalculator, atoms: Atoms, budget: float, seed: int
) -> SpectrumConfig:
    """As many replicas of 2 ps as fit into a budget on this machine, from a short trial.

    Parameters
    ----------
    calculator : PaiNNCalculator
        Of the model.
    atoms : ase.Atoms
        The system.
    budget : float
        Wall time for the whole workflow, s.
    seed : int
        Of every random number.

    Returns
    -------
    SpectrumConfig
        With 8 to 128 replicas.
    """
    base = SpectrumConfig(seed=seed)
    few, many = 8, 64
    slow = _seconds_per_step(calculator, atoms, many, base)
    quick = min(slow, _seconds_per_step(calculator, atoms, few, base))
    each = max(1e-7, (slow - quick) / (many - few))
    fixed = max(0.0, quick - few * each)
    # One step of the Langevin run costs about what one replica does alone.
    alone = fixed + each
    left = 0.8 * budget - base.equilibration_steps * alone - base.segment_steps * fixed
    affordable = int(left / (base.segment_steps * each + base.spacing_steps * alone))
    return replace(base, replicas=max(8, min(128, affordable // 8 * 8)))


def _seconds_per_step(
    calculator: PaiNNCalculator, atoms: Atoms, n_replicas: int, config: SpectrumConfig
) -> float:
    """Wall time of one step of a batch, recording included; the quicker of two trials."""
    known = calculator.potential.properties
    fluxes = tuple(q for q in ("dipole_flux", "polarizability_flux") if q in known)
    rng = np.random.default_rng(config.seed)
    starts = []
    for _ in range(n_replicas):
        copy = atoms.copy()
        copy.set_velocities(draw_velocities(atoms.get_masses(), 100.0, rng))
        starts.append(copy)
    potential = driving(calculator.backends)
    trial = ReplicaConfig(steps=4 * config.stride, record=fluxes, stride=config.stride)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(3):  # the first warms up
            begun = time.perf_counter()
            run_replicas(potential, starts, trial, trajectory=Path(folder) / f"{k}.h5")
            seconds.append(time.perf_counter() - begun)
    return min(seconds[1:]) / trial.steps
