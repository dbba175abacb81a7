"""Numbers along time in plain files: text columns, ``.npy`` and ``.npz`` arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.keys import columns_of_key, find_key, joined
from painn_ase.trajectory.raw import Fact, RawChannel, RawSeries
from painn_ase.trajectory.series import SPECTRAL
from painn_ase.unit_names import heading_unit

__all__ = ["AXES", "raw_of_arrays", "raw_of_columns", "raw_of_npz", "raw_of_table", "read_columns"]

Array = NDArray[np.float64]

#: What the first of three axes may count; molecules stand on the second axis.
AXES = ("runs", "molecules")
_QUANTITY_OF_WIDTH = {3: "dipole", 9: "polarizability"}
_SPECTRUM_WORDS = re.compile(r"(?i)wave ?number|cm\^?-1|cm⁻¹|1/cm|freq|painn_ase spectrum|jcamp")
_TIME_WORDS = ("time", "zeit")
_STEP_WORDS = ("", "step", "steps", "index", "frame", "i", "n", "md_step", "iteration", "nr", "no")
_TENSOR = ("xx", "xy", "xz", "yx", "yy", "yz", "zx", "zy", "zz")
_COMPONENT = re.compile(r"(?i)^(?P<stem>.*?)[\W_]*(?P<axes>[xyz]{1,2})$")


def raw_of_npz(path: Path, keys: Mapping[str, str], axes: str | None) -> RawSeries:
    """Arrays by name; ``timestep`` in fs, ``NAME_unit`` and ``temperature`` if there."""
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {n: np.asarray(data[n]) for n in data.files}
    except Exception as error:  # numpy and zipfile raise a dozen kinds for broken archives
        raise TrajectoryError(f"{path} is not a readable .npz archive: {error}.") from error
    if {"frequency", "intensity"} <= set(arrays):
        raise _no_trajectory(path)
    units = {n.removesuffix("_unit"): str(a) for n, a in arrays.items() if n.endswith("_unit")}
    numeric = {n: a for n, a in arrays.items() if a.dtype.kind in "fiu"}
    for key in keys.values():  # components in arrays of their own
        if parts := joined(key, numeric):
            if len(stated := {units.get(part) for part in parts}) > 1:
                raise TrajectoryError(f"{path}: {key} are in different units.")
            if (unit := stated.pop()) is not None:
                units.setdefault(key, unit)
            numeric[key] = np.stack([numeric[part] for part in parts], axis=-1)
    found = {q: k for q in SPECTRAL if (k := find_key(q, numeric, keys)) is not None}
    channels = {
        q: RawChannel(numeric[k].astype(np.float64), units.get(k), f"array {k!r}")
        for q, k in found.items()
    }
    raw = raw_of_arrays(channels, path, axes)
    step = _scalar(numeric.get("timestep"), "timestep", path)
    kelvin = _scalar(numeric.get("temperature"), "temperature", path)
    times = numeric.get("time_fs", numeric.get("time"))
    return RawSeries(
        source=str(path),
        channels=raw.channels,
        runs=raw.runs,
        time=None if times is None else times.astype(np.float64).reshape(-1),
        time_unit="fs" if step is not None or "time_fs" in numeric else units.get("time"),
        timestep=step,
        time_origin="array 'timestep'" if times is None else "the array of times",
        temperature=None if kelvin is None else Fact(kelvin, "array 'temperature'"),
        available=tuple(f"{n} {a.shape}" for n, a in arrays.items()),
    )


def _scalar(array: NDArray[Any] | None, name: str, path: Path) -> float | None:
    if array is None:
        return None
    if array.size != 1:
        raise TrajectoryError(f"{path}: {name} has shape {array.shape}; expected one number.")
    return float(array.reshape(()))


def raw_of_table(
    path: Path, keys: Mapping[str, str], quantity: str | None, axes: str | None
) -> RawSeries:
    """An ``.npy`` array, or columns of text with or without a heading."""
    if path.suffix.lower() != ".npy":
        names, table = read_columns(path)
        return raw_of_columns(names, table, path, keys, quantity)
    try:
        array = np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except Exception as error:  # NumPy's header parser alone raises half a dozen kinds
        raise TrajectoryError(f"{path} is not a readable .npy array: {error}.") from error
    if axes is not None and array.ndim < 3:
        raise _no_further_axis(path)
    if array.ndim == 2 and array.shape[1] in (3, 4, 5, 9, 10, 11):
        return raw_of_columns(None, array, path, keys, quantity)
    shape = array.shape
    if keys:
        raise TrajectoryError(
            f"{path} is an array of shape {shape}, with neither columns nor names that a key for "
            f"{', '.join(keys)} could mean. Leave it out."
        )
    name = quantity or _quantity_of_array(array, path, axes)
    if name is None:
        raise _not_columns(path, shape)
    return raw_of_arrays({name: RawChannel(array, None, "the array")}, path, axes)


def _quantity_of_array(array: Array, path: Path, axes: str | None) -> str | None:
    """What an array without a name holds, by its shape; (n, 3, 3) can be two things."""
    shape = array.shape
    if shape[-2:] != (3, 3):
        return _QUANTITY_OF_WIDTH.get(shape[-1] if shape else 0)
    if len(shape) > 3:
        return "polarizability"
    if axes is not None:  # an axis for runs or molecules leaves vectors
        return "dipole"
    skew = float(np.abs(array - array.swapaxes(1, 2)).max(initial=0.0))
    if skew > 1e-3 * float(np.abs(array).max(initial=0.0)):
        raise TrajectoryError(
            f"{path} has shape {shape}, as polarizabilities have, but its tensors are not "
            "symmetric. Are these the dipoles of three molecules? Say `--axes molecules` (`axes=` "
            "in Python). Polarizabilities keep their name in an .npz archive, as the array "
            "'polarizability'; or say `quantity='polarizability'` in Python."
        )
    return "polarizability"


def raw_of_arrays(channels: Mapping[str, RawChannel], path: Path, axes: str | None) -> RawSeries:
    """Arrays of (n_frames, …), or with an axis more whose meaning the user has said."""
    if axes is not None and axes not in AXES:
        raise TrajectoryError(f"axes is {axes!r}; allowed are {', '.join(AXES)}.")
    changed, runs, further = {}, set(), False
    for name, channel in channels.items():
        tail = len(SPECTRAL[name])
        values = channel.values
        if tail == 2 and values.shape[-2:] != (3, 3) and values.shape[-1:] == (9,):
            values = values.reshape(*values.shape[:-1], 3, 3)
        if values.shape[-tail:] != SPECTRAL[name] or values.ndim - tail not in (1, 2):
            wanted = ", ".join(map(str, SPECTRAL[name]))
            raise TrajectoryError(
                f"{path}: {name} has shape {channel.values.shape}; expected (n_frames, {wanted}), "
                f"or with one axis more (n_runs, n_frames, {wanted}) or (n_frames, n_molecules, "
                f"{wanted})."
            )
        extra = values.ndim - tail == 2
        further = further or extra
        if extra and axes is None:
            first, second = values.shape[:2]
            raise TrajectoryError(
                f"{path}: {name} has shape {channel.values.shape}. Are these {first} runs of "
                f"{second} frames, or {first} frames of {second} molecules? Say `--axes runs` or "
                "`--axes molecules` (`axes=` in Python); a sum over molecules is taken then."
            )
        if extra and axes == "molecules":
            values = values.sum(axis=1)
        runs.add(extra and axes == "runs")
        changed[name] = RawChannel(values, channel.unit, channel.origin)
    if axes is not None and channels and not further:
        raise _no_further_axis(path)
    if len(runs) > 1:
        raise TrajectoryError(f"{path}: some arrays have an axis for runs and some have none.")
    return RawSeries(source=str(path), channels=changed, runs=runs == {True})


def read_columns(path: Path) -> tuple[list[str] | None, Array]:
    """Headings, where there are some, and the numbers of a text file.

    Columns stand apart by commas, semicolons or blanks; ``#`` begins a comment, and the last one
    before the numbers, or a first line of words, names the columns.

    Raises
    ------
    TrajectoryError
        For a file that is no table of numbers, or the table of a spectrum.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise TrajectoryError(f"{path} is not a table of numbers: {error}.") from error
    rows: list[list[str]] = []
    heading: str | None = None
    for line in text.splitlines():
        plain, _, comment = line.partition("#")
        if not plain.strip():
            if comment.strip() and not rows:
                heading = comment
            if _SPECTRUM_WORDS.search(comment) and not rows:
                raise _no_trajectory(path)
            continue
        cells = _cells(plain)
        if not rows and not _are_numbers(cells):
            if heading is not None and not comment and _are_numbers(_cells(heading)):
                heading = None
            heading = plain
            if _SPECTRUM_WORDS.search(plain):
                raise _no_trajectory(path)
            continue
        rows.append(cells)
    try:
        table = np.array([[_number(c) for c in row] for row in rows], dtype=np.float64)
    except ValueError as error:
        raise TrajectoryError(f"{path} is not a table of numbers: {error}.") from error
    if table.ndim != 2 or not table.size:
        raise TrajectoryError(f"{path} is not a table of numbers.")
    names = None if heading is None else _names(heading, table.shape[1])
    return names, table


