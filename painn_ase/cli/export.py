"""``painn-ase export``: a model as a file that other programs load."""

from __future__ import annotations

from pathlib import Path

import typer

__all__ = ["export"]


def export(
    model: str = typer.Argument(
        help="Model file, or the name of a bundled model.", show_default=False
    ),
    target: Path = typer.Argument(
        metavar="OUT", help="The metatomic file `.pt` to write.", show_default=False
    ),
    outputs: str | None = typer.Option(
        None, help="Of energy,dipole,polarizability; all that the model has by default."
    ),
    dtype: str = typer.Option(
        "float64", help="Of the network and of what engines hand over: float32 or float64."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace OUT if it exists."),
) -> None:
    """Export MODEL for metatomic's engines: its ASE calculator, chemiscope, PLUMED, EON, i-PI.

    The outputs are called energy, painn::dipole (e·Å) and painn::polarizability (e²Å²/eV).

    Example: `painn-ase export water water.pt`
    """
    from painn_ase.cli.outputs import refuse_existing, refuse_unwritable
    from painn_ase.devices import resolve_dtype
    from painn_ase.engines.metatomic import OUTPUTS, export_metatomic
    from painn_ase.models import load_model

    refuse_existing([target], overwrite, "choose another name")
    refuse_unwritable(target, folder=False)
    potential = load_model(model, dtype=resolve_dtype(dtype))
    wanted = None if outputs is None else outputs.replace(",", " ").split()
    chosen = export_metatomic(potential, target, wanted, name=Path(model).stem)
    names = ", ".join(f"{OUTPUTS[name][0]} ({OUTPUTS[name][1]})" for name in chosen)
    typer.echo(f"wrote {target}: {names}; {dtype}")
