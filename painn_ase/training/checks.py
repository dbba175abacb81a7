"""Checks of labels against physics: signs, units, symmetries, and frames that do not belong.

Public data sets carry such faults: dipoles in other units than said, dipoles folded by a
polarization quantum, forces with the sign of gradients, energies in kcal/mol beside forces in eV.
Each check yields findings; none alters anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from painn_ase.errors import DataError
from painn_ase.training.check_dipoles import check_dipoles
from painn_ase.training.check_orders import check_orders
from painn_ase.training.check_stress import check_stress
from painn_ase.training.check_units import check_absolute_units
from painn_ase.training.check_width import check_quantum_width
from painn_ase.training.consistency import fit_energy_forces
from painn_ase.training.findings import Finding
from painn_ase.training.frames import LABELS, LabeledFrame
from painn_ase.units import (
    coulomb_constant,
    e_bohr_to_e_angstrom,
    hartree_to_ev,
    kcal_per_mol_to_ev,
    kj_per_mol_to_ev,
)

__all__ = [
    "Finding",
    "LabelRow",
    "check_frames",
    "label_table",
]

#: A slope this close to 1 counts as consistent.
_SLOPE_TOLERANCE = 0.05
#: … or that many standard errors from it: few frames far apart say little.
_SLOPE_ERRORS = 4.0
#: Neighbouring frames correlate at least so well, or nothing can be said about the slope.
_CORRELATION = 0.9
#: Net forces and torques above this share of the RMS force are reported.
_NET_FORCE = 0.02
#: A value this many robust deviations from the median is an outlier.
_OUTLIER = 12.0
#: … and one that is so many times further is wrong; nearer ones may be the tail of hot frames.
_GROSS = 10.0

_ENERGY_RATIOS = {
    "kcal/mol": 1 / kcal_per_mol_to_ev,
    "kJ/mol": 1 / kj_per_mol_to_ev,
    "Hartree": 1 / hartree_to_ev,
}
_LENGTH_RATIO = 1 / e_bohr_to_e_angstrom  # Bohr per Å


@dataclass(frozen=True)
class LabelRow:
    """One line of the table of labels.

    Attributes
    ----------
    quantity, unit : str
    n_frames : int
        Frames that have it.
    lowest, highest, rms : float
        Over all components.
    """

    quantity: str
    unit: str
    n_frames: int
    lowest: float
    highest: float
    rms: float


_UNITS = {
    "energy": "eV",
    "forces": "eV/Å",
    "stress": "eV/Å^3",
    "dipole": "e·Å",
    "polarizability": "e²Å²/eV",
    "dipole_magnitude": "e·Å",
}


def label_table(frames: Sequence[LabeledFrame]) -> list[LabelRow]:
    """Count, range and RMS of every label there is."""
    rows = []
    for name in LABELS:
        values = [v for f in frames if (v := f.label(name)) is not None]
        if values:
            flat = np.concatenate([v.reshape(-1) for v in values])
            rms = float(np.sqrt(np.mean(flat**2)))
            rows.append(
                LabelRow(name, _UNITS[name], len(values), float(flat.min()), float(flat.max()), rms)
            )
    return rows


def check_frames(frames: Sequence[LabeledFrame]) -> list[Finding]:
    """All findings about `frames`.

    Raises
    ------
    DataError
        If there are no frames.
    """
    if not frames:
        raise DataError("there are no frames to check.")
    checks = (
        _missing_labels,
        _elements,
        _duplicates,
        _energy_against_forces,
        check_absolute_units,
        _net_forces,
        check_dipoles,
        _polarizabilities,
        check_stress,
        check_orders,
        check_quantum_width,
        _outliers,
    )
    return [finding for check in checks for finding in check(frames)]


def _missing_labels(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    for name in LABELS:
        n = sum(getattr(f, name) is not None for f in frames)
        if 0 < n < len(frames):
            yield Finding(
                "note",
                "missing labels",
                f"{len(frames) - n} of {len(frames)} frames have no {name}",
            )
    if not any(f.labels for f in frames):
        yield Finding("warning", "missing labels", "no frame has any label; name them with --key")


def _elements(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    counts: dict[int, int] = {}
    for frame in frames:
        for z in set(frame.numbers.tolist()):
            counts[z] = counts.get(z, 0) + 1
    for z, n in sorted(counts.items()):
        if n < max(3, len(frames) // 1000):
            yield Finding(
                "warning",
                "elements",
                f"{chemical_symbols[z]} stands in {n} of {len(frames)} frames only: too few to "
                "learn it, and a split may leave training without it",
            )


def _duplicates(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    seen: dict[bytes, LabeledFrame] = {}
    repeats = contradictions = 0
    for frame in frames:
        where = (frame.positions, frame.cell * frame.pbc[:, None])
        key = frame.numbers.tobytes() + b"".join(np.round(x, 6).tobytes() for x in where)
        if (earlier := seen.setdefault(key, frame)) is frame:
            continue
        repeats += 1
        if earlier.energy is not None and frame.energy is not None:
            contradictions += abs(earlier.energy - frame.energy) > 1e-4
    if contradictions:
        yield Finding(
            "warning",
            "duplicates",
            f"{contradictions} repeated geometries have other energies: other methods or fields "
            "may be mixed",
        )
    if repeats:
        yield Finding(
            "warning" if repeats > len(frames) // 100 else "note",
            "duplicates",
            f"{repeats} geometries occur more than once; they may fall on both sides of a split",
        )


def _energy_against_forces(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    check = "energy against forces"
    fit = fit_energy_forces(frames)
    if fit is None:
        return
    what = f"slope {fit.slope:.3f}, correlation {fit.correlation:.3f} over {fit.n_pairs} pairs"
    if abs(fit.correlation) < _CORRELATION:
        yield Finding(
            "note", check, f"{what}: frames too far apart, or labels inconsistent; cannot tell"
        )
    elif fit.slope < 0:
        yield Finding("warning", check, f"{what}: the forces look like gradients (sign)")
    elif abs(fit.slope - 1) > max(_SLOPE_TOLERANCE, _SLOPE_ERRORS * fit.slope_error):
        cause = _ratio_name(fit.slope)
        yield Finding(
            "warning",
            check,
            f"{what}: units of energy and forces disagree{cause}; set [data.units]",
        )
    elif abs(fit.slope - 1) > _SLOPE_TOLERANCE:
        yield Finding("note", check, f"{what}: 1 within its error, {fit.slope_error:.2f}")
    else:
        yield Finding("ok", check, what)


def _ratio_name(slope: float) -> str:
    """Which mix of units explains a slope, in words."""
    ratios: dict[str, float] = {}
    for unit, ratio in _ENERGY_RATIOS.items():
        ratios[f"energies in {unit} read as eV"] = ratio
        ratios[f"forces in {unit}/Å read as eV/Å"] = 1 / ratio
    ratios["forces in Hartree/Bohr read as eV/Å"] = hartree_to_ev * _LENGTH_RATIO
    ratios["forces in eV/Bohr read as eV/Å, or positions in Bohr as Å"] = _LENGTH_RATIO
    ratios["positions in Bohr read as Å"] = 1 / _LENGTH_RATIO
    name, ratio = min(ratios.items(), key=lambda item: abs(np.log(item[1] / slope)))
    return f", as for {name} (factor {ratio:.4g})" if abs(ratio / slope - 1) < 0.1 else ""


def _net_forces(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    forced = [f for f in frames if f.forces is not None and f.n_atoms > 1]
    if not forced:
        return
    forces = np.concatenate([f.forces for f in forced if f.forces is not None])
    size = float(np.sqrt(np.mean(forces**2))) or 1.0
    net = [float(np.abs(f.forces.sum(axis=0)).max()) for f in forced if f.forces is not None]
    torque = [
        float(np.abs(np.cross(f.positions - f.positions.mean(0), f.forces).sum(0)).max())
        for f in forced
        if not f.pbc.any() and f.forces is not None
    ]
    for what, values, unit in (("net force", net, "eV/Å"), ("net torque", torque, "eV")):
        if not values:
            continue
        worst, typical = max(values), float(np.median(values))
        message = f"median {typical:.2g}, largest {worst:.2g} {unit} (RMS force {size:.2g} eV/Å)"
        if typical > _NET_FORCE * size:
            yield Finding(
                "warning",
                what,
                f"{message}: constraints, an external field, or forces of only some atoms",
            )
        else:
            yield Finding("ok" if worst < 10 * _NET_FORCE * size else "note", what, message)


def _polarizabilities(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    alphas = [f.polarizability for f in frames if f.polarizability is not None]
    if not alphas:
        return
    alpha = np.stack(alphas)
    skew = float(np.abs(alpha - alpha.transpose(0, 2, 1)).max())
    size = float(np.abs(alpha).max()) or 1.0
    if skew > 1e-3 * size:
        yield Finding(
            "warning", "polarizability", f"not symmetric: α − αᵀ up to {skew:.2g} e²Å²/eV"
        )
    lowest = float(np.linalg.eigvalsh(0.5 * (alpha + alpha.transpose(0, 2, 1))).min())
    n_electrons = np.array(
        [f.numbers.sum() for f in frames if f.polarizability is not None], dtype=np.float64
    )
    mean = np.trace(alpha, axis1=1, axis2=2) / 3.0
    volume = float(np.median(mean / n_electrons)) * coulomb_constant
    what = f"{volume:.2f} Å³ per electron, lowest eigenvalue {lowest:.2g} e²Å²/eV"
    if lowest <= 0:
        yield Finding("warning", "polarizability", f"{what}: not positive definite (sign?)")
    elif not 0.03 < volume < 0.6:
        yield Finding(
            "warning",
            "polarizability",
            f"{what}: molecules have about 0.05 to 0.4; the unit is probably another one, set "
            "[data.units] polarizability",
        )
    else:
        yield Finding("ok", "polarizability", what)


def _outliers(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    energies: dict[bytes, list[tuple[int, float]]] = {}
    largest = []
    for n, frame in enumerate(frames):
        if frame.energy is not None:
            key = np.sort(frame.numbers).tobytes()
            energies.setdefault(key, []).append((n, frame.energy / frame.n_atoms))
        if frame.forces is not None:
            largest.append((n, float(np.abs(frame.forces).max())))
    for what, groups in (("energy", list(energies.values())), ("forces", [largest])):
        found = [n for group in groups for n in _far_from_median(group, _OUTLIER)]
        far = any(_far_from_median(group, _GROSS * _OUTLIER) for group in groups)
        if found:
            shown = ", ".join(frames[n].source or str(n) for n in found[:5])
            yield Finding(
                "warning" if far else "note",
                "outliers",
                f"{len(found)} frames with {what} far from the rest: {shown}"
                + (", …" if len(found) > 5 else ""),
            )


def _far_from_median(values: Sequence[tuple[int, float]], limit: float) -> list[int]:
    if len(values) < 10:
        return []
    numbers = np.array([v for _, v in values])
    median = float(np.median(numbers))
    deviation = 1.4826 * float(np.median(np.abs(numbers - median)))
    if deviation == 0:
        return []
    return [n for n, v in values if abs(v - median) > limit * deviation]
