"""Replicas in one batch move exactly as each would alone, and continue bit for bit."""

from __future__ import annotations

import dataclasses
import os
import signal
import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import GeometryError, PaiNNWarning, SpecError, UnstableRunError
from painn_ase.md import MDConfig, run_md
from painn_ase.md.committee import driving
from painn_ase.md.guard import PROVENANCE_KEY, ExtrapolationGuard
from painn_ase.md.replicas import ReplicaConfig, run_replicas
from painn_ase.md.velocities import angular_velocity, draw_velocities
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader, read_time_series

HEADS = ("energy", "dipole", "polarizability")


@pytest.fixture(scope="module")
def potential():
    return random_potential(16, 2, 8, 4.0, heads=HEADS, dtype=torch.float64)


def _starts(atoms: Atoms, n: int, temperature: float = 300.0) -> list[Atoms]:
    rng = np.random.default_rng(7)
    starts = []
    for _ in range(n):
        copy = atoms.copy()
        copy.set_velocities(draw_velocities(atoms.get_masses(), temperature, rng))
        starts.append(copy)
    return starts


@pytest.mark.parametrize("system", ["molecule", "crystal", "large"])
def test_a_replica_moves_as_the_single_run_does(potential, system) -> None:
    if system == "crystal":
        model = random_potential(8, 1, 6, 3.5, elements=(29,), dtype=torch.float64)
        atoms, rotation = bulk("Cu", cubic=True), "keep"
    else:
        model, rotation = potential, "remove"
        atoms = molecule("CH3CH2OH" if system == "molecule" else "C6H6")
        if system == "large":  # beyond the size that lists all pairs
            far = atoms.copy()
            far.translate([0, 0, 3.2])
            atoms = atoms + far + far.copy()
            atoms.positions[24:, 2] += 3.2
    starts = _starts(atoms, 3)
    config = ReplicaConfig(steps=40, timestep=0.5, record=(), rotation=rotation)
    result = run_replicas(model, starts, config)
    for k in (0, 2):
        single = starts[k].copy()
        single.calc = PaiNNCalculator(model, dtype="float64", backend="eager")
        run_md(single, MDConfig(steps=40, velocities="keep", rotation=rotation))
        np.testing.assert_allclose(result.positions[k], single.positions, atol=1e-9)
        np.testing.assert_allclose(result.velocities[k], single.get_velocities(), atol=1e-8)


def test_fluxes_are_those_of_the_recorded_motion(potential, tmp_path) -> None:
    starts = _starts(molecule("CH3CH2OH"), 4)
    config = ReplicaConfig(
        steps=8, timestep=0.1, record=("dipole", "dipole_flux", "polarizability_flux"), stride=1,
        position_stride=1, energy_stride=1,
    )  # fmt: skip
    run_replicas(potential, starts, config, trajectory=tmp_path / "k.h5")
    calc = PaiNNCalculator(potential, dtype="float64", backend="eager")
    with TrajectoryReader(tmp_path / "k.h5") as reader:
        dipole, flux = reader.read("dipole"), reader.read("dipole_flux")
        central = (dipole[2:] - dipole[:-2]) / 0.2 * 10.180506
        np.testing.assert_allclose(central, flux[1:-1], rtol=1e-2, atol=1e-3)
        frame = reader.atoms(5, replica=2)
        recorded = reader.read("polarizability_flux")[5, 2]
        np.testing.assert_allclose(
            calc.get_polarizability_flux(frame), recorded, rtol=1e-6, atol=1e-9
        )
        assert reader.provenance["replicas"]["rotation_removed"] is True
    series = read_time_series(tmp_path / "k.h5")
    assert series.dipole_flux is not None
    assert series.dipole_flux.shape == (4, 9, 3)


def test_translation_and_rotation_stay_out(potential) -> None:
    atoms = molecule("CH3CH2OH")
    result = run_replicas(potential, _starts(atoms, 5), ReplicaConfig(steps=60, record=()))
    masses = atoms.get_masses()
    momentum = np.einsum("i,kia->ka", masses, result.velocities)
    assert np.abs(momentum).max() < 1e-9
    center = np.einsum("i,kia->ka", masses, result.positions) / masses.sum()
    arms = result.positions - center[:, None]
    assert np.abs(angular_velocity(result.velocities, arms, masses)).max() < 1e-8
    assert result.degrees_of_freedom == 21


def test_total_energy_of_replicas_is_conserved(potential) -> None:
    config = ReplicaConfig(steps=200, timestep=0.25, record=(), energy_stride=2)
    result = run_replicas(potential, _starts(molecule("CH3CH2OH"), 4), config)
    assert result.drift is not None
    assert abs(result.drift) < 1e-3


def test_a_committee_moves_by_the_mean_of_its_members(tmp_path) -> None:
    members = [
        random_potential(16, 2, 8, 4.0, heads=HEADS, dtype=torch.float64, seed=k) for k in range(3)
    ]
    calculator = PaiNNCalculator(members, dtype="float64", backend="eager")
    starts = _starts(molecule("CH3CH2OH"), 3)
    config = ReplicaConfig(steps=20, record=("dipole_flux",), stride=20, position_stride=20)
    path = tmp_path / "k.h5"
    result = run_replicas(driving(calculator.backends), starts, config, trajectory=path)
    single = starts[1].copy()
    single.calc = calculator
    run_md(single, MDConfig(steps=20, velocities="keep"))
    np.testing.assert_allclose(result.positions[1], single.positions, atol=1e-9)
    fluxes = [PaiNNCalculator(m, dtype="float64").get_dipole_flux(single) for m in members]
    with TrajectoryReader(path) as reader:
        np.testing.assert_allclose(
            reader.read("dipole_flux")[-1, 1], np.mean(fluxes, axis=0), rtol=1e-6
        )
        assert len(reader.provenance["committee"]) == 3


