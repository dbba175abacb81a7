"""A model's dipoles, polarizabilities and fluxes for a trajectory that exists, in batches."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.annotate.checks import check_velocities, refuse_strangers
from painn_ase.annotate.clock import FrameClock
from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import PaiNNWarning, TrajectoryError, UnsupportedPropertyError
from painn_ase.evaluation import evaluate
from painn_ase.md.calculators import describe_calculator
from painn_ase.trajectory import (
    CHANNELS,
    System,
    TrajectoryReader,
    TrajectoryWriter,
    iterate_frames,
)
from painn_ase.trajectory.formats import identify
from painn_ase.trajectory.frames import HDF5_SUFFIXES
from painn_ase.trajectory.h5md_series import TYPES_REMEDY

__all__ = ["annotate_trajectory"]

_FLUXES = ("dipole_flux", "polarizability_flux")
_DEFAULT = ("dipole", "polarizability", *_FLUXES)
#: Frames in memory at a time.
_BLOCK = 256
#: Where results of the calculator go by another name.
_CHANNEL = {"energy": "potential_energy"}


def annotate_trajectory(
    calculator: PaiNNCalculator,
    source: str | Path,
    target: str | Path,
    *,
    properties: Sequence[str] | None = None,
    timestep: float | None = None,
    units: Mapping[str, str] | None = None,
    topology: str | Path | None = None,
    other_molecule: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Evaluate the frames of `source` and write them with the results to the H5MD file `target`.

    Parameters
    ----------
    calculator : PaiNNCalculator
        Of the model.
    source : str or Path
        Any trajectory :func:`~painn_ase.trajectory.iterate_frames` reads, of one system. What an
        H5MD file of this package says of its run (settings, temperatures) goes into the new one.
    target : str or Path
        New file.
    properties : sequence of str, optional
        By default dipole and polarizability with their fluxes, as far as the model has them and
        the frames have velocities. The flux of the dipole is Σ Z* v, the model's Born charges
        times the velocities of the file.
    timestep : float, optional
        Between frames, fs: wins over what the source says.
    units : mapping of str to str, optional
        Of positions, velocities, cell and time, where the source does not say them.
    topology : str or Path, optional
        File with the elements and masses that the source does not hold (``.gro``, ``.psf`` …).
    other_molecule : bool
        Take a molecule, or distances, that the model's training does not hold.
    overwrite : bool
        Replace `target`.
    progress : callable, optional
        Called with the number of frames done.

    Returns
    -------
    int
        Number of frames.

    Raises
    ------
    TrajectoryError
        When the source cannot be read, changes its atoms, masses, periodicity or charge, names no
        time step or an uneven one, or when its velocities do not fit its positions.
    DataError
        For another molecule than the model was trained on, as far as its file tells.
    UnsupportedPropertyError
        When fluxes are asked for and frames have no velocities, or the model lacks a head.
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise TrajectoryError(f"{target} is the source itself; name another file.")
    run, temperatures = _of_our_run(source, topology)
    blocks = _blocks(iterate_frames(source, units=units, topology=topology))
    first = next(blocks)
    moving = first[0].has("momenta")
    names = _names(calculator, properties, moving)
    clock = None if timestep is not None else FrameClock(source)
    spacing = timestep if clock is None else _started(clock, first)
    assert spacing is not None
    if not other_molecule:
        refuse_strangers(calculator, first, source)
    if moving:
        check_velocities(first, spacing, source)
    strides = dict.fromkeys(("positions", *(_CHANNEL.get(n, n) for n in names)), 1)
    if moving:
        strides["velocities"] = 1
    if any(first[0].pbc):
        strides["cell"] = 1
    if temperatures is not None:
        strides["temperature"] = 1
    if target.exists() and target.stat().st_size and not overwrite:
        raise TrajectoryError(f"{target} exists already; name another file or allow overwriting.")
    # The name stands for a whole file: a failure leaves nothing in the way of the next attempt,
    # and the file that was to be replaced as it was.
    begun = target.with_name(f"{target.stem}.unfinished{target.suffix}")
    writer = TrajectoryWriter.create(
        begun,
        System.of(first[0], charge=calculator.total_charge(first[0])),
        strides,
        provenance={
            "source": str(source),
            "calculator": describe_calculator(calculator),
            "properties": list(names),
            **run,
        },
        overwrite=True,
    )
    done = 0
    with _kept_if_finished(begun, target), writer:
        for frames in itertools.chain([first], blocks):
            _check_same_system(calculator, frames, first[0], done, source)
            if clock is not None and done:
                clock.read(frames)
            results = evaluate(calculator, frames, names)
            for atoms, found in zip(frames, results, strict=True):
                values = {_CHANNEL.get(n, n): found[n] for n in names}
                values["positions"], values["cell"] = atoms.positions, atoms.cell[:]
                values["velocities"] = atoms.get_velocities() if moving else 0.0
                values["temperature"] = 0.0 if temperatures is None else temperatures[done]
                writer.write(done, done * spacing, values)
                done += 1
            if progress is not None:
                progress(done)
    return done


def _started(clock: FrameClock, frames: Sequence[Atoms]) -> float:
    clock.read(frames)
    return clock.spacing


def _of_our_run(
    source: Path, topology: str | Path | None
) -> tuple[dict[str, Any], NDArray[np.float64] | None]:
    """What an H5MD file says of its run: settings, and the temperatures of its frames, K.

    Raises
    ------
    TrajectoryError
        For several copies of a system: one structure a frame is what is evaluated here.
    """
    if source.suffix.lower() not in HDF5_SUFFIXES or not source.is_file():
        return {}, None
    if identify(source) is not None:
        return {}, None
    with TrajectoryReader(source, topology=topology) as reader:
        system = reader.system
        if reader.may_be_types:
            formula = Atoms(numbers=system.numbers).get_chemical_formula()
            warnings.warn(
                f"{source}: its species are taken for elements ({formula}); {TYPES_REMEDY}",
                PaiNNWarning,
                stacklevel=3,
            )
        run = {k: v for k, v in reader.provenance.items() if k in ("config", "replicas")}
        temperatures = None
        if {"positions", "temperature"} <= set(reader.names):
            wanted, measured = reader.steps("positions"), reader.steps("temperature")
            at = np.isin(measured, wanted)
            if at.sum() == len(wanted):
                temperatures = reader.read("temperature").reshape(len(measured), -1)[at, 0]
    if system.n_beads > 1:
        raise TrajectoryError(
            f"{source} holds the centroids of ring polymers, and what light sees is a mean over "
            "their beads: record it in the run itself (--flux, or `record` of ReplicaConfig)."
        )
    if (system.n_replicas or 1) > 1:
        raise TrajectoryError(
            f"{source} holds {system.n_replicas} replicas, of which only the first would be "
            "evaluated. Record the quantities in the run itself (`record` of ReplicaConfig), or "
            "write one replica into a file of its own (TrajectoryReader.atoms)."
        )
    return run, temperatures


@contextmanager
def _kept_if_finished(begun: Path, target: Path) -> Iterator[None]:
    """Give the file its name once all is written; remove it if that failed."""
    try:
        yield
        begun.replace(target)
    finally:
        begun.unlink(missing_ok=True)


def _blocks(frames: Iterator[Atoms]) -> Iterator[list[Atoms]]:
    while block := list(itertools.islice(frames, _BLOCK)):
        yield block


def _names(
    calculator: PaiNNCalculator, wanted: Sequence[str] | None, moving: bool
) -> tuple[str, ...]:
    known = calculator.potential.properties
    if wanted is None:
        names = tuple(n for n in _DEFAULT if n in known and (moving or n not in _FLUXES))
        if not names:
            raise UnsupportedPropertyError(
                f"this model has neither dipole nor polarizability, only {', '.join(known)}. Name "
                "what you want with --properties."
            )
        return names
    for name in wanted:
        if name not in known or _CHANNEL.get(name, name) not in CHANNELS:
            both = [n for n in known if _CHANNEL.get(n, n) in CHANNELS]
            raise UnsupportedPropertyError(
                f"{name!r} cannot be recorded with this model; choose from {', '.join(both)}."
            )
    if not moving and set(wanted) & set(_FLUXES):
        raise UnsupportedPropertyError(
            "fluxes need velocities, and the frames carry none. Ask for dipole and polarizability: "
            "spectra can be made from those, with a correction for the finite difference."
        )
    return tuple(dict.fromkeys(wanted))


def _check_same_system(
    calculator: PaiNNCalculator, frames: Sequence[Atoms], first: Atoms, done: int, source: Path
) -> None:
    charge = calculator.total_charge(first)
    for n, atoms in enumerate(frames):
        same = {
            "atoms": np.array_equal(atoms.numbers, first.numbers),
            "masses": np.array_equal(atoms.get_masses(), first.get_masses()),
            "periodicity": np.array_equal(atoms.pbc, first.pbc),
            "charge": calculator.total_charge(atoms) == charge,
        }
        if other := [name for name, equal in same.items() if not equal]:
            raise TrajectoryError(
                f"{source}: frame {done + n} has other {', '.join(other)} than the first. A "
                "trajectory is one system; for a set of structures use `painn_ase.evaluate`."
            )
