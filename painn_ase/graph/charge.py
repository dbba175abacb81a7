"""The total charge a structure is evaluated with: one rule for every path that makes a graph."""

from __future__ import annotations

import functools
import logging
import math
from typing import Any

from ase import Atoms

from painn_ase.errors import GeometryError

__all__ = ["CHARGE_KEYS", "finite_charge", "stated_charge", "total_charge"]

_log = logging.getLogger("painn_ase")

#: Names under which ``atoms.info`` may state the total charge; the first is ours.
CHARGE_KEYS = ("charge", "total_charge")


def total_charge(atoms: Atoms, given: float | None = None, model: float = 0.0) -> float:
    """The total charge of `atoms`, e: what was given, else stated, else the model's.

    Parameters
    ----------
    atoms : Atoms
        Its ``info`` may state a charge, see :func:`stated_charge`.
    given : float, optional
        The caller's own argument, which goes first.
    model : float
        What the model was trained on, ``potential.spec.total_charge``, where nothing else is said.

    Raises
    ------
    GeometryError
        The charge is no finite number, or `atoms` states two different ones.
    """
    if given is not None:
        return finite_charge(given)
    stated = stated_charge(atoms)
    return finite_charge(model) if stated is None else stated


def stated_charge(atoms: Atoms) -> float | None:
    """The charge that ``atoms.info`` states as "charge" or "total_charge", e; None without either.

    The use of "total_charge" is told once on the logger ``painn_ase``.

    Raises
    ------
    GeometryError
        It is no finite number, or both are there and differ.
    """
    info: dict[str, Any] = atoms.info
    if "total_charge" not in info:
        return finite_charge(info["charge"]) if "charge" in info else None
    charge = finite_charge(info["total_charge"], 'atoms.info["total_charge"]')
    if "charge" in info and (other := finite_charge(info["charge"])) != charge:
        raise GeometryError(
            f'atoms.info says "charge" {other:g} and "total_charge" {charge:g}. Remove the wrong '
            "one of the two, or give charge=…, which goes before both."
        )
    if "charge" not in info:
        _tell_once(f'the total charge {charge:g} e is taken from atoms.info["total_charge"].')
    return charge


def finite_charge(value: object, name: str = "The total charge") -> float:
    """`value` as a total charge, e.

    Raises
    ------
    GeometryError
        It is not a finite number.
    """
    try:
        # A flag such as extxyz's `charge=T` says that there is a charge, not which.
        charge = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        charge = math.nan
    if not math.isfinite(charge):
        raise GeometryError(
            f"{name} is {value!r}; it must be a finite number in e. Set charge=… or "
            'atoms.info["charge"].'
        )
    return charge


@functools.cache
def _tell_once(message: str) -> None:
    _log.info(message)
