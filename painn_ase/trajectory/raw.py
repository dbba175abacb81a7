"""What a reader found in a file, before anything is believed.

A reader of some program's files gives back a :class:`RawSeries`: numbers as they stand there, with
the unit *if the file or its format says one*, and a word on where each came from. It converts,
guesses and drops nothing. :func:`painn_ase.trajectory.settle.settle` then makes the checked
:class:`~painn_ase.trajectory.TimeSeries` of it, asks for what is missing, and says what it used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fact", "RawChannel", "RawSeries"]


@dataclass(frozen=True)
class Fact:
    """A number with its origin, in the words that follow "from" in a message.

    Attributes
    ----------
    value : float
        In the unit that the holder of the fact names.
    origin : str
        E.g. ``"the file"``, ``"--temperature"``, ``"CP2K's input echo"``.
    """

    value: float
    origin: str


@dataclass(frozen=True)
class RawChannel:
    """One quantity along a run, as the file has it.

    Attributes
    ----------
    values : ndarray [n_frames, ...]
        One frame of a quantity: dipole (3), polarizability (3, 3), positions (n_atoms, 3), ….
    unit : str or None
        As in the file or by the format's definition, in words of
        :mod:`painn_ase.unit_names`; None where neither says: the user is asked then.
    origin : str
        Which key, column or heading, and where the unit comes from if not from there:
        ``"column 'mu(D)'"``, ``"key 'dipole', unit of the format"``.
    """

    values: NDArray[np.float64]
    unit: str | None
    origin: str


@dataclass(frozen=True)
class RawSeries:
    """One run of one system, as its file has it.

    Attributes
    ----------
    source : str
        Program, kind of file and file name: ``"CP2K dipole file run-moments.dat"``.
    channels : dict of str to RawChannel
        By the package's names: ``dipole``, ``dipole_flux``, ``polarizability``,
        ``polarizability_flux``, ``positions``, ``velocities``, ``momenta``, ``charges``,
        ``born_effective_charges``, ``cell`` (n_frames or 1, 3, 3), ``temperature`` (n_frames,),
        ``potential_energy``. All are along the same frames.
    time : ndarray [n_frames] or None
        Times of the frames as in the file, repeats and gaps included.
    time_unit : str or None
        None where the file does not say.
    steps : ndarray [n_frames] of int, or None
        Numbers of the frames' steps in the run.
    timestep : float or None
        Time between frames where the file gives that instead of times, in ``time_unit``.
    time_origin : str
        E.g. ``"column 'time [fs]'"``; what follows "from" where the step is named.
    numbers, masses : ndarray [n_atoms] or None
        Atomic numbers; masses in amu.
    types : tuple of str or None
        Names of the atoms' kinds in the file, where these are no elements.
    pbc : tuple of bool or None
        None where the file does not say.
    temperature : Fact or None
        K, where the file gives one number (a thermostat's target, a mean).
    volume : Fact or None
        Å³, where the file gives it but no cell.
    runs : bool
        Whether the first axis of every channel counts independent runs, the second frames.
    structure : ndarray [n_atoms, 3] or None
        Positions of one frame, Å, where they are at hand: tells a molecule in a box from a bulk.
    thermostat : str or None
        Of the recorded run, where the file says it: ``"NVE"``, ``"Langevin"``, ….
    friction : float or None
        Of a Langevin thermostat, 1/fs.
    available : tuple of str
        Everything else the file holds, in its own names, for messages.
    notes : tuple of str
        What a user should know of how the file was read.
    """

    source: str
    channels: dict[str, RawChannel]
    time: NDArray[np.float64] | None = None
    time_unit: str | None = None
    steps: NDArray[np.int64] | None = None
    timestep: float | None = None
    time_origin: str = "the file"
    numbers: NDArray[np.int64] | None = None
    masses: NDArray[np.float64] | None = None
    types: tuple[str, ...] | None = None
    pbc: tuple[bool, bool, bool] | None = None
    temperature: Fact | None = None
    volume: Fact | None = None
    runs: bool = False
    structure: NDArray[np.float64] | None = None
    thermostat: str | None = None
    friction: float | None = None
    available: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
