"""TOML files: the one place that reads them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from painn_ase.errors import SpecError

__all__ = ["read_toml"]


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file as plain dictionaries.

    Raises
    ------
    SpecError
        For a file that is missing or unreadable, no text, or no TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise SpecError(f"cannot read the TOML file {path}: {error}.") from error
    try:
        parsed: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and nests beyond Python's limits
        raise SpecError(f"{path} is not valid TOML: {error}.") from error
    return parsed
