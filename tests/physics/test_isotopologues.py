"""Isotopologues of ions: the dipole counts from the centre of mass of the atoms as they move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.optimize import BFGS

from painn_ase.calculator import PaiNNCalculator
from painn_ase.evaluation import evaluate
from painn_ase.spectra import harmonic
from painn_ase.testing import random_potential
from painn_ase.vibrations import compare_with_ase

BACKENDS = ("fused", "eager")
MOLECULAR = ("energy", "dipole", "polarizability")


@pytest.fixture(scope="module")
def potential():
    return random_potential(8, 2, 6, 4.0, heads=MOLECULAR, dtype=torch.float64)


def hdo() -> Atoms:
    atoms = molecule("H2O")
    atoms.rotate(50, (1.0, 2.0, -0.5))
    atoms.set_masses([15.999, 2.014, 1.008])
    return atoms


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_ion_that_turns_about_its_centre_of_mass_only_turns_its_dipole(
    potential, backend: str
) -> None:
    atoms, omega = hdo(), np.array([0.3, -0.2, 0.5])
    calc = PaiNNCalculator(potential, charge=1.0, backend=backend)
    turning = np.cross(omega, atoms.positions - atoms.get_center_of_mass())
    expected = np.cross(omega, calc.get_dipole_moment(atoms))
    np.testing.assert_allclose(calc.get_dipole_flux(atoms, turning), expected, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_isotope_moves_an_ions_dipole_by_its_charge_times_the_shift_of_the_centre(
    potential, backend: str
) -> None:
    atoms, calc = hdo(), PaiNNCalculator(potential, charge=2.0, backend=backend)
    plain = atoms.copy()
    plain.set_masses("defaults")
    shift = atoms.get_center_of_mass() - plain.get_center_of_mass()
    before = calc.get_dipole_moment(plain)
    assert calc.check_state(atoms) == ["masses"]  # a change that the cache must see
    np.testing.assert_allclose(calc.get_dipole_moment(atoms), before - 2.0 * shift, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_neutral_dipoles_and_every_polarizability_know_no_isotope(potential, backend: str) -> None:
    atoms, calc = hdo(), PaiNNCalculator(potential, backend=backend)
    plain = atoms.copy()
    plain.set_masses("defaults")
    velocities = np.random.default_rng(0).normal(size=(3, 3))
    here, there = (calc.get_fluxes(a, velocities) for a in (atoms, plain))
    for name in ("dipole", "dipole_flux", "polarizability", "polarizability_flux"):
        np.testing.assert_allclose(here[name], there[name], atol=1e-12, err_msg=name)


def test_a_batch_of_isotopologues_gives_what_each_gives_alone(potential) -> None:
    heavy, plain = hdo(), hdo()
    plain.set_masses("defaults")
    for atoms in (heavy, plain):
        atoms.set_velocities(np.random.default_rng(1).normal(size=(3, 3)))
    calc = PaiNNCalculator(potential, charge=1.0)
    names = ("dipole", "dipole_flux", "polarizability")
    for atoms, found in zip((heavy, plain), evaluate(calc, [heavy, plain], names), strict=True):
        alone = calc.get_fluxes(atoms)
        for name in names:
            np.testing.assert_allclose(found[name], alone[name], atol=1e-12, err_msg=name)


def test_infrared_intensities_of_an_ions_isotopologue_are_those_of_dipoles_by_displacement() -> (
    None
):
    """ASE displaces atoms and takes dipoles, which shift by −Q times the centre of mass; its modes
    leave that centre where it is, so nothing of it may remain. About the standard masses' centre
    the same displacements gave 298.0 and 110.9 km/mol.
    """
    atoms = molecule("H2O")
    atoms.calc = PaiNNCalculator("water", charge=1, dtype="float64")
    BFGS(atoms, logfile=None).run(fmax=1e-4)
    atoms.set_masses([15.999, 1.008, 2.014])
    expected = [284.82, 87.97, 232.34]
    np.testing.assert_allclose(harmonic(atoms).infrared, expected, atol=0.02)
    np.testing.assert_allclose(compare_with_ase(atoms).ase_intensities, expected, atol=0.03)
