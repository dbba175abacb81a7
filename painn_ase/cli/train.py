"""``painn-ase train``: from a TOML configuration to a model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from painn_ase.errors import DataError

__all__ = ["train"]

#: Molecules whose errors are shown, the worst first.
_N_GROUPS = 8


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
    steps: int | None = typer.Option(
        None, "--steps", min=1, help="Length in steps instead of epochs.", show_default=False
    ),
    start: str | None = typer.Option(
        None,
        "--from",
        help="Model to start from: a file, a bundled model, or the folder of a committee. Its "
        "network, elements, reference energies and scales are kept.",
        show_default=False,
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
    if epochs is not None and steps is not None:
        raise DataError("--epochs and --steps both say how long; give one.")
    if epochs is not None:
        schedule = dataclasses.replace(settings.schedule, epochs=epochs, steps=None)
        settings = settings.replace(schedule=schedule)
    if steps is not None:
        settings = settings.replace(schedule=dataclasses.replace(settings.schedule, steps=steps))
    if start is not None:
        settings = settings.replace(start=start)
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
    model = result if result.is_file() else folders[0] / f"{settings.name}_0.safetensors"
    typer.echo(
        f"look at {folders[0]}/parity.png and learning_curve.png; next: painn-ase doctor {model} "
        "STRUCTURE, then painn-ase spectrum"
    )


def _print_errors(path: Path) -> None:
    report = json.loads(path.read_text(encoding="utf-8"))
    title = f"{report['model']}: errors on {report['n_frames']} {report['part']} frames"
    before = report.get("before", {}).get("errors", {})
    _print_table(title, report["errors"], before)
    if held_out := report.get("held_out"):
        _print_table(
            f"on {held_out['n_frames']} frames of molecules it was never trained on",
            held_out["errors"],
            {},
        )
    if groups := report.get("by_group"):
        units = {name: e["unit"] for name, e in report["errors"].items()}
        typer.echo("the largest errors by molecule (all in errors.json):")
        for group, found in list(groups.items())[:_N_GROUPS]:
            values = ", ".join(
                f"{name} {found[name]:.3g} {units[name]}"
                for name in units
                if name in found and name in ("energy", "forces", "dipole_magnitude")
            )
            typer.echo(f"  {group}: {values}, {found['n_frames']:.0f} frames")
    for name, found in report.get("harmonic", {}).items():
        if reason := found.get("failed"):
            typer.echo(f"harmonic frequencies beside {name}: none, {reason}")
            continue
        typer.echo(
            f"harmonic frequencies beside {name}: mean {found['mae']:.1f}, largest "
            f"{found['largest']:.1f} {found['unit']} over {len(found['model'])} modes"
        )


def _print_table(title: str, errors: dict[str, Any], before: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    titles = ["quantity", "unit", "MAE", "RMSE", "largest"]
    for column in [*titles, "MAE before"] if before else titles:
        table.add_column(column, justify="left" if column in ("quantity", "unit") else "right")
    for name, e in errors.items():
        row = [name, e["unit"], *(f"{e[k]:.3g}" for k in ("mae", "rmse", "largest"))]
        if before:
            row.append(f"{before[name]['mae']:.3g}" if name in before else "–")
        table.add_row(*row)
    Console(highlight=False).print(table)
