"""Trajectories: an H5MD file that survives a kill, and readers of other programs' runs."""

from __future__ import annotations

from painn_ase.trajectory.channels import CHANNELS, Channel
from painn_ase.trajectory.constraints import (
    KNOWN_CONSTRAINTS,
    constraint_records,
    constraints_of,
)
from painn_ase.trajectory.frames import HDF5_SUFFIXES, export_extxyz, iterate_frames
from painn_ase.trajectory.motion import read_motion
from painn_ase.trajectory.read import read_time_series
from painn_ase.trajectory.reader import TrajectoryReader
from painn_ase.trajectory.series import TimeSeries
from painn_ase.trajectory.system import System
from painn_ase.trajectory.writer import TrajectoryWriter

__all__ = [
    "CHANNELS",
    "HDF5_SUFFIXES",
    "KNOWN_CONSTRAINTS",
    "Channel",
    "System",
    "TimeSeries",
    "TrajectoryReader",
    "TrajectoryWriter",
    "constraint_records",
    "constraints_of",
    "export_extxyz",
    "iterate_frames",
    "read_motion",
    "read_time_series",
]
