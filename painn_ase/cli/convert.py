"""``painn-ase convert``: other programs' model files into ours."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import typer

__all__ = ["convert"]

convert = typer.Typer(
    help="Convert other programs' models into painn_ase model files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Origin(str, Enum):
    """Where positions in the polarizability head start."""

    center_of_mass = "center_of_mass"
    coordinates = "coordinates"


@convert.callback()
def _group() -> None:
    """Convert other programs' models into painn_ase model files."""
    # The callback keeps `schnetpack` a sub-command of its own although it is the only one.


@convert.command("schnetpack", no_args_is_help=True)
def convert_schnetpack(
    source: Path = typer.Argument(
        metavar="IN", help="SchNetPack's model: `best_model`, `*.model`.", show_default=False
    ),
    target: Path = typer.Argument(
        metavar="OUT", help="The `.safetensors` file to write.", show_default=False
    ),
    energy_unit: str | None = typer.Option(None, help="eV, kcal/mol, kJ/mol, Hartree …"),
    length_unit: str | None = typer.Option(None, help="Angstrom, Bohr or nm."),
    dipole_unit: str | None = typer.Option(None, help="e*Angstrom, e*Bohr or Debye."),
    polarizability_unit: str | None = typer.Option(
        None, help="e^2*Angstrom^2/eV, Angstrom^3 or Bohr^3."
    ),
    elements: str | None = typer.Option(
        None, help="Elements it was trained on, as in `H,C,O`; the file does not say them."
    ),
    polarizability_origin: Origin = typer.Option(
        Origin.center_of_mass,
        help="Where positions in the polarizability head start; `coordinates` is SchNetPack's "
        "literal behaviour, which is not translation invariant.",
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace OUT if it exists."),
) -> None:
    """Convert a PaiNN model trained with SchNetPack 2.x.

    SchNetPack need not be installed, and no code in the file is run. Results are SchNetPack's to
    rounding; what has no exact counterpart is refused with the reason.

    The file does not hold its units. Those given here count first, then those of the training
    run's `config.yaml` beside the file, then SchNetPack's defaults kcal/mol and Å, with a warning.
    """
    from painn_ase.cli.card import print_card
    from painn_ase.cli.outputs import refuse_existing
    from painn_ase.models import save_model
    from painn_ase.models.schnetpack import load_schnetpack

    refuse_existing([target], overwrite, "choose another name")
    potential = load_schnetpack(
        source,
        energy_unit=energy_unit,
        length_unit=length_unit,
        dipole_unit=dipole_unit,
        polarizability_unit=polarizability_unit,
        elements=None if elements is None else elements.replace(",", " ").split(),
        polarizability_origin=polarizability_origin.value,
    )
    save_model(potential, target)
    print_card(str(target), potential.spec)
    typer.echo(f"\nwritten: {target}; next: painn-ase info {target}")
