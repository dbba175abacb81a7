"""Structures that the kernel's tests share."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import molecule


def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=1)
    return atoms


def water_box(n: int) -> Atoms:
    """n³ water molecules in random orientations at the density of the liquid."""
    rng = np.random.default_rng(0)
    water = molecule("H2O")
    shape = water.positions - water.positions[0]
    spacing = 3.1036
    positions = []
    for site in np.ndindex(n, n, n):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        positions.append(shape @ turn.T + (np.array(site) + 0.5) * spacing)
    return Atoms(
        numbers=list(water.numbers) * n**3,
        positions=np.vstack(positions),
        cell=[n * spacing] * 3,
        pbc=True,
    )


def shaken_lattice(
    rng: np.random.Generator,
    numbers: list[int],
    spacing: float,
    pbc: tuple[bool, bool, bool],
    handedness: float = 1.0,
) -> Atoms:
    """Atoms on distinct shaken sites of a sheared lattice: never coincident, any pbc."""
    n = int(np.ceil(len(numbers) ** (1 / 3)))
    sites = np.array(list(np.ndindex(n, n, n)), dtype=float)[: len(numbers)]
    sites += rng.uniform(-0.2, 0.2, sites.shape)
    cell = n * np.eye(3) + rng.uniform(-0.25, 0.25, (3, 3)) * n
    cell[2] *= handedness
    return Atoms(
        numbers=numbers,
        positions=spacing * sites @ (cell / n),
        cell=spacing * cell,
        pbc=pbc,
    )