def _number(cell: str) -> float:
    """A number, also with Fortran's exponent, 1.5D-03, and a decimal comma between semicolons."""
    cell = cell.replace(",", ".")
    try:
        return float(cell)
    except ValueError:
        return float(re.sub(r"(?<=[\d.])[dD](?=[+-]?\d)", "e", cell))


def _are_numbers(cells: Sequence[str]) -> bool:
    try:
        [_number(c) for c in cells]
    except ValueError:
        return False
    return bool(cells)


def _cells(line: str) -> list[str]:
    separator = next((s for s in (";", ",") if s in line), None)
    if separator is None:
        return line.split()
    cells = [c.strip() for c in line.strip().split(separator)]
    return cells[:-1] if len(cells) > 1 and not cells[-1] else cells


def _names(heading: str, width: int) -> list[str] | None:
    """One name for each column, or None where their number does not fit."""
    joined = re.sub(r"\s+(?=[\[({])", "", heading.replace("FIELDS", "").strip().lstrip("!"))
    cells = _cells(joined)
    if len(cells) == width - 1 and "," in joined:  # an index without a name, its comma eaten
        cells = ["", *cells]
    return cells if len(cells) == width and not _are_numbers(cells) else None


def raw_of_columns(
    names: Sequence[str] | None,
    table: Array,
    path: Path,
    keys: Mapping[str, str],
    quantity: str | None,
) -> RawSeries:
    """Which column is what: by the user's word, by its heading, or by where it stands."""
    titles: list[tuple[str, str | None]] = (
        [heading_unit(n) for n in names]
        if names
        else [(str(k + 1), None) for k in range(table.shape[1])]
    )
    shown = list(names) if names else [f"column {title}" for title, _ in titles]
    clock, steps, rest = _clock_columns(table, titles, bool(names), keys, path)
    channels: dict[str, RawChannel] = {}
    for name in SPECTRAL:
        if name in keys:
            chosen = _chosen(keys[name], titles, path, len(np.zeros(SPECTRAL[name]).ravel()))
            channels[name] = _channel(table, chosen, titles, shown, bool(names), path)
    if not channels and names:
        for stem, columns in _by_stem(titles, rest).items():
            known = _quantity_of(stem)
            if known is not None and len(columns) == int(np.prod(SPECTRAL[known])):
                channels[known] = _channel(table, columns, titles, shown, True, path)
    if not channels:
        found = quantity or _QUANTITY_OF_WIDTH.get(len(rest))
        if found is None or int(np.prod(SPECTRAL[found])) != len(rest):
            raise _not_columns(path, table.shape, shown)
        if not names and clock is None and steps is None and _ascends_evenly(table[:, 0]):
            raise TrajectoryError(
                f"{path}: three columns of which the first ascends evenly: a spectrum, or times "
                "and two components? A dipole has three. Name the columns (a heading, or `--key "
                "dipole=2,3,4`)."
            )
        channels[found] = _channel(table, rest, titles, shown, bool(names), path)
    elif quantity is not None and quantity not in channels:
        raise TrajectoryError(
            f"{path}: quantity={quantity!r} was given, but its columns are named "
            f"{' and '.join(channels)}. Leave it out, or say which columns: "
            f"`keys={{{quantity!r}: '2,3,4'}}`."
        )
    return RawSeries(
        source=str(path),
        channels=channels,
        time=None if clock is None else table[:, clock],
        time_unit=None if clock is None else _time_unit(titles[clock]),
        steps=None if steps is None else np.rint(table[:, steps]).astype(np.int64),
        time_origin=f"column {shown[clock if clock is not None else steps or 0]!r}"
        if names
        else "the first column",
        available=tuple(shown),
    )


