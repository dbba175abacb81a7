"""Conversions against ASE's constants, definitions and textbook values."""

from __future__ import annotations

import math

import pytest
from ase import units as ase_units

from painn_ase import units

#: ASE pins CODATA 2014, SciPy ships a later set.
CLOSE = {"rel": 4e-7}


def test_conversions_agree_with_those_of_ase() -> None:
    assert units.bohr_to_angstrom == pytest.approx(ase_units.Bohr, **CLOSE)
    assert units.hartree_to_ev == pytest.approx(ase_units.Hartree, **CLOSE)
    assert units.kcal_per_mol_to_ev == pytest.approx(ase_units.kcal / ase_units.mol, **CLOSE)
    assert units.kj_per_mol_to_ev == pytest.approx(ase_units.kJ / ase_units.mol, **CLOSE)
    assert units.debye_to_e_angstrom == pytest.approx(ase_units.Debye, **CLOSE)
    assert units.boltzmann_constant == pytest.approx(ase_units.kB, **CLOSE)
    assert units.fs_to_ase_time == pytest.approx(ase_units.fs, **CLOSE)
    assert 1.0 / units.ev_to_invcm == pytest.approx(ase_units.invcm, **CLOSE)
    assert 1.0 / units.ev_per_angstrom3_to_gpa == pytest.approx(ase_units.GPa, **CLOSE)


def test_the_coulomb_constant_is_hartree_times_bohr() -> None:
    product = units.hartree_to_ev * units.bohr_to_angstrom
    assert units.coulomb_constant == pytest.approx(product, rel=1e-8)


def test_a_polarizability_of_one_atomic_unit_is_one_cubic_bohr() -> None:
    atomic_unit = units.bohr_to_angstrom**2 / units.hartree_to_ev
    volume = atomic_unit * units.e2_angstrom2_per_ev_to_angstrom3
    assert volume == pytest.approx(units.bohr3_to_angstrom3, rel=1e-8)
    assert units.bohr3_to_e2_angstrom2_per_ev == pytest.approx(atomic_unit, rel=1e-8)


def test_one_debye_is_a_fifth_of_an_electron_angstrom() -> None:
    assert units.debye_to_e_angstrom == pytest.approx(0.2081943, rel=1e-6)


def test_a_spring_and_a_mass_give_a_wavenumber() -> None:
    """Carbon monoxide: k = 1902 N/m, μ = 6.857 amu, ω = 2170 cm⁻¹."""
    stiffness = 1902.0 / 16.02176634  # eV/Å²
    wavenumber = math.sqrt(stiffness / 6.8562) * units.sqrt_ev_per_angstrom2_amu_to_invcm
    assert wavenumber == pytest.approx(2170, rel=1e-3)


def test_a_dipole_slope_gives_an_absorption_in_km_per_mol() -> None:
    """1 (D/Å)²/amu is 42.2561 km/mol."""
    slope = units.debye_to_e_angstrom**2
    assert slope * units.e2_per_amu_to_km_per_mol == pytest.approx(42.2561, rel=1e-5)


def test_a_wavenumber_turns_once_in_its_period() -> None:
    period = 2 * math.pi / units.invcm_to_radians_per_fs  # fs for 1 cm⁻¹
    assert period == pytest.approx(33356.41, rel=1e-6)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ("e2_angstrom2_per_ev_to_angstrom3", "angstrom3_to_e2_angstrom2_per_ev"),
        ("ase_time_to_fs", "fs_to_ase_time"),
        ("ase_time_to_fs", "per_ase_time_to_per_fs"),
    ],
)
def test_there_and_back_is_one(there: str, back: str) -> None:
    assert getattr(units, there) * getattr(units, back) == pytest.approx(1.0, rel=1e-15)


def test_every_unit_is_a_positive_float() -> None:
    values = [v for k, v in vars(units).items() if "_to_" in k or k.endswith("constant")]
    assert len(values) > 15
    assert all(type(v) is float and v > 0 for v in values)
