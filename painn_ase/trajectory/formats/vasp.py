"""Molecular dynamics of VASP: OUTCAR, vasprun.xml and XDATCAR, read by ASE; the time step by hand,
which ASE leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import ase.io
import numpy as np

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.formats.optional import errors_named
from painn_ase.trajectory.formats.text import number, open_text
from painn_ase.trajectory.raw import RawChannel, RawSeries

__all__ = ["read_outcar", "read_vasprun", "read_xdatcar"]

_SETTINGS = {
    "OUTCAR": r"^\s*{}\s*=\s*(?P<value>[-+\d.]+)",
    "vasprun.xml": r"<i (?:type=\"int\" )?name=\"{}\">\s*(?P<value>[-+\d.]+)\s*</i>",
}


def read_outcar(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Positions and cells of an OUTCAR; the step is POTIM (VASP wiki, "POTIM", "OUTCAR")."""
    return _read(path, "vasp-out", "OUTCAR")


def read_vasprun(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Positions and cells of a vasprun.xml; the step is POTIM."""
    return _read(path, "vasp-xml", "vasprun.xml")


def read_xdatcar(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Positions and cells of an XDATCAR, which does not say how far apart its frames are."""
    return _read(path, "vasp-xdatcar", None)


def _read(path: Path, ase_format: str, settings: str | None) -> RawSeries:
    with errors_named(path, f"VASP's {path.name}"):
        frames = list(ase.io.iread(str(path), index=":", format=ase_format))
    if not frames:
        raise TrajectoryError(f"{path} holds no frame.")
    found = _settings(path, settings)
    if found.get("IBRION", 0.0) != 0.0:
        raise TrajectoryError(
            f"{path} is no molecular dynamics: IBRION = {found['IBRION']:g}, and 0 is needed for "
            "frames in time."
        )
    numbers = frames[0].numbers
    if any(not np.array_equal(atoms.numbers, numbers) for atoms in frames):
        raise TrajectoryError(f"{path}: the atoms change along the run.")
    origin = f"VASP's {path.name}"
    step = found.get("POTIM")
    return RawSeries(
        f"VASP file {path.name}",
        {
            "positions": RawChannel(
                np.array([atoms.positions for atoms in frames]), "Angstrom", origin
            ),
            "cell": RawChannel(
                np.array([atoms.cell.array for atoms in frames]), "Angstrom", origin
            ),
        },
        timestep=step,
        time_unit=None if step is None else "fs",
        time_origin="the file" if step is None else "POTIM",
        numbers=numbers.astype(np.int64),
        masses=frames[0].get_masses(),
        pbc=(True, True, True),
    )


def _settings(path: Path, kind: str | None) -> dict[str, float]:
    """IBRION and POTIM as the file echoes them; the first of each counts."""
    found: dict[str, float] = {}
    if kind is None:
        return found
    patterns = {n: re.compile(_SETTINGS[kind].format(n)) for n in ("IBRION", "POTIM")}
    with open_text(path) as file:
        for line in file:
            for name, pattern in patterns.items():
                if name not in found and (match := pattern.search(line)):
                    found[name] = number(match["value"], f"{path}: {name}")
            if len(found) == len(patterns):
                break
    return found
