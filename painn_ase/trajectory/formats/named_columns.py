"""Tables whose columns have names: PLUMED COLVAR, GROMACS .xvg, LAMMPS fix ave/time and fix print,
i-PI's properties.

They differ in how the names are written and in what time it is; which columns are a dipole is found
by the names in one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.formats.text import Table, numbered, open_text, read_table, vector_columns
from painn_ase.trajectory.keys import columns_of_key
from painn_ase.trajectory.raw import RawChannel, RawSeries

__all__ = ["read_colvar", "read_ipi_properties", "read_lammps_table", "read_xvg"]

#: Names of vectors that are a dipole, and of tensors that are a polarizability, whatever the case.
_DIPOLE = re.compile(r"dip|^(?:[vcf]_)?(?:total_?)?(?:mu|m|d)$|^mtot|moment", re.IGNORECASE)
_POLARIZABILITY = re.compile(r"pol|alpha|^(?:[vcf]_)?a$", re.IGNORECASE)


@dataclass(frozen=True)
class _Columns:
    """A table with the names of its columns, and the units in which the format gives them."""

    path: Path
    names: tuple[str, ...]
    table: Table
    units: Mapping[str, str | None]
    unit_origin: str = ""

    def values(self, columns: NDArray[np.int64] | int) -> NDArray[np.float64]:
        return np.ascontiguousarray(self.table.values[:, columns])

    def channel(self, columns: NDArray[np.int64]) -> RawChannel:
        first = self.names[int(columns.flat[0])]
        unit = self.units.get(first)
        origin = f"columns '{first}' to '{self.names[int(columns.flat[-1])]}'"
        if unit is not None and self.unit_origin:
            origin += f", unit {self.unit_origin}"
        return RawChannel(self.values(columns), unit, origin)


def _channels(found: _Columns, keys: Mapping[str, str]) -> dict[str, RawChannel]:
    """Dipole and polarizability among the columns: those that `keys` names, else by their names."""
    vectors = vector_columns(found.names)
    channels = {}
    for quantity, pattern, rank in (
        ("dipole", _DIPOLE, 1),
        ("dipole_flux", None, 1),
        ("polarizability", _POLARIZABILITY, 2),
        ("polarizability_flux", None, 2),
    ):
        fitting = {stem: index for stem, index in vectors.items() if index.ndim == rank}
        named = keys.get(quantity)
        if named is not None:
            stems = {stem: [int(k) for k in index.ravel()] for stem, index in fitting.items()}
            columns = columns_of_key(named, found.names, stems, 3**rank, str(found.path))
            channels[quantity] = found.channel(np.array(columns).reshape((3,) * rank))
        elif pattern is not None:
            chosen = [stem for stem in fitting if pattern.search(stem)]
            if len(chosen) > 1:
                raise TrajectoryError(
                    f"{found.path} has several columns that may be the {quantity}: "
                    f"{', '.join(chosen)}. Say which: --key {quantity}={chosen[0]}."
                )
            if chosen:
                channels[quantity] = found.channel(fitting[chosen[0]])
    if not channels:
        raise TrajectoryError(
            f"{found.path}: no columns are called a dipole or a polarizability. "
            f"{_listing(found, vectors)}"
        )
    return channels


def _listing(found: _Columns, vectors: Mapping[str, NDArray[np.int64]]) -> str:
    text = f"Its columns are {', '.join(found.names)}"
    if not vectors:
        return (
            f"{text}; none belong together as x, y, z. Three columns whose names end in x, y, z "
            "are needed."
        )
    stems = ", ".join(vectors)
    return (
        f"{text}; vectors among them: {stems}. Say which it is: --key dipole={next(iter(vectors))}."
    )


def _clock(
    columns: _Columns, keys: Mapping[str, str], quantity: str, *usual: str
) -> tuple[NDArray[np.float64], str] | None:
    """Values and name of the column of times or steps: the one of the key map, else a usual one."""
    named, at = keys.get(quantity), None
    if named is not None:
        (at,) = columns_of_key(named, columns.names, {}, 1, str(columns.path))
    lower = [name.lower() for name in columns.names]
    if at is None:
        at = next((lower.index(w) for w in usual if w in lower), None)
    return None if at is None else (columns.values(at), columns.names[at])


# -- PLUMED ----------------------------------------------------------------------------------------


def read_colvar(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """A PLUMED COLVAR file with the components of a DIPOLE, `#! FIELDS time dip.x dip.y dip.z`.

    Time is in ps and a dipole in e·nm unless the input has an UNITS line, which the file does not
    show (PLUMED manual, "UNITS" and "DIPOLE").
    """
    names: tuple[str, ...] = ()

    def rows() -> Iterator[tuple[int, str]]:
        nonlocal names
        with open_text(path) as file:
            for at, line in numbered(file):
                if line.startswith("#! FIELDS"):
                    found = tuple(line.split()[2:])
                    if names and found != names:
                        raise TrajectoryError(
                            f"{path}, line {at}: a restart changed the columns from "
                            f"{', '.join(names)} to {', '.join(found)}. Split the file there."
                        )
                    names = found
                elif not line.startswith("#"):
                    yield at, line

    table = read_table(path, rows())
    _check_width(path, names, table)
    columns = _Columns(
        path, names, table, dict.fromkeys(names, "e*nm"), "PLUMED's unless its input has UNITS"
    )
    time = _clock(columns, keys, "time", "time")
    return RawSeries(
        f"PLUMED COLVAR file {path.name}",
        _channels(columns, keys),
        time=time[0] if time else None,
        time_unit="ps" if time else None,
        time_origin=f"column '{time[1]}' in PLUMED's ps" if time else "the file",
        available=names,
        notes=table.notes,
    )


# -- GROMACS ---------------------------------------------------------------------------------------

_XVG_LABEL = re.compile(r'^@\s*(?P<axis>[xy])axis\s+label\s+"(?P<label>[^"]*)"')
_XVG_LEGEND = re.compile(r'^@\s*s(?P<set>\d+)\s+legend\s+"(?P<legend>[^"]*)"')
_XVG_MARKUP = re.compile(r"\\(?:f\{[^}]*\}|[a-zA-Z]|\d)")
_IN_BRACKETS = re.compile(r"\((?P<unit>[^()]+)\)")


def read_xvg(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """A GROMACS .xvg file: `gmx dipoles -o`, `gmx energy` with Mu-X, Mu-Y, Mu-Z.

    Names of columns are the legends, units stand in the labels of the axes, "Time (ps)" and
    "Total Dipole Moment (Debye)" (GROMACS manual, "File formats: xvg").
    """
    labels: dict[str, str] = {}
    legends: dict[int, str] = {}

    def rows() -> Iterator[tuple[int, str]]:
        with open_text(path) as file:
            for at, line in numbered(file):
                if match := _XVG_LABEL.match(line):
                    labels[match["axis"]] = match["label"]
                elif match := _XVG_LEGEND.match(line):
                    legends[int(match["set"])] = _XVG_MARKUP.sub("", match["legend"]).strip()
                elif line.startswith("&"):
                    raise TrajectoryError(
                        f"{path}, line {at}: a second data set begins; only the first could be "
                        "read. Write one set a file."
                    )
                elif line[0] not in "#@":
                    yield at, line

    table = read_table(path, rows())
    width = table.values.shape[1]
    names = (
        "time",
        *(legends.get(n, f"column {n + 2}").replace(" ", "") for n in range(width - 1)),
    )
    unit = _IN_BRACKETS.search(labels.get("y", ""))
    columns = _Columns(
        path,
        names,
        table,
        dict.fromkeys(names, unit["unit"] if unit else None),
        f"from the axis '{labels.get('y', '')}'",
    )
    _refuse_clock(path, keys)
    time_unit = _IN_BRACKETS.search(labels.get("x", ""))
    return RawSeries(
        f"GROMACS file {path.name}",
        _channels(columns, keys),
        time=columns.values(0),
        time_unit=time_unit["unit"] if time_unit else None,
        time_origin=f"the axis '{labels.get('x', 'x')}'",
        available=names,
        notes=table.notes,
    )


# -- LAMMPS ----------------------------------------------------------------------------------------


#: What the file does not say: over how many steps each of its values is a mean.
_AVERAGED = (
    "fix ave/time writes means over Nrepeat values; with Nrepeat 1 (`fix ID all ave/time N 1 N`) "
    "they are the values themselves, with more a band at ν is damped by sinc²(c·ν·t), t the time "
    "that is averaged over"
)


def read_lammps_table(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """LAMMPS `fix ave/time` of scalars, and `fix print` with a title that names the columns.

    The first lines are `# Time-averaged data for fix …` and `# TimeStep v_dx v_dy v_dz`, or for
    `fix print` the title. Neither says the units, and only the number of the step is known (LAMMPS
    manual, "fix ave/time", "fix print"). Means over more than one value damp a spectrum; how many
    there were stands in the input alone, so a note says it.
    """
    headers: list[str] = []

    def rows() -> Iterator[tuple[int, str]]:
        with open_text(path) as file:
            for at, line in numbered(file):
                if line.startswith("#"):
                    headers.append(line.lstrip("# ").strip())
                else:
                    yield at, line

    table = read_table(path, rows())
    if any("Number-of-rows" in header for header in headers):
        raise TrajectoryError(
            f"{path} was written by fix ave/time in its mode `vector`, which has a table for each "
            "step. Write the components as scalars: `fix ID all ave/time 1 1 1 c_dip[1] c_dip[2] "
            "c_dip[3] file dipole.dat`."
        )
    width = table.values.shape[1]
    fitting = [header.split() for header in headers if len(header.split()) == width]
    if not fitting:
        raise TrajectoryError(
            f"{path}: no line of its header names all {width} columns; it has "
            f'{"; ".join(headers) or "no header"}. For fix print give `title "# step time dx dy '
            'dz"`, or cut the header off and use it as a plain table.'
        )
    names = tuple(fitting[-1])
    columns = _Columns(path, names, table, {})
    step = _clock(columns, keys, "step", "timestep", "step", "v_step")
    time = _clock(columns, keys, "time")
    return RawSeries(
        f"LAMMPS file {path.name}",
        _channels(columns, keys),
        time=time[0] if time else None,
        steps=_whole(path, step[0]) if step else None,
        time_origin=f"column '{time[1]}'" if time else "the steps' numbers",
        available=names,
        notes=(
            *table.notes,
            "LAMMPS in units real or metal has dipoles in e*Angstrom",
            *((_AVERAGED,) if any("Time-averaged" in header for header in headers) else ()),
        ),
    )


def _whole(path: Path, values: NDArray[np.float64]) -> NDArray[np.int64]:
    steps = np.rint(values)
    if np.any(np.abs(steps - values) > 1e-6) or np.any(np.abs(steps) > 2.0**53):
        raise TrajectoryError(f"{path}: the numbers of the steps are no whole numbers.")
    return steps.astype(np.int64)


# -- i-PI ------------------------------------------------------------------------------------------

_IPI_COLUMN = re.compile(
    r"^#\s*(?:column|cols\.)\s+(?P<first>\d+)(?:-(?P<last>\d+))?\s+-->\s+"
    r"(?P<name>[^\s:{]+)(?:\{(?P<unit>[^}]*)\})?"
)


def read_ipi_properties(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """i-PI's properties, with a header `# column 1 --> time{picosecond} : …`.

    A unit that is not named is the atomic one (i-PI manual, "Output files").
    """
    names: list[str] = []
    units: dict[str, str | None] = {}

    def rows() -> Iterator[tuple[int, str]]:
        with open_text(path) as file:
            for at, line in numbered(file):
                if match := _IPI_COLUMN.match(line):
                    first = int(match["first"])
                    last = int(match["last"] or first)
                    axes = ("x", "y", "z") if last - first == 2 else range(last - first + 1)
                    new = (
                        [match["name"]] if first == last else [f"{match['name']}.{a}" for a in axes]
                    )
                    names.extend(new)
                    units.update(dict.fromkeys(new, match["unit"] or "atomic_unit"))
                elif not line.lstrip().startswith("#"):
                    yield at, line

    table = read_table(path, rows())
    _check_width(path, names, table)
    columns = _Columns(path, tuple(names), table, units, "from the header")
    time = _clock(columns, keys, "time", "time")
    return RawSeries(
        f"i-PI properties {path.name}",
        _channels(columns, keys),
        time=time[0] if time else None,
        time_unit=units[time[1]] if time else None,
        time_origin=f"column '{time[1]}'" if time else "the file",
        available=tuple(names),
        notes=table.notes,
    )


def _refuse_clock(path: Path, keys: Mapping[str, str]) -> None:
    for quantity in ("time", "step"):
        if quantity in keys:
            raise TrajectoryError(f"{path}: the {quantity} of this file has its place; no key.")


def _check_width(path: Path, names: Sequence[str], table: Table) -> None:
    if len(names) != table.values.shape[1]:
        raise TrajectoryError(
            f"{path}: the header names {len(names)} columns, the rows have "
            f"{table.values.shape[1]}. The file is damaged."
        )
