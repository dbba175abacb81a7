"""``painn-ase data``: what a file of labelled frames holds, and whether the labels make sense."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from painn_ase.cli.outputs import print_json, refuse_existing
from painn_ase.errors import DataError

if TYPE_CHECKING:
    from painn_ase.training.data_report import DataReport

__all__ = ["data"]


def data(
    files: list[Path] = typer.Argument(
        ...,
        help="extxyz, .traj, ASE .db, .npz or HDF5 files with labelled frames, DeePMD folders.",
        show_default=False,
    ),
    key: list[str] = typer.Option(
        [], "--key", help="LABEL=NAME: the file keeps LABEL under NAME, e.g. energy=REF_energy."
    ),
    unit: list[str] = typer.Option(
        [],
        "--unit",
        help="QUANTITY=UNIT of the file, e.g. energy=kcal/mol, length=Bohr, dipole=Debye, "
        "polarizability=Angstrom^3. Default: what the file states, else eV, Angstrom, e*Angstrom; "
        "a polarizability whose unit is not given is shown as if in Angstrom^3 and the energy of "
        "an .npz as if in eV, with a warning. order=vasp, lammps or rows where six numbers of a "
        "tensor are not xx yy zz yz xz xy.",
    ),
    plots: Path | None = typer.Option(
        None, "--plots", help="Folder for histograms of the labels.", show_default=False
    ),
    as_json: bool = typer.Option(False, "--json", help="Machine-readable output."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace histograms that exist."),
) -> None:
    """Show the labels of FILES and check them against physics.

    Wrong signs and units, folded dipoles, asymmetric tensors, duplicates, outliers and missing
    labels are reported with the likely cause. The exit code is 2 if anything deserves a warning.
    """
    from painn_ase.cli.data_table import print_report
    from painn_ase.spec import from_dict
    from painn_ase.training.data_report import inspect_file
    from painn_ase.training.file_spec import KeysSpec, UnitsSpec

    pictures = _pictures(files, plots)
    refuse_existing(pictures, overwrite, "choose another folder for --plots")
    keys = from_dict(KeysSpec, _pairs(key, "--key"), "--key")
    units = from_dict(UnitsSpec, _pairs(unit, "--unit"), "--unit")
    warned = False
    for number, path in enumerate(files):
        report = inspect_file(path, keys, units, assumed=_ASSUMED)
        if as_json:
            _print_json(report)
        else:
            print_report(report)
        if plots is not None:
            from painn_ase.training.report import plot_labels

            plot_labels(report.source.frames, pictures[number])
            typer.echo(f"wrote {pictures[number]}", err=as_json)
        warned = warned or bool(report.warnings)
    if not as_json:
        typer.echo(
            "next: mend what warns, or tell painn-ase train --accept-warnings"
            if warned
            else "next: painn-ase train CONFIG.toml, with the path of the data in it"
        )
    if warned:
        raise typer.Exit(code=2)


#: What an unstated unit is shown as; training refuses to guess.
_ASSUMED = {"polarizability": "Angstrom^3", "energy": "eV"}


def _pictures(files: Sequence[Path], folder: Path | None) -> list[Path]:
    """Where each file's histograms go; none without a folder."""
    if folder is None:
        return []
    stems = [path.stem for path in files]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise DataError(
            f"--plots: several files are called {', '.join(twice)} and would share one picture; "
            "call the command once for each, with a folder of its own."
        )
    return [folder / f"{stem}_labels.png" for stem in stems]


def _pairs(options: Sequence[str], name: str) -> dict[str, str]:
    pairs = {}
    for option in options:
        left, sign, right = option.partition("=")
        if not (left and sign and right):
            raise typer.BadParameter(f"expected NAME=VALUE, got {option!r}", param_hint=name)
        pairs[left] = right
    return pairs


def _print_json(report: DataReport) -> None:
    print_json(
        {
            "file": str(report.path),
            "n_frames": len(report.source.frames),
            "labels": [
                {"key": row.key, "read_as": row.read_as, **dataclasses.asdict(row.label)}
                for row in report.rows
            ],
            "unread_keys": report.source.unread,
            "findings": [dataclasses.asdict(finding) for finding in report.findings],
        }
    )
