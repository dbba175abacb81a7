"""``--driver`` and ``--response``: whose forces move the atoms, whose model gives the dipoles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from painn_ase.errors import SpecError, TrajectoryError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.driven import DrivenCalculator

__all__ = [
    "DRIVER_HELP",
    "RESPONSE_HELP",
    "Parties",
    "choose_model",
    "is_model",
    "parties",
    "require_named_driver",
]

DRIVER_HELP = (
    "Any ASE calculator, as module:factory or module:factory?key=value, whose forces move the "
    "atoms instead of the model's; the model then gives dipoles and polarizabilities."
)
RESPONSE_HELP = "With --driver: the model for dipoles and polarizabilities, if MODEL is left out."


@dataclass(frozen=True)
class Parties:
    """Who gives what.

    Attributes
    ----------
    structure : str
    model : str or None
        Drives, or beside a driver gives responses; None for a driver alone.
    driver : str or None
    """

    structure: str
    model: str | None
    driver: str | None

    def driving(self) -> Calculator:
        """The driver."""
        from painn_ase.factories import make_calculator

        assert self.driver is not None
        return make_calculator(self.driver)

    def both(self, response: PaiNNCalculator | None) -> DrivenCalculator:
        """The driver with a model's responses."""
        from painn_ase.driven import DrivenCalculator

        return DrivenCalculator(self.driving(), response, name=self.driver)


def is_model(name: str) -> bool:
    """Whether an argument can only be a model: a model file, or the name of a bundled one."""
    from painn_ase.models import bundled_committees, bundled_models

    bundled = name in bundled_models() or name in bundled_committees()
    return name.endswith(".safetensors") or (bundled and not Path(name).exists())


def choose_model(atoms: Atoms) -> str:
    """The bundled model for a structure that none was named for, and a word about it."""
    from painn_ase.workflow import model_for

    name = model_for(atoms)
    typer.echo(f"note: no model was named; {name} covers {atoms.get_chemical_formula()}", err=True)
    return name


def require_named_driver(driver: str | None, was: str | None, state: Path) -> None:
    """A restart names its driver again: a restart file is data, and runs no code by itself.

    Raises
    ------
    TrajectoryError
        Says what to add.
    """
    if was is not None and driver is None:
        raise TrajectoryError(
            f"the run of {state} was driven by {was}, whose code runs only when you name it: add "
            f"--driver '{was}'."
        )


def parties(
    command: str,
    model: str | None,
    structure: str | None,
    driver: str | None,
    response: str | None,
    *,
    chosen: bool = False,
) -> Parties:
    """Who is meant by two positional arguments, of which a driver makes the first optional.

    Where the model may be `chosen` by the structure, one argument is a structure, unless it is
    plainly a model.

    Raises
    ------
    SpecError
        When something is missing, or said twice.
    """
    if driver is None:
        if response is not None:
            raise SpecError("--response goes with --driver; a model that drives gives both.")
        if chosen and model is not None and structure is None and not is_model(model):
            return Parties(model, None, None)
        if model is None or structure is None:
            missing = "model" if model is None else "structure"
            raise SpecError(
                f"no {missing} was named: `painn-ase {command} MODEL STRUCTURE`, or `painn-ase "
                f"{command} STRUCTURE --driver module:factory`."
            )
        return Parties(structure, model, None)
    if model is None:
        raise SpecError(f"no structure: `painn-ase {command} STRUCTURE --driver {driver}`.")
    if structure is None:
        return Parties(model, response, driver)
    if response is not None:
        raise SpecError(f"two models for responses: {model} and --response {response}. Name one.")
    return Parties(structure, model, driver)
