"""Checks of dipoles: fixed charges, bond dipoles, the coordinates' origin, folding in cells."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from painn_ase.bonds import bonded_pairs
from painn_ase.training.findings import Finding, center_of_mass, formula, molecules
from painn_ase.training.frames import FloatArray, LabeledFrame
from painn_ase.units import debye_to_e_angstrom, e_bohr_to_e_angstrom

__all__ = ["check_dipoles"]

#: Moments of bonds in Debye, from the first element (positive end) to the second, by the largest
#: length in Å they are taken for: the values of textbooks since C. P. Smyth, Dielectric Behavior
#: and Structure (1955). What counts here is their sum: for eleven simple molecules a test finds it
#: within a third of the measured moments (R. D. Nelson, D. R. Lide, A. A. Maryott, NSRDS-NBS 10,
#: 1967).
_BONDS: dict[tuple[int, int], tuple[tuple[float, float], ...]] = {
    (1, 6): ((1.4, 0.4),),
    (1, 7): ((1.3, 1.31),),
    (1, 8): ((1.3, 1.51),),
    (1, 9): ((1.2, 1.94),),
    (1, 16): ((1.7, 0.68),),
    (1, 17): ((1.7, 1.08),),
    (6, 7): ((1.22, 3.5), (1.7, 0.22)),
    (6, 8): ((1.30, 2.3), (1.7, 0.74)),
    (6, 9): ((1.6, 1.41),),
    (6, 17): ((2.1, 1.46),),
}
#: Mean predicted dipole, e·Å, and its relative spread, for which a comparison says something.
_LEAST, _STEADY = 0.15, 0.5
#: e·Å, root mean square of a component: below, molecules like ethane say nothing of their charges.
_SMALL = 0.05
#: Frames of one molecule that are looked at.
_ENOUGH = 400


def check_dipoles(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    """Everything about dipoles."""
    for atoms, group in molecules(frames, "dipole").items():
        if len(group) >= 10:
            yield from _fixed_charges(atoms, group)
            yield from _bond_dipoles(atoms, group)
            yield from _shift(atoms, group)
    yield from _jumps(frames)
    if any(f.pbc.any() and f.dipole is not None for f in frames):
        yield Finding(
            "note",
            "dipole",
            "unit and sign of the dipoles of periodic frames are not checked: such a dipole counts "
            "up to a polarization quantum",
        )


def _fixed_charges(atoms: bytes, group: Sequence[LabeledFrame]) -> Iterable[Finding]:
    """Dipoles of molecules against fixed charges per atom: fit quality, size of the charges."""
    neutral = all(abs(f.charge) < 1e-6 for f in group)
    lever = np.stack([f.positions - center_of_mass(f) for f in group])
    dipole = _stacked(group)
    design = lever.transpose(0, 2, 1).reshape(-1, lever.shape[1])
    target = dipole.reshape(-1)
    if neutral:  # the best charges that add up to zero
        design = design - design.mean(axis=1, keepdims=True)
    charges = np.linalg.lstsq(design, target, rcond=1e-8)[0]
    if neutral:
        charges = charges - charges.mean()
    rest = target - design @ charges
    total = float(np.sum(target**2)) or 1.0
    explained = 1.0 - float(np.sum(rest**2)) / total
    largest = float(np.abs(charges).max())
    what = (
        f"{formula(atoms)}: fixed charges explain {100 * explained:.1f} % "
        f"(largest charge {largest:.2f} e)"
    )
    if explained < 0.5 and float(np.sqrt(np.mean(target**2))) < _SMALL:
        yield Finding(
            "note", "dipole", f"{what}: too small to tell, of charges that flow when bonds stretch"
        )
    elif explained < 0.5:
        yield Finding(
            "warning",
            "dipole",
            f"{what}: dipole and geometry are in different frames, folded, or wrong",
        )
    elif largest > 2.0:
        yield Finding(
            "warning",
            "dipole",
            f"{what}: charges this large hint at Debye (×{1 / debye_to_e_angstrom:.2f}) or "
            f"a.u. (×{1 / e_bohr_to_e_angstrom:.2f}) read as e·Å; set [data.units] dipole",
        )
    else:
        yield Finding("ok", "dipole", what)


def _bond_dipoles(atoms: bytes, group: Sequence[LabeledFrame]) -> Iterable[Finding]:
    """Size and sign against the sum of bond moments, for molecules with a lasting dipole."""
    if any(abs(f.charge) > 1e-6 for f in group):
        return
    some = group[:: max(len(group) // _ENOUGH, 1)]
    predictions = [_predicted(f) for f in some]
    expected = np.array([p for p in predictions if p is not None])
    if len(expected) < len(some):
        return
    sizes = np.linalg.norm(expected, axis=1)
    if sizes.mean() < _LEAST or sizes.std() > _STEADY * sizes.mean():
        return
    dipole = _stacked(some)
    ratio = float(np.sum(dipole * expected) / np.sum(expected**2))
    alike = float(np.sum(dipole * expected) / np.sqrt(np.sum(dipole**2) * np.sum(expected**2)))
    what = f"{formula(atoms)}: {ratio:.2f} times what its bonds' moments add up to"
    check = "size of dipoles"
    if alike < -0.7:
        yield Finding(
            "warning",
            check,
            f"{what}: the sign is reversed (a dipole points from − to +; electronegative atoms "
            "are its negative end)",
        )
    elif alike < 0.8:
        yield Finding("note", check, f"{what}, in other directions: unit and sign cannot be told")
    elif 3.0 < ratio < 8.0:
        yield Finding(
            "warning",
            check,
            f"{what}: Debye read as e·Å (×{1 / debye_to_e_angstrom:.2f})? Set [data.units] dipole",
        )
    elif 1.6 < ratio <= 3.0:
        yield Finding(
            "warning",
            check,
            f"{what}: a.u. read as e·Å (×{1 / e_bohr_to_e_angstrom:.2f})? Set [data.units] dipole",
        )
    elif not 0.45 < ratio < 1.6:
        yield Finding("warning", check, f"{what}: another unit than e·Å? Set [data.units] dipole")
    else:
        yield Finding("ok", check, what)


def _predicted(frame: LabeledFrame) -> FloatArray | None:
    """Sum of bond moments (3,), e·Å; None with a bond that is not in the table.

    Nor is the carbon of an isocyanide or of carbon monoxide, with one neighbour and a lone pair:
    it is the negative end.
    """
    z, r = frame.numbers, frame.positions
    pairs = bonded_pairs(z, r)
    neighbours = np.bincount(pairs.ravel(), minlength=len(z))
    if np.any((z == 6) & (neighbours == 1)):
        return None
    total = np.zeros(3)
    for a, b in pairs:
        if z[a] == z[b]:
            continue
        d = np.linalg.norm(r[b] - r[a])
        low, high = (a, b) if z[a] < z[b] else (b, a)
        lengths = _BONDS.get((int(z[low]), int(z[high])))
        if lengths is None:
            return None
        moment = next((m for longest, m in lengths if d <= longest), lengths[-1][1])
        total += moment * debye_to_e_angstrom * (r[low] - r[high]) / d
    return total


def _shift(atoms: bytes, group: Sequence[LabeledFrame]) -> Iterable[Finding]:
    """Whether the dipole moves with the coordinates' origin, as it may only for ions.

    Charges of the atoms, whose sum is what a common shift sees, are fitted together with a
    constant: a deformation that happens to move the centre of mass too is not taken for a shift.
    """
    centers = np.stack([center_of_mass(f) for f in group])
    if float(np.std(centers - centers.mean(axis=0))) < 0.05:
        return
    positions = np.stack([f.positions for f in group]) - centers.mean(axis=0)
    n_frames, n_atoms, _ = positions.shape
    design = np.concatenate(
        [positions.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (n_frames, 3, 3))], axis=2
    ).reshape(3 * n_frames, n_atoms + 3)
    target = _stacked(group).reshape(-1)
    inverse = np.linalg.pinv(design, rcond=1e-8)
    charges = inverse @ target
    common = np.concatenate([np.ones(n_atoms), np.zeros(3)])
    seen = inverse @ (design @ common)
    freedom = len(target) - len(charges)
    if freedom < 10 or np.abs(seen - common).max() > 1e-3:
        return
    rest = target - design @ charges
    noise = float(np.sqrt(np.sum(rest**2) / freedom)) * float(np.linalg.norm(common @ inverse))
    charge = float(common @ charges)
    if abs(charge) > max(0.1, 6 * noise):
        yield Finding(
            "warning" if all(abs(f.charge) < 1e-6 for f in group) else "note",
            "dipole under shift",
            f"{formula(atoms)}: it moves with the molecule like a charge of {charge:.2f} e; a "
            "neutral molecule's must not, an ion's counts from the centre of mass here",
        )


def _jumps(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    """Folding by a polarization quantum e·a in periodic cells."""
    folded = 0
    periodic = [f for f in frames if f.pbc.any() and f.dipole is not None]
    for first, second in itertools.pairwise(periodic):
        if first.numbers.shape != second.numbers.shape:
            continue
        if first.dipole is None or second.dipole is None:
            continue
        quanta = np.linalg.norm(first.cell, axis=1)[first.pbc]
        jump = np.abs(second.dipole - first.dipole).max()
        folded += bool(np.any(np.abs(jump - quanta) < 0.1 * quanta))
    if folded:
        yield Finding(
            "warning",
            "dipole folding",
            f"{folded} steps change the dipole by about e times a cell vector: Berry-phase "
            "dipoles must be unfolded to one branch before training",
        )


def _stacked(group: Sequence[LabeledFrame]) -> FloatArray:
    """Dipoles (n_frames, 3)."""
    return np.stack([f.dipole for f in group if f.dipole is not None])
