"""Frames of ethanol for a model that bears quantum nuclei.

    python model_recipes/small_organics/ethanol_frames.py OUT.extxyz

Both conformers, displaced along the normal modes of the general model: as wide as quantum nuclei
at 300 K, and half as wide again for the tails that 512 beads reach in picoseconds; methyl and
hydroxyl groups at every angle; and what `painn-ase sample` makes of the minima. Shuffled, so that
any first part of them is a fair set.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from numpy.typing import NDArray
from reference import minima

from painn_ase import PaiNNCalculator
from painn_ase.sampling.displacements import modes_of, widths

#: Of each conformer.
QUANTUM, WIDE, ROTORS = 150, 90, 60
#: Å; closer atoms are no molecule.
CLOSEST = 0.6
SAMPLED = (
    "--no-relax --near 30 --quantum 5 --turned 5 --thermal 300:20 --thermal 600:30 "
    "--thermal 900:20 --seed 27"
)


def main() -> None:
    """Make and write them."""
    rng = np.random.default_rng(27)
    conformers = [relaxed(minima()["CCO"], angle) for angle in (180.0, 60.0)]
    frames = [frame for atoms in conformers for frame in about(atoms, rng)] + sampled(conformers)
    apart = [f for f in frames if (f.get_all_distances() + 9 * np.eye(len(f))).min() > CLOSEST]
    ase.io.write(sys.argv[1], [apart[i] for i in rng.permutation(len(apart))])
    print(len(apart), "frames")


def relaxed(start: Atoms, angle: float) -> Atoms:
    """A conformer by the general model."""
    atoms = Atoms(start.numbers, start.positions)
    o, c1, c2, hydroxyl = skeleton(atoms)
    atoms.set_dihedral(c2, c1, o, hydroxyl, angle, indices=[hydroxyl])
    atoms.calc = PaiNNCalculator("small-organics")
    BFGS(atoms, logfile=None).run(fmax=1e-3)
    return atoms


def about(atoms: Atoms, rng: np.random.Generator) -> list[Atoms]:
    """Frames about one conformer."""
    modes = modes_of(atoms, PaiNNCalculator("small-organics"))
    quantum = np.minimum(widths(modes, 300.0, quantum=True), 0.35)
    stiff = np.where(modes.frequencies > 500, 0.8 * quantum, 0.0)
    o, c1, c2, hydroxyl = skeleton(atoms)
    hydrogens = np.flatnonzero(atoms.numbers == 1)
    methyl = [int(h) for h in hydrogens if atoms.get_distance(c2, int(h)) < 1.3]
    frames = [moved(atoms, modes, quantum, rng, "quantum") for _ in range(QUANTUM)]
    frames += [moved(atoms, modes, 1.5 * quantum, rng, "wide") for _ in range(WIDE)]
    for _ in range(ROTORS):
        turned = moved(atoms, modes, stiff, rng, "rotor")
        turned.rotate_dihedral(c2, c1, o, hydroxyl, rng.uniform(0, 360), indices=[hydroxyl])
        turned.rotate_dihedral(o, c1, c2, methyl[0], rng.uniform(-60, 60), indices=methyl)
        frames.append(turned)
    return frames


def moved(
    atoms: Atoms, modes: Any, spread: NDArray[np.float64], rng: np.random.Generator, source: str
) -> Atoms:
    """A copy moved along all modes by normally distributed amounts."""
    size = rng.normal(size=len(spread)) * spread
    shift = np.einsum("m,mak->ak", size, modes.modes / np.sqrt(modes.masses)[:, None])
    return named(atoms.numbers, atoms.positions + shift, source)


def sampled(conformers: list[Atoms]) -> list[Atoms]:
    """What ``painn-ase sample`` makes of the minima."""
    with tempfile.TemporaryDirectory() as folder:
        start, made = f"{folder}/minima.extxyz", f"{folder}/frames.extxyz"
        ase.io.write(start, [Atoms(a.numbers, a.positions) for a in conformers])
        subprocess.run(["painn-ase", "sample", start, *SAMPLED.split(), "-o", made], check=True)
        found = ase.io.read(made, ":")
    return [named(a.numbers, a.positions, a.info.get("source", "sampled")) for a in found]


def named(numbers: NDArray[np.int64], positions: NDArray[np.float64], source: str) -> Atoms:
    """A frame as the set has them."""
    atoms = Atoms(numbers, positions)
    atoms.info = {"smiles": "CCO", "source": source}
    return atoms


def skeleton(atoms: Atoms) -> tuple[int, int, int, int]:
    """Oxygen, its carbon, the other carbon, the hydroxyl's hydrogen."""
    distances = atoms.get_all_distances()
    o = int(np.flatnonzero(atoms.numbers == 8)[0])
    carbons = np.flatnonzero(atoms.numbers == 6)
    c1 = int(carbons[np.argmin(distances[o, carbons])])
    c2 = int(carbons[carbons != c1][0])
    hydrogens = np.flatnonzero(atoms.numbers == 1)
    return o, c1, c2, int(hydrogens[np.argmin(distances[o, hydrogens])])


if __name__ == "__main__":
    main()