def _quantity_of(stem: str) -> str | None:
    """The quantity that columns called `stem` hold."""
    return next((q for q in SPECTRAL if find_key(q, (stem,), {}) is not None), None)


def _clock_columns(
    table: Array,
    titles: Sequence[tuple[str, str | None]],
    named: bool,
    keys: Mapping[str, str],
    path: Path,
) -> tuple[int | None, int | None, list[int]]:
    """Columns of times and of steps, and all others."""
    clock = steps = None
    width = table.shape[1]
    if "time" in keys:
        (clock,) = _chosen(keys["time"], titles, path, 1)
    if named:
        lower = [t.lower() for t, _ in titles]
        if clock is None:
            clock = next((k for k, (title, _) in enumerate(titles) if _is_time(title)), None)
        steps = next(
            (k for k, t in enumerate(lower) if t in _STEP_WORDS or t.startswith("unnamed")), None
        )
    elif clock is None and width in (4, 5, 10, 11):
        leading = width - (3 if width < 9 else 9)
        clock = leading - 1
        steps = 0 if leading == 2 else None
        if not (np.diff(table[:, clock]) > 0).mean() > 0.5 if len(table) > 1 else False:
            raise TrajectoryError(
                f"{path}: {width} columns, but the first does not ascend as times do. Name the "
                "columns (a heading, or `--key dipole=2,3,4`)."
            )
        if leading == 1 and _is_counter(table[:, 0]):
            clock, steps = None, 0
    if named and clock is None and steps is None and width in (4, 10) and _is_counter(table[:, 0]):
        steps = 0
    taken = {clock, steps}
    if steps is not None and not _is_whole(table[:, steps]):
        steps = None
    return clock, steps, [k for k in range(width) if k not in taken]


