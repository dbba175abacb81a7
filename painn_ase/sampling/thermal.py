"""Frames of Langevin dynamics with any ASE calculator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import FixCom
from ase.md.langevin import Langevin

from painn_ase.md.velocities import draw_velocities

__all__ = ["thermal"]

#: fs, steps: of the integration, before the first frame, and between frames.
_TIMESTEP, _BEFORE, _BETWEEN = 0.5, 400, 200
#: 1/fs.
_FRICTION = 0.02


def thermal(
    atoms: Atoms, calculator: Any, temperature: float, n_frames: int, rng: np.random.Generator
) -> Iterator[Atoms]:
    """Frames 100 fs apart, after 200 fs, centred.

    Parameters
    ----------
    atoms : Atoms
        Where it begins.
    calculator : Calculator
        Drives.
    temperature : float
        K.
    n_frames : int
    rng : numpy.random.Generator
    """
    moving = atoms.copy()
    moving.calc = calculator
    moving.set_constraint(FixCom())
    moving.set_velocities(draw_velocities(moving.get_masses(), temperature, rng))
    run = Langevin(
        moving,
        _TIMESTEP * units.fs,
        temperature_K=temperature,
        friction=_FRICTION / units.fs,
        fixcm=False,  # ASE's own way overheats small molecules
        rng=rng,
    )
    run.run(_BEFORE - _BETWEEN)
    for _ in range(n_frames):
        run.run(_BETWEEN)
        frame = moving.copy()
        frame.calc = None
        frame.set_constraint()
        frame.arrays.pop("momenta", None)
        frame.positions -= frame.get_center_of_mass()
        yield frame
