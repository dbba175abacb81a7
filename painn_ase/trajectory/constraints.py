"""Constraints of a structure as plain records that a file holds, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixBondLengths, dict2constraint

from painn_ase.errors import GeometryError, TrajectoryError

__all__ = ["KNOWN_CONSTRAINTS", "constraint_records", "constraints_of"]

#: Those of ASE that are read from a file: plain numbers make them.
KNOWN_CONSTRAINTS = (
    "FixAtoms", "FixCartesian", "FixedLine", "FixedPlane", "FixScaled", "FixCom", "FixSubsetCom",
    "FixBondLengths", "FixLinearTriatomic", "FixInternals", "FixedMode", "Hookean",
    "ExternalForce",
)  # fmt: skip


def constraint_records(atoms: Atoms) -> list[dict[str, Any]]:
    """What the constraints of `atoms` are, JSON-ready, in ASE's form of ``{name, kwargs}``.

    Lengths of fixed bonds are kept too, which ASE's own form leaves out: those given, else those
    the bonds have now.

    Raises
    ------
    GeometryError
        For a constraint that no file could hold.
    """
    return [_record(constraint, atoms) for constraint in atoms.constraints]


def _record(constraint: Any, atoms: Atoms) -> dict[str, Any]:
    name = type(constraint).__name__
    try:
        record = dict(constraint.todict())
        if record["name"] not in KNOWN_CONSTRAINTS:
            raise KeyError(record["name"])
        if isinstance(constraint, FixBondLengths):
            lengths = constraint.bondlengths
            if lengths is None:
                lengths = constraint.initialize_bond_lengths(atoms)
            record["kwargs"] = {**record["kwargs"], "bondlengths": lengths}
        plain: dict[str, Any] = json.loads(json.dumps(record, default=_plain))
    except (AttributeError, TypeError, KeyError, ValueError, NotImplementedError) as error:
        raise GeometryError(
            f"the constraint {name} cannot be written into a file, so it would be lost at the next "
            f"stage. Those that can are {', '.join(KNOWN_CONSTRAINTS)}. Take it off with "
            "atoms.set_constraint()."
        ) from error
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no plain value")


def constraints_of(records: Iterable[Mapping[str, Any]]) -> list[Any]:
    """The constraints that these records describe.

    Raises
    ------
    TrajectoryError
        For a record that describes none.
    """
    found = []
    for record in records:
        try:
            name, kwargs = str(record["name"]), dict(record["kwargs"])
            if name not in KNOWN_CONSTRAINTS:
                raise ValueError(f"known are {', '.join(KNOWN_CONSTRAINTS)}")
            if name == "FixBondLengths" and kwargs.get("bondlengths") is not None:
                kwargs["bondlengths"] = np.array(kwargs["bondlengths"], dtype=np.float64)
            found.append(dict2constraint({"name": name, "kwargs": kwargs}))
        except Exception as error:  # ASE's constructors fail on broken values in many ways
            raise TrajectoryError(
                f"{str(record)[:80]} is no constraint that can be read ({error})."
            ) from error
    return found
