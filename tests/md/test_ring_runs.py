"""Runs of ring polymers: recorded, watched, held, stopped and continued as all replicas are."""

from __future__ import annotations

import dataclasses
import os
import signal

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.constraints import FixAtoms, FixCartesian

from painn_ase.annotate import annotate_trajectory
from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import (
    GeometryError,
    PaiNNWarning,
    SpecError,
    TrajectoryError,
    UnstableRunError,
)
from painn_ase.md.guard import PROVENANCE_KEY
from painn_ase.md.replicas import ReplicaConfig, run_replicas
from painn_ase.md.ring_averages import quantum_averages
from painn_ase.md.velocities import angular_velocity
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader, read_time_series

HEADS = ("energy", "dipole", "polarizability")


@pytest.fixture(scope="module")
def potential():
    return random_potential(8, 1, 6, 4.0, heads=HEADS, dtype=torch.float64)


def _starts(n: int, constraint=None):
    starts = [molecule("H2O") for _ in range(n)]
    for atoms in starts:
        atoms.set_constraint(constraint)
    return starts


@pytest.mark.parametrize(
    ("ensemble", "thermostat"),
    [("langevin", "local"), ("langevin", "global"), ("pimd", "local"), ("pimd", "global"),
     ("trpmd", "local"), ("rpmd", "local")],
)  # fmt: skip
def test_stopped_and_continued_equal_the_uninterrupted(
    potential, tmp_path, ensemble, thermostat
) -> None:
    beads = None if ensemble == "langevin" else 4
    config = ReplicaConfig(
        steps=24, ensemble=ensemble, beads=beads, thermostat=thermostat, timestep=0.25,
        friction=0.1, record=("dipole", "dipole_flux"), stride=3, energy_stride=2,
        position_stride=2, save_every=8,
        bead_stride=4 if beads else 0, heat_capacity=bool(beads), seed=5,
    )  # fmt: skip
    run_replicas(potential, _starts(2), config, trajectory=tmp_path / "whole.h5")

    def stop(step: int, note: str) -> None:
        if step == 11:
            os.kill(os.getpid(), signal.SIGTERM)

    parts = {"trajectory": tmp_path / "parts.h5"}
    first = run_replicas(potential, _starts(2), config, progress=stop, **parts)
    assert (first.step, first.completed) == (11, False)
    assert run_replicas(potential, _starts(2), config, restart=True, **parts).completed
    with (
        TrajectoryReader(tmp_path / "whole.h5") as whole,
        TrajectoryReader(tmp_path / "parts.h5") as continued,
    ):
        assert whole.names == continued.names
        assert ("bead_positions" in whole.names) == bool(beads)
        for name in whole.names:
            np.testing.assert_array_equal(whole.read(name), continued.read(name), err_msg=name)


def test_recorded_are_means_over_the_beads_and_the_centroid(potential, tmp_path) -> None:
    config = ReplicaConfig(
        steps=12, ensemble="trpmd", beads=6, timestep=0.25, stride=4, energy_stride=4,
        position_stride=4, bead_stride=4, record=("dipole", "polarizability"),
    )  # fmt: skip
    path = tmp_path / "ring.h5"
    result = run_replicas(potential, _starts(3), config, trajectory=path)
    calculator = PaiNNCalculator(potential, dtype="float64", backend="eager")
    with TrajectoryReader(path) as reader:
        beads = reader.read("bead_positions")
        assert beads.shape == (4, 3, 6, 3, 3)
        assert reader.system.n_beads == 6
        np.testing.assert_allclose(beads.mean(axis=2), reader.read("positions"), atol=1e-12)
        np.testing.assert_array_equal(beads[-1], result.beads)
        np.testing.assert_allclose(result.positions, result.beads.mean(axis=1), atol=1e-12)
        of_beads = []
        for frame in beads[2, 1]:
            atoms = molecule("H2O")
            atoms.positions[:] = frame
            atoms.calc = calculator
            of_beads.append((atoms.get_potential_energy(), atoms.get_dipole_moment(),
                             calculator.get_polarizability(atoms)))  # fmt: skip
        for name, k in (("potential_energy", 0), ("dipole", 1), ("polarizability", 2)):
            mean = np.mean([b[k] for b in of_beads], axis=0)
            np.testing.assert_allclose(reader.read(name)[2, 1], mean, rtol=1e-9, atol=1e-12)
        spread = np.sqrt(np.square(beads - beads.mean(axis=2, keepdims=True)).sum(-1).mean(2))
        np.testing.assert_allclose(reader.read("radius_of_gyration"), spread, atol=1e-12)


