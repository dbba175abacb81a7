"""``painn-ase report``: finished folders as one offline HTML page, to look at or to compare."""

from __future__ import annotations

from pathlib import Path

import typer

from painn_ase.cli.outputs import refuse_existing, refuse_unwritable

__all__ = ["report"]


def report(
    folders: list[Path] = typer.Argument(
        help="What `painn-ase spectrum`, `demo` or `harmonic` wrote; several are compared.",
        show_default=False,
    ),
    output: Path | None = typer.Option(
        None,
        "--output",
        "-o",
        help="The page; by default `report.html` in the folder, which it replaces, and "
        "`comparison.html` here for several.",
        show_default=False,
    ),
    name: list[str] | None = typer.Option(
        None, help="What the page calls a folder, in their order. Repeat it."
    ),
    experiment: Path | None = typer.Option(
        None, help="JCAMP-DX or CSV file of a measured spectrum to lay over."
    ),
    anharmonic: Path | None = typer.Option(
        None,
        help="`anharmonic.json` of the same structure and model; by default the one in the folder.",
        show_default=False,
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an --output that is there."),
) -> None:
    """The spectra of finished folders as one HTML file that needs no network.

    Zoom, areas with errors, moving modes, a measured spectrum dropped on it, what to trust, what to
    cite, downloads.

    Examples: `painn-ase report painn_ase_demo` · `painn-ase report light heavy -o isotopes.html`
    """
    from painn_ase.workflow import page_of_folders

    if output is not None:
        refuse_unwritable(output, folder=False)
        refuse_existing([output], overwrite)
    path = output or (folders[0] / "report.html" if len(folders) == 1 else Path("comparison.html"))
    if output is None and len(folders) > 1:
        refuse_existing([path], overwrite)
    page = page_of_folders(
        folders, names=name or None, experiment=experiment, anharmonic=anharmonic
    )
    page.save(path)
    typer.echo(f"written: {path} ({path.stat().st_size / 1000:.0f} kB), open it in a browser")
