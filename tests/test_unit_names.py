"""Units as people type them, against the conversions and against SI."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import constants

from painn_ase import units as u
from painn_ase.errors import UnitError
from painn_ase.unit_names import KINDS, heading_unit, unit_factor

SAME = {
    ("dipole", u.debye_to_e_angstrom): ("Debye", "debye", "D", "DEBYE", "deb"),
    ("dipole", 1.0): ("e*Å", "e*Ang", "eÅ", "e Angstrom", "e·Å", "eA", "e_angstrom", "e*A"),
    ("dipole", u.e_bohr_to_e_angstrom): ("a.u.", "au", "ea0", "e*a0", "e_bohr", "e*bohr", "ea_0"),
    ("dipole", 1e10 / constants.e): ("C·m", "C*m", "C m", "coulomb*metre"),
    ("polarizability", 1.0): ("e^2*Å^2/eV", "e²Å²/eV", "e2_angstrom2_per_ev",
        "e+2 Angstrom+2 eV-1"),
    ("polarizability", u.angstrom3_to_e2_angstrom2_per_ev): (
        "Å³", "Å^3", "Angstrom^3", "angstrom3", "A^3", "A**3", "cubic Angstrom", "\u212b^3",
    ),
    ("polarizability", u.bohr3_to_e2_angstrom2_per_ev): (
        "bohr^3", "Bohr³", "bohr3", "a0^3", "a.u.", "atomic_unit", "e^2*a0^2/Hartree",
    ),
    ("polarizability", 1e20 / constants.e): ("C^2*m^2/J", "C²·m²/J", "C m^2 V^-1", "C·m²/V"),
    ("time", u.fs_to_ase_time): ("fs", "femtosecond", "FS"),
    ("time", 1e3 * u.fs_to_ase_time): ("ps", "picoseconds"),
    ("time", 0.02418884326 * u.fs_to_ase_time): ("a.u.", "au time", "a.u. time", "au_time"),
    ("time", 1.0): ("ase_time",),
    ("energy", u.kcal_per_mol_to_ev): ("kcal/mol", "kcal mol-1", "kcal/mole", "kcal·mol⁻¹"),
    ("energy", u.hartree_to_ev): ("Hartree", "Ha", "Eh", "hartree", "a.u."),
    ("forces", u.hartree_to_ev / u.bohr_to_angstrom): ("Hartree/Bohr", "Ha/a0", "Eh/bohr", "au"),
    ("forces", 0.1 * u.kj_per_mol_to_ev): ("kJ mol-1 nm-1", "kJ/mol/nm", "kJ/(mol*nm)"),
    ("stress", 1.0 / u.ev_per_angstrom3_to_gpa): ("GPa", "gpa"),
    ("velocities", 1e-3 / u.fs_to_ase_time): ("Angstrom/ps", "Angstrom ps-1", "Å/ps"),
    ("velocities", 1e-5 / u.fs_to_ase_time): ("m/s",),
    ("dipole_flux", u.debye_to_e_angstrom / u.fs_to_ase_time): ("D/fs", "Debye/fs", "Debye fs^-1"),
    ("masses", 1.0): ("amu", "u", "Da", "g/mol"),
    ("temperature", 1.0): ("K", "Kelvin", "kelvin"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("quantity", "factor", "spelling"),
    [(q, f, s) for (q, f), spellings in SAME.items() for s in spellings],
)
def test_spellings_people_type_mean_the_same(quantity: str, factor: float, spelling: str) -> None:
    assert unit_factor(spelling, quantity) == pytest.approx(factor, rel=3e-8)


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [
        ("dipole", "e"), ("dipole", "Å"), ("dipole", "kcal/mol"), ("dipole", "D^2"),
        ("dipole", "e*furlong"), ("polarizability", "Å^2"), ("polarizability", "D"),
        ("time", "1/fs"), ("time", "Å"), ("energy", "MeV^2"), ("time", ""), ("dipole", "e*(Å"),
        ("dipole", "e^99"), ("time", "m"), ("energy", "fs"), ("time", "?"),
    ],
)  # fmt: skip
def test_a_unit_of_something_else_or_of_nothing_is_refused(quantity: str, unit: str) -> None:
    with pytest.raises(UnitError, match=f"{quantity}.*{re.escape(KINDS[quantity].spellings[0])}"):
        unit_factor(unit, quantity)


@pytest.mark.parametrize("quantity", KINDS)
def test_what_a_message_offers_is_understood(quantity: str) -> None:
    for spelling in KINDS[quantity].spellings:
        assert unit_factor(spelling, quantity) > 0.0
    assert unit_factor("a.u.", quantity) > 0.0


def test_the_atomic_units_agree_with_each_other() -> None:
    assert unit_factor("a.u.", "polarizability") == pytest.approx(
        unit_factor("a.u.", "dipole") ** 2 / unit_factor("a.u.", "energy"), rel=1e-8
    )
    assert unit_factor("a.u.", "momenta") == pytest.approx(
        unit_factor("a.u.", "masses") * unit_factor("a.u.", "velocities"), rel=1e-8
    )
    # Hartree = m_e (a0/t_au)²
    assert unit_factor("a.u.", "masses") * unit_factor("a.u.", "velocities") ** 2 == pytest.approx(
        unit_factor("a.u.", "energy"), rel=1e-7
    )


@pytest.mark.parametrize(
    ("heading", "name", "unit"),
    [
        ("mu(D)", "mu", "D"), ("dipole_x [Debye]", "dipole_x", "Debye"), ("time(ps)", "time", "ps"),
        ("positions{atomic_unit}", "positions", "atomic_unit"), ("mu[x]", "mu[x]", None),
        ("Time", "Time", None), (" t [fs] ", "t", "fs"),
    ],
)  # fmt: skip
def test_a_heading_names_its_unit(heading: str, name: str, unit: str | None) -> None:
    assert heading_unit(heading) == (name, unit)


@given(st.text(max_size=30))
def test_any_text_is_a_unit_or_an_error(text: str) -> None:
    with contextlib.suppress(UnitError):
        assert unit_factor(text, "dipole") > 0.0
