"""Tables without a header, known by their file's name: GPUMD's dipole.out, polarizability.out and
dpdt.out; and i-PI's extras, which have one line of header a frame.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.formats.text import finished, numbered, numbers_of, open_text, read_table
from painn_ase.trajectory.raw import RawChannel, RawSeries

__all__ = ["read_gpumd_dipole", "read_gpumd_dpdt", "read_gpumd_polarizability", "read_ipi_extras"]

_OF_TRAINING = "GPUMD's unit is that of the data the NEP model was trained on"


def _gpumd(path: Path, n_columns: int) -> tuple[np.ndarray, tuple[str, ...]]:
    with open_text(path) as file:
        table = read_table(path, numbered(file), n_columns)
    return table.values, table.notes


def read_gpumd_dipole(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """GPUMD's dipole.out: `time_step mu_x mu_y mu_z` (GPUMD manual, "dipole.out")."""
    values, notes = _gpumd(path, 4)
    return RawSeries(
        f"GPUMD file {path.name}",
        {"dipole": RawChannel(values[:, 1:4], None, f"columns 2 to 4; {_OF_TRAINING}")},
        steps=np.rint(values[:, 0]).astype(np.int64),
        time_origin="the steps' numbers",
        notes=notes,
    )


def read_gpumd_polarizability(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """GPUMD's polarizability.out: `time_step xx yy zz xy yz zx` (manual, "polarizability.out")."""
    values, notes = _gpumd(path, 7)
    tensors = values[:, 1:][:, [0, 3, 5, 3, 1, 4, 5, 4, 2]].reshape(-1, 3, 3)
    return RawSeries(
        f"GPUMD file {path.name}",
        {"polarizability": RawChannel(tensors, None, f"columns 2 to 7; {_OF_TRAINING}")},
        steps=np.rint(values[:, 0]).astype(np.int64),
        time_origin="the steps' numbers",
        notes=notes,
    )


def read_gpumd_dpdt(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """GPUMD's dpdt.out: dP/dt in e·Å/fs and its integral in e·Å (manual, "dpdt.out")."""
    values, notes = _gpumd(path, 6)
    unit = "unit by GPUMD's manual"
    return RawSeries(
        f"GPUMD file {path.name}",
        {
            "dipole_flux": RawChannel(values[:, :3], "e*Angstrom/fs", f"columns 1 to 3, {unit}"),
            "dipole": RawChannel(values[:, 3:], "e*Angstrom", f"columns 4 to 6, {unit}"),
        },
        notes=notes,
    )


_EXTRAS = re.compile(r"^\s*#\*?EXTRAS[A-Z_]*\*?(?:\((?P<name>[^)]*)\))?#\s*Step:\s*(?P<step>\d+)")


def read_ipi_extras(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """i-PI's trajectory output `extras`: `#EXTRAS(dipole)# Step: 10` and three or nine numbers.

    Numbers are as the driver sent them, i-PI converts none and names no unit (i-PI manual,
    "Output files").
    """
    steps: list[int] = []
    frames: list[list[float]] = []
    names: set[str] = set()
    with open_text(path) as file:
        for at, line in finished(file):
            if match := _EXTRAS.match(line):
                steps.append(int(match["step"]))
                names.add(match["name"] or "raw")
                frames.append([])
            elif frames:
                frames[-1].extend(numbers_of(_plain(line), f"{path}, line {at}"))
    size = len(frames[0]) if frames else 0
    notes: tuple[str, ...] = ()
    if len(frames) > 1 and len(frames[-1]) < size:
        notes = (f"the frame of step {steps[-1]}, the last, is cut short and was left out",)
        frames.pop()
        steps.pop()
    for step, frame in zip(steps, frames, strict=True):
        if len(frame) != size:
            raise TrajectoryError(
                f"{path}: step {step} has {len(frame)} numbers, the first frame {size}."
            )
    if size not in (3, 9):
        raise TrajectoryError(
            f"{path}: a frame of extras has {size} numbers; 3 of a dipole or 9 of a polarizability "
            "can be used."
        )
    quantity = "dipole" if size == 3 else "polarizability"
    label = ", ".join(sorted(names))
    if set(keys) - {quantity} or keys.get(quantity, label) != label or len(names) > 1:
        raise TrajectoryError(
            f"{path} holds the extras {label}, a {quantity}; the key given is for something else."
        )
    values = np.array(frames).reshape(-1, *((3,) if size == 3 else (3, 3)))
    return RawSeries(
        f"i-PI extras {path.name}",
        {quantity: RawChannel(values, None, f"extras '{label}'; the unit is the driver's")},
        steps=np.array(steps, dtype=np.int64),
        time_origin="the steps' numbers",
        available=(label,),
        notes=notes,
    )


def _plain(line: str) -> list[str]:
    return line.replace("[", " ").replace("]", " ").replace(",", " ").split()
