"""JCAMP-DX: the exchange format of infrared and Raman spectrometers, version 4.24 and 5.

McDonald & Wilks, Appl. Spectrosc. 42, 151 (1988). Written as plain decimal tables, read in every
form the standard allows for one spectrum: AFFN, packed, squeezed, difference and duplicate forms.
Compound files (several blocks, NTUPLES) are refused with a message.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError
from painn_ase.spectra.spectrum import Spectrum

__all__ = ["jcamp_text", "parse_jcamp"]

Array = NDArray[np.float64]

_SQUEEZED = {c: n for n, c in enumerate("@ABCDEFGHI")} | {
    c: -n for n, c in enumerate("abcdefghi", start=1)
}
_DIFFERENCE = {c: n for n, c in enumerate("%JKLMNOPQR")} | {
    c: -n for n, c in enumerate("jklmnopqr", start=1)
}
_DUPLICATE = {c: n for n, c in enumerate("STUVWXYZ", start=1)} | {"s": 9}
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
# an exponent needs its sign here: E alone is the squeezed digit 5
_TOKEN = re.compile(r"([@A-IJ-Za-ij-s%+-]?)((?:\d+\.?\d*|\.\d+)?(?:[eE][+-]\d{1,3})?)")
#: splitlines() would end a line at characters that a title may hold, too
_LINE_END = re.compile(r"\r\n|\r|\n")
_TO_INVCM = {"1/CM": 0, "CM-1": 0, "CM^-1": 0, "MICROMETERS": 1e4, "NANOMETERS": 1e7}
MAX_POINTS = 20_000_000


# ---------------------------------------------------------------------- writing


def jcamp_text(spectrum: Spectrum) -> str:
    """The spectrum as JCAMP-DX 4.24 text: evenly spaced ones as XYDATA, others as XYPOINTS.

    Ordinates are scaled to nine-digit integers. Errors and samples have no place in the format.
    """
    x, y = spectrum.frequency, spectrum.intensity
    kind = "RAMAN SPECTRUM" if "raman" in spectrum.quantity.lower() else "INFRARED SPECTRUM"
    scale = float(np.max(np.abs(y))) / 999_999_999 or 1.0
    ordinates = np.rint(y / scale).astype(np.int64)
    spacing = np.diff(x)
    even = bool(np.allclose(spacing, spacing.mean(), rtol=1e-6, atol=1e-9 * float(x[-1])))
    head = [
        ("TITLE", _one_line(spectrum.quantity)),
        ("JCAMP-DX", "4.24"),
        ("DATA TYPE", kind),
        ("ORIGIN", "painn_ase"),
        ("OWNER", "PUBLIC DOMAIN"),
        ("XUNITS", "1/CM"),
        ("YUNITS", _one_line(spectrum.unit)),
        ("XFACTOR", "1.0"),
        ("YFACTOR", repr(scale)),
        ("FIRSTX", repr(float(x[0]))),
        ("LASTX", repr(float(x[-1]))),
        ("DELTAX", repr(float((x[-1] - x[0]) / (len(x) - 1)))),
        ("NPOINTS", str(len(x))),
        ("FIRSTY", repr(float(ordinates[0] * scale))),
        ("MAXX", repr(float(x[-1]))),
        ("MINX", repr(float(x[0]))),
        ("MAXY", repr(float(y.max()))),
        ("MINY", repr(float(y.min()))),
    ]
    if spectrum.fwhm is not None:
        head.append(("RESOLUTION", repr(float(spectrum.fwhm))))
    lines = [f"##{label}={value}" for label, value in head] + _facts_lines(spectrum)
    if even:
        lines.append("##XYDATA=(X++(Y..Y))")
        for k in range(0, len(x), 5):
            lines.append(" ".join([f"{x[k]:.6f}", *(str(n) for n in ordinates[k : k + 5])]))
    else:
        lines.append("##XYPOINTS=(XY..XY)")
        lines += [f"{a!r}, {n}" for a, n in zip(x.tolist(), ordinates.tolist(), strict=True)]
    return "\n".join([*lines, "##END=", ""])


def _one_line(text: str) -> str:
    return " ".join(text.replace("##", "").replace("$$", "").split())


def _facts_lines(spectrum: Spectrum) -> list[str]:
    facts = {
        "unit": spectrum.unit,
        "quantity": spectrum.quantity,
        "provenance": dict(spectrum.provenance),
        "history": list(spectrum.history),
    }
    # '#', '$' and blanks are escaped: they would end the record, start a comment, or be trimmed
    text = json.dumps(facts, separators=(",", ":"))
    for letter in "#$ ":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    label = "##$PAINN ASE FACTS="
    return [label] + [text[k : k + 72] for k in range(0, len(text), 72)]


# ---------------------------------------------------------------------- reading


@dataclass(frozen=True)
class _Record:
    """One labelled data record: its value on the label's line, and the lines after it."""

    line: int
    value: str
    body: tuple[tuple[int, str], ...]


