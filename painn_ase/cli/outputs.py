"""The rules of all commands that write: nothing is replaced unasked; JSON is plain ASCII."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from painn_ase.errors import DataError

__all__ = ["print_json", "refuse_existing", "refuse_unwritable"]


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


def refuse_unwritable(path: Path, *, folder: bool) -> None:
    """Check, before the work begins, that there is room in the tree for a file or `folder`.

    Raises
    ------
    DataError
        When a file stands where the folder is to be, or a file's folder is not there.
    """
    if folder and path.exists() and not path.is_dir():
        raise DataError(f"{path} is a file, and a folder is to be written: name another --output.")
    if not folder and not path.parent.is_dir():
        raise DataError(f"there is no folder {path.parent} to write {path.name} to: make it first.")


def print_json(data: Mapping[str, Any]) -> None:
    """Print `data` for programs: letters beyond ASCII escaped, so that no encoding changes them."""
    typer.echo(json.dumps(data, indent=2))
