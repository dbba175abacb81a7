"""f-sum rule: the mean square flux of thermal velocities is the sum of squared Born charges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import molecule

from painn_ase.calculator import PaiNNCalculator
from painn_ase.graph import collate, from_ase
from painn_ase.md.velocities import draw_velocities
from painn_ase.models import bundled_models
from painn_ase.testing import random_potential
from painn_ase.units import boltzmann_constant, e2_per_amu_to_km_per_mol


@pytest.mark.parametrize("head", ["dipole", "dipole:local"])
@pytest.mark.parametrize("seed", [0, 1])
def test_mean_square_flux_is_the_sum_over_born_charges_within_one_percent(head, seed) -> None:
    """N_A⟨|μ̇|²⟩/(12 ε0 c² kT) = N_A/(12 ε0 c²) Σ Z²/m for Maxwell–Boltzmann velocities."""
    potential = random_potential(16, 2, 8, 4.0, heads=("energy", head), seed=seed)
    atoms = molecule("H2CO")
    atoms.rattle(0.1, seed=seed)
    masses = atoms.get_masses()
    born = PaiNNCalculator(potential, dtype="float64").get_born_charges(atoms)
    expected = e2_per_amu_to_km_per_mol * np.sum(born**2 / masses[:, None, None])

    temperature, n_copies, squares = 400.0, 4000, []
    graph = collate([from_ase(atoms, potential.cutoff)] * n_copies)
    rng = np.random.default_rng(seed)
    for _ in range(8):
        velocities = draw_velocities(masses, temperature, rng, (n_copies,)).reshape(-1, 3)
        flux = potential(graph, ("dipole_flux",), torch.tensor(velocities)).dipole_flux
        squares.append(float(flux.square().sum(dim=1).mean()))
    measured = e2_per_amu_to_km_per_mol * np.mean(squares) / (boltzmann_constant * temperature)
    assert measured == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("model", "name"), [("water", "H2O"), ("ethanol", "CH3CH2OH")])
def test_bundled_models_obey_the_sum_rule_within_one_percent(model, name) -> None:
    """The same with trained models, by the backend that runs their dynamics."""
    if model not in bundled_models():
        pytest.skip(f"no bundled model {model}")
    calculator, atoms = PaiNNCalculator(model), molecule(name)
    masses, temperature, n_copies = atoms.get_masses(), 300.0, 200
    born = PaiNNCalculator(model, dtype="float64").get_born_charges(atoms)
    expected = e2_per_amu_to_km_per_mol * np.sum(born**2 / masses[:, None, None])
    graph = collate([from_ase(atoms, calculator.potential.cutoff)] * n_copies)
    rng, squares = np.random.default_rng(4), []
    for _ in range(100):
        velocities = draw_velocities(masses, temperature, rng, (n_copies,)).reshape(-1, 3)
        prediction = calculator.backends[0](graph, ("dipole_flux",), torch.tensor(velocities))
        squares.append(float(prediction.dipole_flux.square().sum(dim=1).mean()))
    measured = e2_per_amu_to_km_per_mol * np.mean(squares) / (boltzmann_constant * temperature)
    assert measured == pytest.approx(expected, rel=0.01)
