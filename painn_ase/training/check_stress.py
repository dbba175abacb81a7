"""Checks of stress: sign, unit and factor of volume, against strained neighbours and forces.

Two relations hold whatever the material. Between frames of one composition whose cells differ,
ΔE = V σ:ε − Σ F·u with ε the strain and u what atoms move beside it. And the part of the energy
that depends on pairs gives forces and virial from the same numbers, Vσ = Σ_pairs r ⊗ ∂E/∂r: where
pair functions that are fitted to the forces explain how the virial varies, they give its scale too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import polar

from painn_ase.graph.neighbors import neighbor_pairs
from painn_ase.training.findings import Finding
from painn_ase.training.frames import FloatArray, LabeledFrame
from painn_ase.units import bohr_to_angstrom, ev_per_angstrom3_to_gpa, hartree_to_ev

__all__ = ["check_stress"]

#: Strains compared, largest component: below, rounding speaks; above, the trapezoid is poor.
_STRAINS = (1e-5, 0.08)
#: Frames of one composition that are looked at, and atoms of a frame.
_ENOUGH, _LARGEST = 300, 400
#: Reach of the pair functions, Å, and their widths.
_REACH = 5.0
_CENTERS = np.linspace(0.8, 4.6, 9)
#: How far a slope may be from 1, with strained frames that correlate so well, and otherwise: the
#: trapezoid and pair functions are rough, wrong units are wrong by a sign or by tens.
_EXACT, _ROUGH, _WELL = 0.1, 0.6, 0.995
_CHECK = "stress against "


def check_stress(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    """Stress against energies of strained frames, else against forces at fixed cell."""
    groups: dict[bytes, list[LabeledFrame]] = {}
    for frame in frames:
        if frame.stress is not None and frame.forces is not None and frame.pbc.all():
            groups.setdefault(frame.numbers.tobytes(), []).append(frame)
    chosen = [g[:_ENOUGH] for g in groups.values() if g[0].n_atoms <= _LARGEST]
    volume = float(np.median([_volume(f) for g in chosen for f in g])) if chosen else 1.0
    slope = _slope_of_strained(chosen)
    if slope is not None:
        well = slope.correlation**2 > _WELL**2
        yield from _judge("strained frames", slope, volume, _EXACT if well else _ROUGH)
        return
    slope = _slope_at_fixed_cell(chosen)
    if slope is not None:
        yield from _judge("forces", slope, volume, _ROUGH)
    elif chosen:
        yield Finding(
            "note", f"{_CHECK}forces", "neither strained frames nor pairs tell; not checked"
        )


@dataclass(frozen=True)
class _Slope:
    """What a stress has to be multiplied with, its error, and how well it explains."""

    value: float
    error: float
    correlation: float
    n_points: int


def _judge(what: str, slope: _Slope, volume: float, tolerance: float) -> Iterable[Finding]:
    said = (
        f"slope {slope.value:.3g}, correlation {slope.correlation:.3f} over {slope.n_points} values"
    )
    allowed = max(tolerance, 4 * slope.error)
    if abs(slope.value - 1) < allowed:
        yield Finding("ok", _CHECK + what, said)
        return
    factors = {
        "the sign is reversed": -1.0,
        "GPa read as eV/Å^3": 1 / ev_per_angstrom3_to_gpa,
        "kbar read as eV/Å^3": 0.1 / ev_per_angstrom3_to_gpa,
        "bar read as eV/Å^3": 1e-4 / ev_per_angstrom3_to_gpa,
        "Hartree/Bohr^3 read as eV/Å^3": hartree_to_ev / bohr_to_angstrom**3,
        "a virial −Vσ under the key of the stress": -1 / volume,
        "Vσ under the key of the stress": 1 / volume,
    }
    factors |= {
        f"{name}, and the sign is reversed": -factor
        for name, factor in factors.items()
        if "read as" in name
    }
    name, factor = min(factors.items(), key=lambda item: _distance(item[1], slope.value))
    close = _distance(factor, slope.value) < np.log1p(max(tolerance, 0.3))
    cause = f": {name} (factor {factor:.3g})" if close else ": another unit or sign"
    remedy = (
        "name it with [data.keys] virial"
        if close and "virial" in name
        else "set [data.units] stress, or mend the file"
    )
    yield Finding("warning", _CHECK + what, f"{said}{cause}; {remedy}")


def _distance(a: float, b: float) -> float:
    """How far two factors are apart, as a logarithm; infinite for other signs."""
    return abs(float(np.log(a / b))) if a * b > 0 else np.inf


# -- strained frames -------------------------------------------------------------------------------


def _slope_of_strained(groups: Sequence[Sequence[LabeledFrame]]) -> _Slope | None:
    points = [p for group in groups for p in _strained_pairs(group)]
    if len(points) < 5:
        return None
    x, y = np.array(points).T
    return _line_through_origin(x, y, least=0.8)


def _strained_pairs(group: Sequence[LabeledFrame]) -> Iterator[tuple[float, float]]:
    """(Vσ:ε, ΔE + F·u) of successive frames and of each with the most similar cell."""
    cells = np.stack([f.cell.reshape(-1) for f in group])
    pairs = set(itertools.pairwise(range(len(group))))
    if len(group) > 2:
        apart = np.linalg.norm(cells[:, None] - cells[None], axis=2)
        apart[apart < 1e-9] = np.inf
        pairs |= {(n, int(k)) for n, k in enumerate(apart.argmin(axis=1)) if n != k}
    for n, k in sorted(pairs):
        point = _strained(group[n], group[k])
        if point is not None:
            yield point


def _strained(first: LabeledFrame, second: LabeledFrame) -> tuple[float, float] | None:
    if first.energy is None or second.energy is None:
        return None
    if first.stress is None or second.stress is None:
        return None
    if first.forces is None or second.forces is None:
        return None
    # Row vectors: cell₂ = cell₁ D. D = S Q with a symmetric S, and Q, a rotation, is undone.
    deformation = np.linalg.solve(first.cell, second.cell)
    turn, stretch = polar(deformation, side="left")
    strain = stretch - np.eye(3)
    if not _STRAINS[0] < np.abs(strain).max() < _STRAINS[1]:
        return None
    moved = second.positions @ turn.T - first.positions @ stretch
    fraction = np.linalg.solve((first.cell @ stretch).T, moved.T).T
    moved -= np.round(fraction) @ (first.cell @ stretch)
    if np.sqrt(np.mean(np.sum(moved**2, axis=1))) > 0.3:
        return None
    stresses = first.stress * _volume(first) + turn @ second.stress @ turn.T * _volume(second)
    forces = first.forces + second.forces @ turn.T
    work = 0.5 * float(np.sum(forces * moved))
    return 0.5 * float(np.sum(stresses * strain)), second.energy - first.energy + work


# -- fixed cell ------------------------------------------------------------------------------------


def _slope_at_fixed_cell(groups: Sequence[Sequence[LabeledFrame]]) -> _Slope | None:
    xs, ys = [], []
    for group in groups:
        if len(group) < 8:
            continue
        some = group[:: max(len(group) // 40, 1)]
        designs = [_pair_design(f) for f in some]
        forces = np.concatenate([f.forces.reshape(-1) for f in some if f.forces is not None])
        matrix = np.concatenate([d[0] for d in designs])
        if len(forces) < 3 * matrix.shape[1]:
            continue
        weights = np.linalg.lstsq(matrix, forces, rcond=1e-8)[0]
        left = float(np.sum((forces - matrix @ weights) ** 2))
        if left > 0.5 * float(np.sum(forces**2)):
            continue
        virial = np.stack([np.tensordot(weights, d[1], axes=1) for d in designs])
        label = np.stack([f.stress * _volume(f) for f in some if f.stress is not None])
        xs.append((label - label.mean(axis=0)).reshape(-1))
        ys.append((virial - virial.mean(axis=0)).reshape(-1))
    if not xs:
        return None
    return _line_through_origin(np.concatenate(xs), np.concatenate(ys), least=0.6)


def _pair_design(frame: LabeledFrame) -> tuple[FloatArray, FloatArray]:
    """Forces (3N, k) and V·σ (k, 3, 3) of unit pair functions −dE/dr = exp(−(r − c)²/2w²)."""
    found = neighbor_pairs(frame.positions, frame.cell, frame.pbc, _REACH)
    i, j = found.idx_i, found.idx_j
    vectors = frame.positions[j] - frame.positions[i] + found.shifts @ frame.cell
    apart = np.linalg.norm(vectors, axis=1)
    unit = vectors / apart[:, None]
    width = _CENTERS[1] - _CENTERS[0]
    radial = np.exp(-0.5 * ((apart[:, None] - _CENTERS) / width) ** 2)
    radial *= np.cos(0.5 * np.pi * np.minimum(apart / _REACH, 1.0))[:, None]
    kinds = sorted({(min(a, b), max(a, b)) for a in set(frame.numbers.tolist())
                    for b in set(frame.numbers.tolist())})  # fmt: skip
    n, k = frame.n_atoms, len(_CENTERS)
    forces = np.zeros((n, 3, len(kinds) * k))
    virial = np.zeros((len(kinds) * k, 3, 3))
    zi, zj = frame.numbers[i], frame.numbers[j]
    for number, (a, b) in enumerate(kinds):
        mine = ((zi == a) & (zj == b)) | ((zi == b) & (zj == a))
        columns = slice(number * k, (number + 1) * k)
        push = radial[mine][:, None, :] * unit[mine][:, :, None]
        np.add.at(forces[:, :, columns], i[mine], -push)
        virial[columns] = -0.5 * np.einsum("pk,pa,pb->kab", radial[mine], unit[mine], vectors[mine])
    return forces.reshape(3 * n, -1), virial


def _line_through_origin(x: FloatArray, y: FloatArray, *, least: float) -> _Slope | None:
    """Slope of y over x; None where they correlate less than `least`."""
    size = float(np.sqrt(np.sum(x * x) * np.sum(y * y)))
    if size == 0 or len(x) < 5:
        return None
    correlation = float(np.sum(x * y)) / size
    if abs(correlation) < least:
        return None
    value = float(np.sum(x * y) / np.sum(x * x))
    error = abs(value) * float(np.sqrt(max(1 / correlation**2 - 1, 0.0) / len(x)))
    return _Slope(value, error, correlation, len(x))


def _volume(frame: LabeledFrame) -> float:
    return abs(float(np.linalg.det(frame.cell)))
