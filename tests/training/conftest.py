"""Fixtures of the training tests: the committed water frames, and springs in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_runs import make_springs, write_frames

from painn_ase.training import LabeledFrame, UnitsSpec, read_frames

WATER = Path(__file__).parents[2] / "model_recipes" / "data" / "water.extxyz"


@pytest.fixture(scope="session")
def water_path() -> Path:
    return WATER


@pytest.fixture(scope="session")
def water_frames() -> list[LabeledFrame]:
    """2,000 frames of one water molecule with every label."""
    return read_frames(WATER, units=UnitsSpec(polarizability="Angstrom^3"))


@pytest.fixture
def spring_frames() -> list[LabeledFrame]:
    """Diatomics on a harmonic spring with fixed charges: all labels in closed form."""
    return make_springs(60, np.random.default_rng(3))


@pytest.fixture
def springs(tmp_path: Path) -> Path:
    """A small file of diatomics."""
    return write_frames(tmp_path / "springs.extxyz", make_springs(60, np.random.default_rng(0)))
