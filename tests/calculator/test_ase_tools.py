"""ASE's own tools on top of the calculator, each against an independent way to the same number."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.calculators.mixing import SumCalculator
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.mep import NEB
from ase.optimize import BFGS
from ase.phonons import Phonons
from ase.vibrations import Infrared, Vibrations
from ase.vibrations.placzek import PlaczekStatic
from ase.vibrations.raman import StaticRamanCalculator

from painn_ase.calculator import PaiNNCalculator, StaticPolarizability
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import EnergySpec
from painn_ase.testing import random_atoms, random_potential
from painn_ase.units import (
    angstrom3_to_e2_angstrom2_per_ev,
    e2_angstrom2_per_ev_to_angstrom3,
    e2_per_amu_to_km_per_mol,
    sqrt_ev_per_angstrom2_amu_to_invcm,
)

HEADS = ("energy", "dipole", "polarizability")


class Springs(Calculator):
    """Pairwise springs at the starting distances: makes the start of a random model a minimum."""

    implemented_properties = ("energy", "forces")

    def __init__(self, atoms: Atoms, stiffness: float) -> None:
        super().__init__()
        self.lengths, self.stiffness = atoms.get_all_distances(), stiffness

    def calculate(self, atoms=None, properties=(), system_changes=()) -> None:
        r = atoms.positions[:, None] - atoms.positions
        d = np.linalg.norm(r, axis=-1) + np.eye(len(atoms))
        stretch = (d - self.lengths - np.eye(len(atoms))) * (1 - np.eye(len(atoms)))
        pull = self.stiffness * stretch / d
        self.results = {
            "energy": 0.25 * self.stiffness * (stretch**2).sum(),
            "forces": -(pull[..., None] * r).sum(axis=1),
        }


def gentle(**options) -> AtomisticPotential:
    """A random model whose forces are small beside a bond's."""
    random = random_potential(8, 2, 6, 4.0, dtype=torch.float64, heads=HEADS, **options)
    heads = dataclasses.replace(random.spec.heads, energy=EnergySpec(scale=0.02))
    potential = AtomisticPotential(dataclasses.replace(random.spec, heads=heads)).double()
    potential.load_state_dict(random.state_dict())
    return potential.eval().requires_grad_(False)


class Molecular(PaiNNCalculator):
    """The model with springs, so that it has vibrations; responses are the model's."""

    def __init__(self, potential, atoms: Atoms) -> None:
        super().__init__(potential, device="cpu", backend="eager")
        self.springs = Springs(atoms, 30.0)

    def calculate(self, atoms=None, properties=("energy",), system_changes=()) -> None:
        super().calculate(atoms, properties, system_changes)
        for name in ("energy", "forces"):
            if name in self.results and name in properties:
                self.results[name] = self.results[name] + self.springs.get_property(name, atoms)


@pytest.fixture
def water(tmp_path, monkeypatch) -> Atoms:
    monkeypatch.chdir(tmp_path)
    atoms = molecule("H2O")
    atoms.calc = Molecular(gentle(), atoms)
    BFGS(atoms, logfile=None).run(fmax=1e-6, steps=200)
    return atoms


def hessian_of(atoms: Atoms, step: float = 1e-4) -> np.ndarray:
    """Second derivatives by central differences of forces, independent of ASE's."""
    rows = []
    for k in range(3 * len(atoms)):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions.ravel()[k] += sign * step
            forces.append(moved.get_forces().ravel())
        rows.append((forces[1] - forces[0]) / (2 * step))
    return 0.5 * (np.array(rows) + np.array(rows).T)


