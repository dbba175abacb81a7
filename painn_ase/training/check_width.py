"""Do frames reach as far as quantum nuclei go? Bonds of hydrogen beside their zero-point motion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from painn_ase.spectra.anharmonic_field import unit_lengths
from painn_ase.training.distances import pair_distances
from painn_ase.training.findings import Finding
from painn_ase.training.frames import FloatArray, LabeledFrame

__all__ = ["check_quantum_width"]

#: cm⁻¹, of the stretch of a bond of hydrogen with these elements.
_STRETCHES = {6: 3000.0, 7: 3400.0, 8: 3700.0, 9: 3900.0, 16: 2600.0, 17: 2900.0}
#: Å; a hydrogen farther from its nearest neighbour has left it.
_LONGEST = 1.7
#: Zero-point widths that frames are to reach; bonds are stiffer where they are shorter.
_SHORTER, _LONGER = 2.5, 3.0
#: Frames that are looked at, and bonds of a kind of which so few say nothing.
_MOST, _FEW = 2000, 100


def check_quantum_width(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    """Shortest and longest bonds of hydrogen, in widths of their zero-point motion."""
    found, reached = [], True
    for z, lengths in sorted(_bonds(frames).items()):
        if len(lengths) < _FEW:
            continue
        mass, light = float(atomic_masses[z]), float(atomic_masses[1])
        reduced = mass * light / (mass + light)
        width = float(unit_lengths(np.array([_STRETCHES[z]]))[0]) / np.sqrt(2.0 * reduced)
        middle = float(np.median(lengths))
        shorter = (middle - float(lengths.min())) / width
        longer = (float(lengths.max()) - middle) / width
        reached = reached and shorter >= _SHORTER and longer >= _LONGER
        found.append(
            f"{chemical_symbols[z]}–H {lengths.min():.2f} to {lengths.max():.2f} Å, {shorter:.1f} "
            f"and {longer:.1f} widths of its zero-point motion"
        )
    if found:
        what = "; ".join(found)
        if not reached:
            what += (
                f": {_SHORTER:g} and {_LONGER:g} are not reached. Good for classical nuclei; ring "
                "polymers and anharmonic levels go farther: add frames as `painn-ase sample` makes "
                "them"
            )
        yield Finding("ok" if reached else "note", "quantum width", what)


def _bonds(frames: Sequence[LabeledFrame]) -> dict[int, FloatArray]:
    """Distance of every hydrogen to its nearest heavier neighbour, by that one's element."""
    lengths: dict[int, list[FloatArray]] = {}
    for frame in frames[:: max(len(frames) // _MOST, 1)]:
        i, j, apart = pair_distances(frame, _LONGEST)
        bond = (frame.numbers[i] == 1) & np.isin(frame.numbers[j], list(_STRETCHES))
        i, j, apart = i[bond], j[bond], apart[bond]
        order = np.lexsort((apart, i))
        nearest = order[np.unique(i[order], return_index=True)[1]]
        elements = frame.numbers[j[nearest]]
        for z in np.unique(elements):
            lengths.setdefault(int(z), []).append(apart[nearest][elements == z])
    return {z: np.concatenate(values) for z, values in lengths.items()}
