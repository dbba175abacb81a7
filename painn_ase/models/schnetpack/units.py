"""Units of a SchNetPack model: what the user says, what its training run says, what is assumed.

A SchNetPack model file does not hold its units. They stand in the ``config.yaml`` that every
training run writes beside its ``best_model``; where there is none, energy and length are those that
SchNetPack's own calculator takes when it is told nothing, and a warning says so.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import units as _ase

from painn_ase.errors import MissingDependencyError, ModelFileError, PaiNNWarning, SpecError

__all__ = [
    "DIPOLE_UNITS",
    "ENERGY_UNITS",
    "LENGTH_UNITS",
    "POLARIZABILITY_UNITS",
    "SchNetPackUnits",
    "find_units",
]

# ASE's constants, not ours (the two differ by 1e-8): SchNetPack converts with these.

#: Names of energy units and their size in eV.
ENERGY_UNITS: Mapping[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "kcal/mol": _ase.kcal / _ase.mol,
    "kJ/mol": _ase.kJ / _ase.mol,
    "Hartree": _ase.Hartree,
    "Ha": _ase.Hartree,
    "Rydberg": _ase.Rydberg,
}
#: Names of length units and their size in Å.
LENGTH_UNITS: Mapping[str, float] = {
    "Angstrom": 1.0,
    "Ang": 1.0,
    "Å": 1.0,
    "Bohr": _ase.Bohr,
    "a0": _ase.Bohr,
    "nm": _ase.nm,
}
#: Names of dipole units and their size in e·Å.
DIPOLE_UNITS: Mapping[str, float] = {
    "e*Angstrom": 1.0,
    "e*Ang": 1.0,
    "e*Bohr": _ase.Bohr,
    "e*a0": _ase.Bohr,
    "Debye": _ase.Debye,
}
#: Names of polarizability units and their size in e²Å²/eV.
POLARIZABILITY_UNITS: Mapping[str, float] = {
    "e^2*Angstrom^2/eV": 1.0,
    "Angstrom^3": 1.0 / (_ase.Hartree * _ase.Bohr),
    "Ang^3": 1.0 / (_ase.Hartree * _ase.Bohr),
    "Bohr^3": _ase.Bohr**2 / _ase.Hartree,
    "a0^3": _ase.Bohr**2 / _ase.Hartree,
}
_TABLES = {
    "length": LENGTH_UNITS,
    "energy": ENERGY_UNITS,
    "dipole": DIPOLE_UNITS,
    "polarizability": POLARIZABILITY_UNITS,
}
#: What SchNetPack's SpkCalculator takes when it is told nothing (2.0 to 2.2).
_SCHNETPACK_DEFAULTS = {"energy": "kcal/mol", "length": "Angstrom"}
#: Names under which SchNetPack's data sets keep what we call by one name.
_PROPERTY_NAMES = {
    "energy": ("energy", "energy_U0"),
    "dipole": ("dipole_moment", "dipole"),
    "polarizability": ("polarizability",),
}


@dataclass(frozen=True)
class SchNetPackUnits:
    """Size of a model's units in ASE's: eV, Å, e·Å, e²Å²/eV."""

    energy: float = 1.0
    length: float = 1.0
    dipole: float = 1.0
    polarizability: float = 1.0


def find_units(
    path: Path, needed: Mapping[str, str], given: Mapping[str, str | float | None]
) -> tuple[SchNetPackUnits, dict[str, str]]:
    """Sizes of the units of the model at `path`, and in words what each is and who says so.

    Parameters
    ----------
    path : Path
        The model file; its run's ``config.yaml`` is looked for beside it.
    needed : dict
        Which of "length", "energy", "dipole", "polarizability" the model has, with the name the
        model gives to each.
    given : dict
        What the user says: a name from the tables of this module, a size, or None.

    Raises
    ------
    SpecError
        For an unknown unit, and for one of dipole or polarizability that nobody states.
    MissingDependencyError
        If there is a configuration to be read and no PyYAML.
    """
    config = _run_config(path)
    is_asked = config is not None and any(given[what] is None for what in needed)
    stated = _read_run_config(config) if config is not None and is_asked else {}
    sizes: dict[str, float] = {}
    words: dict[str, str] = {}
    assumed: list[str] = []
    for what, key in needed.items():
        unit, source = given[what], "named at import"
        if unit is None:
            names = (key, *_PROPERTY_NAMES.get(what, ()))
            unit = next((stated[n] for n in names if n in stated), None)
            source = "from the training run's configuration"
        if unit is None and what in _SCHNETPACK_DEFAULTS:
            unit, source = _SCHNETPACK_DEFAULTS[what], "assumed, SchNetPack's default"
            assumed.append(f"{what}_unit={unit!r}")
        sizes[what] = _unit_size(what, unit)
        words[what] = f"{unit} ({source})"
    if assumed:
        configuration = (
            "no config.yaml of its training run lies beside it"
            if config is None
            else f"{config.name} beside it says nothing of them"
        )
        warnings.warn(
            f"{path.name} does not say its units and {configuration}: "
            f"{' and '.join(assumed)} assumed, as SchNetPack's own calculator does. "
            "Give them to be sure and to silence this.",
            PaiNNWarning,
            stacklevel=3,
        )
    return SchNetPackUnits(**sizes), words


def _unit_size(what: str, given: str | float | None) -> float:
    table = _TABLES[what]
    allowed = ", ".join(repr(name) for name in table)
    if given is None:
        raise SpecError(
            f"{what}_unit is missing: a SchNetPack file does not say its units. Look them up in "
            "the config.yaml of the training run (data.distance_unit, data.property_units) or "
            f"with the training data, and give {what}_unit=... as one of {allowed}."
        )
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    size = float(given) if is_number else table.get(str(given), math.nan)
    if not 0 < size < math.inf:
        raise SpecError(
            f"{what}_unit={given!r} is unknown; allowed are {allowed}, or the unit's size as a "
            "positive number."
        )
    return size


def _run_config(path: Path) -> Path | None:
    """The configuration of the training run beside a model."""
    candidates = (path.with_name(f"{path.stem}.config.yaml"), path.with_name("config.yaml"))
    return next((c for c in candidates if c.is_file()), None)


def _read_run_config(config: Path) -> dict[str, str]:
    """Units by property name, and "length", that a training run's configuration states."""
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError(
            f"{config} says the model's units, and PyYAML, which reads it, is not installed. "
            "`pip install pyyaml`, or give the units as arguments."
        ) from error
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ModelFileError(
            f"the training configuration {config} cannot be read ({error}). Give the units as "
            "arguments, and move the file away."
        ) from error
    data = _mapping(_mapping(content).get("data"))
    found = {"length": data.get("distance_unit"), **_mapping(data.get("property_units"))}
    return {str(k): v for k, v in found.items() if isinstance(v, str)}


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
