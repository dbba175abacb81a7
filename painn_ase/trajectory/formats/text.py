"""Lines and numbers of programs' text files: Fortran's exponents, cut ends, columns by their names.

What a number *means* is said by each format's own file; here is only how it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError

__all__ = [
    "Table",
    "finished",
    "number",
    "numbered",
    "numbers_of",
    "open_text",
    "read_table",
    "vector_columns",
]

#: Fortran's double-precision exponent, 1.0D-03, and one too long for its letter, 1.0-103.
_FORTRAN_EXPONENT = re.compile(r"(?<=[\d.])(?:[dD](?=[+-]?\d)|(?=[+-]\d{3}(?!\d)))")

#: Rows whose texts are held at a time.
_BLOCK = 20_000


def open_text(path: Path) -> TextIO:
    """The file opened as text; what is no UTF-8 is replaced, so that headers stay readable.

    Raises
    ------
    TrajectoryError
        When it cannot be opened.
    """
    try:
        return open(path, encoding="utf-8", errors="replace")
    except OSError as error:
        raise TrajectoryError(f"{path} cannot be read: {error}.") from error


def number(word: str, where: str) -> float:
    """A number as programs write it, ``1.0D-03`` and ``1.0-103`` included.

    Parameters
    ----------
    word : str
    where : str
        For the message: file, line, column.

    Raises
    ------
    TrajectoryError
        When it is none, or not finite.
    """
    try:
        value = float(_FORTRAN_EXPONENT.sub("e", word))
    except ValueError:
        hint = (
            " Fortran writes stars where a number does not fit its column; print it wider."
            if "**" in word
            else ""
        )
        raise TrajectoryError(f"{where}: {word[:40]!r} is no number.{hint}") from None
    if not np.isfinite(value):
        raise TrajectoryError(f"{where}: {word[:40]!r} is not finite. Cut the file before it.")
    return value


def numbers_of(words: Iterable[str], where: str) -> list[float]:
    """Numbers of several words, as :func:`number`."""
    return [number(word, where) for word in words]


@dataclass(frozen=True)
class Table:
    """Rows of numbers that were read from a text file.

    Attributes
    ----------
    values : ndarray [n_rows, n_columns]
    notes : tuple of str
        A last row that was cut short is left out and named here.
    """

    values: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def read_table(path: Path, lines: Iterable[tuple[int, str]], n_columns: int | None = None) -> Table:
    """Rows of numbers, all of one width.

    Parameters
    ----------
    path : Path
        For messages, and to see whether the last line was finished.
    lines : iterable of (int, str)
        Number of the line in the file, and its text, without headers.
    n_columns : int, optional
        The width; that of the first row by default.

    Raises
    ------
    TrajectoryError
        When there is no row, a row has another width (the last one, where the program was stopped
        while writing, is left out and noted), or a word is no number.
    """
    blocks: list[NDArray[np.float64]] = []
    notes: tuple[str, ...] = ()
    width = n_columns
    where: list[int] = []
    rows: list[list[str]] = []
    for line_number, line in lines:
        if len(rows) == _BLOCK:  # texts take ten times the room of their numbers
            blocks.append(_array_of(path, where, rows, width))
            width, where, rows = blocks[0].shape[1], [], []
        where.append(line_number)
        rows.append(line.split())
    if not rows:
        raise TrajectoryError(f"{path} holds no row of numbers.")
    cut = len(rows[-1]) < (width or len(rows[0])) or not _ends_with_newline(path)
    if cut and len(rows) + len(blocks) > 1:
        notes = (f"line {where[-1]}, the last, is cut short and was left out",)
        rows.pop()
    if rows:
        blocks.append(_array_of(path, where, rows, width))
    return Table(np.concatenate(blocks), notes)


def _array_of(
    path: Path, where: Sequence[int], rows: list[list[str]], width: int | None
) -> NDArray[np.float64]:
    width = width or len(rows[0])
    for at, row in zip(where, rows, strict=False):
        if len(row) != width:
            raise TrajectoryError(
                f"{path}, line {at}: {len(row)} columns, expected {width}. The file is damaged "
                "there; cut it before that line."
            )
    try:
        values = np.array(rows, dtype=np.float64)
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    return np.array(
        [numbers_of(row, f"{path}, line {at}") for at, row in zip(where, rows, strict=False)],
        dtype=np.float64,
    )


def _ends_with_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(0, 2)
        if not file.tell():
            return True
        file.seek(-1, 2)
        return file.read(1) in b"\r\n"


_AXES = {"x": 0, "y": 1, "z": 2, "1": 0, "2": 1, "3": 2}
_COMPONENT = re.compile(
    r"^(?P<stem>.*?)[ ._:-]?[\[({]?(?P<axes>[xyz]{1,2}|[123]{1,2})[\])}]?$", re.IGNORECASE
)


def vector_columns(names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Columns that are the components of one vector or tensor, by what their names share.

    ``dip.x dip.y dip.z`` gives ``dip``, ``c_mu[1] c_mu[2] c_mu[3]`` gives ``c_mu``; nine or six
    columns that end in xx, xy … give a tensor; bare ``x y z`` are called ``xyz``.

    Returns
    -------
    dict of str to ndarray
        Shape (3,) or (3, 3): the number of the column of each component.
    """
    found: dict[tuple[str, bool, int], dict[tuple[int, ...], int]] = {}
    for column, name in enumerate(names):
        if match := _COMPONENT.match(name.strip()):
            axes = match["axes"].lower()
            family = (match["stem"], axes.isdigit(), len(axes))
            found.setdefault(family, {})[tuple(_AXES[a] for a in axes)] = column
    vectors: dict[str, NDArray[np.int64]] = {}
    for (stem, _, rank), columns in found.items():
        if (index := _complete(columns, rank)) is not None:
            vectors.setdefault(stem or "xyz", index)
    return vectors


def _complete(columns: dict[tuple[int, ...], int], rank: int) -> NDArray[np.int64] | None:
    """The components in order, with the missing half of a symmetric tensor; None if some lack."""
    index = np.full((3,) * rank, -1, dtype=np.int64)
    for axes, column in columns.items():
        index[axes] = column
    if rank == 2:
        index = np.where(index < 0, index.T, index)
    return index if (index >= 0).all() else None


def numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, each with its number in the file."""
    for at, line in enumerate(lines, start=1):
        if line.strip():
            yield at, line


def finished(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """As :func:`numbered`, without a last line that has no end: its last number may be cut."""
    return ((at, line) for at, line in numbered(lines) if line.endswith("\n"))
