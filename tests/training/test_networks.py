"""Networks beside PaiNN train as it does, compiled or not, and move replicas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from small_runs import make_springs, small_config, write_frames

from painn_ase.calculator import PaiNNCalculator
from painn_ase.md.replicas import ReplicaConfig, run_replicas
from painn_ase.md.velocities import draw_velocities
from painn_ase.models import load_model
from painn_ase.testing import random_potential
from painn_ase.training import train
from painn_ase.training.config import network_to_train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*")

SIZES = {"n_features": 12, "n_interactions": 2, "n_rbf": 8, "cutoff": 4.0}


@pytest.mark.parametrize("kind", ["schnet", "so3net"])
def test_a_network_of_another_kind_learns_energies_forces_and_dipoles(
    kind: str, tmp_path: Path
) -> None:
    data = write_frames(tmp_path / "springs.extxyz", make_springs(60, np.random.default_rng(0)))
    config = small_config(data, tmp_path / "run", epochs=25)
    model = load_model(train(config.replace(network=network_to_train(kind, **SIZES))))
    assert model.spec.representation.kind == kind
    assert model.spec.heads.dipole is not None
    assert model.spec.heads.dipole.kind == ("point_charge" if kind == "schnet" else "latent_charge")
    calc = PaiNNCalculator(model, device="cpu")
    errors, sizes = [], []
    for frame in make_springs(20, np.random.default_rng(1)):
        forces = calc.get_forces(Atoms(frame.numbers, frame.positions))
        errors.append(forces - frame.forces)
        sizes.append(frame.forces)
    assert np.sqrt(np.mean(np.square(errors))) < 0.5 * np.sqrt(np.mean(np.square(sizes)))


@pytest.mark.parametrize("kind", ["schnet", "so3net"])
def test_replicas_move_as_single_structures_do(kind: str) -> None:
    model = random_potential(8, 2, 6, 4.0, kind=kind, dtype=torch.float64)
    rng = np.random.default_rng(0)
    starts = []
    for _ in range(3):
        atoms = molecule("CH3OH")
        atoms.set_velocities(draw_velocities(atoms.get_masses(), 300.0, rng))
        starts.append(atoms)
    config = ReplicaConfig(steps=10, timestep=0.5, record=(), rotation="remove")
    together = run_replicas(model, starts, config)
    alone = run_replicas(model, starts[1:2], config)
    np.testing.assert_allclose(together.positions[1], alone.positions[0], atol=1e-10)
    assert np.abs(together.positions[1] - starts[1].positions).max() > 1e-3
