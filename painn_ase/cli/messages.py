"""Notes and errors on standard error, in colour where terminal and user want any."""

from __future__ import annotations

import os

import typer

__all__ = ["note", "trouble"]


def note(text: object) -> None:
    """Advice about a result that is given all the same."""
    _write(f"note: {text}", fg="yellow")


def trouble(text: str, remark: str) -> None:
    """An error in one line, and a remark below it."""
    # not through rich: brackets and paths in the message are to arrive as they are, uncut
    _write(text, fg="red")
    _write(remark, dim=True)


def _write(text: str, *, fg: str | None = None, dim: bool | None = None) -> None:
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")
    typer.echo(text if plain else typer.style(text, fg=fg, dim=dim), err=True)
