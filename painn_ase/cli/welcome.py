"""What ``painn-ase`` says without a command: what can be done now, and with what."""

from __future__ import annotations

import typer

from painn_ase._version import __version__

__all__ = ["welcome"]

#: A command that can be typed as it stands → what it does.
_FIRST = (
    ("painn-ase demo", "ethanol's IR and Raman in four minutes, on a page"),
    ("painn-ase spectrum ethanol CH3CH2OH", "the same for a model and a structure of yours"),
    ("painn-ase harmonic water H2O", "normal modes and their intensities within seconds"),
    ("painn-ase spectrum run.xtc", "a spectrum of another program's trajectory"),
    ("painn-ase data frames.extxyz", "labelled frames checked, before painn-ase train"),
    ("painn-ase learn CCO -o my_ethanol", "no data yet: frames, labels and a model of a molecule"),
)


def welcome() -> None:
    """Print the first commands, the bundled models and where to read on."""
    from painn_ase.models import bundled_committees, bundled_models

    typer.echo(f"painn_ase {__version__}: IR and Raman spectra from PaiNN models\n")
    for command, what in _FIRST:
        typer.echo(f"  {command}\n      {what}")
    names = ", ".join([*bundled_models(), *bundled_committees()]) or "none"
    typer.echo(
        f"\nBundled models: {names};\n  painn-ase info NAME tells what each knows.\n"
        "All commands: painn-ase --help;\n  options of one: painn-ase COMMAND --help.\n"
        "Documentation: docs/ of the source, from quickstart.md on."
    )