def modes_of(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers (cm⁻¹) and displacements (n_modes, n_atoms, 3) per √amu, from our Hessian."""
    weights = np.repeat(atoms.get_masses() ** -0.5, 3)
    values, vectors = np.linalg.eigh(weights[:, None] * hessian_of(atoms) * weights)
    waves = np.sign(values) * np.sqrt(np.abs(values)) * sqrt_ev_per_angstrom2_amu_to_invcm
    return waves, (vectors * weights[:, None]).T.reshape(-1, len(atoms), 3)


def test_infrared_of_ase_agrees_with_born_charges_and_hessian(water) -> None:
    born = water.calc.get_born_charges(water)
    waves, modes = modes_of(water)
    expected = (np.einsum("iab,kib->ka", born, modes) ** 2).sum(axis=1) * e2_per_amu_to_km_per_mol
    infrared = Infrared(water, delta=0.002, nfree=4)
    infrared.run()
    ours, theirs = waves[6:], infrared.get_frequencies().real[6:]
    np.testing.assert_allclose(theirs, ours, rtol=1e-4)
    in_km_per_mol = infrared.intensities[6:] * 42.255  # (D/Å)²/amu, ASE's own constant in Infrared
    np.testing.assert_allclose(in_km_per_mol, expected[6:], rtol=2e-3)


def test_static_raman_of_ase_agrees_with_derivatives_of_the_polarizability(water) -> None:
    slopes = water.calc.get_polarizability_derivatives(water)
    _, modes = modes_of(water)
    slopes = np.einsum("icab,kic->kab", slopes, modes)[6:]
    StaticRamanCalculator(water, StaticPolarizability(water.calc), name="r", delta=0.002).run()
    raman = PlaczekStatic(water, name="r", delta=0.002)
    mean = np.einsum("kaa->k", slopes) / 3
    anisotropy = 1.5 * ((slopes - mean[:, None, None] * np.eye(3)) ** 2).sum(axis=(1, 2))
    expected = 45 * mean**2 + 7 * anisotropy
    given = raman.get_absolute_intensities()[-3:]
    # ASE takes the polarizability for atomic units: e²Å²/eV times Hartree·Bohr, squared; the
    # displacement for Å/√amu.
    np.testing.assert_allclose(given / (units.Hartree * units.Bohr) ** 2, expected, rtol=2e-3)


def test_conversion_of_a_polarizability_to_a_volume() -> None:
    """Water: 1.45 Å³ is 9.785 in atomic units (Bohr³)."""
    assert e2_angstrom2_per_ev_to_angstrom3 == pytest.approx(units.Hartree * units.Bohr, rel=1e-7)
    volume = 9.785 * units.Bohr**3
    alpha = volume * angstrom3_to_e2_angstrom2_per_ev
    assert alpha == pytest.approx(9.785 * units.Bohr**2 / units.Hartree, rel=1e-7)
    assert alpha * e2_angstrom2_per_ev_to_angstrom3 == pytest.approx(1.45, abs=0.001)


def test_vibrations_of_ase_agree_with_the_hessian(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    atoms = molecule("H2O")
    atoms.calc = PaiNNCalculator(gentle(), device="cpu")
    vibrations = Vibrations(atoms, delta=1e-4, nfree=4)
    vibrations.run()
    given = vibrations.get_vibrations().get_hessian()
    np.testing.assert_allclose(given, atoms.calc.get_hessian(atoms), atol=1e-6)


def crystal(seed: int = 0) -> Atoms:
    atoms = random_atoms(4, pbc=True, spacing=1.4, seed=seed)
    random = random_potential(8, 2, 6, 4.0, dtype=torch.float64, seed=seed)
    atoms.calc = PaiNNCalculator(random, device="cpu")
    return atoms


def test_a_strain_filter_relaxes_towards_less_stress_and_enthalpy() -> None:
    atoms = crystal()
    volume, pressure = atoms.get_volume(), 5.0
    before = atoms.get_potential_energy() + pressure * volume
    BFGS(FrechetCellFilter(atoms, scalar_pressure=pressure), logfile=None, maxstep=0.01).run(
        steps=5
    )
    assert atoms.get_potential_energy() + pressure * atoms.get_volume() < before
    assert atoms.get_volume() != volume


def test_pressure_is_the_slope_of_an_equation_of_state() -> None:
    atoms = crystal()
    pressure = -atoms.get_stress()[:3].mean()
    volumes, energies = [], []
    for scale in np.linspace(0.999, 1.001, 7):
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * scale, scale_atoms=True)
        scaled.calc = atoms.calc
        volumes.append(scaled.get_volume())
        energies.append(scaled.get_potential_energy())
    fit = np.polynomial.Polynomial.fit(volumes, energies, 3)
    assert -fit.deriv()(atoms.get_volume()) == pytest.approx(pressure, rel=1e-5)
    assert EquationOfState(volumes, energies, eos="sj").fit(warn=False) is not None


def test_phonons_of_ase_run_and_the_acoustic_ones_vanish_at_gamma(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    atoms = random_atoms(2, pbc=True, spacing=2.2, seed=3)
    calc = PaiNNCalculator(random_potential(8, 2, 6, 2.5, dtype=torch.float64), device="cpu")
    phonons = Phonons(atoms, calc, supercell=(2, 2, 2), delta=0.005)
    phonons.run()
    phonons.read(acoustic=True)
    energies = phonons.band_structure([[0, 0, 0]], verbose=False)
    assert (np.sort(np.abs(energies[0]))[:3] < 1e-4).all()


def band_of(shared: bool) -> NEB:
    start, end = molecule("NH3"), molecule("NH3")
    end.positions[0] += [0.0, 0.0, -0.8]
    images = [start, *(start.copy() for _ in range(3)), end]
    potential = gentle()
    calc = PaiNNCalculator(potential, device="cpu")
    for image in images:
        image.calc = calc if shared else PaiNNCalculator(potential, device="cpu")
    band = NEB(images, allow_shared_calculator=True, method="aseneb")
    band.interpolate()
    return band


def test_one_calculator_serves_all_images_of_a_nudged_elastic_band() -> None:
    shared, separate = band_of(True), band_of(False)
    for band in (shared, separate):
        BFGS(band, logfile=None).run(fmax=1e-3, steps=5)
    np.testing.assert_allclose(shared.get_forces(), separate.get_forces(), atol=1e-10)
    np.testing.assert_allclose(shared.get_positions(), separate.get_positions(), atol=1e-10)


def test_a_sum_with_another_calculator_adds_up() -> None:
    atoms = molecule("H2O")
    model, springs = PaiNNCalculator(gentle(), device="cpu"), Springs(molecule("H2O"), 5.0)
    atoms.positions *= 1.05
    both = SumCalculator([model, springs]).get_forces(atoms)
    np.testing.assert_allclose(
        both, model.get_forces(atoms) + springs.get_forces(atoms), atol=1e-12
    )
