"""Forces of another program beside the dipoles of a model."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.optimize import BFGS

from painn_ase.calculator import PaiNNCalculator
from painn_ase.driven import DrivenCalculator
from painn_ase.errors import TrajectoryError, UnsupportedPropertyError
from painn_ase.md import ReplicaConfig, run_replicas
from painn_ase.spectra import harmonic
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader

HEADS = ("energy", "dipole", "polarizability")


@pytest.fixture(scope="module")
def model() -> PaiNNCalculator:
    return PaiNNCalculator(random_potential(16, 2, 8, 4.0, heads=HEADS), dtype="float64")


def _starts(n: int) -> list:
    rng = np.random.default_rng(5)
    starts = []
    for _ in range(n):
        atoms = molecule("CH3OH")
        atoms.set_velocities(0.01 * rng.normal(size=(len(atoms), 3)))
        starts.append(atoms)
    return starts


@pytest.mark.parametrize("ensemble", ["nve", "trpmd"])
def test_replicas_driven_from_outside_are_those_of_the_model(model, ensemble, tmp_path) -> None:
    config = ReplicaConfig(
        steps=12,
        timestep=0.1,
        ensemble=ensemble,
        beads=1 if ensemble == "nve" else 3,
        record=("dipole_flux",),
        stride=2,
    )
    inside = run_replicas(model, _starts(3), config, trajectory=tmp_path / "a.h5")
    driven = DrivenCalculator(model, model, name="itself")
    outside = run_replicas(driven, _starts(3), config, trajectory=tmp_path / "b.h5")
    np.testing.assert_allclose(outside.beads, inside.beads, atol=1e-10)
    with TrajectoryReader(tmp_path / "a.h5") as one, TrajectoryReader(tmp_path / "b.h5") as two:
        np.testing.assert_allclose(two.read("dipole_flux"), one.read("dipole_flux"), atol=1e-10)
        assert two.provenance["driver"]["driver"] == "itself"
        assert "driver" not in one.provenance


def test_replicas_go_on_with_the_same_driver_only(model, tmp_path) -> None:
    config = ReplicaConfig(steps=6, timestep=0.1, record=("dipole_flux",), stride=2)
    longer = ReplicaConfig(steps=12, timestep=0.1, record=("dipole_flux",), stride=2)
    path = tmp_path / "a.h5"
    lj = DrivenCalculator(LennardJones(sigma=1.0, epsilon=0.01), model)
    run_replicas(lj, _starts(2), config, trajectory=path)
    for other in (
        model,
        DrivenCalculator(EMT(), model),
        DrivenCalculator(LennardJones(sigma=1.0, epsilon=0.02), model),
    ):
        with pytest.raises(TrajectoryError, match="other driver"):
            run_replicas(other, _starts(2), longer, trajectory=path, restart=True)
    parts = run_replicas(lj, _starts(2), longer, trajectory=path, restart=True)
    whole = run_replicas(lj, _starts(2), longer)
    np.testing.assert_array_equal(parts.positions, whole.positions)


def test_modes_have_intensities_of_the_drivers_own_dipoles(model) -> None:
    class Foreign(EMT):  # a program that gives forces and dipoles, and no derivatives
        implemented_properties = ("energy", "forces", "dipole", "polarizability")

        def get_property(self, name, atoms=None, allow_calculation=True):
            return water.get_property(name, atoms, allow_calculation)

    water = PaiNNCalculator("water", dtype="float64")
    atoms = molecule("H2O")
    atoms.calc = water
    BFGS(atoms, logfile=None).run(fmax=1e-5)
    own, foreign = harmonic(atoms), harmonic(atoms, DrivenCalculator(Foreign()))
    np.testing.assert_allclose(foreign.frequencies, own.frequencies, atol=0.3)
    np.testing.assert_allclose(foreign.infrared, own.infrared, rtol=2e-3, atol=0.02)
    np.testing.assert_allclose(foreign.raman, own.raman, rtol=2e-3, atol=0.02)


def test_copies_without_a_model_are_refused() -> None:
    with pytest.raises(UnsupportedPropertyError, match="--response"):
        run_replicas(DrivenCalculator(EMT()), _starts(1), ReplicaConfig(steps=1, timestep=0.1))
