"""Watching a run: the drift of its conserved energy, and explosions before they spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.errors import UnstableRunError
from painn_ase.md.config import MDConfig
from painn_ase.md.velocities import temperature_of
from painn_ase.units import fs_to_ase_time

__all__ = ["Drift", "Monitor", "worst_atom"]


@dataclass
class Drift:
    """Straight line through the conserved energy against time, updated sample by sample.

    Attributes
    ----------
    sums : ndarray [5]
        n, Σt, Σe, Σtt, Σte with t in ps and e in eV relative to the first sample.
    first : float
        First sample, eV.
    """

    sums: NDArray[np.float64]
    first: float

    @classmethod
    def empty(cls) -> Drift:
        """No samples yet."""
        return cls(np.zeros(5), np.nan)

    def add(self, time_fs: float, energy: float) -> None:
        """One more sample."""
        if not self.sums[0]:
            self.first = energy
        t, e = 1e-3 * time_fs, energy - self.first
        self.sums += (1.0, t, e, t * t, t * e)

    @property
    def slope(self) -> float | None:
        """eV/ps; None before there are three samples."""
        n, t, e, tt, te = self.sums
        spread = n * tt - t * t
        return float((n * te - t * e) / spread) if n > 2 and spread > 0 else None

    def check(self, energy: float, n_atoms: int, limit: float | None, step: int) -> None:
        """Compare the conserved energy with its start.

        Parameters
        ----------
        energy : float
            At present, eV.
        n_atoms : int
            It is shared by.
        limit : float or None
            eV per atom that it may stray; None for as far as it likes.
        step : int
            For the message.

        Raises
        ------
        UnstableRunError
            When it strayed farther.
        """
        strayed = abs(energy - self.first) / n_atoms
        if limit is not None and not strayed <= limit:
            raise UnstableRunError(
                f"by step {step} the conserved energy has strayed by {strayed:.3g} eV per atom, "
                f"more than the {limit:g} allowed (max_drift). Shorten the time step."
            )


def worst_atom(velocities: NDArray[np.float64], timestep: float) -> tuple[int, str]:
    """The atom that left the realm of physics, or else the fastest, and what it does.

    Parameters
    ----------
    velocities : ndarray [n_atoms, 3]
        Not a number where a position is none.
    timestep : float
        In the velocities' unit of time.
    """
    speeds = np.sqrt(np.square(velocities).sum(axis=1))
    broken = ~np.isfinite(speeds)
    atom = int(np.argmax(broken) if broken.any() else np.argmax(speeds))
    if broken[atom]:
        return atom, "its position or velocity is not a number"
    return atom, f"it moves by {speeds[atom] * timestep:.2g} Å per step"


class Monitor:
    """Raises when a run leaves the realm of physics.

    Parameters
    ----------
    config : MDConfig
        Its limits.
    degrees_of_freedom : int
        Those that carry kinetic energy.
    """

    def __init__(self, config: MDConfig, degrees_of_freedom: int) -> None:
        self._config = config
        self._degrees_of_freedom = degrees_of_freedom
        self._masses: NDArray[np.float64] | None = None
        self._speed_limit = config.max_displacement / (config.timestep * fs_to_ase_time)

    def check(self, atoms: Atoms, step: int) -> None:
        """Look at positions and velocities after a step.

        Raises
        ------
        UnstableRunError
            Names the atom, the step and the remedy.
        """
        masses = self._masses
        if masses is None:
            masses = self._masses = np.asarray(atoms.get_masses())
        velocities = atoms.arrays["momenta"] / masses[:, None]
        speeds_squared = np.einsum("ia,ia->i", velocities, velocities)
        # One comparison that NaN fails, too.
        if speeds_squared.max() <= self._speed_limit**2 and np.isfinite(atoms.positions.sum()):
            temperature = temperature_of(
                0.5 * float(masses @ speeds_squared), self._degrees_of_freedom
            )
            if temperature <= self._config.max_temperature:
                return
            atom = int(np.argmax(speeds_squared))
            what = f"the temperature reached {temperature:.0f} K"
        else:
            lost = ~np.isfinite(atoms.positions)
            atom, what = worst_atom(
                np.where(lost, np.nan, velocities), self._config.timestep * fs_to_ase_time
            )
        raise UnstableRunError(
            f"the run exploded at step {step}, atom {atom} ({atoms.symbols[atom]}): {what}."
        )
