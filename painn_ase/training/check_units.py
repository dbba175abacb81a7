"""Units consistent with each other and wrong: energies against atoms, forces against masses.

Energies and forces both in kcal/mol follow each other perfectly. Two absolute scales tell: a total
energy is within a few percent the sum of its atoms', and forces over masses give frequencies that
no vibration exceeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from painn_ase.bonds import MOVING_BOND, bonded
from painn_ase.training.consistency import vibrational_frequency
from painn_ase.training.findings import Finding
from painn_ase.training.frames import LabeledFrame
from painn_ase.units import hartree_to_ev, kcal_per_mol_to_ev, kj_per_mol_to_ev

__all__ = ["ATOMIC_ENERGIES", "check_absolute_units"]

# fmt: off
#: Hartree–Fock energies of the free atoms, Hartree: −1/2 of H, He to Xe of C. F. Bunge,
#: J. A. Barrientos, A. Vivier Bunge, J. A. Cogordan, Phys. Rev. A 46, 3691 (1992), the energies of
#: the wave functions of At. Data Nucl. Data Tables 53, 113 (1993). All-electron methods differ from
#: their sums by 1 to 2 % (correlation, binding, relativity).
ATOMIC_ENERGIES: tuple[float, ...] = (
    0.5, 2.8617, 7.4327, 14.5730, 24.5291, 37.6886, 54.4009, 74.8094, 99.4093, 128.5471,
    161.8589, 199.6146, 241.8767, 288.8544, 340.7188, 397.5049, 459.4821, 526.8175, 599.1648,
    676.7582, 759.7357, 848.4060, 942.8843, 1043.3564, 1149.8663, 1262.4437, 1381.4146, 1506.8709,
    1638.9637, 1777.8481, 1923.2610, 2075.3597, 2234.2387, 2399.8676, 2572.4413, 2752.0550,
    2938.3575, 3131.5457, 3331.6842, 3538.9951, 3753.5977, 3975.5495, 4204.7887, 4441.5395,
    4685.8817, 4937.9210, 5197.6985, 5465.1331, 5740.1692, 6022.9317, 6313.4853, 6611.7841,
    6917.9809, 7232.1384,
)
# fmt: on

#: Share by which a total energy may differ from its atoms'.
_TOLERANCE = 0.03
#: What energies of all electrons come to, in units of their atoms', when read in a wrong unit.
_WRONG_UNITS = {
    "kcal/mol read as eV": 1 / kcal_per_mol_to_ev,
    "kJ/mol read as eV": 1 / kj_per_mol_to_ev,
    "Hartree read as eV": 1 / hartree_to_ev,
    "Rydberg read as eV": 2 / hartree_to_ev,
    "eV read as Hartree": hartree_to_ev,
    "eV read as kcal/mol": kcal_per_mol_to_ev,
}
#: No molecule vibrates faster (H2: 4,401 cm⁻¹), short contacts allowed for.
_FASTEST = 6000.0
#: A bonded hydrogen's stretch, cm⁻¹; the lowest share of it that is still plausible.
_STRETCH, _SOFTEST = 3000.0, 0.6


def check_absolute_units(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    """Energies against free atoms, and frequencies from forces and masses."""
    frequency = vibrational_frequency(frames)
    range_ = _plausible_frequencies(frames)
    stiff = frequency is not None and frequency > range_[1]
    soft = frequency is not None and frequency < range_[0]
    yield from _energies(frames, confirmed=stiff or soft or frequency is None)
    if frequency is None:
        return
    what = f"they make the atoms vibrate at {frequency:.0f} cm⁻¹ (root mean square)"
    if stiff:
        yield Finding(
            "warning",
            "size of forces",
            f"{what}, faster than any molecule: forces in kcal/mol/Å (or kJ/mol/Å) read as eV/Å? "
            "Set [data.units] energy or forces",
        )
    elif soft:
        yield Finding(
            "warning",
            "size of forces",
            f"{what}, too slow for the hydrogen there is ({range_[0]:.0f} at least): forces in "
            "Hartree/Bohr or Hartree/Å read as eV/Å? Set [data.units] energy, length or forces",
        )
    else:
        yield Finding("ok", "size of forces", what)


def _energies(frames: Sequence[LabeledFrame], *, confirmed: bool) -> Iterable[Finding]:
    ratios = [
        frame.energy / expected
        for frame in frames
        if frame.energy is not None and (expected := _energy_of_atoms(frame)) is not None
    ]
    if not ratios:
        return
    ratio = float(np.median(ratios))
    if abs(ratio - 1) < _TOLERANCE:
        yield Finding("ok", "size of energies", f"{ratio:.3f} times the free atoms', in eV")
        return
    for name, expected in _WRONG_UNITS.items():
        if abs(ratio / expected - 1) < _TOLERANCE:
            yield Finding(
                # Energies of valence electrons may come to any share of all electrons'.
                "warning" if confirmed else "note",
                "size of energies",
                f"{ratio:.4g} times the free atoms' in eV, as for {name} (factor {expected:.4g}); "
                "set [data.units] energy",
            )
            return
    yield Finding(
        "note",
        "size of energies",
        f"{ratio:.3g} times the free atoms' in eV: relative energies or valence electrons only, "
        "which do not tell their unit",
    )


def _energy_of_atoms(frame: LabeledFrame) -> float | None:
    """Sum over the free atoms, eV; None with an element beyond the table."""
    if frame.numbers.max() > len(ATOMIC_ENERGIES) or frame.numbers.min() < 1:
        return None
    return -hartree_to_ev * float(sum(ATOMIC_ENERGIES[z - 1] for z in frame.numbers.tolist()))


def _plausible_frequencies(frames: Sequence[LabeledFrame]) -> tuple[float, float]:
    """Lowest and highest root mean square frequency, cm⁻¹; the lowest from bonded hydrogen.

    Of 3N modes each bonded hydrogen has one stretch, whatever the rest does.
    """
    shares = [_share_of_stretches(f) for f in frames[: 20 * max(len(frames) // 20, 1) : 20]]
    return _SOFTEST * _STRETCH * float(np.sqrt(min(shares, default=0.0))), _FASTEST


def _share_of_stretches(frame: LabeledFrame) -> float:
    """Stretches of hydrogen bound to a non-metal, as a share of 3N; 0 where some are not bound."""
    hydrogen = np.flatnonzero(frame.numbers == 1)
    if not len(hydrogen) or frame.n_atoms == 1:
        return 0.0
    partners = np.flatnonzero(np.isin(frame.numbers, (6, 7, 8, 9, 16, 17)))
    if not len(partners) or frame.pbc.any():
        return 0.0
    apart = np.linalg.norm(
        frame.positions[hydrogen][:, None] - frame.positions[partners][None], axis=2
    )
    hydrogens = np.ones((len(hydrogen), 1), dtype=np.int64)
    bound = bonded(hydrogens, frame.numbers[partners], apart, MOVING_BOND).any(axis=1)
    return float(bound.sum()) / (3 * frame.n_atoms) if bound.mean() > 0.9 else 0.0
