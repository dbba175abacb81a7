"""Dipoles along the molecular dynamics of quantum chemistry programs: Gaussian, Q-Chem, ORCA.

cclib reads these outputs, but keeps one dipole of all; here the lines of each step are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.formats.text import finished, number, numbers_of, open_text
from painn_ase.trajectory.raw import RawChannel, RawSeries

__all__ = ["read_gaussian", "read_orca", "read_qchem"]

_NUMBER = r"[-+]?\d*\.\d+(?:[EeDd][-+]?\d+)?"


@dataclass(frozen=True)
class _Program:
    """How a program writes the time of a step and its dipole.

    Attributes
    ----------
    name, unit : str
    head : pattern or None
        The line above the numbers; None where both are on one.
    numbers : pattern
        Three groups.
    time : pattern or None
        Time of the frame whose dipole follows.
    step : pattern or None
        The step as the echo of the input gives it, where no times are printed.
    time_unit : str
    turned : pattern or None
        What says that dipoles are in a frame that turns with the molecule.
    """

    name: str
    unit: str
    head: re.Pattern[str] | None
    numbers: re.Pattern[str]
    time: re.Pattern[str] | None = None
    step: re.Pattern[str] | None = None
    time_unit: str = "fs"
    turned: re.Pattern[str] | None = None


_GAUSSIAN = _Program(
    "Gaussian",
    "Debye",
    re.compile(r"^ Dipole moment \(field-independent basis, Debye\):"),
    re.compile(rf"X=\s*({_NUMBER})\s+Y=\s*({_NUMBER})\s+Z=\s*({_NUMBER})"),
    time=re.compile(rf"^ Time \(fs\)\s+(?P<time>{_NUMBER})"),
    turned=re.compile(r"^\s*Standard orientation:"),
)
_QCHEM = _Program(
    "Q-Chem",
    "Debye",
    re.compile(r"^\s*Dipole Moment \(Debye\)"),
    re.compile(rf"X\s+({_NUMBER})\s+Y\s+({_NUMBER})\s+Z\s+({_NUMBER})"),
    time=re.compile(rf"TIME STEP #\d+ \(t = {_NUMBER} a\.u\. = (?P<time>{_NUMBER}) fs\)"),
)
_ORCA = _Program(
    "ORCA",
    "a.u.",
    None,
    re.compile(rf"^\s*Total Dipole Moment\s*:\s*({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})"),
    step=re.compile(r"^\|\s*\d+>\s*timestep\s+(?P<time>[\d.]+)_fs", re.IGNORECASE),
)


def read_gaussian(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Dipoles along a BOMD or ADMP run of Gaussian, one after each `Time (fs)`.

    (Gaussian manual, "BOMD"; the dipole is in Debye, in the standard orientation where there is
    one, which turns with the molecule: run with NoSymm.)
    """
    return _read(path, _GAUSSIAN)


def read_qchem(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Dipoles along an AIMD run of Q-Chem, one after each `TIME STEP #` (Q-Chem manual, "AIMD")."""
    return _read(path, _QCHEM)


def read_orca(path: Path, keys: Mapping[str, str]) -> RawSeries:
    """Dipoles along molecular dynamics of ORCA; the step is that of the echoed input, in fs."""
    return _read(path, _ORCA)


def _read(path: Path, program: _Program) -> RawSeries:
    dipoles: dict[int, list[float]] = {}
    times: list[float] = [0.0]
    step: float | None = None
    awaited = program.head is None
    with open_text(path) as file:
        for at, line in finished(file):
            where = f"{path}, line {at}"
            if program.time is not None and (match := program.time.search(line)):
                times.append(number(match["time"], where))
            elif program.step is not None and (match := program.step.match(line)):
                step = number(match["time"], where)
            elif program.turned is not None and program.turned.match(line) and len(times) > 1:
                raise TrajectoryError(
                    f"{where}: dipoles are in the standard orientation, which turns with the "
                    "molecule. Run the dynamics with NoSymm."
                )
            elif program.head is not None and program.head.match(line):
                awaited = True
            elif awaited and (match := program.numbers.search(line)):
                awaited = program.head is None
                frame = len(dipoles) if program.time is None else len(times) - 1
                dipoles[frame] = numbers_of(match.groups(), where)
    if len(dipoles) < 2:
        raise TrajectoryError(
            f"{path} holds {len(dipoles)} dipoles; a run of molecular dynamics has one a step."
        )
    frames = sorted(dipoles)
    return RawSeries(
        f"{program.name} output {path.name}",
        {
            "dipole": RawChannel(
                np.array([dipoles[n] for n in frames]),
                program.unit,
                f"dipoles that {program.name} prints in {program.unit}",
            )
        },
        time=None if program.time is None else np.array([times[n] for n in frames]),
        timestep=step,
        time_unit=program.time_unit if program.time is not None or step is not None else None,
        time_origin="the steps' times" if program.time is not None else "the echoed input",
    )
