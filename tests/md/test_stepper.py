"""A stepper is its equations of motion, and constraints, identity and limits hold for a batch."""

from __future__ import annotations

import copy
import dataclasses

import ase.units
import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.constraints import FixAtoms, FixBondLengths, FixCartesian, FixCom

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import GeometryError, TrajectoryError, UnstableRunError
from painn_ase.md import MDConfig, run_md
from painn_ase.md.replicas import ReplicaConfig, run_replicas
from painn_ase.md.stepper import BatchState, Copies, VelocityVerlet
from painn_ase.md.velocities import draw_velocities
from painn_ase.models import load_model
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader


@pytest.fixture(scope="module")
def potential():
    return random_potential(8, 1, 6, 4.0, dtype=torch.float64)


def _starts(n: int, constraints=(), temperature: float = 300.0):
    rng = np.random.default_rng(3)
    starts = []
    for _ in range(n):
        atoms = molecule("H2CO")
        atoms.set_velocities(draw_velocities(atoms.get_masses(), temperature, rng))
        atoms.set_constraint(list(constraints))
        starts.append(atoms)
    return starts


def _springs(positions):
    energy = 0.5 * (positions.reshape(2, -1).square() * 7.0).sum(dim=1)
    return energy, -7.0 * positions


def test_velocity_verlet_is_kick_drift_kick_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    masses = np.array([1.008, 15.999, 12.011])
    x, v = rng.standard_normal((2, 6, 3))
    copies = Copies(2, masses, np.zeros((3, 3), dtype=bool), 9)
    dt = 0.5 * ase.units.fs
    stepper = VelocityVerlet(copies, dt, torch.device("cpu"))
    energy, forces = _springs(torch.tensor(x))
    state = BatchState(torch.tensor(x), torch.tensor(v), forces, energy)
    m = np.tile(masses, 2)[:, None]
    for _ in range(50):
        stepper.step(state, _springs)
        v = v + 0.5 * dt * (-7.0 * x) / m
        x = x + dt * v
        v = v + 0.5 * dt * (-7.0 * x) / m
    np.testing.assert_array_equal(state.positions.numpy(), x)
    np.testing.assert_array_equal(state.velocities.numpy(), v)


@pytest.mark.parametrize(
    ("constraints", "held"),
    [([FixAtoms([0, 2])], 6), ([FixCartesian([1, 3], mask=(True, False, True))], 4)],
)
def test_held_coordinates_stay_and_are_not_counted(potential, constraints, held) -> None:
    starts = _starts(3, constraints)
    config = ReplicaConfig(steps=30, record=(), energy_stride=1)
    result = run_replicas(potential, starts, config)
    single = starts[1].copy()
    single.calc = PaiNNCalculator(potential, dtype="float64", backend="eager")
    run_md(single, MDConfig(steps=30, velocities="keep"))
    np.testing.assert_allclose(result.positions[1], single.positions, atol=1e-10)
    np.testing.assert_allclose(result.velocities[1], single.get_velocities(), atol=1e-9)
    assert result.degrees_of_freedom == 12 - held
    before = np.array([a.positions for a in starts])
    assert np.sum(np.all(result.positions == before, axis=0)) == held
    assert abs(result.drift) < 1e-2


def test_the_constraint_that_holds_the_centre_of_mass_is_obeyed(potential) -> None:
    result = run_replicas(potential, _starts(2, [FixCom()]), ReplicaConfig(steps=10, record=()))
    momentum = np.einsum("i,kia->ka", molecule("H2CO").get_masses(), result.velocities)
    assert np.abs(momentum).max() < 1e-10


@pytest.mark.parametrize(
    "constraints", [[FixBondLengths([(0, 1)])], [FixCom(), FixAtoms([0])]], ids=["bond", "both"]
)
def test_other_constraints_are_refused_by_name(potential, constraints) -> None:
    with pytest.raises(GeometryError, match="FixBondLengths|FixCom together"):
        run_replicas(potential, _starts(2, constraints), ReplicaConfig(steps=1, record=()))


def test_starts_of_another_system_are_refused_by_what_differs(potential) -> None:
    def change(what, edit):
        starts = _starts(3)
        edit(starts[2])
        with pytest.raises(GeometryError, match=f"replica 2 differs from the first in its {what}"):
            run_replicas(potential, starts, ReplicaConfig(steps=1, record=()))

    change("atoms", lambda a: a.set_atomic_numbers([8, 6, 1, 6]))
    change("masses", lambda a: a.set_masses([16, 12, 2, 1]))
    change("cell", lambda a: a.set_cell([9, 9, 9]))
    change("periodicity", lambda a: a.set_pbc(True))
    change("total charge", lambda a: a.info.update(charge=1.0))
    change("constraints", lambda a: a.set_constraint(FixAtoms([0])))


