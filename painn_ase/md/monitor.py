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

__all__ = ["Drift", "Monitor"]


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
            what = f"the temperature reached {temperature:.0f} K"
        else:
            fastest = float(np.sqrt(speeds_squared.max()))
            what = f"it moves by {fastest * self._config.timestep * fs_to_ase_time:.2g} Å per step"
        broken = ~np.isfinite(speeds_squared) | ~np.isfinite(atoms.positions).all(axis=1)
        atom = int(np.argmax(broken) if broken.any() else np.argmax(speeds_squared))
        if broken[atom]:
            what = "its position or velocity is not a number"
        raise UnstableRunError(
            f"the run exploded at step {step}, atom {atom} ({atoms.symbols[atom]}): {what}."
        )

    def check_drift(self, drift: Drift, energy: float, n_atoms: int, step: int) -> None:
        """Compare the conserved energy with its start.

        Raises
        ------
        UnstableRunError
            When it strayed farther than the configuration allows.
        """
        limit = self._config.max_drift
        strayed = abs(energy - drift.first) / n_atoms
        if limit is not None and not strayed <= limit:
            raise UnstableRunError(
                f"by step {step} the conserved energy has strayed by {strayed:.3g} eV per atom, "
                f"more than the {limit:g} allowed (max_drift). Shorten the time step."
            )
