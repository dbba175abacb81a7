"""What tests of training share: springs in closed form, files of them, runs that take seconds."""

from __future__ import annotations

import sys
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from painn_ase.training import LabeledFrame, TrainConfig
from painn_ase.training.config import (
    DataSpec,
    OptimizerSpec,
    RuntimeSpec,
    ScheduleSpec,
    network_to_train,
)

QUIET = RuntimeSpec(accelerator="cpu", threads=1, compile="never", progress=False)
SMALL = network_to_train(n_features=16, n_interactions=2, n_rbf=8, cutoff=4.0)


def make_springs(n: int, rng: np.random.Generator) -> list[LabeledFrame]:
    """E = ½k(d−d0)², charges ±0.3 e: frames whose labels obey physics exactly."""
    frames = []
    for _ in range(n):
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        d = 1.0 + 0.05 * rng.normal()
        positions = np.array([np.zeros(3), d * axis]) + 0.3 * rng.normal(size=3)
        pull = 20.0 * (d - 1.0) * axis
        alpha = 0.08 * np.eye(3) + 0.02 * d * np.outer(axis, axis)
        frames.append(
            LabeledFrame(
                numbers=np.array([17, 1]),
                positions=positions,
                cell=np.zeros((3, 3)),
                pbc=np.zeros(3, dtype=bool),
                energy=10.0 * (d - 1.0) ** 2,
                forces=np.array([pull, -pull]),
                dipole=0.3 * d * axis,
                polarizability=alpha,
            )
        )
    return frames


def random_frames(sizes: list[int], seed: int) -> list[LabeledFrame]:
    """Atoms of H, C and O near a grid, with random labels; one frame per size."""
    rng = np.random.default_rng(seed)
    frames = []
    for n in sizes:
        grid = np.array(np.meshgrid(*[range(3)] * 3)).reshape(3, -1).T[:n] * 1.3
        frames.append(
            LabeledFrame(
                numbers=rng.choice([1, 6, 8], size=n),
                positions=grid + 0.1 * rng.normal(size=(n, 3)),
                cell=np.zeros((3, 3)),
                pbc=np.zeros(3, dtype=bool),
                energy=float(rng.normal()),
                forces=rng.normal(size=(n, 3)),
                dipole=rng.normal(size=3),
                polarizability=np.eye(3) * rng.uniform(0.1, 0.3),
            )
        )
    return frames


def write_frames(path: Path, frames: list[LabeledFrame]) -> Path:
    images = []
    for frame in frames:
        atoms = Atoms(frame.numbers, frame.positions)
        labels = {n: frame.label(n) for n in ("energy", "forces", "dipole")}
        results = {n: v for n, v in labels.items() if v is not None}
        atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
    ase.io.write(path, images)
    return path


def small_config(
    data: Path, output: Path, *, accept_warnings: bool = False, **schedule: int
) -> TrainConfig:
    return TrainConfig(
        name="springs",
        data=DataSpec(str(data), accept_warnings=accept_warnings),
        network=SMALL,
        optimizer=OptimizerSpec(batch_size=8, learning_rate=3e-3, ema_decay=0.9),
        schedule=ScheduleSpec(
            **{"epochs": 12, "warmup_steps": 5, "checkpoint_every": 1, **schedule}
        ),
        runtime=QUIET,
        output=str(output),
    )


def run_command(config: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "painn_ase", "train", str(config), *options]


def write_toml(path: Path, data: Path, output: Path, epochs: int, compiled: str = "never") -> Path:
    path.write_text(
        f'name = "springs"\noutput = "{output}"\n[data]\npath = "{data}"\n'
        "[network]\nn_features = 16\nn_interactions = 2\nn_rbf = 8\ncutoff = 4.0\n"
        "[optimizer]\nbatch_size = 8\n"
        f"[schedule]\nepochs = {epochs}\nwarmup_steps = 5\ncheckpoint_every = 1\n"
        f'[runtime]\naccelerator = "cpu"\nthreads = 1\ncompile = "{compiled}"\nprogress = false\n'
    )
    return path