def test_a_restart_of_another_system_is_refused_by_what_differs(potential, tmp_path) -> None:
    config = ReplicaConfig(steps=2, record=())
    state = tmp_path / "k.npz"
    run_replicas(potential, _starts(2), config, state=state)
    heavy, fixed = _starts(2), _starts(2, [FixAtoms([0])])
    for atoms in heavy:
        atoms.set_masses([15.999, 12.011, 2.014, 2.014])
    charged = _starts(2)
    for atoms in charged:
        atoms.info["charge"] = -1
    boxed, periodic = _starts(2), _starts(2)
    for atoms in boxed:
        atoms.cell = [15.0, 15.0, 15.0]
    for atoms in periodic:
        atoms.pbc = True
    for starts, what in (
        (charged, "total charge"),
        (heavy, "masses"),
        (fixed, "constraints"),
        (boxed, "cell"),
        (periodic, "periodicity"),
        (_starts(3), "number of rep"),
    ):
        with pytest.raises(TrajectoryError, match=what):
            run_replicas(potential, starts, config, state=state, restart=True)
    other = random_potential(8, 1, 6, 4.0, dtype=torch.float64, seed=3)
    with pytest.raises(TrajectoryError, match="another model"):
        run_replicas(other, _starts(2), config, state=state, restart=True)
    rescaled = copy.deepcopy(potential)
    rescaled.spec = dataclasses.replace(potential.spec, description="another unit")
    with pytest.raises(TrajectoryError, match="another model: other description"):
        run_replicas(rescaled, _starts(2), config, state=state, restart=True)
    longer = dataclasses.replace(config, timestep=0.25)
    with pytest.raises(TrajectoryError, match=r"timestep was 0\.5, is 0\.25"):
        run_replicas(potential, _starts(2), longer, state=state, restart=True)


def test_a_conserved_energy_that_strays_stops_the_batch(potential) -> None:
    config = ReplicaConfig(steps=200, timestep=2.5, record=(), energy_stride=1, max_drift=1e-5)
    with pytest.raises(UnstableRunError, match="max_drift"):
        run_replicas(potential, _starts(2, temperature=3000.0), config)


@pytest.mark.parametrize("stated", ["model", "structure", "argument", "calculator"])
@pytest.mark.parametrize("ensemble", ["nve", "pimd"])
def test_an_ions_flux_is_the_calculators_whoever_states_the_charge(
    tmp_path, stated, ensemble
) -> None:
    """Heavy water of charge +1: the flux of the neutral molecule is another by a factor."""
    model = load_model("water")
    atoms = molecule("H2O")
    atoms.set_masses([15.999, 2.014, 1.008])
    atoms.set_velocities(draw_velocities(atoms.get_masses(), 300.0, np.random.default_rng(1)))
    if stated == "model":
        model.spec = dataclasses.replace(model.spec, total_charge=1.0)
    if stated == "structure":
        atoms.info["charge"] = 1
    given = {"argument": 1.0}.get(stated)
    calculator = PaiNNCalculator(model, charge=1.0 if stated == "calculator" else None)
    beads = 4 if ensemble == "pimd" else None
    config = ReplicaConfig(
        steps=0, ensemble=ensemble, beads=beads, record=("dipole_flux",), position_stride=1,
    )  # fmt: skip
    run_replicas(calculator, [atoms], config, charge=given, trajectory=tmp_path / "r.h5")
    with TrajectoryReader(tmp_path / "r.h5") as reader:
        frame, flux = reader.atoms(0, 0), reader.read("dipole_flux")[0, 0]
        assert reader.provenance["replicas"]["charge"] == 1.0
    frame.info.pop("charge", None)
    exact = PaiNNCalculator(load_model("water"), charge=1.0)
    # Beads on top of each other: the mean of their fluxes is the flux of their mean motion.
    np.testing.assert_allclose(flux, exact.get_dipole_flux(frame), rtol=1e-4, atol=1e-5)
    neutral = PaiNNCalculator(load_model("water"), charge=0.0).get_dipole_flux(frame)
    assert np.abs(flux - neutral).max() > 1e-3
