"""Labels from ASE calculators: any ``module:factory``, and tblite's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from painn_ase.errors import LabelingError, MissingDependencyError, SpecError
from painn_ase.factories import make_calculator
from painn_ase.labeling.labels import Labels, charge_of, refuse_periodic
from painn_ase.units import e2_angstrom2_per_ev_to_angstrom3

__all__ = ["CalculatorEngine", "TBLiteEngine", "tblite_calculator"]


@lru_cache(maxsize=1)
def _calculator(name: str) -> Calculator:
    """One calculator a process; the loading of a model is not repeated for every frame."""
    return make_calculator(name)


def _labels_of(calculator: Any, atoms: Atoms) -> Labels:
    """What the calculator says it can; any exception of its own becomes ours."""
    atoms = atoms.copy()
    found: dict[str, Any] = {}
    try:
        for name in ("energy", "forces", "dipole", "polarizability"):
            if name in calculator.implemented_properties:
                found[name] = np.array(calculator.get_property(name, atoms), dtype=np.float64)
    except Exception as error:  # calculators of others raise anything
        raise LabelingError(f"{type(error).__name__}: {error}") from error
    alpha = found.get("polarizability")
    return Labels(
        energy=float(found["energy"]),
        forces=found["forces"],
        dipole=found.get("dipole"),
        polarizability=None
        if alpha is None
        else alpha.reshape(3, 3) * e2_angstrom2_per_ev_to_angstrom3,
    )


@dataclass(frozen=True)
class CalculatorEngine:
    """Any ASE calculator: energy, forces, and dipole and polarizability where it has them.

    Attributes
    ----------
    name : str
        ``module:factory``.
    level : str
        What the file shall call its level of theory.
    """

    name: str
    level: str
    settings: str = ""

    def versions(self) -> str:
        """Version of ASE and of the package that the factory comes from."""
        package = self.name.partition(":")[0].partition(".")[0]
        return f"{_version('ase')}, {_version(package)}" if package != "ase" else _version("ase")

    def cautions(self) -> Sequence[str]:
        """Which labels there will not be."""
        implemented = _calculator(self.name).implemented_properties
        missing = [name for name in ("dipole", "polarizability") if name not in implemented]
        return [f"{self.name} gives no {' and no '.join(missing)}."] if missing else []

    def check(self, frames: Sequence[Atoms]) -> None:
        """Refuse a calculator without energy or forces."""
        implemented = _calculator(self.name).implemented_properties
        for name in ("energy", "forces"):
            if name not in implemented:
                raise SpecError(
                    f"{self.name} gives no {name}; labels need energy and forces. It has "
                    f"{', '.join(implemented)}."
                )

    def label(self, atoms: Atoms) -> Labels:
        """Labels of one frame; after a failure the calculator is made anew."""
        try:
            return _labels_of(_calculator(self.name), atoms)
        except LabelingError:
            _calculator.cache_clear()
            raise


@dataclass(frozen=True)
class TBLiteEngine:
    """tblite: energy, forces and dipole of molecules, no polarizability.

    Its own would come from a minimal basis and be about half of the truth.
    """

    level: str = "GFN2-xTB"
    name: str = "tblite"
    settings: str = ""

    def versions(self) -> str:
        """Of tblite."""
        return _version("tblite")

    def cautions(self) -> Sequence[str]:
        """No polarizability."""
        return ["tblite gives no polarizability: IR spectra can be learnt from this, no Raman."]

    def check(self, frames: Sequence[Atoms]) -> None:
        """Refuse a machine without tblite, an unknown method, periodic frames."""
        if self.level not in ("GFN2-xTB", "GFN1-xTB", "IPEA1-xTB"):
            raise SpecError(
                f"tblite has no level {self.level!r}; allowed are GFN2-xTB, GFN1-xTB, IPEA1-xTB."
            )
        _import_tblite()
        refuse_periodic(frames, self.name)

    def label(self, atoms: Atoms) -> Labels:
        """Labels of one frame."""
        return _labels_of(tblite_calculator(self.level, charge_of(atoms)), atoms)


def tblite_calculator(method: str = "GFN2-xTB", charge: float = 0.0) -> Calculator:
    """Tblite's calculator, silent.

    Raises
    ------
    MissingDependencyError
        Without tblite.
    """
    made: Calculator = _import_tblite()(method=method, charge=charge, verbosity=0)
    return made


def _import_tblite() -> Any:
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise MissingDependencyError(
            f"the engine tblite cannot be imported ({error}). Install it: python -m pip install "
            "tblite."
        ) from error
    return TBLite


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package  # a module beside the user has no version
