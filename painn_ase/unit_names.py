"""Units as people type them: one vocabulary for files, options, headers and training data.

A unit is a product of powers of known names, ``e*Å``, ``kcal/mol/Angstrom``, ``C·m``, ``bohr^3``,
``e+2 Angstrom+2 eV-1``; what it is the unit *of* is checked by its dimension. ``a.u.`` means the
atomic unit of whatever quantity it is given for.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from scipy import constants as _c

from painn_ase import units as u
from painn_ase.errors import UnitError

__all__ = ["KINDS", "UnitKind", "heading_unit", "known_spellings", "unit_factor"]

#: Exponents of length, time, charge, energy, temperature.
Dimension = tuple[int, int, int, int, int]

_NUMBER: Dimension = (0, 0, 0, 0, 0)
_LENGTH: Dimension = (1, 0, 0, 0, 0)
_TIME: Dimension = (0, 1, 0, 0, 0)
_CHARGE: Dimension = (0, 0, 1, 0, 0)
_ENERGY: Dimension = (0, 0, 0, 1, 0)
_TEMPERATURE: Dimension = (0, 0, 0, 0, 1)
_MASS: Dimension = (-2, 2, 0, 1, 0)
_DIPOLE: Dimension = (1, 0, 1, 0, 0)
_POLARIZABILITY: Dimension = (2, 0, 2, -1, 0)
_VOLUME: Dimension = (3, 0, 0, 0, 0)
_PRESSURE: Dimension = (-3, 0, 0, 1, 0)

_JOULE = 1.0 / _c.e
_AMU = 1.0
_KILOGRAM = 1.0 / _c.atomic_mass
_ELECTRON_MASS = _c.m_e / _c.atomic_mass
_ATOMIC_TIME_FS = _c.physical_constants["atomic unit of time"][0] * 1e15
_PASCAL = 1e-9 / u.ev_per_angstrom3_to_gpa

#: Names whose capitals matter, or which are too short to be read in any case.
_EXACT: dict[str, tuple[float, Dimension]] = {
    "A": (1.0, _LENGTH),
    "C": (1.0 / _c.e, _CHARGE),
    "D": (u.debye_to_e_angstrom, _DIPOLE),
    "H": (u.hartree_to_ev, _ENERGY),
    "J": (_JOULE, _ENERGY),
    "K": (1.0, _TEMPERATURE),
    "V": (1.0, (0, 0, -1, 1, 0)),
    "e": (1.0, _CHARGE),
    "g": (1e-3 * _KILOGRAM, _MASS),
    "m": (1e10, _LENGTH),
    "s": (1e15 * u.fs_to_ase_time, _TIME),
    "u": (_AMU, _MASS),
    "Å": (1.0, _LENGTH),
    "meV": (1e-3, _ENERGY),
    "mHa": (1e-3 * u.hartree_to_ev, _ENERGY),
    "mD": (1e-3 * u.debye_to_e_angstrom, _DIPOLE),
    "MPa": (1e6 * _PASCAL, _PRESSURE),
    "Pa": (_PASCAL, _PRESSURE),
}

_WORDS: dict[str, tuple[float, Dimension]] = {
    **dict.fromkeys(("angstrom", "angstroms", "ang", "angs", "angström"), (1.0, _LENGTH)),
    **dict.fromkeys(("bohr", "bohrs", "a0", "bohrradius"), (u.bohr_to_angstrom, _LENGTH)),
    "nm": (10.0, _LENGTH),
    "nanometer": (10.0, _LENGTH),
    "nanometre": (10.0, _LENGTH),
    "pm": (0.01, _LENGTH),
    "picometer": (0.01, _LENGTH),
    "cm": (1e8, _LENGTH),
    "meter": (1e10, _LENGTH),
    "metre": (1e10, _LENGTH),
    **{
        name: (femtoseconds * u.fs_to_ase_time, _TIME)
        for names, femtoseconds in (
            (("as", "attosecond", "attoseconds"), 1e-3),
            (("fs", "femtosecond", "femtoseconds", "fsec"), 1.0),
            (("ps", "picosecond", "picoseconds", "psec"), 1e3),
            (("ns", "nanosecond", "nanoseconds", "nsec"), 1e6),
            (("sec", "second", "seconds"), 1e15),
            (("autime", "atomictime", "timeau"), _ATOMIC_TIME_FS),
        )
        for name in names
    },
    "asetime": (1.0, _TIME),
    **dict.fromkeys(("electron", "elementarycharge", "echarge", "qe"), (1.0, _CHARGE)),
    "coulomb": (1.0 / _c.e, _CHARGE),
    "volt": (1.0, (0, 0, -1, 1, 0)),
    **dict.fromkeys(("debye", "debyes", "deb"), (u.debye_to_e_angstrom, _DIPOLE)),
    **dict.fromkeys(("ea", "eå", "eang", "eangstrom"), (1.0, _DIPOLE)),
    **dict.fromkeys(("ea0", "ebohr"), (u.e_bohr_to_e_angstrom, _DIPOLE)),
    **dict.fromkeys(("ev", "electronvolt", "electronvolts"), (1.0, _ENERGY)),
    **dict.fromkeys(("hartree", "hartrees", "ha", "eh"), (u.hartree_to_ev, _ENERGY)),
    **dict.fromkeys(("ry", "rydberg", "rydbergs"), (0.5 * u.hartree_to_ev, _ENERGY)),
    "joule": (_JOULE, _ENERGY),
    "kj": (1e3 * _JOULE, _ENERGY),
    "cal": (4.184 * _JOULE, _ENERGY),
    "kcal": (4184.0 * _JOULE, _ENERGY),
    "mol": (_c.N_A, _NUMBER),
    "mole": (_c.N_A, _NUMBER),
    **dict.fromkeys(("kelvin", "degk"), (1.0, _TEMPERATURE)),
    **dict.fromkeys(("amu", "dalton", "da"), (_AMU, _MASS)),
    "kg": (_KILOGRAM, _MASS),
    "me": (_ELECTRON_MASS, _MASS),
    "gpa": (1e9 * _PASCAL, _PRESSURE),
    "kbar": (1e8 * _PASCAL, _PRESSURE),
    "bar": (1e5 * _PASCAL, _PRESSURE),
    "atm": (_c.atm * _PASCAL, _PRESSURE),
}

#: How "the atomic unit" is written; what it is depends on the quantity.
_ATOMIC = frozenset(("au", "atomic", "atomicunit", "atomicunits"))

_AU_TIME = _ATOMIC_TIME_FS * u.fs_to_ase_time
_AU_ALPHA = u.bohr3_to_e2_angstrom2_per_ev


@dataclass(frozen=True)
class UnitKind:
    """A kind of quantity as far as units go.

    Attributes
    ----------
    dimension : tuple of int
        Exponents of length, time, charge, energy, temperature.
    atomic : float
        Its atomic unit in ASE's units.
    spellings : tuple of str
        Units to name in a message, the package's own first.
    volume : bool
        Whether it may be a volume too: a polarizability α/4πε0 in Å³ or Bohr³.
    """

    dimension: Dimension
    atomic: float
    spellings: tuple[str, ...]
    volume: bool = False


def _per_time(dimension: Dimension) -> Dimension:
    length, time, charge, energy, temperature = dimension
    return length, time - 1, charge, energy, temperature


_LENGTHS = UnitKind(_LENGTH, u.bohr_to_angstrom, ("Angstrom", "Bohr", "nm"))
_VELOCITIES = UnitKind(
    _per_time(_LENGTH),
    u.bohr_to_angstrom / _AU_TIME,
    ("Angstrom/ase_time", "Angstrom/fs", "Angstrom/ps", "nm/ps", "m/s", "a.u."),
)
_CHARGES = UnitKind(_CHARGE, 1.0, ("e", "C"))

#: What each quantity's unit has to be, by the package's names of quantities.
KINDS: dict[str, UnitKind] = {
    "time": UnitKind(_TIME, _AU_TIME, ("fs", "ps", "au_time", "s")),
    "length": _LENGTHS,
    "positions": _LENGTHS,
    "cell": _LENGTHS,
    "volume": UnitKind(_VOLUME, u.bohr3_to_angstrom3, ("Angstrom^3", "nm^3", "Bohr^3")),
    "velocities": _VELOCITIES,
    "momenta": UnitKind(
        (-1, 1, 0, 1, 0),
        _ELECTRON_MASS * u.bohr_to_angstrom / _AU_TIME,
        ("amu*Angstrom/ase_time", "amu*Angstrom/fs", "a.u."),
    ),
    "masses": UnitKind(_MASS, _ELECTRON_MASS, ("amu", "g/mol", "a.u.")),
    "energy": UnitKind(_ENERGY, u.hartree_to_ev, ("eV", "kcal/mol", "kJ/mol", "Hartree")),
    "forces": UnitKind(
        (-1, 0, 0, 1, 0),
        u.hartree_to_ev / u.bohr_to_angstrom,
        ("eV/Angstrom", "kcal/mol/Angstrom", "Hartree/Bohr", "Hartree/Angstrom"),
    ),
    "stress": UnitKind(
        _PRESSURE, u.hartree_to_ev / u.bohr3_to_angstrom3, ("eV/Angstrom^3", "GPa", "bar")
    ),
    "charges": _CHARGES,
    "born_effective_charges": _CHARGES,
    "temperature": UnitKind(_TEMPERATURE, u.hartree_to_ev / u.boltzmann_constant, ("K",)),
    "dipole": UnitKind(_DIPOLE, u.e_bohr_to_e_angstrom, ("e*Angstrom", "Debye", "a.u.", "C*m")),
    "dipole_flux": UnitKind(
        _per_time(_DIPOLE),
        u.e_bohr_to_e_angstrom / _AU_TIME,
        ("e*Angstrom/fs", "Debye/fs", "e*Angstrom/ps", "a.u."),
    ),
    "polarizability": UnitKind(
        _POLARIZABILITY, _AU_ALPHA, ("e^2*Angstrom^2/eV", "Angstrom^3", "a.u.", "C^2*m^2/J"), True
    ),
    "polarizability_flux": UnitKind(
        _per_time(_POLARIZABILITY),
        _AU_ALPHA / _AU_TIME,
        ("e^2*Angstrom^2/eV/fs", "Angstrom^3/fs", "a.u."),
        True,
    ),
}
KINDS["potential_energy"] = KINDS["kinetic_energy"] = KINDS["conserved_energy"] = KINDS["energy"]
KINDS["kinetic_virial"] = KINDS["virial_curvature"] = KINDS["energy"]
KINDS["bead_positions"] = KINDS["radius_of_gyration"] = KINDS["positions"]

_TOKEN = re.compile(
    r"(?P<op>[*·⋅×/]|per(?![a-z]))|(?P<name>ea0|a0|[A-Za-zÅå]+)"
    r"(?:(?:\^|\*\*)?(?P<power>[+-]?\d+))?|(?P<one>1)",
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
#: Spellings of more than one word, or with marks that are not products.
_PHRASES = (
    (re.compile(r"\ba\.u\.?"), "au"),
    (re.compile(r"(?i)\b(au|atomic)[ _]time( unit)?s?\b|\btime[ _]au\b"), "autime"),
    (re.compile(r"(?i)\batomic[ _]units?\b"), "atomicunit"),
    (re.compile(r"(?i)\base[ _]time\b"), "asetime"),
    (re.compile(r"(?i)\bcubic[ _](\w+)"), r"\1^3"),
    (re.compile(r"(?i)\b(e?)_?a_?0(?!\d)"), r"\1a0"),
)


def unit_factor(unit: str, quantity: str) -> float:
    """What turns numbers in `unit` into the package's unit (ASE's) of a quantity.

    Parameters
    ----------
    unit : str
        As people type it: ``Debye``, ``D``, ``e*Å``, ``a.u.``, ``kcal/mol``, ``Å³``, ``C·m``.
    quantity : str
        One of :data:`KINDS`, e.g. ``dipole``; times and fluxes come out in ASE's unit of time.

    Raises
    ------
    UnitError
        For a unit that is not known, or is the unit of something else.
    """
    kind = KINDS[quantity]
    text = _plain(unit)
    if re.sub(r"[ ._]", "", text).lower() in _ATOMIC:
        return kind.atomic
    found = _product(text)
    if found is None:
        raise UnitError(
            f"unknown unit {unit!r} of {quantity}; known are {known_spellings(quantity)}, and "
            "products of such names."
        )
    factor, dimension = found
    if dimension == kind.dimension:
        return factor
    if kind.volume:
        shift = (1, 0, -2, 1, 0)  # e²Å²/eV to a volume
        if tuple(a + b for a, b in zip(kind.dimension, shift, strict=True)) == dimension:
            return factor * u.angstrom3_to_e2_angstrom2_per_ev
    raise UnitError(
        f"{unit!r} is no unit of {quantity}; give one such as {known_spellings(quantity)}."
    )


def known_spellings(quantity: str) -> str:
    """Units of a quantity for a message, the package's own first."""
    return ", ".join(KINDS[quantity].spellings)