def test_the_flux_is_the_rate_of_the_mean_dipole(potential, tmp_path) -> None:
    config = ReplicaConfig(
        steps=8, ensemble="rpmd", beads=4, timestep=0.02, stride=1, record=("dipole", "dipole_flux")
    )
    run_replicas(potential, _starts(2), config, trajectory=tmp_path / "r.h5")
    with TrajectoryReader(tmp_path / "r.h5") as reader:
        dipole, flux = reader.read("dipole"), reader.read("dipole_flux")
    central = (dipole[2:] - dipole[:-2]) / 0.04 * 10.180506
    np.testing.assert_allclose(central, flux[1:-1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("ensemble", ["trpmd", "rpmd"])
def test_the_centroid_starts_without_rigid_motion_at_its_temperature(potential, ensemble) -> None:
    atoms = molecule("C2H6")
    config = ReplicaConfig(steps=0, ensemble=ensemble, beads=8, record=())
    result = run_replicas(potential, [atoms.copy() for _ in range(200)], config)
    masses = atoms.get_masses()
    momentum = np.einsum("i,kia->ka", masses, result.velocities)
    assert np.abs(momentum).max() < 1e-9
    arms = result.positions - atoms.get_center_of_mass()
    assert np.abs(angular_velocity(result.velocities, arms, masses)).max() < 1e-9
    assert result.degrees_of_freedom == 18
    assert result.temperature == pytest.approx(300.0, rel=0.02)
    kinetic = 0.5 * np.einsum("i,kia->k", masses, result.velocities**2).mean()
    assert kinetic == pytest.approx(9 * 8.617333e-5 * 300.0, rel=0.1)


@pytest.mark.parametrize("ensemble", ["trpmd", "rpmd"])
def test_the_centroid_is_kept_from_turning(potential, ensemble) -> None:
    atoms = molecule("H2CO")
    config = ReplicaConfig(
        steps=160, ensemble=ensemble, beads=8, timestep=0.25, record=(), energy_stride=4
    )
    masses = atoms.get_masses()

    def turn(result):
        center = np.einsum("i,kia->ka", masses, result.positions) / masses.sum()
        arms = result.positions - center[:, None]
        return np.abs(angular_velocity(result.velocities, arms, masses)).max()

    held = run_replicas(potential, [atoms.copy() for _ in range(4)], config)
    free = dataclasses.replace(config, rotation="keep")
    turning = run_replicas(potential, [atoms.copy() for _ in range(4)], free)
    assert turn(held) < 1e-10 < 1e-3 < turn(turning)
    momentum = np.einsum("i,kia->ka", masses, held.velocities)
    assert np.abs(momentum).max() < 1e-9
    assert abs(held.drift) < 5e-3


@pytest.mark.parametrize(
    ("constraint", "n"), [(FixAtoms([0]), 3), (FixCartesian([1], mask=(False, True, False)), 1)]
)
def test_held_coordinates_stay_in_all_beads(potential, constraint, n) -> None:
    for ensemble in ("pimd", "langevin"):
        beads = 6 if ensemble == "pimd" else None
        config = ReplicaConfig(steps=40, ensemble=ensemble, beads=beads, friction=0.1, record=())
        result = run_replicas(potential, _starts(2, constraint), config)
        still = np.all(result.beads == molecule("H2O").positions, axis=(0, 1))
        assert still.sum() == n
        assert result.degrees_of_freedom == 9 - n


def test_the_guard_looks_at_every_bead() -> None:
    model = random_potential(8, 1, 6, 4.0, dtype=torch.float64)
    model.spec = dataclasses.replace(model.spec, provenance={PROVENANCE_KEY: {"H-O": 0.9}})
    starts = _starts(2)
    beads = np.repeat(np.array([a.positions for a in starts])[:, None], 4, axis=1)
    beads[1, 2, 1] += 0.4 * (beads[1, 2, 0] - beads[1, 2, 1])
    config = ReplicaConfig(
        steps=10, ensemble="rpmd", beads=4, timestep=1e-3, record=(), guard="stop"
    )
    with pytest.raises(UnstableRunError, match="replica 1, bead 2, atoms"):
        run_replicas(model, starts, config, beads=beads)


def test_a_drift_that_spoils_spectra_is_told() -> None:
    config = ReplicaConfig(
        steps=400, ensemble="pimd", beads=4, timestep=1.6, record=(), guard="off", friction=0.05
    )
    with pytest.warns(PaiNNWarning, match="conserved energy of the ring polymers drifts"):
        run_replicas(PaiNNCalculator("water"), _starts(8), config)


def test_beads_go_on_where_an_earlier_run_left_them(potential) -> None:
    config = ReplicaConfig(steps=20, ensemble="pimd", beads=4, record=())
    first = run_replicas(potential, _starts(2), config)
    start = dataclasses.replace(config, steps=0, ensemble="trpmd")
    again = run_replicas(potential, _starts(2), start, beads=first.beads)
    np.testing.assert_array_equal(again.beads, first.beads)
    with pytest.raises(GeometryError, match=r"\(2, 4, 3, 3\) are wanted"):
        run_replicas(potential, _starts(2), start, beads=first.beads[:, :2])


def test_averages_of_a_run_are_those_of_its_frames(potential, tmp_path) -> None:
    config = ReplicaConfig(
        steps=60, ensemble="pimd", beads=4, record=(), energy_stride=2, heat_capacity=True
    )
    run_replicas(potential, _starts(3), config, trajectory=tmp_path / "p.h5")
    found = quantum_averages(tmp_path / "p.h5", skip=0.010)
    with TrajectoryReader(tmp_path / "p.h5") as reader:
        late = reader.times("temperature") >= 10.0
        potential_energy = reader.read("potential_energy")[late]
        kinetic, curvature = (reader.read(n)[late] for n in ("kinetic_virial", "virial_curvature"))
        gyration = reader.read("radius_of_gyration")[late]
    assert found.potential.value == pytest.approx(potential_energy.mean(), rel=0.05)
    np.testing.assert_allclose(found.kinetic_by_atom, kinetic.mean(axis=(0, 1)))
    np.testing.assert_allclose(found.radius_of_gyration**2, np.mean(gyration**2, axis=(0, 1)))
    assert found.energy.value == pytest.approx(found.potential.value + found.kinetic.value)
    virial = potential_energy + kinetic.sum(axis=2)
    kt = 8.617333e-5 * 300.0
    capacity = 8.617333e-5 * (4.5 + virial.var() / kt**2 - curvature.mean() / kt)
    assert found.heat_capacity.value == pytest.approx(capacity, rel=0.2)
    assert found.n_beads == 4
    with pytest.raises(TrajectoryError, match="energies after 1 ps"):
        quantum_averages(tmp_path / "p.h5", skip=1.0)


@pytest.mark.parametrize("ensemble", ["nve", "trpmd"])
def test_copies_are_not_evaluated_as_if_they_were_one(potential, tmp_path, ensemble) -> None:
    beads = 4 if ensemble == "trpmd" else None
    config = ReplicaConfig(
        steps=2, ensemble=ensemble, beads=beads, record=("dipole",), stride=1, position_stride=1
    )
    path = tmp_path / "k.h5"
    run_replicas(potential, _starts(2), config, trajectory=path)
    with pytest.raises(TrajectoryError, match="ring polymers" if beads else "2 replicas"):
        annotate_trajectory(PaiNNCalculator(potential), path, tmp_path / "e.h5")
    if beads:  # the temperature of a spectrum is the settings', not that of three momenta
        assert read_time_series(path).temperature == 300.0


def test_averages_need_ring_polymers(potential, tmp_path) -> None:
    run_replicas(
        potential, _starts(1), ReplicaConfig(steps=4, record=()), trajectory=tmp_path / "n.h5"
    )
    with pytest.raises(TrajectoryError, match="holds no ring polymers"):
        quantum_averages(tmp_path / "n.h5")


@pytest.mark.parametrize(
    "wrong",
    [{"ensemble": "magic"}, {"beads": 4}, {"ensemble": "pimd", "beads": 0}, {"bead_stride": 2},
     {"ensemble": "langevin", "heat_capacity": True}, {"thermostat": "warm"}, {"temperature": 0.0},
     {"thermostat": "global"}, {"thermostat": "global", "ensemble": "trpmd"},
     {"thermostat": "global", "ensemble": "rpmd"}],
)  # fmt: skip
def test_what_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(SpecError):
        ReplicaConfig(steps=1, **wrong)


def test_another_number_of_beads_is_another_run(potential, tmp_path) -> None:
    config = ReplicaConfig(steps=2, ensemble="pimd", beads=4, record=())
    run_replicas(potential, _starts(2), config, state=tmp_path / "s.npz")
    other = dataclasses.replace(config, beads=8)
    with pytest.raises(TrajectoryError, match="beads was 4, is 8"):
        run_replicas(potential, _starts(2), other, state=tmp_path / "s.npz", restart=True)
