"""``painn-ase train``: from a TOML configuration to a model file."""

from __future__ import annotations

import json
from pathlib import Path

import typer

__all__ = ["train"]


def train(
    config: Path = typer.Argument(..., help="TOML configuration.", show_default=False),
    resume: bool = typer.Option(
        False, "--resume", help="Continue a run that was stopped, from its newest checkpoint."
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Start anew where the output folder already holds a run."
    ),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Folder of the run.", show_default="runs/<name>"
    ),
    epochs: int | None = typer.Option(
        None, "--epochs", help="Instead of the configuration's.", show_default=False
    ),
    n_models: int | None = typer.Option(
        None, "--n-models", help="Size of the committee.", show_default=False
    ),
    accept_warnings: bool = typer.Option(
        False, "--accept-warnings", help="Train although the checks of the labels warn."
    ),
) -> None:
    """Train a model, or a committee, and report its errors on the test part.

    First it shows which label was read under which key, in which unit, for how many frames, and
    what was not read, and makes the checks of `painn-ase data`; a warning of theirs stops it.

    The folder of the run receives the model file, the split, checkpoints, the learning curve,
    errors.json and parity.png.
    """
    import dataclasses
    import functools

    from painn_ase.cli.data_table import print_report
    from painn_ase.training import read_config
    from painn_ase.training.run import train as run

    settings = read_config(config)
    if output is not None:
        settings = settings.replace(output=str(output))
    if n_models is not None:
        settings = settings.replace(n_models=n_models)
    if epochs is not None:
        schedule = dataclasses.replace(settings.schedule, epochs=epochs)
        settings = settings.replace(schedule=schedule)
    if accept_warnings:
        data = dataclasses.replace(settings.data, accept_warnings=True)
        settings = settings.replace(data=data)
    result = run(
        settings,
        resume=resume,
        overwrite=overwrite,
        tell=functools.partial(print_report, passed=False),
    )
    folders = sorted(result.glob("member_*")) if result.is_dir() else [result.parent]
    for folder in folders:
        _print_errors(folder / "errors.json")
    typer.echo(f"wrote {result}")


def _print_errors(path: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    report = json.loads(path.read_text(encoding="utf-8"))
    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        title=f"{report['model']}: errors on {report['n_frames']} {report['part']} frames",
        title_justify="left",
    )
    for title in ("quantity", "unit", "MAE", "RMSE", "largest"):
        table.add_column(title, justify="left" if title in ("quantity", "unit") else "right")
    for name, e in report["errors"].items():
        table.add_row(name, e["unit"], *(f"{e[k]:.3g}" for k in ("mae", "rmse", "largest")))
    Console(highlight=False).print(table)