def parse_jcamp(text: str, where: str = "text") -> Spectrum:
    """The one spectrum in JCAMP-DX text, over ascending wavenumbers in cm⁻¹.

    Micrometres and nanometres become wavenumbers; the ordinate keeps the unit the file states.
    Raises DataError naming the line or the label.
    """
    records = _records(text, where)
    x, y = _table(records, where)
    units = _value(records, "XUNITS").upper().replace(" ", "") or "1/CM"
    if units not in _TO_INVCM:
        raise DataError(
            f"{where}: XUNITS is {units!r}; allowed are {', '.join(_TO_INVCM)} (a vibrational "
            "spectrum)"
        )
    if _TO_INVCM[units]:
        if np.any(x <= 0.0):
            raise DataError(f"{where}: a wavelength of zero or less")
        x = _TO_INVCM[units] / x
    order = np.argsort(x, kind="stable")
    facts = _facts(records, where)
    try:
        return Spectrum(x[order], y[order], **facts)  # type: ignore[arg-type]
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _label(text: str) -> str:
    return re.sub(r"[\s\-_/]", "", text).upper()


def _records(text: str, where: str) -> dict[str, _Record]:
    found: dict[str, tuple[int, str, list[tuple[int, str]]]] = {}
    current: list[tuple[int, str]] | None = None
    for number, raw in enumerate(_LINE_END.split(text), start=1):
        line = raw.split("$$", 1)[0].strip()
        if line.startswith("##"):
            label, equals, value = line[2:].partition("=")
            if not equals:
                raise DataError(f"{where}, line {number}: {line[:40]!r} has no '='")
            key = _label(label)
            if key == "END":
                break
            if key in ("NTUPLES", "LINK") or (key == "TITLE" and "TITLE" in found):
                raise DataError(
                    f"{where}, line {number}: a compound file; save the one spectrum wanted alone"
                )
            current = []
            found[key] = (number, value.strip(), current)
        elif line and current is not None:
            current.append((number, line))
    if "JCAMPDX" not in found:
        raise DataError(f"{where}: not JCAMP-DX, the label ##JCAMP-DX= is missing")
    return {k: _Record(n, v, tuple(body)) for k, (n, v, body) in found.items()}


def _value(records: dict[str, _Record], label: str) -> str:
    record = records.get(label)
    return record.value if record else ""


def _number(records: dict[str, _Record], label: str, where: str, default: float | None) -> float:
    text = _value(records, label)
    if not text and default is not None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: ##{label}= is {text!r}, a number is needed")
    return number


