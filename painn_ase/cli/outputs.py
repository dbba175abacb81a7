"""The rule of all commands that write: nothing that exists is replaced unasked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from painn_ase.errors import DataError

__all__ = ["refuse_existing"]


def refuse_existing(
    paths: Iterable[Path], overwrite: bool, otherwise: str = "choose another --output"
) -> None:
    """Check, before the work begins, that none of the files to write is there.

    Raises
    ------
    DataError
        When one is there and `overwrite` is false; it names the file.
    """
    if overwrite:
        return
    for path in paths:
        if path.exists():
            raise DataError(
                f"{path} exists already. Add --overwrite to replace it, or {otherwise}."
            )
