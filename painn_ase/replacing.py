"""The one way to write a file that others may read, or that a kill must not spoil.

The new content goes to disk beside the old file, which stays whole until the new one takes its
name.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["replace_file", "write_text"]


@contextlib.contextmanager
def replace_file(path: Path, *, previous: Path | None = None) -> Iterator[BinaryIO]:
    """A file open for writing that takes the place of `path` when the block has ended well.

    Parameters
    ----------
    path : Path
    previous : Path, optional
        Where the old file goes, instead of away.

    Raises
    ------
    OSError
        When it cannot be written; what was at `path` is still there, and nothing else is.
    """
    # Not tempfile's: its files are private, and the permissions a user's umask leaves can only be
    # had by setting the umask of the whole process.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Put `text` at `path` in UTF-8, whole or not at all."""
    with replace_file(path) as file:
        file.write(text.encode())


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets folders be synced."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
