"""The restart file: everything a run needs to continue bit for bit.

A NumPy ``.npz`` archive without pickles: arrays as they are, everything else as JSON in the member
``header``. It is written beside its final name, synced and renamed, so that a file of that name is
always complete; the one before it stays as ``*.previous``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.replacing import replace_file

__all__ = ["RunState", "has_state", "previous_path", "read_state", "write_state"]

#: Version of the file's layout.
_LAYOUT = 1
_LARGEST_MEMBER = 1 << 34


@dataclass(frozen=True)
class RunState:
    """A run at the end of one step.

    Attributes
    ----------
    step : int
        Steps done since the very beginning.
    header : dict
        JSON-ready: configuration, random state, statistics, file names.
    arrays : dict of str to ndarray
        Positions, momenta, cell, thermostat, calculator memory.
    """

    step: int
    header: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def previous_path(path: Path) -> Path:
    """Name of the restart file before the latest."""
    return path.with_name(path.name + ".previous")


def has_state(path: Path) -> bool:
    """Whether there is something to restart from: the file at `path`, or the one before it."""
    return path.exists() or previous_path(path).exists()


def write_state(path: Path, state: RunState) -> None:
    """Put `state` at `path`, whole or not at all.

    Raises
    ------
    TrajectoryError
        When the disk is full or the folder is gone; an earlier state stays as it was.
    """
    header = json.dumps({"layout": _LAYOUT, "step": state.step, **state.header})
    members: dict[str, Any] = {"header": np.array(header), **state.arrays}
    try:
        with replace_file(path, previous=previous_path(path)) as file:
            np.savez(file, **members)
    except OSError as error:
        raise TrajectoryError(
            f"{path}: the restart file could not be written ({error.strerror or error}). Make room "
            "or check the folder; the last good one is intact."
        ) from error


def read_state(path: Path) -> RunState:
    """The newest good state at `path`, or else the one before it.

    Raises
    ------
    TrajectoryError
        When neither can be read.
    """
    problems = []
    for candidate in (path, previous_path(path)):
        try:
            return _read(candidate)
        except FileNotFoundError:
            problems.append(f"{candidate.name} is missing")
        except Exception as error:  # a broken archive raises a dozen kinds of error
            problems.append(f"{candidate.name} is damaged ({error})")
    raise TrajectoryError(
        f"no state to restart from in {path.parent}: {'; '.join(problems)}. Start the run anew."
    )


def _read(path: Path) -> RunState:
    with np.load(path, allow_pickle=False) as archive:
        largest = max((info.file_size for info in archive.zip.infolist()), default=0)
        if largest > _LARGEST_MEMBER:
            raise TrajectoryError(f"a member claims {largest} bytes")
        header = json.loads(str(archive["header"]))
        arrays = {name: archive[name] for name in archive.files if name != "header"}
    if header.pop("layout", None) != _LAYOUT:
        raise TrajectoryError(f"it is not of layout {_LAYOUT}, the one this version writes")
    return RunState(step=int(header.pop("step")), header=header, arrays=arrays)
