"""Spectra on disk: CSV, NPZ (never pickled) and, by way of ``jcamp``, JCAMP-DX.

Readers accept experiments' files too, and answer anything unusable with a DataError that names
the file, the place and what is wrong.
"""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError
from painn_ase.replacing import replace_file
from painn_ase.spectra.advice import warn
from painn_ase.spectra.foreign import is_axis, read_headings, wavenumbers
from painn_ase.spectra.jcamp import jcamp_text, parse_jcamp
from painn_ase.spectra.spectrum import Spectrum

__all__ = ["load_spectrum", "parse_csv", "read_text", "save_spectrum"]

#: larger files are no spectra; refusing them keeps memory bounded
MAX_BYTES = 512 * 1024 * 1024
_HEADER = "# painn_ase spectrum "
#: splitlines() would end a line at characters that a title may hold, too
_LINE_END = re.compile(r"\r\n|\r|\n")
#: no line is wider than this, cm⁻¹
_WIDEST = 1e12

PathLike = str | os.PathLike[str]


def read_text(path: PathLike) -> str:
    """The text of a file of reasonable size, or DataError."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MiB, not a spectrum")
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if b"\0" in raw:
        raise DataError(f"{path}: a binary file, not text")
    # older instruments write Latin-1; every byte string is valid there
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _facts(spectrum: Spectrum) -> dict[str, Any]:
    return {
        "unit": spectrum.unit,
        "quantity": spectrum.quantity,
        "fwhm": spectrum.fwhm,
        "provenance": dict(spectrum.provenance),
        "history": list(spectrum.history),
    }


def _checked_facts(text: str, where: str) -> dict[str, Any]:
    """Keyword arguments for a Spectrum from the JSON of its facts, each checked."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:  # also integers of thousands of digits
        raise DataError(f"{where}: the header is not valid JSON ({error})") from error
    if not isinstance(given, dict):
        raise DataError(f"{where}: the header is not a JSON object")
    fwhm, provenance, history = (given.get(k) for k in ("fwhm", "provenance", "history"))
    plain = isinstance(provenance, dict) and all(
        isinstance(v, str | int | float) for v in provenance.values()
    )
    if not isinstance(fwhm, int | float | None) or (provenance is not None and not plain):
        raise DataError(f"{where}: fwhm or provenance in the header has the wrong type")
    if fwhm is not None and not 0.0 <= fwhm < _WIDEST:  # NaN fails, too
        raise DataError(f"{where}: fwhm is {str(fwhm)[:20]}, not a width")
    if history is not None and not (
        isinstance(history, list) and all(isinstance(h, str) for h in history)
    ):
        raise DataError(f"{where}: history in the header is not a list of sentences")
    return {
        "unit": str(given.get("unit", "arbitrary")),
        "quantity": str(given.get("quantity", "intensity")),
        "fwhm": fwhm,
        "provenance": provenance or {},
        "history": tuple(history or ()),
    }


# ---------------------------------------------------------------------- CSV


def csv_text(spectrum: Spectrum) -> str:
    """The spectrum as comma-separated text with its facts in comment lines."""
    names = ["wavenumber_invcm", "intensity"] + (["error"] if spectrum.error is not None else [])
    columns = [spectrum.frequency, spectrum.intensity]
    if spectrum.error is not None:
        columns.append(spectrum.error)
    lines = [_HEADER + json.dumps(_facts(spectrum), ensure_ascii=False), ",".join(names)]
    lines += [",".join(repr(float(x)) for x in row) for row in zip(*columns, strict=True)]
    return "\n".join(lines) + "\n"


def _cells(line: str) -> list[str]:
    """Cells of a line split at semicolons, tabs, commas or blanks."""
    separator = next((s for s in (";", "\t", ",") if s in line), None)
    cells = [c.strip() for c in (line.split(separator) if separator else line.split())]
    while cells and not cells[-1]:
        cells.pop()
    # beside another separator a comma is the decimal point of half of Europe
    return [c.replace(",", ".") for c in cells] if separator in (";", "\t") else cells


