"""Optional libraries, imported where they are needed, with the line that installs them."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from painn_ase.errors import MissingDependencyError, PaiNNError, TrajectoryError

__all__ = ["errors_named", "need"]


def need(module: str, what: str) -> Any:
    """The optional library `module`.

    Parameters
    ----------
    module : str
        Name in Python.
    what : str
        What it reads, for the message.

    Raises
    ------
    MissingDependencyError
        When it is not installed; the message says how to install it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".", 1)[0]
        raise MissingDependencyError(
            f"reading {what} needs {package}, which cannot be imported ({error}). Install it: "
            f"python -m pip install 'painn_ase[formats]' (or {package} alone)."
        ) from error


@contextmanager
def errors_named(path: Path, what: str) -> Iterator[None]:
    """Whatever a library raises on a damaged file becomes our error, with the file's name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PaiNNError:
        raise
    except Exception as error:  # parsers fail on damaged input in as many ways as they have lines
        raise TrajectoryError(
            f"{path} cannot be read as {what} ({type(error).__name__}: {str(error)[:200]}). It may "
            "be truncated, damaged or of another format."
        ) from error
