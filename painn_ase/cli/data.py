"""``painn-ase data``: what a file of labelled frames holds, and whether the labels make sense."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from painn_ase.training.checks import Finding, LabelRow
    from painn_ase.training.frames import Frame

__all__ = ["data"]


def data(
    files: list[Path] = typer.Argument(
        ..., help="extxyz, .traj, ASE .db or .npz files with labelled frames.", show_default=False
    ),
    key: list[str] = typer.Option(
        [], "--key", help="LABEL=NAME: the file keeps LABEL under NAME, e.g. energy=REF_energy."
    ),
    unit: list[str] = typer.Option(
        [],
        "--unit",
        help="QUANTITY=UNIT of the file, e.g. energy=kcal/mol, length=Bohr, dipole=Debye, "
        "polarizability=Angstrom^3. Default: ASE's units.",
    ),
    plots: Path | None = typer.Option(
        None, "--plots", help="Folder for histograms of the labels.", show_default=False
    ),
    as_json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Show the labels of FILES and check them against physics.

    Wrong signs and units, folded dipoles, asymmetric tensors, duplicates, outliers and missing
    labels are reported with the likely cause. The exit code is 2 if anything deserves a warning.
    """
    from painn_ase.training.checks import check_frames, label_table

    warned = False
    for path in files:
        frames = _read(path, key, unit)
        rows, findings = label_table(frames), check_frames(frames)
        if as_json:
            _print_json(path, frames, rows, findings)
        else:
            _print_report(path, frames, rows, findings)
        if plots is not None:
            from painn_ase.training.report import plot_labels

            typer.echo(f"wrote {plot_labels(frames, plots, path.stem)}")
        warned = warned or any(f.level == "warning" for f in findings)
    if warned:
        raise typer.Exit(code=2)


def _read(path: Path, key: Sequence[str], unit: Sequence[str]) -> list[Frame]:
    """Frames of `path`; a polarizability of unstated unit is read as if in Å³ and said so."""
    from painn_ase.spec import from_dict
    from painn_ase.training.readers import KeysSpec, UnitsSpec, read_frames

    keys = from_dict(KeysSpec, _pairs(key, "--key"), "--key")
    given = _pairs(unit, "--unit")
    if "polarizability" not in given:
        given["polarizability"] = "Angstrom^3"
    return read_frames(path, keys, from_dict(UnitsSpec, given, "--unit"))


def _pairs(options: Sequence[str], name: str) -> dict[str, str]:
    pairs = {}
    for option in options:
        left, sign, right = option.partition("=")
        if not (left and sign and right):
            raise typer.BadParameter(f"expected NAME=VALUE, got {option!r}", param_hint=name)
        pairs[left] = right
    return pairs


def _print_json(
    path: Path, frames: Sequence[Frame], rows: Sequence[LabelRow], findings: Sequence[Finding]
) -> None:
    record: dict[str, Any] = {
        "file": str(path),
        "n_frames": len(frames),
        "labels": [dataclasses.asdict(row) for row in rows],
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    typer.echo(json.dumps(record, indent=2, ensure_ascii=False))


def _print_report(
    path: Path, frames: Sequence[Frame], rows: Sequence[LabelRow], findings: Sequence[Finding]
) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    sizes = sorted({f.n_atoms for f in frames})
    atoms = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    console.print(f"[bold]{escape(str(path))}[/bold]: {len(frames)} frames of {atoms} atoms")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("quantity", "unit", "frames", "lowest", "highest", "RMS"):
        table.add_column(title, justify="left" if title in ("quantity", "unit") else "right")
    for row in rows:
        numbers = (f"{value:.6g}" for value in (row.lowest, row.highest, row.rms))
        table.add_row(row.quantity, row.unit, str(row.n_frames), *numbers)
    console.print(table)
    colours = {"ok": "green", "note": "cyan", "warning": "red"}
    for finding in findings:
        colour = colours[finding.level]
        console.print(
            f"  [{colour}]{finding.level:8s}[/{colour}] {escape(finding.check)}: "
            f"{escape(finding.message)}"
        )