def _heading_cells(line: str) -> list[str]:
    """Cells of a heading line; between blanks a unit in brackets stays with its name."""
    if any(s in line for s in (";", "\t", ",")):
        return _cells(line)
    return re.split(r"(?<!%)\s+(?![(\[/])", line.strip())


def _numbers(line: str) -> list[float] | None:
    """The numbers of a line; None if it has words."""
    try:
        return [float(c) for c in _cells(line)]
    except ValueError:
        return None


def parse_csv(text: str, where: str = "text") -> Spectrum:
    """A spectrum from columns: wavenumber, intensity, and perhaps a third.

    Lines starting with ``#`` and one heading line are skipped; order does not matter. The headings,
    also those in a comment as TRAVIS writes them, say what the columns are: wavelengths become
    wavenumbers, and a third column is an error only where it is headed as one (``error``, ``std``,
    …), else it is left out with a warning.
    Raises DataError naming the line.
    """
    facts: dict[str, Any] = {}
    rows: list[list[float]] = []
    heading = comment = ""
    for number, raw in enumerate(_LINE_END.split(text), start=1):
        line = raw.strip()
        if line.startswith(_HEADER):
            facts = _checked_facts(line[len(_HEADER) :], f"{where}, line {number}")
        elif line.startswith(("#", "%", "!")) and not rows:
            comment = line.lstrip("#%! ")
        if not line or line.startswith(("#", "%", "!")):
            continue
        values = _numbers(line)
        if values is None and not heading and not rows:
            heading = line
            continue
        if values is None or not 2 <= len(values) <= 3 or (rows and len(values) != len(rows[0])):
            raise DataError(
                f"{where}, line {number}: {line[:60]!r} is not a row of wavenumber, intensity and "
                "perhaps error, as many columns in every row"
            )
        if not all(math.isfinite(v) for v in values):
            raise DataError(f"{where}, line {number}: NaN or infinite value in {line[:60]!r}")
        rows.append(values)
    if len(rows) < 2:
        raise DataError(f"{where}: {len(rows)} rows of numbers; a spectrum needs at least two")
    columns = np.array(rows).T
    try:
        if not facts:
            columns, facts = _foreign(columns, heading or comment, not heading, where)
        return _sorted_spectrum(columns, facts)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _foreign(
    columns: NDArray[np.float64], heading: str, in_comment: bool, where: str
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Columns over wavenumbers, and facts, of a table that is not ours."""
    cells = [c.strip().strip("\"'") for c in _heading_cells(heading)]
    # a title or a remark is no heading
    if len(cells) != len(columns) or (in_comment and not is_axis(cells[0])):
        cells = []
    meaning = read_headings(cells)
    columns = np.vstack([wavenumbers(columns[0], meaning.axis), columns[1:]])
    facts: dict[str, Any] = {"unit": meaning.unit, "quantity": meaning.quantity}
    if len(columns) > 2 and not meaning.third_is_error:
        columns = columns[:2]
        named = f"column {meaning.third!r}" if meaning.third else "a third column without heading"
        facts["history"] = (f"{named} left out",)
        warn(
            f"{where}: {named} is left out: nothing says that it is an error. Head it `error` if "
            "it is one"
        )
    return columns, facts


def _sorted_spectrum(columns: NDArray[np.float64], facts: dict[str, Any]) -> Spectrum:
    """Rows in ascending order; digitised curves repeat points, whose mean is taken."""
    frequency, place, counts = np.unique(columns[0], return_inverse=True, return_counts=True)
    means = [np.bincount(place, weights=column) / counts for column in columns[1:]]
    if len(frequency) < columns.shape[1]:
        repeats = columns.shape[1] - len(frequency)
        history = (*facts.get("history", ()), f"mean taken of {repeats} repeated wavenumbers")
        facts = {**facts, "history": history}
    error = means[1] if len(means) > 1 else None
    return Spectrum(frequency, means[0], error, **facts)


# ---------------------------------------------------------------------- NPZ


def _write_npz(spectrum: Spectrum, file: BinaryIO) -> None:
    arrays: dict[str, Any] = {"frequency": spectrum.frequency, "intensity": spectrum.intensity}
    for name in ("error", "samples"):
        values = getattr(spectrum, name)
        if values is not None:
            arrays[name] = values
    facts = np.array(json.dumps({"format": "painn_ase spectrum 1", **_facts(spectrum)}))
    np.savez_compressed(file, facts=facts, **arrays)


def _read_npz(path: Path) -> Spectrum:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise DataError(f"{path}: unpacks to more than {MAX_BYTES >> 20} MiB")
        with np.load(path, allow_pickle=False) as stored:
            # a member that is no array comes out as bytes
            arrays = {k: np.asarray(stored[k]) for k in stored.files}
    except DataError:
        raise
    # a broken archive may fail anywhere in zipfile, zlib or numpy's header parser
    except Exception as error:
        raise DataError(f"{path}: not a readable NPZ archive ({error})") from error
    missing = {"facts", "frequency", "intensity"} - set(arrays)
    if missing:
        raise DataError(f"{path}: not a spectrum, {', '.join(sorted(missing))} missing")
    facts = _checked_facts(_text_of(arrays["facts"], str(path)), str(path))
    try:
        return Spectrum(
            arrays["frequency"],
            arrays["intensity"],
            arrays.get("error"),
            arrays.get("samples"),
            **facts,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _text_of(array: NDArray[Any], where: str) -> str:
    """The one string in an array; NumPy lets code points through that no text can have."""
    if array.dtype.kind != "U" or array.size != 1 or not array.dtype.itemsize:
        raise DataError(f"{where}: the facts are not one text")
    codes = array.reshape(1).astype(array.dtype.newbyteorder("=")).view(np.uint32)
    if codes.max() > 0x10FFFF:
        raise DataError(f"{where}: the facts hold characters that do not exist")
    return str(array.reshape(1)[0])


# ---------------------------------------------------------------------- by suffix


def _write_text(text: Callable[[Spectrum], str]) -> Callable[[Spectrum, BinaryIO], None]:
    def write(spectrum: Spectrum, file: BinaryIO) -> None:
        file.write(text(spectrum).encode())

    return write


def _read_csv(path: Path) -> Spectrum:
    return parse_csv(read_text(path), str(path))


def _read_jcamp(path: Path) -> Spectrum:
    return parse_jcamp(read_text(path), str(path))


_WRITERS: dict[str, Callable[[Spectrum, BinaryIO], None]] = {
    ".csv": _write_text(csv_text),
    ".npz": _write_npz,
    ".jdx": _write_text(jcamp_text),
    ".dx": _write_text(jcamp_text),
    ".jcamp": _write_text(jcamp_text),
}
_READERS: dict[str, Callable[[Path], Spectrum]] = {
    ".csv": _read_csv,
    ".txt": _read_csv,
    ".dat": _read_csv,
    ".npz": _read_npz,
    ".jdx": _read_jcamp,
    ".dx": _read_jcamp,
    ".jcamp": _read_jcamp,
}


def save_spectrum(spectrum: Spectrum, path: PathLike) -> None:
    """Write a spectrum in the format that the suffix names; the file is replaced whole."""
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise DataError(f"{path}: unknown suffix; allowed are {', '.join(_WRITERS)}")
    try:
        with replace_file(path) as file:
            writer(spectrum, file)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error


def load_spectrum(path: PathLike) -> Spectrum:
    """Read a spectrum in the format that the suffix names, or DataError."""
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: unknown suffix; allowed are {', '.join(_READERS)}")
    return reader(path)
