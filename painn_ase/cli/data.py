"""``painn-ase data``: what a file of labelled frames holds, and whether the labels make sense."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from painn_ase.cli.outputs import print_json, refuse_existing
from painn_ase.errors import DataError

if TYPE_CHECKING:
    from painn_ase.training.checks import Finding, LabelRow
    from painn_ase.training.readers import FrameFile, UnitsSpec

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
        "polarizability=Angstrom^3. Default: eV, Angstrom, e*Angstrom; a polarizability whose unit "
        "is not given is read as Angstrom^3, with a warning.",
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
    from painn_ase.training.checks import check_frames

    pictures = _pictures(files, plots)
    refuse_existing(pictures, overwrite, "choose another folder for --plots")
    warned = False
    for number, path in enumerate(files):
        source, units = _read(path, key, unit)
        assumed = not any(option.startswith("polarizability=") for option in unit)
        findings = check_frames(source.frames)
        if assumed and "polarizability" in source.keys:
            findings.insert(0, _unstated_unit())
        rows = _rows(source, units)
        if as_json:
            _print_json(path, source, rows, findings)
        else:
            _print_report(path, source, rows, findings)
        if plots is not None:
            from painn_ase.training.report import plot_labels

            plot_labels(source.frames, pictures[number])
            typer.echo(f"wrote {pictures[number]}", err=as_json)
        warned = warned or any(f.level == "warning" for f in findings)
    if warned:
        raise typer.Exit(code=2)


#: What a polarizability of unstated unit is shown as; training refuses to guess.
_ASSUMED = "Angstrom^3"


#: What the table of labels needs, characters.
_TABLE_WIDTH = 80


@dataclasses.dataclass(frozen=True)
class _Row:
    """A line of the table: a label, where it stood in the file, and in which unit it was read."""

    key: str
    read_as: str
    label: LabelRow


def _read(path: Path, key: Sequence[str], unit: Sequence[str]) -> tuple[FrameFile, UnitsSpec]:
    """Frames of `path` and the units they were read in; polarizabilities as Å³ if not stated."""
    from painn_ase.spec import from_dict
    from painn_ase.training.readers import KeysSpec, UnitsSpec, read_file

    keys = from_dict(KeysSpec, _pairs(key, "--key"), "--key")
    given = {"polarizability": _ASSUMED, **_pairs(unit, "--unit")}
    units: UnitsSpec = from_dict(UnitsSpec, given, "--unit")
    return read_file(path, keys, units), units


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


def _unstated_unit() -> Finding:
    from painn_ase.training.checks import Finding

    return Finding(
        "warning",
        "polarizability",
        f"the unit is not stated, read as {_ASSUMED}; files disagree by a factor of up to 14.4. "
        "State it with --unit polarizability=Angstrom^3, a.u. or e^2*Angstrom^2/eV: training "
        "refuses to guess",
    )


def _rows(source: FrameFile, units: UnitsSpec) -> list[_Row]:
    from painn_ase.training.checks import label_table

    return [
        _Row(source.keys.get(row.quantity, row.quantity), units.name_of(row.quantity), row)
        for row in label_table(source.frames)
    ]


def _pairs(options: Sequence[str], name: str) -> dict[str, str]:
    pairs = {}
    for option in options:
        left, sign, right = option.partition("=")
        if not (left and sign and right):
            raise typer.BadParameter(f"expected NAME=VALUE, got {option!r}", param_hint=name)
        pairs[left] = right
    return pairs


def _print_json(
    path: Path, source: FrameFile, rows: Sequence[_Row], findings: Sequence[Finding]
) -> None:
    record: dict[str, Any] = {
        "file": str(path),
        "n_frames": len(source.frames),
        "labels": [
            {"key": row.key, "read_as": row.read_as, **dataclasses.asdict(row.label)}
            for row in rows
        ],
        "unread_keys": source.unread,
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    print_json(record)


def _print_report(
    path: Path, source: FrameFile, rows: Sequence[_Row], findings: Sequence[Finding]
) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    # Numbers cut in two would be worse than lines that a narrow terminal breaks.
    console = Console(highlight=False, width=max(Console().width, _TABLE_WIDTH))
    # The terminal wraps lines of text, not we: paths stay whole and words can be searched for.
    say = functools.partial(console.print, soft_wrap=True)
    sizes = sorted({f.n_atoms for f in source.frames})
    atoms = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    say(f"[bold]{escape(str(path))}[/bold]: {len(source.frames)} frames of {atoms} atoms")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("quantity", "in the file", "frames", "lowest", "highest", "RMS", "unit"):
        numeric = title in ("frames", "lowest", "highest", "RMS")
        table.add_column(title, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        label, read_as = row.label, row.read_as.replace("Angstrom", "Å").replace("*", "·")
        in_the_file = read_as if row.key == label.quantity else f"{row.key}, {read_as}"
        numbers = (f"{value:.4g}" for value in (label.lowest, label.highest, label.rms))
        table.add_row(
            label.quantity, escape(in_the_file), str(label.n_frames), *numbers, label.unit
        )
    console.print(table)
    if source.unread:
        say(f"  not read: {escape(', '.join(source.unread))}")
    colours = {"ok": "green", "note": "cyan", "warning": "red"}
    for finding in findings:
        colour = colours[finding.level]
        say(
            f"  [{colour}]{finding.level:8s}[/{colour}] {escape(finding.check)}: "
            f"{escape(finding.message)}"
        )