def _is_time(title: str) -> bool:
    """Whether a column of that name holds times; a capital T is a temperature."""
    word = re.sub(r"_(fs|ps|ns)$", "", title)
    return word == "t" or word.lower() in _TIME_WORDS


def _is_whole(column: Array) -> bool:
    return bool((np.abs(column) < 2**53).all() and np.array_equal(column, np.rint(column)))


def _is_counter(column: Array) -> bool:
    return bool(
        column[0] in (0.0, 1.0) and np.array_equal(column, column[0] + np.arange(len(column)))
    )


def _ascends_evenly(column: Array) -> bool:
    steps = np.diff(column)
    return bool(len(steps) > 1 and (steps > 0).all() and np.ptp(steps) < 1e-3 * steps.mean())


def _time_unit(title: tuple[str, str | None]) -> str | None:
    name, unit = title
    suffix = re.search(r"_(fs|ps|ns)$", name.lower())
    return unit or (suffix[1] if suffix else None)


def _by_stem(titles: Sequence[tuple[str, str | None]], rest: Sequence[int]) -> dict[str, list[int]]:
    """Columns whose names differ in their components alone, in the order x, y, z."""
    found: dict[str, dict[str, int]] = {}
    for k in rest:
        if match := _COMPONENT.match(titles[k][0].rstrip("])} ").replace("[", "_")):
            found.setdefault(match["stem"], {})[match["axes"].lower()] = k
    complete = {}
    for stem, columns in found.items():
        wanted = "xyz" if set("xyz") == set(columns) else _TENSOR
        places = [columns.get(a, columns.get(a[::-1])) for a in wanted]
        if None not in places:
            complete[stem] = [k for k in places if k is not None]
    return complete


def _chosen(
    text: str, titles: Sequence[tuple[str, str | None]], path: Path, width: int
) -> list[int]:
    """Columns a user named."""
    stems = _by_stem(titles, range(len(titles)))
    return columns_of_key(text, [title for title, _ in titles], stems, width, str(path))


def _channel(
    table: Array,
    columns: Sequence[int],
    titles: Sequence[tuple[str, str | None]],
    shown: Sequence[str],
    named: bool,
    path: Path,
) -> RawChannel:
    units = {titles[k][1] for k in columns}
    if len(units) > 1:
        raise TrajectoryError(
            f"{path}: columns {', '.join(shown[k] for k in columns)} are in different units."
        )
    first, last = columns[0], columns[-1]
    where = (
        f"columns {shown[first]} … {shown[last]}"
        if named
        else (f"columns {first + 1} to {last + 1}")
    )
    return RawChannel(table[:, list(columns)], units.pop(), where)


def _no_further_axis(path: Path) -> TrajectoryError:
    return TrajectoryError(
        f"{path}: axes say what a further axis of an array is, and there is none beside frames and "
        "components. Leave --axes out."
    )


def _no_trajectory(path: Path) -> TrajectoryError:
    return TrajectoryError(
        f"{path} is a spectrum, not a trajectory. Draw it with `painn-ase plot {path.name}`."
    )


def _not_columns(path: Path, shape: tuple[int, ...], shown: Sequence[str] = ()) -> TrajectoryError:
    held = f" ({', '.join(shown)})" if shown else ""
    return TrajectoryError(
        f"{path} has shape {shape}{held}; expected 3 columns (dipole) or 9 (polarizability), after "
        "columns of steps or times where wanted. Name the columns (`--key dipole=2,3,4`)."
    )
