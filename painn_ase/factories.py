"""ASE calculators of others, named as ``module:factory``."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from painn_ase.errors import SpecError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = ["make_calculator", "names_factory"]


def names_factory(name: str) -> bool:
    """Whether `name` is meant as ``module:factory``: it has a colon and is no file."""
    return ":" in name and not Path(name).exists()


def make_calculator(name: str) -> Calculator:
    """The calculator that ``factory()`` of ``module`` returns.

    Parameters
    ----------
    name : str
        ``module:factory``; the module may lie in the current folder.

    Raises
    ------
    SpecError
        When there is no such module or factory, or it returns no ASE calculator.
    """
    module_name, _, factory = name.partition(":")
    folder = os.getcwd()
    sys.path.insert(0, folder)  # a module beside the user, as `python -m` finds it
    try:
        made = getattr(importlib.import_module(module_name), factory)()
    except Exception as error:  # whatever somebody's module does
        raise SpecError(
            f"{name!r} gives no calculator ({type(error).__name__}: {error}). Give module:factory, "
            "where factory() without arguments returns an ASE calculator; write such a function "
            "where the calculator needs arguments."
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
