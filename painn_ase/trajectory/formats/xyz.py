"""XYZ files whose comment line is some program's: i-PI, CP2K, ORCA, NWChem.

ASE reads their numbers but not what the comment says of time, unit and cell; here only that is
read by hand. Extended XYZ is left to ASE.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.cell import Cell
from ase.data import atomic_numbers
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.formats.text import numbers_of, open_text
from painn_ase.trajectory.raw import RawChannel, RawSeries

__all__ = ["CP2K_COMMENT", "IPI_COMMENT", "NWCHEM_COMMENT", "ORCA_COMMENT", "read_cp2k_xyz",
           "read_ipi_xyz", "read_nwchem_xyz", "read_orca_xyz"]  # fmt: skip

#: A frame has no more atoms than this.
_MANY = 10_000_000


@dataclass(frozen=True)
class _Frames:
    symbols: tuple[str, ...]
    comments: list[str]
    values: NDArray[np.float64]
    notes: tuple[str, ...]

    def numbers(self) -> NDArray[np.int64] | None:
        """Atomic numbers; None where a label is no element's symbol."""
        plain = [re.sub(r"[\d_]+$", "", s).capitalize() for s in self.symbols]
        if any(s not in atomic_numbers for s in plain):
            return None
        return np.array([atomic_numbers[s] for s in plain], dtype=np.int64)


def _read_frames(path: Path, width: int = 3) -> _Frames:
    """Labels, comments and the numbers of each atom; a last frame cut short is left out."""
    symbols: tuple[str, ...] = ()
    comments: list[str] = []
    frames: list[NDArray[np.float64]] = []
    notes: tuple[str, ...] = ()
    with open_text(path) as file:
        for at, comment, rows in _blocks(path, iter(file), width):
            if rows is None:
                notes = (f"frame {len(frames) + 1}, the last, is cut short and was left out",)
                break
            labels = tuple(row[0] for row in rows)
            if frames and labels != symbols:
                raise TrajectoryError(
                    f"{path}, line {at}: frame {len(frames) + 1} holds other atoms than the first. "
                    "A trajectory is one system."
                )
            symbols = labels
            comments.append(comment)
            frames.append(_coordinates(path, at, rows, width))
    if not frames:
        raise TrajectoryError(f"{path} holds no whole frame. It is empty or truncated.")
    return _Frames(symbols, comments, np.array(frames), notes)


def _blocks(
    path: Path, lines: Iterator[str], width: int
) -> Iterator[tuple[int, str, list[list[str]] | None]]:
    """Line number of the first atom, comment and words of each frame; None for one cut short."""
    at = 0
    for line in lines:
        at += 1
        if not line.strip():
            continue
        try:
            n_atoms = int(line)
        except ValueError:
            raise TrajectoryError(
                f"{path}, line {at}: {line.strip()[:40]!r} is no number of atoms. The file is "
                "damaged there; cut it before that line."
            ) from None
        if not 0 < n_atoms <= _MANY:
            raise TrajectoryError(f"{path}, line {at}: a frame of {n_atoms} atoms.")
        comment = next(lines, "")
        rows: list[list[str]] = []
        while len(rows) < n_atoms:
            row = next(lines, "")
            words = row.split()
            if len(words) <= width or not row.endswith("\n"):
                if next(lines, None) is not None:
                    raise TrajectoryError(
                        f"{path}, line {at + 2 + len(rows)}: {row.strip()[:40]!r} is no line of an "
                        "atom. The file is damaged there; cut it before that line."
                    )
                yield at + 2, comment.rstrip(), None
                return
            rows.append(words)
        yield at + 2, comment.rstrip(), rows
        at += 1 + len(rows)


def _coordinates(path: Path, at: int, rows: list[list[str]], width: int) -> NDArray[np.float64]:
    numbers = [row[1 : 1 + width] for row in rows]
    try:
        values = np.array(numbers, dtype=np.float64)
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    return np.array([numbers_of(row, f"{path}, line {at + n}") for n, row in enumerate(numbers)])


def _fields(
    path: Path, frames: _Frames, pattern: re.Pattern[str], *names: str
) -> list[NDArray[np.float64]]:
    """Numbers that every comment line has under the named groups."""
    matches = [pattern.search(comment) for comment in frames.comments]
    for n, match in enumerate(matches, start=1):
        if match is None:
            raise TrajectoryError(
                f"{path}: the comment of frame {n}, {frames.comments[n - 1][:60]!r}, is unlike the "
                f"first, {frames.comments[0][:60]!r}. Are these two files in one?"
            )
    return [
        np.array(numbers_of((m[name] for m in matches if m is not None), str(path)))
        for name in names
    ]


