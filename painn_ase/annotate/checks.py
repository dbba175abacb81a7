"""Whether a trajectory is what it is taken for: its time step, its units, and its molecule.

Positions, velocities and the time between frames say one thing twice: where they disagree, one of
them is in another unit. The same holds for the molecule and the data that the model was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.formula import Formula
from ase.geometry import find_mic

from painn_ase.calculator import PaiNNCalculator
from painn_ase.elements import SYMBOLS
from painn_ase.errors import DataError, TrajectoryError
from painn_ase.graph import neighbor_pairs
from painn_ase.md.guard import smallest_trained_distances
from painn_ase.units import fs_to_ase_time

__all__ = ["check_velocities", "refuse_strangers"]

#: Frames looked at.
_LOOK = 50
#: Positions follow velocities at all: correlation of displacements and velocities.
_RELATED = 0.9
#: Displacement over velocity times time; fast vibrations between frames make it smaller than one.
_PLAUSIBLE = (0.6, 1.15)
#: Nearest atoms over the nearest of training; less is too near, more no bond of training.
_NEAR, _FAR = 0.75, 1.4
#: A model of more kinds of molecules than this is one for any of its elements.
_GENERAL = 10


def check_velocities(frames: Sequence[Atoms], spacing: float, source: Path) -> None:
    """Refuse velocities that do not fit how positions move from frame to frame.

    Raises
    ------
    TrajectoryError
        With the factor by which they differ.
    """
    frames = frames[:_LOOK]
    if len(frames) < 3 or not frames[0].has("momenta"):
        return
    moved, expected = [], []
    for before, now, after in zip(frames, frames[1:], frames[2:], strict=False):
        step = after.positions - before.positions
        if any(now.pbc):
            step, _ = find_mic(step, now.cell, now.pbc)
        roots = np.sqrt(now.get_masses())[:, None]
        moved.append(step * roots)
        expected.append(now.get_velocities() * (2.0 * spacing * fs_to_ase_time) * roots)
    d, v = np.concatenate(moved).ravel(), np.concatenate(expected).ravel()
    if not (norm := float(d @ d) * float(v @ v)) > 0.0:
        return
    ratio, related = float(d @ v) / float(v @ v), float(d @ v) / np.sqrt(norm)
    low, high = _PLAUSIBLE
    if related > _RELATED and not low < ratio < high:
        raise TrajectoryError(
            f"{source}: atoms move {ratio:.4g} times as far as their velocities say for frames "
            f"{spacing:g} fs apart. The time step, or the unit of velocities, is another one "
            "(ASE takes those of LAMMPS for units metal). Give the right time between frames, or "
            "leave the velocities out."
        )


def refuse_strangers(calculator: PaiNNCalculator, frames: Sequence[Atoms], source: Path) -> None:
    """Refuse another molecule than those of the model's training, and impossible distances.

    Raises
    ------
    DataError
        Naming formulas or distances, as far as the model file knows its training.
    """
    told = "If it is meant so, say --other-molecule (other_molecule=True): the model extrapolates."
    provenance = calculator.potential.spec.provenance
    atoms = frames[0]
    formulas = provenance.get("formulas")
    if isinstance(formulas, list) and 0 < len(formulas) < _GENERAL:
        known = {_reduced(str(f)) for f in formulas}
        if _reduced(atoms.get_chemical_formula()) not in known:
            raise DataError(
                f"{source} is a run of {atoms.get_chemical_formula()}, the model was trained on "
                f"{', '.join(map(str, formulas))}. {told}"
            )
    trained = smallest_trained_distances(provenance)
    if not trained:
        return
    nearest = _nearest(frames[:_LOOK], calculator.potential.cutoff)
    shares = {pair: r / trained[pair] for pair, r in nearest.items() if pair in trained}
    if shares and (min(shares.values()) < _NEAR or min(shares.values()) > _FAR):
        pair = min(shares, key=lambda p: shares[p])
        raise DataError(
            f"{source}: {_named(pair)} come as near as {nearest[pair]:.3g} Å, in the model's "
            f"training {trained[pair]:.3g} Å. Are the positions in another unit (Bohr, nm)? {told}"
        )
    if strange := [_named(pair) for pair in nearest if pair not in trained]:
        raise DataError(
            f"{source}: {', '.join(strange)} are never within the cutoff of "
            f"{calculator.potential.cutoff:g} Å in the model's training: another molecule, or "
            f"several of them. {told}"
        )


def _reduced(formula: str) -> str:
    """One formula for a molecule and any number of it: (H2O)64 is H2O."""
    return str(Formula(formula).reduce()[0].format("hill"))


def _nearest(frames: Sequence[Atoms], cutoff: float) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    for atoms in frames[:: max(1, len(frames) // 5)]:
        pairs = neighbor_pairs(atoms.positions, atoms.cell[:], atoms.pbc, cutoff)
        i, j = pairs.idx_i, pairs.idx_j
        vectors = atoms.positions[j] - atoms.positions[i] + pairs.shifts @ atoms.cell[:]
        lengths = np.linalg.norm(vectors, axis=1)
        numbers = np.sort(np.stack([atoms.numbers[i], atoms.numbers[j]], axis=1), axis=1)
        for kind in np.unique(numbers, axis=0):
            place = (int(kind[0]), int(kind[1]))
            smallest = float(lengths[(numbers == kind).all(axis=1)].min())
            found[place] = min(smallest, found.get(place, np.inf))
    return found


def _named(pair: tuple[int, int]) -> str:
    return f"{SYMBOLS[pair[0]]} and {SYMBOLS[pair[1]]}"
