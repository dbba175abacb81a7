"""Frames to be labelled for a general model, from the minima of its molecules.

Of every molecule, in this order and repeated round by round, so that any beginning of the file is
a balanced set: displacements from the minimum along GFN2-xTB normal modes (``near``: classical
width at 120 K, modes below 1000 cm^-1 at 400 K; ``quantum``: the width of quantum oscillators at
300 K), single bonds turned (``turned``), and GFN2-xTB Langevin dynamics at 300, 600 and 900 K.
Frames of which a bond is broken are left out.

    python frames.py minima.extxyz -o frames.extxyz      # needs tblite
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import zip_longest

import ase.io
import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from tblite.ase import TBLite

NEAR, QUANTUM, TURNED = 12, 5, 4
DYNAMICS = {300.0: 3, 600.0: 4, 900.0: 3}
STIFF = 1000.0  # cm^-1
SINGLE = {(6, 6): 1.42, (6, 7): 1.40, (6, 8): 1.38, (7, 7): 1.35, (7, 8): 1.35, (8, 8): 1.35}  # Å


def neighbours(atoms: Atoms, factor: float) -> np.ndarray:
    """Which pairs are closer than ``factor`` times the sum of their covalent radii."""
    radii = covalent_radii[atoms.numbers]
    close = atoms.get_all_distances() < factor * (radii[:, None] + radii)
    np.fill_diagonal(close, False)
    return close


def modes(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """GFN2-xTB wavenumbers (n,) and modes over root mass (n, atoms, 3), without rigid motion."""
    atoms = atoms.copy()
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    start, step = atoms.positions.copy(), 0.005
    hessian = np.empty((start.size, start.size))
    for i in range(start.size):
        sides = []
        for sign in (1, -1):
            moved = start.copy()
            moved.flat[i] += sign * step
            atoms.positions = moved
            sides.append(atoms.get_forces().ravel())
        hessian[i] = (sides[1] - sides[0]) / (2 * step)
    root = np.repeat(np.sqrt(atoms.get_masses()), 3)
    weighted = (hessian + hessian.T) / 2 / np.outer(root, root)
    arms = start - atoms.get_center_of_mass()
    rigid = [np.tile(axis, len(atoms)) * root for axis in np.eye(3)]
    rigid += [np.cross(axis, arms).ravel() * root for axis in np.eye(3)]
    left, sizes, _ = np.linalg.svd(np.array(rigid).T, full_matrices=False)
    basis = left[:, sizes > 1e-4 * sizes[0]]
    inner = np.eye(start.size) - basis @ basis.T
    squares, vectors = np.linalg.eigh(inner @ weighted @ inner)
    keep = np.argsort(np.abs(squares))[basis.shape[1] :]
    wavenumbers = np.sqrt(np.abs(squares[keep])) * units._hbar * 1e10
    wavenumbers *= np.sqrt(units._e / units._amu) / units._e / units.invcm
    moves = (vectors[:, keep] / root[:, None]).T.reshape(-1, *start.shape)
    return np.maximum(wavenumbers, 60.0), moves


def displaced(
    atoms: Atoms, widths: np.ndarray, vectors: np.ndarray, rng: np.random.Generator
) -> Atoms:
    """A copy moved along the modes by normally distributed amounts of these widths."""
    moved = atoms.copy()
    size = np.clip(rng.normal(size=len(widths)), -2.5, 2.5) * np.minimum(widths, 0.35)
    moved.positions += np.einsum("m,maj->aj", size, vectors)
    return moved


def single_bonds(atoms: Atoms) -> list[tuple[int, int, np.ndarray]]:
    """Bonds of two heavy atoms about which a part of the molecule turns: ends and who turns."""
    bonded = neighbours(atoms, 1.25)
    found = []
    for i, j in zip(*np.where(np.triu(bonded)), strict=True):
        pair = tuple(sorted((int(atoms.numbers[i]), int(atoms.numbers[j]))))
        if pair not in SINGLE or atoms.get_distance(i, j) < SINGLE[pair]:
            continue
        if bonded[i].sum() < 2 or bonded[j].sum() < 2:
            continue
        cut = bonded.copy()
        cut[i, j] = cut[j, i] = False
        side = np.zeros(len(atoms), bool)
        side[j] = True
        while (grown := side | cut[side].any(axis=0)).sum() > side.sum():
            side = grown
        if not side[i]:
            found.append((int(i), int(j), side))
    return found


def turned(atoms: Atoms, rng: np.random.Generator) -> Atoms | None:
    """A copy with every single bond turned by any angle; None where there is none."""
    bonds = single_bonds(atoms)
    if not bonds:
        return None
    moved = atoms.copy()
    for i, j, side in bonds:
        axis = moved.positions[j] - moved.positions[i]
        part = moved[side]
        part.rotate(rng.uniform(0, 360), axis, center=moved.positions[j])
        moved.positions[side] = part.positions
    return moved


def dynamics(
    atoms: Atoms, temperature: float, count: int, rng: np.random.Generator
) -> Iterator[Atoms]:
    """Frames of a Langevin run, 150 fs apart."""
    moving = atoms.copy()
    moving.calc = TBLite(method="GFN2-xTB", verbosity=0)
    thermalize_momenta(moving, temperature_K=temperature, rng=rng)
    run = Langevin(
        moving,
        0.5 * units.fs,
        temperature_K=temperature,
        friction=0.02 / units.fs,
        fixcm=False,
        rng=rng,
    )
    run.run(400)
    for _ in range(count):
        run.run(300)
        frame = moving.copy()
        frame.positions -= frame.get_center_of_mass()
        yield frame


def frames_of(minimum: Atoms, rng: np.random.Generator) -> list[Atoms]:
    """All frames of one molecule, one of each kind in turn."""
    wavenumbers, vectors = modes(minimum)
    quantum = np.array([units.kB * 300.0 / (w * units.invcm) for w in wavenumbers])
    hbar2 = (units._hbar / units._e) ** 2 * units._e / units._amu * 1e20  # Å² amu eV
    energies = wavenumbers * units.invcm
    # <q²> = hbar²/(2 E) coth(E / 2kT); classically kT hbar²/E²
    zero_point = np.sqrt(hbar2 / (2 * energies) / np.tanh(1 / (2 * quantum)))
    kelvin = np.where(wavenumbers < STIFF, 400.0, 120.0)
    classical = np.sqrt(units.kB * kelvin * hbar2) / energies
    kinds: dict[str, list[Atoms | None]] = {
        "near": [displaced(minimum, classical, vectors, rng) for _ in range(NEAR)],
        "quantum": [displaced(minimum, zero_point, vectors, rng) for _ in range(QUANTUM)],
        "turned": [
            turned(displaced(minimum, classical / 2, vectors, rng), rng) for _ in range(TURNED)
        ],
    }
    for temperature, count in DYNAMICS.items():
        kinds[f"md{temperature:.0f}"] = list(dynamics(minimum, temperature, count, rng))
    bonded = neighbours(minimum, 1.25)
    out = []
    # one of each kind in turn
    for round_ in zip_longest(*([(kind, f) for f in frames] for kind, frames in kinds.items())):
        for kind, frame in filter(None, round_):
            if frame is None:
                continue
            whole = neighbours(frame, 1.6)[bonded].all()
            apart = frame.get_all_distances()[~np.eye(len(frame), dtype=bool)].min() > 0.6
            if whole and apart:
                frame.info = {"smiles": minimum.info["smiles"], "source": kind}
                out.append(frame)
    return out


def main() -> None:
    """Read the minima, write the frames."""
    parser = argparse.ArgumentParser(description=__doc__.split(".")[0])
    parser.add_argument("minima")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    minima = ase.io.read(given.minima, ":")
    molecules = []
    for minimum in minima:
        molecules.append(frames_of(minimum, rng))
        print(f"{minimum.info['smiles']:16s} {len(molecules[-1])} frames", flush=True)
    everything = [f for round_ in zip_longest(*molecules) for f in round_ if f is not None]
    ase.io.write(given.output, everything)
    print(f"{len(everything)} frames of {len(minima)} molecules in {given.output}")


if __name__ == "__main__":
    main()
