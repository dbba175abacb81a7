"""The record of a run that spectra are made of: checked numbers with units and origins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPECTRAL", "TimeSeries", "same_temperature"]

Array = NDArray[np.float64]

#: What infrared and Raman spectra are made of, and the shape of one frame of each.
SPECTRAL: dict[str, tuple[int, ...]] = {
    "dipole": (3,),
    "dipole_flux": (3,),
    "polarizability": (3, 3),
    "polarizability_flux": (3, 3),
}
#: A temperature within this share of a run's is the same one.
_SAME_TEMPERATURE = 0.05


def same_temperature(
    said: float, given: float, *, measured: bool, n_atoms: int | None, n_runs: int = 1
) -> bool:
    """Whether a temperature that a user gives can be the one a run has, K.

    A measured mean may be off for want of atoms and runs, by three standard deviations of the
    kinetic energy; one that was stated may not.
    """
    share = _SAME_TEMPERATURE
    if measured and n_atoms:
        share = max(share, 3.0 * math.sqrt(2.0 / (3.0 * n_atoms * n_runs)))
    return abs(said / given - 1.0) <= share


@dataclass(frozen=True, eq=False)
class TimeSeries:
    """What a run leaves behind for a spectrum; None for what it did not record.

    Arrays have the frames along the first axis, or runs along the first and frames along the
    second.

    Attributes
    ----------
    timestep : float
        Time between frames, fs.
    dipole : ndarray [n_frames, 3] or [n_runs, n_frames, 3]
        e·Å.
    dipole_flux : ndarray, same shape
        e·Å per ASE time unit.
    polarizability : ndarray [..., n_frames, 3, 3]
        e²Å²/eV.
    polarizability_flux : ndarray [..., n_frames, 3, 3]
        e²Å²/eV per ASE time unit.
    velocities : ndarray [..., n_frames, n_atoms, 3]
        Å per ASE time unit.
    positions : ndarray [..., n_frames, n_atoms, 3]
        Å.
    numbers, masses : ndarray [n_atoms]
        Atomic numbers, and masses in amu.
    temperature : float or None
        Of the run, K.
    measured_temperature : float or None
        Mean kinetic temperature along the run where the file has it, K.
    volume : float or None
        Of the periodic cell, Å³; None for molecules.
    cell : ndarray [3, 3] or None
        Mean cell vectors as rows, Å, where the file has a cell, molecule or not.
    friction : float or None
        Of a Langevin thermostat during the run, 1/fs.
    source : str
        The file, and the program where it is not ours.
    origins : mapping of str to str
        For timestep, temperature, volume and each quantity: its value with unit, and where that
        comes from.
    notes : tuple of str
        What was dropped, cut, overruled or should be known of the run.
    """

    timestep: float
    dipole: Array | None = None
    dipole_flux: Array | None = None
    polarizability: Array | None = None
    polarizability_flux: Array | None = None
    velocities: Array | None = None
    positions: Array | None = None
    numbers: NDArray[np.int64] | None = None
    masses: Array | None = None
    temperature: float | None = None
    measured_temperature: float | None = None
    volume: float | None = None
    cell: Array | None = None
    friction: float | None = None
    source: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Number of runs, and of frames in each."""
        tails = {**SPECTRAL, "velocities": (0, 3), "positions": (0, 3)}
        for name, tail in tails.items():
            if (values := getattr(self, name)) is not None:
                leading = values.shape[: values.ndim - len(tail)]
                return (1, leading[0]) if len(leading) == 1 else (leading[0], leading[1])
        return (0, 0)

    @property
    def has_runs(self) -> bool:
        """Whether the first axis counts runs."""
        return any(
            values.ndim == len(tail) + 2
            for name, tail in SPECTRAL.items()
            if (values := getattr(self, name)) is not None
        )

    @property
    def summary(self) -> str:
        """One line: frames, time step, units, temperature and volume, each with its origin."""
        runs, frames = self.shape
        parts = [f"{frames} frames" if runs == 1 else f"{runs} runs of {frames} frames"]
        parts.append(self.origins.get("timestep", f"Δt = {self.timestep:g} fs"))
        parts += [self.origins[n] for n in (*SPECTRAL, "velocities") if n in self.origins]
        if self.temperature is not None:
            parts.append(self.origins.get("temperature", f"T = {self.temperature:g} K"))
        if "volume" in self.origins:
            parts.append(self.origins["volume"])
        return ", ".join(parts)
