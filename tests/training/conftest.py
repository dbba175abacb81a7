"""Data for the training tests: the committed water frames, and springs in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from painn_ase.training import Frame, UnitsSpec, read_frames

WATER = Path(__file__).parents[2] / "model_recipes" / "data" / "water.extxyz"


@pytest.fixture(scope="session")
def water_path() -> Path:
    return WATER


@pytest.fixture(scope="session")
def water_frames() -> list[Frame]:
    """2,000 frames of one water molecule with every label."""
    return read_frames(WATER, units=UnitsSpec(polarizability="Angstrom^3"))


@pytest.fixture
def spring_frames() -> list[Frame]:
    """Diatomics on a harmonic spring with fixed charges: all labels in closed form."""
    return make_springs(60, np.random.default_rng(3))


def make_springs(n: int, rng: np.random.Generator) -> list[Frame]:
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
            Frame(
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
