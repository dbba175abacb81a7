"""The statistics of the long runs: tests that pass what is right and catch what is wrong."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from long_truth import chi_square_of_kinetic_energy, effective_samples, nve, thermostat, timestep

from painn_ase.models.catalog import bundled_models
from painn_ase.units import boltzmann_constant

needs_ethanol = pytest.mark.skipif("ethanol" not in bundled_models(), reason="no bundled ethanol")


def test_autocorrelation_time_of_a_known_process() -> None:
    rng = np.random.default_rng(0)
    memory, x = 0.9, np.zeros(200_000)
    noise = rng.normal(size=len(x))
    for n in range(1, len(x)):
        x[n] = memory * x[n - 1] + noise[n]
    tau, _ = effective_samples(x)
    assert tau == pytest.approx(0.5 * (1 + memory) / (1 - memory), rel=0.1)


def test_chi_square_accepts_the_canonical_distribution_and_no_other() -> None:
    rng = np.random.default_rng(1)
    thermal = 0.5 * boltzmann_constant * 300.0 * rng.chisquare(24, size=4000)
    assert chi_square_of_kinetic_energy(thermal, 24, 300.0)["p_value"] > 0.01
    assert chi_square_of_kinetic_energy(1.05 * thermal, 24, 300.0)["p_value"] < 1e-4
    narrow = thermal.mean() + 0.7 * (thermal - thermal.mean())  # Berendsen's error
    assert chi_square_of_kinetic_energy(narrow, 24, 300.0)["p_value"] < 1e-4


def options(experiment: str, steps: int) -> SimpleNamespace:
    return SimpleNamespace(
        experiment=experiment, steps=steps, frames=40, seconds=1e9, model=None, output=None
    )


@needs_ethanol
def test_energy_error_falls_with_the_square_of_the_time_step() -> None:
    assert timestep(options("timestep", 600))["slope"] == pytest.approx(2.0, abs=0.25)


@needs_ethanol
@pytest.mark.slow
def test_a_hundred_thousand_steps_do_not_drift() -> None:
    report = nve(options("nve", 100_000))
    allowed = 4.0 * report["its_standard_error"] + 1.0
    assert abs(report["drift_meV_per_atom_and_ns"]) < allowed
    assert report["momentum_per_atom_relative_to_thermal"] < 1e-6


@needs_ethanol
@pytest.mark.slow
@pytest.mark.parametrize("ensemble", ["baoab", "langevin", "bussi"])
def test_thermostats_give_the_canonical_ensemble(ensemble: str) -> None:
    report = thermostat(options(ensemble, 100_000))
    assert report["kinetic_energy"]["p_value"] > 1e-3
    known = report["configurational"]
    assert abs(known["temperature_K"] - 300.0) < 4.0 * known["error_K"] + 3.0
