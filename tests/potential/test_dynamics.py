"""Energy conservation: forces are the derivative of the energy, step after step."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.calculators.mixing import SumCalculator
from ase.md.verlet import VelocityVerlet

from painn_ase.calculator import PaiNNCalculator
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import EnergySpec
from painn_ase.testing import random_potential


class Springs(Calculator):
    """Each atom tied to its place: a random model alone would let a molecule collapse."""

    implemented_properties = ("energy", "forces")

    def __init__(self, places: np.ndarray) -> None:
        super().__init__()
        self.places = places

    def calculate(self, atoms=None, properties=(), system_changes=()) -> None:
        away = atoms.positions - self.places
        self.results = {"energy": 2.0 * (away**2).sum(), "forces": -4.0 * away}


def moving_molecule() -> Atoms:
    random = random_potential(8, 2, 6, 5.0, dtype=torch.float64, seed=1)
    heads = dataclasses.replace(random.spec.heads, energy=EnergySpec(scale=0.2))
    potential = AtomisticPotential(dataclasses.replace(random.spec, heads=heads)).double()
    potential.load_state_dict(random.state_dict())
    atoms = molecule("CH3OH")
    model = PaiNNCalculator(potential, device="cpu")
    atoms.calc = SumCalculator([model, Springs(atoms.positions.copy())])
    momenta = np.random.default_rng(0).normal(size=(len(atoms), 3))
    atoms.set_momenta(np.sqrt(atoms.get_masses() * 100 * units.kB)[:, None] * momenta)
    return atoms


def energies_along(time_step: float, duration: float = 30.0) -> np.ndarray:
    """Total energy (eV) at the same times for every time step (fs)."""
    atoms, energies = moving_molecule(), []
    dynamics = VelocityVerlet(atoms, time_step * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()), round(0.4 / time_step))
    dynamics.run(round(duration / time_step))
    return np.array(energies)


def test_the_energy_error_of_velocity_verlet_is_of_second_order_in_the_time_step() -> None:
    errors = np.array([np.abs(e - e[0]).max() for e in map(energies_along, (0.4, 0.2, 0.1))])
    assert errors[-1] < 1e-4
    np.testing.assert_allclose(errors[:-1] / errors[1:], 4.0, rtol=0.1)


def test_forces_of_the_model_alone_conserve_momentum() -> None:
    atoms = moving_molecule()
    atoms.calc = atoms.calc.mixer.calcs[0]
    before = atoms.get_momenta().sum(axis=0)
    VelocityVerlet(atoms, 0.1 * units.fs).run(50)
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), before, atol=1e-10)
