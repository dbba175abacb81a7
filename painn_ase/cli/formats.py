"""``painn-ase formats``: which files can be read, what they give, and what reading them needs."""

from __future__ import annotations

import json

import typer

__all__ = ["formats"]


def formats(
    as_json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """List the files of other programs that `spectrum` reads, and what they give.

    A file is recognised by what it holds; its name counts only where a format has no mark of its
    own. What a file does not say is asked for.
    """
    from painn_ase.trajectory.formats import installed, table_of_formats

    rows = table_of_formats()
    if as_json:
        typer.echo(json.dumps([row.__dict__ for row in rows], indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("program", "files", "gives", "extra"):
        table.add_column(title, overflow="fold")
    for row in rows:
        files, gives = row.files.replace("`", ""), row.gives.replace("`", "")
        table.add_row(row.program, files, gives, row.extra)
    Console(highlight=False, markup=False).print(table)
    missing = [name for name, there in installed().items() if not there]
    if missing:
        typer.echo(
            f"not installed: {', '.join(missing)}; python -m pip install 'painn_ase[formats]'"
        )
    typer.echo("next: painn-ase spectrum FILE; what FILE does not say is asked for")