def test_a_committee_of_one_is_its_member(potential) -> None:
    calculator = PaiNNCalculator(potential, backend="eager")
    assert driving(calculator.backends) is calculator.backends[0]


def test_a_calculator_moves_replicas_as_its_backend_does(potential) -> None:
    calculator = PaiNNCalculator(potential, dtype="float64", backend="eager")
    starts, config = _starts(molecule("H2O"), 2), ReplicaConfig(steps=5, record=())
    given = [run_replicas(p, starts, config) for p in (calculator, calculator.backends[0])]
    np.testing.assert_array_equal(given[0].positions, given[1].positions)


def _told(table: dict[str, float], seed: int = 0):
    """A model that knows how close atoms came in its training."""
    model = random_potential(16, 2, 8, 4.0, dtype=torch.float64, seed=seed)
    model.spec = dataclasses.replace(model.spec, provenance={PROVENANCE_KEY: table})
    return model


@pytest.mark.parametrize("system", ["molecule", "large"])
def test_the_guard_names_the_replica_that_leaves_the_training_data(system) -> None:
    starts = _starts(molecule("H2O"), 4, 1.0)
    starts[2].positions[1] += 0.35 * (starts[2].positions[0] - starts[2].positions[1])
    if system == "large":  # beyond the size whose distances are all taken at once
        for atoms in starts:
            one = atoms.copy()
            for k in range(1, 12):
                moved = one.copy()
                moved.translate([4.5 * k, 0, 0])
                atoms.extend(moved)
    model = _told({"H-O": 0.9})
    config = ReplicaConfig(steps=10, timestep=0.001, record=())
    with pytest.warns(PaiNNWarning, match="at step 10 of replica 2 atoms"):
        run_replicas(model, starts, config)
    with pytest.raises(UnstableRunError, match="replica 2"):
        run_replicas(model, starts, dataclasses.replace(config, guard="stop"))
    quiet = [a for k, a in enumerate(starts) if k != 2]
    for those, action in ((quiet, "stop"), (starts, "off")):
        with warnings.catch_warnings():
            warnings.simplefilter("error", PaiNNWarning)
            run_replicas(model, those, dataclasses.replace(config, guard=action))


def test_the_guard_sees_a_committee_of_replicas_disagree() -> None:
    calculator = PaiNNCalculator([_told({}, 0), _told({}, 1)], dtype="float64", backend="eager")
    starts = _starts(molecule("H2O"), 2)
    guard = ExtrapolationGuard({}, "stop", max_spread=1e-6)
    with pytest.raises(UnstableRunError, match=r"replica \d the members .* disagree"):
        run_replicas(
            driving(calculator.backends), starts, ReplicaConfig(steps=10, record=()), guard=guard
        )


class StopAfter:
    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, step: int, note: str) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("system", ["molecule", "crystal"])
@pytest.mark.parametrize("stop", [1, 13, 20])
def test_stopped_and_continued_replicas_equal_the_uninterrupted(
    potential, tmp_path, system, stop
) -> None:
    if system == "crystal":
        model = random_potential(8, 1, 6, 3.5, elements=(29,))
        atoms = bulk("Cu", cubic=True)
        config = ReplicaConfig(steps=40, timestep=4.0, record=(), position_stride=2, skin=0.1)
        starts = _starts(atoms, 3, 2000.0)
    else:
        model = potential
        config = ReplicaConfig(steps=40, record=("dipole_flux",), position_stride=2)
        starts = _starts(molecule("CH3CH2OH"), 3)
    run_replicas(model, starts, config, trajectory=tmp_path / "whole.h5")
    result = run_replicas(
        model, starts, config, trajectory=tmp_path / "parts.h5", progress=StopAfter(stop)
    )
    assert (result.step, result.signal) == (stop, signal.SIGTERM)
    result = run_replicas(model, starts, config, trajectory=tmp_path / "parts.h5", restart=True)
    assert result.completed
    with (
        TrajectoryReader(tmp_path / "whole.h5") as whole,
        TrajectoryReader(tmp_path / "parts.h5") as parts,
    ):
        assert whole.names == parts.names
        for name in whole.names:
            np.testing.assert_array_equal(whole.steps(name), parts.steps(name))
            np.testing.assert_array_equal(whole.read(name), parts.read(name), err_msg=name)


def test_explosion_names_replica_and_atom(potential) -> None:
    starts = _starts(molecule("CH3CH2OH"), 3)
    velocities = starts[1].get_velocities()
    velocities[4] = 50.0
    starts[1].set_velocities(velocities)
    with pytest.raises(UnstableRunError, match="replica 1 .*atom 4"):
        run_replicas(potential, starts, ReplicaConfig(steps=40, record=()))


def test_replicas_of_different_molecules_are_refused(potential) -> None:
    with pytest.raises(GeometryError, match="replica 1"):
        run_replicas(
            potential, [molecule("H2O"), molecule("CO2")], ReplicaConfig(steps=1, record=())
        )


def test_unknown_quantity_is_refused() -> None:
    with pytest.raises(SpecError, match="magic"):
        ReplicaConfig(steps=1, record=("magic",))


@pytest.mark.gpu
def test_replicas_on_the_gpu_equal_those_on_the_cpu(potential) -> None:
    starts = _starts(molecule("CH3CH2OH"), 8)
    config = ReplicaConfig(steps=20, record=())
    cpu = run_replicas(potential, starts, config)
    gpu_potential = random_potential(16, 2, 8, 4.0, heads=HEADS, dtype=torch.float64).to("cuda")
    gpu = run_replicas(gpu_potential, starts, config, device="cuda")
    np.testing.assert_allclose(gpu.positions, cpu.positions, atol=1e-9)
