"""The rules of all commands that write: nothing is replaced unasked; JSON is plain ASCII."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from painn_ase.errors import DataError

__all__ = ["print_json", "refuse_existing"]


def refuse_existing(
    paths: Iterable[Path], overwrite: bool, otherwise: str = "choose another --output"
) -> None:
    """Check, before the work begins, that none of the files to write is there.

    Raises
    ------
    DataError
        When one is there and `overwrite` is false; it names the file. An empty file, left by a
        command that was killed in its first moment, holds nothing to protect.
    """
    if overwrite:
        return
    for path in paths:
        if path.exists() and (path.is_dir() or path.stat().st_size):
            raise DataError(
                f"{path} exists already. Add --overwrite to replace it, or {otherwise}."
            )


def print_json(data: Mapping[str, Any]) -> None:
    """Print `data` for programs: letters beyond ASCII escaped, so that no encoding changes them."""
    typer.echo(json.dumps(data, indent=2))
