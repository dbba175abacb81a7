"""``painn-ase plot``: pictures of spectra and of runs from their files."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import typer

from painn_ase.cli.outputs import refuse_existing
from painn_ase.errors import DataError

__all__ = ["plot"]

RUN_SUFFIXES = (".h5", ".hdf5", ".h5md")


class Look(str, Enum):
    """For what a picture of spectra is."""

    paper = "paper"
    talk = "talk"


def plot(
    files: list[Path] = typer.Argument(
        help="Spectra (`.csv`, `.npz`, `.jdx`), laid over each other where their units agree; or "
        "one trajectory (`.h5`), for its energy drift and temperature; or, with `--filters`, a "
        "model file or the name of a bundled model.",
        show_default=False,
    ),
    output: Path = typer.Option(
        Path("plot.png"), "--output", "-o", help="Picture; the suffix says the format."
    ),
    label: list[str] | None = typer.Option(
        None, "--label", "-l", help="Legend text, once for each file; by default its name."
    ),
    sticks: Path | None = typer.Option(
        None,
        help="Harmonic lines below the spectra and on their scale: `modes.json` of `painn-ase "
        "harmonic`, or a frequency job of Gaussian, ORCA, Q-Chem, NWChem (needs cclib).",
    ),
    experiment: Path | None = typer.Option(
        None,
        help="Experiment (JCAMP-DX or CSV; absorbance, transmittance or absorptance over "
        "wavenumbers or wavelengths, as headed), scaled to the spectrum's area.",
    ),
    scale: float = typer.Option(
        1.0, "--scale", help="Factor on the wavenumbers of spectra and sticks."
    ),
    shift: float = typer.Option(
        0.0, "--shift", help="Added to the wavenumbers of spectra and sticks, cm⁻¹."
    ),
    peaks: bool = typer.Option(False, "--peaks", help="Write the bands' wavenumbers above them."),
    shown: tuple[float, float] | None = typer.Option(
        None,
        "--range",
        metavar="LOW HIGH",
        help="Wavenumbers shown, cm⁻¹, as in `--range 500 4000`; by default where there is "
        "something to see.",
        show_default=False,
    ),
    style: Look = typer.Option(
        Look.paper, help="talk: large letters, thick lines, no small print below."
    ),
    descending: bool = typer.Option(
        False, "--descending", help="High wavenumbers on the left, as infrared spectroscopists do."
    ),
    transmittance: bool = typer.Option(
        False, "--transmittance", help="As a spectrometer prints it; high wavenumbers on the left."
    ),
    filters: bool = typer.Option(
        False, "--filters", help="Draw what a model's blocks multiply neighbours' features with."
    ),
    target: float | None = typer.Option(None, help="Target temperature drawn for a run, K."),
    dpi: int = typer.Option(150, help="Resolution of a bitmap."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace what is there."),
) -> None:
    """Draw spectra, how a run behaved, or the filters of a model.

    Examples: `painn-ase plot infrared.csv --sticks modes.json --experiment water.jdx -o ir.png`,
    `painn-ase plot run.h5 -o run.png`, `painn-ase plot ethanol --filters -o filters.png`
    """
    from painn_ase.workflow.pictures import picture_of_run, picture_of_spectra, save_figure

    refuse_existing([output], overwrite)
    labels = label or []
    if filters:
        _refuse_beside_filters(files, labels, sticks, experiment, target)
        from painn_ase.models import load_model
        from painn_ase.plotting.filters import draw_filters

        save_figure(draw_filters(load_model(str(files[0]))), output, dpi)
        typer.echo(f"written: {output}")
        return
    if labels and len(labels) != len(files):
        raise DataError(f"{len(labels)} label(s) for {len(files)} file(s): give one --label each.")
    runs = [f for f in files if f.suffix.lower() in RUN_SUFFIXES]
    if runs and len(files) > 1:
        raise DataError(f"{runs[0]} is a trajectory: draw it alone.")
    if runs:
        figure = picture_of_run(runs[0], target)
    else:
        figure = picture_of_spectra(
            files,
            labels,
            sticks=sticks,
            experiment=experiment,
            scale=scale,
            shift=shift,
            limits=shown or (None, None),
            descending=descending,
            transmittance=transmittance,
            peaks=peaks,
            style=style.value,
        )
    save_figure(figure, output, dpi)
    typer.echo(f"written: {output}; next: open it, or painn-ase report FOLDER for a page to zoom")


def _refuse_beside_filters(files: Sequence[Path], labels: Sequence[str], *others: object) -> None:
    """Refuse what says nothing about a model."""
    if len(files) > 1 or labels or any(other is not None for other in others):
        raise DataError(
            "--filters draws one model: leave out other files, --label, --sticks, --experiment "
            "and --target."
        )