_BRACKETED = re.compile(r"^(?P<name>.*?)\s*[\[({]\s*(?P<unit>[^\])}]+?)\s*[\])}]\s*$")


def heading_unit(heading: str) -> tuple[str, str | None]:
    """A column's heading as its name and the unit in brackets: ``mu(D)`` → ``("mu", "D")``.

    The unit is None where there is none; ``[x]`` and other marks of components are no units.
    """
    match = _BRACKETED.match(heading.strip())
    if match is None or _plain(match["unit"]).lower() in ("x", "y", "z", "xx", "yy", "zz", ""):
        return heading.strip(), None
    return match["name"].strip(), match["unit"]


def _plain(unit: str) -> str:
    """The text in one spelling of Å, powers and multi-word names."""
    text = unit.strip().replace("\u212b", "Å").replace("A\u030a", "Å").translate(_SUPERSCRIPTS)
    for pattern, plain in _PHRASES:
        text = pattern.sub(plain, text)
    return text


def _product(text: str) -> tuple[float, Dimension] | None:
    """Factor and dimension of a product of powers; None where a name is not known."""
    factor, dimension, divide, at = 1.0, list(_NUMBER), False, 0
    if not text or text == "1":
        return 1.0, _NUMBER
    closing = 0
    while at < len(text):
        if text[at] in " _":
            at += 1
            continue
        if text[at] == "(" and divide and not closing:  # a quotient's denominator: e^2/(eV*Å)
            closing, at = text.find(")", at), at + 1
            if closing < 0:
                return None
            continue
        if at == closing and closing:
            closing, divide, at = 0, False, at + 1
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            return None
        at = match.end()
        if match["op"]:
            divide = (divide and bool(closing)) or match["op"] in ("/", "per")
            continue
        if match["one"]:
            continue
        known = _named(match["name"])
        if known is None:
            return None
        power = int(match["power"] or 1) * (-1 if divide else 1)
        if abs(power) > 9:
            return None
        divide = bool(closing)
        factor *= known[0] ** power
        dimension = [a + power * b for a, b in zip(dimension, known[1], strict=True)]
    if not math.isfinite(factor) or factor == 0.0:
        return None
    return factor, (dimension[0], dimension[1], dimension[2], dimension[3], dimension[4])


def _named(name: str) -> tuple[float, Dimension] | None:
    return _EXACT.get(name) or _WORDS.get(name.lower())