def _facts(records: dict[str, _Record], where: str) -> dict[str, object]:
    facts: dict[str, object] = {
        "unit": _value(records, "YUNITS") or "arbitrary",
        "quantity": _value(records, "TITLE") or "intensity",
    }
    resolution = _value(records, "RESOLUTION")
    if _PLAIN.fullmatch(resolution):
        facts["fwhm"] = abs(float(resolution))
    ours = records.get("$PAINNASEFACTS")
    if ours is None:
        return facts
    try:
        stored = json.loads("".join(line for _, line in ours.body))
        facts["provenance"] = {str(k): v for k, v in stored["provenance"].items()}
        facts["history"] = tuple(str(h) for h in stored["history"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{where}, line {ours.line}: the facts of painn_ase are damaged") from error
    return facts


def _table(records: dict[str, _Record], where: str) -> tuple[Array, Array]:
    x_factor = _number(records, "XFACTOR", where, 1.0)
    y_factor = _number(records, "YFACTOR", where, 1.0)
    n_points = int(_number(records, "NPOINTS", where, 0.0))
    if n_points > MAX_POINTS:
        raise DataError(f"{where}: ##NPOINTS= is {n_points}, more than {MAX_POINTS}")
    if "XYDATA" in records:
        first = _number(records, "FIRSTX", where, None)
        last = _number(records, "LASTX", where, None)
        y = _xydata(records["XYDATA"], (first, last), n_points, x_factor, where)
        x = np.linspace(first, last, len(y))
    elif "XYPOINTS" in records or "PEAKTABLE" in records:
        pairs = _xypoints(records.get("XYPOINTS") or records["PEAKTABLE"], where)
        x, y = pairs[:, 0] * x_factor, pairs[:, 1]
    else:
        raise DataError(f"{where}: no table; one of ##XYDATA=, ##XYPOINTS= is needed")
    if len(y) < 2 or (n_points and len(y) != n_points):
        raise DataError(f"{where}: ##NPOINTS= is {n_points}, the table holds {len(y)} points")
    return x, y * y_factor


def _xypoints(record: _Record, where: str) -> Array:
    values: list[float] = []
    for number, line in record.body:
        cells = [c for c in re.split(r"[\s,;]+", line) if c]
        if not all(_PLAIN.fullmatch(c) for c in cells):
            raise DataError(f"{where}, line {number}: {line[:60]!r} is not a row of numbers")
        values += [float(c) for c in cells]
    if len(values) % 2:
        raise DataError(f"{where}, line {record.line}: an odd number of values in the pairs")
    return np.array(values, dtype=np.float64).reshape(-1, 2)


def _xydata(
    record: _Record, ends: tuple[float, float], n_points: int, x_factor: float, where: str
) -> Array:
    if _label(record.value).replace(" ", "") not in ("(X++(Y..Y))", ""):
        raise DataError(f"{where}, line {record.line}: table form {record.value!r} is unknown")
    step = (ends[1] - ends[0]) / (n_points - 1) if n_points > 1 else math.nan
    values: list[float] = []
    check_value = False
    for number, line in record.body:
        abscissa, ordinates, ended_in_difference = _ordinates(line, f"{where}, line {number}")
        if check_value:
            # difference form repeats the last ordinate at the head of the next line
            if not ordinates or abs(ordinates[0] - values[-1]) > 1.5:
                raise DataError(f"{where}, line {number}: the check ordinate does not match")
            ordinates = ordinates[1:]
            start = len(values) - 1
        else:
            start = len(values)
        expected = ends[0] + start * step
        slack = 1.5 * abs(step) + 1e-3 * abs(expected)
        if abs(abscissa * x_factor - expected) > slack:
            raise DataError(
                f"{where}, line {number}: starts at {abscissa * x_factor:g}, the points before it "
                f"end at {expected:g}: points are missing or too many"
            )
        values += ordinates
        check_value = ended_in_difference
        if len(values) > MAX_POINTS:
            raise DataError(f"{where}, line {number}: more than {MAX_POINTS} points")
    return np.array(values, dtype=np.float64)


def _ordinates(line: str, where: str) -> tuple[float, list[float], bool]:
    """Abscissa, ordinates of one line, and whether the line ended in difference form."""
    plain = _PLAIN.findall(line)
    if len(plain) > 1 and not _PLAIN.sub("", line).replace(",", "").strip():
        numbers = [_token_value("", p, where) for p in plain]
        return numbers[0], numbers[1:], False
    return _compressed(line, where)


def _compressed(line: str, where: str) -> tuple[float, list[float], bool]:
    abscissa: float | None = None
    values: list[float] = []
    difference: float | None = None
    position = 0
    text = line.replace(",", " ")
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TOKEN.match(text, position)
        if match is None or not match.group(0):
            raise DataError(f"{where}: cannot read {text[position : position + 12]!r}")
        position = match.end()
        sign, digits = match.groups()
        if abscissa is None:
            abscissa = _token_value(sign, digits, where)
        elif sign in _DUPLICATE:
            count = int(_token_value(str(_DUPLICATE[sign]), digits, where))
            if not values or not 1 <= count <= MAX_POINTS - len(values):
                raise DataError(f"{where}: {match.group(0)!r} repeats nothing, or too often")
            for _ in range(count - 1):
                values.append(values[-1] + (difference or 0.0))
        elif sign in _DIFFERENCE:
            if not values:
                raise DataError(f"{where}: a difference before any ordinate")
            difference = _signed_digits(_DIFFERENCE[sign], digits, where)
            values.append(values[-1] + difference)
        else:
            difference = None
            values.append(_token_value(sign, digits, where))
    if abscissa is None:
        raise DataError(f"{where}: an empty row")
    return abscissa, values, difference is not None


def _signed_digits(first: int, rest: str, where: str) -> float:
    value = _token_value(str(abs(first)), rest, where)
    return -value if first < 0 else value


def _token_value(sign: str, digits: str, where: str) -> float:
    if sign in _SQUEEZED:
        return _signed_digits(_SQUEEZED[sign], digits, where)
    try:
        value = float(sign + digits)
    except ValueError as error:
        raise DataError(f"{where}: {sign + digits!r} is not a number") from error
    if not math.isfinite(value):
        raise DataError(f"{where}: {sign + digits!r} is not finite")
    return value
