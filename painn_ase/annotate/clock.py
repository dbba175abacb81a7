"""Times of frames as they come, block by block: how far apart they are, and that this stays so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory.ase_frames import time_of_frame
from painn_ase.trajectory.keys import find_key
from painn_ase.trajectory.raw import RawSeries
from painn_ase.trajectory.time_axis import read_time_axis

__all__ = ["FrameClock"]

#: Times kept of earlier blocks: rounding is seen only in many of them.
_WINDOW = 256
#: By this share of the spacing a frame is too early (a restart) or too late (a gap).
_OUT_OF_PLACE = 0.5
#: Share by which the spacing of later blocks may differ from that of the first.
_STEADY = 5e-3


class FrameClock:
    """The time between the frames of a file, from all the times that it states.

    Attributes
    ----------
    spacing : float
        fs; known after the first block.

    Parameters
    ----------
    source : Path
        For messages.
    """

    def __init__(self, source: Path) -> None:
        self.spacing = np.nan
        self._source = source
        self._times: NDArray[np.float64] = np.empty(0)
        self._done = 0

    def read(self, frames: Sequence[Atoms]) -> None:
        """Take the next frames, in order.

        Raises
        ------
        TrajectoryError
            For frames without times, that are not evenly spaced within the file's rounding, or of
            which one comes too early (a restart) or too late (a gap).
        """
        given = [time_of_frame(atoms, self._source) for atoms in frames]
        known = [t for t in given if t is not None]
        first = not self._done
        if len(known) < len(given) or (first and len(known) < 2):
            key = find_key("time", frames[0].info, {})
            unit = (
                f" Its times ({key!r}) have no unit: say it (--unit time=ps, `units={{'time': "
                "'ps'}` in Python). Or give"
                if key is not None and given[0] is None
                else " Give"
            )
            raise TrajectoryError(
                f"{self._source} does not say how far apart its frames are.{unit} the time between "
                "frames in fs (`timestep=`, or --timestep)."
            )
        begin = self._done - len(self._times)
        times = np.concatenate([self._times, known])
        spacing = self._even(times, begin)
        if first:
            self.spacing = spacing
        elif abs(spacing / self.spacing - 1.0) > _STEADY and len(times) > 2:
            raise TrajectoryError(
                f"{self._source}: frames are {self.spacing:g} fs apart at the beginning and "
                f"{spacing:g} fs near frame {self._done}. Cut the file there."
            )
        self._times = times[-_WINDOW:]
        self._done += len(frames)

    def _even(self, times: NDArray[np.float64], begin: int) -> float:
        steps = np.diff(times)
        usual = self.spacing if np.isfinite(self.spacing) else float(np.median(steps))
        out = np.flatnonzero(np.abs(steps - usual) > _OUT_OF_PLACE * abs(usual))
        if len(out) and len(steps) > 1:
            at = int(out[0])
            raise TrajectoryError(
                f"{self._source}: frame {begin + at + 1} is at {times[at + 1]:g} fs, the one "
                f"before at {times[at]:g} fs, others are {usual:g} fs apart: a restart or a gap. "
                "Cut it out, or give the time between frames in fs (`timestep=`, or --timestep) to "
                "take all as evenly spaced."
            )
        raw = RawSeries(str(self._source), {}, time=times, time_unit="fs")
        return read_time_axis(raw, len(times)).timestep
