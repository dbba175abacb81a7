"""Engines by the name that a user gives."""

from __future__ import annotations

from painn_ase.errors import SpecError
from painn_ase.factories import names_factory
from painn_ase.labeling.calculators import CalculatorEngine, TBLiteEngine
from painn_ase.labeling.labels import Engine
from painn_ase.labeling.pyscf_engine import PySCFEngine

__all__ = ["make_engine"]


def make_engine(name: str, level: str | None = None) -> Engine:
    """The engine called `name`.

    Parameters
    ----------
    name : str
        ``pyscf``, ``tblite``, or any ASE calculator as ``module:factory``.
    level : str, optional
        For PySCF ``functional/basis``, by default ``b3lyp/def2-svpd``; for tblite its method, by
        default ``GFN2-xTB``; for a calculator what is written into the file as its level.

    Raises
    ------
    SpecError
        For another name, or a level of the wrong form.
    """
    if name == "pyscf":
        return PySCFEngine(level or "b3lyp/def2-svpd")
    if name == "tblite":
        return TBLiteEngine(level or "GFN2-xTB")
    if names_factory(name):
        return CalculatorEngine(name, level or "as the factory sets it")
    raise SpecError(
        f"unknown engine {name!r}; allowed are pyscf, tblite, and any ASE calculator as "
        "module:factory."
    )
