"""Whether energies follow forces: ΔE against −½(F₁+F₂)·Δr of frames that resemble each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_masses
from scipy.spatial import cKDTree

from painn_ase.training.frames import FloatArray, LabeledFrame
from painn_ase.units import sqrt_ev_per_angstrom2_amu_to_invcm

__all__ = ["EnergyForceFit", "fit_energy_forces", "vibrational_frequency"]

#: Largest step between two frames compared, Å RMS per atom.
_LARGEST_STEP = 0.5
#: Frames of one composition looked at.
_MOST_COMPARED = 4000


@dataclass(frozen=True)
class EnergyForceFit:
    """How energy differences follow forces: ΔE against −½(F₁+F₂)·Δr of close frames.

    Attributes
    ----------
    slope : float
        1 for consistent labels, −1 for gradients taken for forces.
    correlation : float
    n_pairs : int
    """

    slope: float
    correlation: float
    n_pairs: int

    @property
    def slope_error(self) -> float:
        """Standard error of the slope."""
        unexplained = 1.0 / max(self.correlation**2, 1e-12) - 1.0
        return abs(self.slope) * math.sqrt(max(unexplained, 0.0) / self.n_pairs)


def fit_energy_forces(frames: Sequence[LabeledFrame]) -> EnergyForceFit | None:
    """Slope and correlation of ΔE against −½(F₁+F₂)·Δr; None without enough close pairs.

    Each frame is compared with its successor and with its nearest frame of the same atoms, after
    the second has been turned onto the first: molecules that tumble are compared in their shape.
    The closest quarter of the pairs counts, because the trapezoid is exact to second order only.
    """
    groups: dict[bytes, list[LabeledFrame]] = {}
    for frame in frames:
        if frame.energy is not None and frame.forces is not None:
            groups.setdefault(frame.numbers.tobytes(), []).append(frame)
    found: list[tuple[float, float, float]] = []
    for group in groups.values():
        for first, second in _candidate_pairs(group):
            comparison = _work_and_difference(first, second)
            if comparison is not None and comparison[0] < _LARGEST_STEP:
                found.append(comparison)
    found.sort()
    closest = np.array(found[: max(len(found) // 4, 30)])
    if len(closest) < 3 or closest[:, 1:].std(axis=0).min() == 0:
        return None
    work, energy = closest[:, 1], closest[:, 2]
    correlation = float(np.corrcoef(work, energy)[0, 1])
    slope = float(np.sum(work * energy) / np.sum(work * work))
    return EnergyForceFit(slope, correlation, len(closest))


def vibrational_frequency(frames: Sequence[LabeledFrame]) -> float | None:
    """Root mean square frequency in cm⁻¹ that forces and masses imply; None without close pairs.

    For frames of harmonic motion in equilibrium Σ|ΔF|²/m over −ΣΔF·Δr is the mean of ω² over all
    modes; for any displacement it lies within the range of the ω².
    """
    groups: dict[bytes, list[LabeledFrame]] = {}
    for frame in frames:
        if frame.forces is not None and frame.n_atoms > 1:
            groups.setdefault(frame.numbers.tobytes(), []).append(frame)
    found: list[tuple[float, float, float]] = []
    for group in groups.values():
        masses = atomic_masses[group[0].numbers][:, None]
        for first, second in _candidate_pairs(group):
            aligned = _aligned(first, second)
            if aligned is None or first.forces is None:
                continue
            step, change = aligned[0] - first.positions, aligned[1] - first.forces
            size = float(np.sqrt(np.mean(np.sum(step**2, axis=1))))
            if 1e-6 < size < _LARGEST_STEP:
                found.append(
                    (size, float(np.sum(change**2 / masses)), -float(np.sum(change * step)))
                )
    found.sort()
    closest = np.array(found[: max(len(found) // 4, 10)])
    if len(closest) < 3 or closest[:, 2].sum() <= 0:
        return None
    squared = float(closest[:, 1].sum() / closest[:, 2].sum())
    return math.sqrt(squared) * sqrt_ev_per_angstrom2_amu_to_invcm


def _work_and_difference(
    first: LabeledFrame, second: LabeledFrame
) -> tuple[float, float, float] | None:
    """RMS step in Å, work along it and energy difference in eV; None if not comparable."""
    aligned = _aligned(first, second)
    if aligned is None or first.forces is None or first.energy is None or second.energy is None:
        return None
    positions, forces = aligned
    step = positions - first.positions
    size = float(np.sqrt(np.mean(np.sum(step**2, axis=1))))
    work = -0.5 * float(np.sum((first.forces + forces) * step))
    return size, work, second.energy - first.energy


def _candidate_pairs(group: Sequence[LabeledFrame]) -> Iterator[tuple[LabeledFrame, LabeledFrame]]:
    """Successive frames, and each frame with the one of most similar interatomic distances."""
    chosen = list(group[:_MOST_COMPARED])
    if chosen[0].n_atoms < 2:
        return
    yield from itertools.pairwise(chosen)
    if len(chosen) < 3 or chosen[0].n_atoms > 40 or any(f.pbc.any() for f in chosen):
        return
    i, j = np.triu_indices(chosen[0].n_atoms, 1)
    shapes = np.array([np.linalg.norm(f.positions[i] - f.positions[j], axis=1) for f in chosen])
    _, nearest = cKDTree(shapes).query(shapes, k=2)
    for n, neighbour in enumerate(nearest[:, 1].tolist()):
        yield chosen[n], chosen[neighbour]


def _aligned(first: LabeledFrame, second: LabeledFrame) -> tuple[FloatArray, FloatArray] | None:
    """Positions and forces of `second` as seen in the orientation of `first`."""
    if second.forces is None:
        return None
    if first.pbc.any():
        step = second.positions - first.positions
        cell = first.cell
        if not np.allclose(cell, second.cell) or abs(np.linalg.det(cell)) < 1e-9:
            return None
        fraction = np.linalg.solve(cell.T, step.T).T
        fraction -= np.round(fraction) * first.pbc
        return first.positions + fraction @ cell, second.forces
    a = first.positions - first.positions.mean(axis=0)
    b = second.positions - second.positions.mean(axis=0)
    u, _, vt = np.linalg.svd(b.T @ a)
    if np.linalg.det(u @ vt) < 0:
        u[:, -1] = -u[:, -1]
    rotation = u @ vt
    return b @ rotation + first.positions.mean(axis=0), second.forces @ rotation