# -- i-PI ------------------------------------------------------------------------------------------

IPI_COMMENT = re.compile(r"CELL[(\[{](?P<kind>abcABC|H|GENH)[)\]}]:\s*(?P<cell>(?:[-+\d.eE]+\s+)+)")
_IPI_STEP = re.compile(r"Step:\s*(?P<step>\d+)")
_IPI_QUANTITY = re.compile(r"(?P<name>[a-zA-Z_]+)\{(?P<unit>[^}]*)\}")
_IPI_CHANNELS = {
    "positions": "positions",
    "x_centroid": "positions",
    "velocities": "velocities",
    "v_centroid": "velocities",
    "momenta": "momenta",
    "p_centroid": "momenta",
}


def read_ipi_xyz(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """i-PI's positions, velocities or momenta as .xyz, `# CELL(abcABC): … positions{angstrom}`.

    A unit that is not named is the atomic one (i-PI manual, "Output files").
    """
    frames = _read_frames(path)
    found = _IPI_QUANTITY.finditer(frames.comments[0])
    named: dict[str, str] = {match["name"]: match["unit"] for match in found}
    cell_unit = named.pop("cell", "atomic_unit")
    what = next(iter(named), "positions")
    if what not in _IPI_CHANNELS:
        raise TrajectoryError(
            f"{path} holds i-PI's {what}; {', '.join(_IPI_CHANNELS)} can be used."
        )
    unit = named.get(what) or "atomic_unit"
    said = "i-PI's header" if named.get(what) else "i-PI's, whose header names none"
    channel = RawChannel(frames.values, unit, f"the {what}, unit from {said}")
    cells = _ipi_cells(path, frames.comments)
    pbc = None
    channels = {_IPI_CHANNELS[what]: channel}
    if np.all(np.abs(np.linalg.det(cells)) > 0.0):
        channels["cell"] = RawChannel(cells, cell_unit, "i-PI's header")
        pbc = (True, True, True)
    steps = None
    if _IPI_STEP.search(frames.comments[0]):
        steps = _fields(path, frames, _IPI_STEP, "step")[0].astype(np.int64)
    return RawSeries(
        f"i-PI file {path.name}",
        channels,
        steps=steps,
        time_origin="the steps' numbers",
        numbers=frames.numbers(),
        pbc=pbc,
        notes=frames.notes,
    )


def _ipi_cells(path: Path, comments: list[str]) -> NDArray[np.float64]:
    """Lattice vectors of all frames; a cell that does not change is worked out once."""
    known: dict[str, NDArray[np.float64]] = {}
    cells = []
    for comment in comments:
        match = IPI_COMMENT.search(comment)
        text = match.group() if match else comment
        if text not in known:
            known = {text: _ipi_cell(path, comment)}
        cells.append(known[text])
    return np.array(cells)


def _ipi_cell(path: Path, comment: str) -> NDArray[np.float64]:
    """Lattice vectors as rows, from the comment."""
    match = IPI_COMMENT.search(comment)
    values = numbers_of(match["cell"].split(), str(path)) if match else []
    if match and match["kind"] == "abcABC" and len(values) >= 6:
        if not all(0.0 < angle < 180.0 for angle in values[3:6]):
            raise TrajectoryError(f"{path}: cell angles {values[3:6]} are not between 0 and 180°.")
        with np.errstate(all="ignore"):
            cell = np.asarray(Cell.fromcellpar(values[:6]).array, dtype=np.float64)
        if np.isfinite(cell).all():
            return cell
    elif match and len(values) >= 9:  # i-PI's H has the vectors as columns
        return np.array([values[0:9:3], values[1:9:3], values[2:9:3]], dtype=np.float64)
    raise TrajectoryError(f"{path}: {comment[:80]!r} names no cell i-PI could have written.")


# -- CP2K ------------------------------------------------------------------------------------------

CP2K_COMMENT = re.compile(
    r"\bi =\s*(?P<step>\d+),\s*time =\s*(?P<time>[-+\d.EeDd]+),\s*E =\s*(?P<energy>[-+\d.EeDd]+)"
)


def read_cp2k_xyz(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """CP2K's `project-pos-1.xyz` and `-vel-1.xyz`, comment ` i = 1, time = 0.500, E = -17.2`.

    Time is in fs; positions are in Å and velocities in Bohr per atomic time unless the input says
    otherwise, which the file does not show (CP2K manual, "MOTION/PRINT/TRAJECTORY").
    """
    frames = _read_frames(path)
    if "frc" in path.name:
        raise TrajectoryError(f"{path} holds CP2K's forces; give its positions or velocities.")
    moving = "vel" in path.name
    name, unit = ("velocities", "a.u.") if moving else ("positions", "Angstrom")
    origin = f"the {name}, by the file's name; unit CP2K's unless its input says another"
    steps, time = _fields(path, frames, CP2K_COMMENT, "step", "time")
    return RawSeries(
        f"CP2K file {path.name}",
        {name: RawChannel(frames.values, unit, origin)},
        time=time,
        time_unit="fs",
        steps=steps.astype(np.int64),
        time_origin="'time =' of the comment lines in CP2K's fs",
        numbers=frames.numbers(),
        notes=frames.notes,
    )


# -- ORCA ------------------------------------------------------------------------------------------

ORCA_COMMENT = re.compile(
    r"ORCA AIMD (?P<what>\w+) Step (?P<step>\d+),\s*t=\s*(?P<time>[-+\d.Ee]+)\s*(?P<unit>\w+)"
)
_ORCA_UNIT = re.compile(r"Unit is (?P<unit>\S+)")


def read_orca_xyz(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Positions or velocities of ORCA's molecular dynamics, written by its command `Dump`.

    The comment is `# ORCA AIMD Position Step 26, t=26.00 fs, E_Pot=… Hartree, Unit is Angstrom`
    (ORCA manual, "Ab initio molecular dynamics").
    """
    frames = _read_frames(path)
    match = ORCA_COMMENT.search(frames.comments[0])
    names = {"position": "positions", "velocity": "velocities"}
    what = match["what"].lower() if match else ""
    if match is None or what not in names:
        raise TrajectoryError(f"{path} holds ORCA's {what}; positions or velocities can be used.")
    unit = _ORCA_UNIT.search(frames.comments[0])
    steps, time = _fields(path, frames, ORCA_COMMENT, "step", "time")
    channel = RawChannel(
        frames.values, unit["unit"] if unit else None, "'Unit is' of the comment lines"
    )
    return RawSeries(
        f"ORCA file {path.name}",
        {names[what]: channel},
        time=time,
        time_unit=match["unit"],
        steps=steps.astype(np.int64),
        time_origin="'t =' of the comment lines",
        numbers=frames.numbers(),
        notes=frames.notes,
    )


# -- NWChem ----------------------------------------------------------------------------------------

NWCHEM_COMMENT = re.compile(
    r"^\s*(?P<step>\d+)\s+-?\d+\.\d{10}"
    r"\s+(?P<x>-?\d\.\d{6}E[-+]\d+)\s+(?P<y>-?\d\.\d{6}E[-+]\d+)\s+(?P<z>-?\d\.\d{6}E[-+]\d+)\s*$"
)
_NWCHEM = "NWChem's unit"


def read_nwchem_xyz(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Positions, velocities and dipoles of NWChem's dynamics (`task dft qmd`), its .xyz file.

    The comment has the number of the step, the energy and the dipole in atomic units, lines of
    atoms positions in Å and velocities in Å/fs (NWChem documentation, "Gaussian Basis AIMD"). The
    time between frames is that of the input, `dt_nucl` times `print_xyz`.
    """
    frames = _read_frames(path, width=6)
    step, *dipole = _fields(path, frames, NWCHEM_COMMENT, "step", "x", "y", "z")
    channels = {
        "positions": RawChannel(frames.values[..., :3], "Angstrom", f"the positions, {_NWCHEM}"),
        "velocities": RawChannel(
            frames.values[..., 3:], "Angstrom/fs", f"the velocities, {_NWCHEM}"
        ),
    }
    notes = frames.notes
    if np.any(dipole):
        channels["dipole"] = RawChannel(
            np.stack(dipole, axis=1), "a.u.", f"the comment lines, {_NWCHEM}"
        )
    else:  # not every method has one
        notes = (*notes, "NWChem had no dipole at this level of theory and wrote zeros")
    return RawSeries(
        f"NWChem dynamics {path.name}",
        channels,
        steps=step.astype(np.int64),
        time_origin="the steps' numbers",
        numbers=frames.numbers(),
        pbc=(False, False, False),
        notes=notes,
    )
