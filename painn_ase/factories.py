"""ASE calculators of others, named as ``module:factory`` or ``module:factory?key=value``."""

from __future__ import annotations

import importlib
import os
import sys
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from painn_ase.errors import SpecError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = ["make_calculator", "names_factory"]


def names_factory(name: str) -> bool:
    """Whether `name` is meant as ``module:factory``: it has a colon and is no file."""
    return ":" in name.partition("?")[0] and not Path(name).exists()


def make_calculator(name: str) -> Calculator:
    """The calculator that ``factory()`` of ``module`` returns.

    Parameters
    ----------
    name : str
        ``module:factory``; the module may lie in the current folder. Arguments may follow, as in
        ``module:factory?model=a.model&cutoff=5.0``: numbers, ``true``, ``false``, or text.

    Raises
    ------
    SpecError
        When there is no such module or factory, or it returns no ASE calculator.
    """
    path, _, query = name.partition("?")
    module_name, _, factory = path.partition(":")
    folder = os.getcwd()
    sys.path.insert(0, folder)  # a module beside the user, as `python -m` finds it
    try:
        made = getattr(importlib.import_module(module_name), factory)(**_arguments(query))
    except Exception as error:  # whatever somebody's module does
        raise SpecError(
            f"{name!r} gives no calculator ({type(error).__name__}: {error}). Give module:factory, "
            "where factory() returns an ASE calculator; arguments are given as "
            "module:factory?key=value&other=value, or write a function that needs none."
        ) from error
    finally:
        sys.path.remove(folder)
    if not hasattr(made, "get_property") or not hasattr(made, "implemented_properties"):
        raise SpecError(
            f"{name!r} returns {type(made).__name__}, which is no ASE calculator: it needs "
            "get_property() and implemented_properties."
        )
    calculator: Calculator = made
    return calculator


def _arguments(query: str) -> dict[str, Any]:
    """Keyword arguments of ``key=value&other=value``, with values as what they look like."""
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    return {key: _value(text) for key, text in pairs}


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
