"""The table of labels and findings that ``painn-ase data`` and ``painn-ase train`` show."""

from __future__ import annotations

import functools

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from painn_ase.training.data_report import DataReport

__all__ = ["print_report"]

#: What the table needs, characters.
_WIDTH = 80
_COLOURS = {"ok": "green", "note": "cyan", "warning": "red"}


def print_report(report: DataReport, *, passed: bool = True) -> None:
    """Print what was read and what was found.

    Parameters
    ----------
    report : DataReport
    passed : bool
        Also the checks that found nothing.
    """
    # Numbers cut in two would be worse than lines that a narrow terminal breaks.
    console = Console(highlight=False, width=max(Console().width, _WIDTH))
    # The terminal wraps lines of text, not we: paths stay whole and words can be searched for.
    say = functools.partial(console.print, soft_wrap=True)
    frames = report.source.frames
    sizes = sorted({f.n_atoms for f in frames})
    atoms = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    say(f"[bold]{escape(str(report.path))}[/bold]: {len(frames)} frames of {atoms} atoms")
    console.print(_table(report))
    if report.source.unread:
        say(f"  not read: {escape(', '.join(report.source.unread))}")
    for finding in report.findings:
        if passed or finding.level != "ok":
            colour = _COLOURS[finding.level]
            say(
                f"  [{colour}]{finding.level:8s}[/{colour}] {escape(finding.check)}: "
                f"{escape(finding.message)}"
            )


def _table(report: DataReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("quantity", "in the file", "frames", "lowest", "highest", "RMS", "unit"):
        numeric = title in ("frames", "lowest", "highest", "RMS")
        table.add_column(title, justify="right" if numeric else "left", overflow="fold")
    for row in report.rows:
        label, read_as = row.label, row.read_as.replace("Angstrom", "Å").replace("*", "·")
        in_the_file = read_as if row.key == label.quantity else f"{row.key}, {read_as}"
        numbers = (f"{value:.4g}" for value in (label.lowest, label.highest, label.rms))
        table.add_row(
            label.quantity, escape(in_the_file), str(label.n_frames), *numbers, label.unit
        )
    return table
