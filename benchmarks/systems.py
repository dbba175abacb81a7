"""The structures of the benchmarks: two molecules and boxes of water.

Needs ASE and NumPy only, so that workers in other programs' environments can use it too.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from ase.build import molecule

#: Name → number of atoms.
SYSTEMS = {
    "ethanol": 9,
    "aspirin": 21,
    "water-192": 192,
    "water-1536": 1536,
    "aspirin-x64": 64 * 21,
}
#: Copies in one batch; every other system is a single structure.
COPIES = {"aspirin-x64": 64}

#: 64 water molecules in a cube of this edge have 1.0 g/cm³; Å.
WATER_EDGE = 12.4144

#: Lowest MMFF94 conformer, made with RDKit 2026.
ASPIRIN = """
C 2.9005 1.8641 0.0817
C 1.8778 0.8577 -0.3535
O 1.7110 0.4966 -1.5115
O 1.1903 0.4021 0.7660
C 0.1525 -0.4755 0.4386
C 0.4128 -1.8416 0.5878
C -0.5881 -2.7692 0.3057
C -1.8450 -2.3323 -0.1112
C -2.1078 -0.9645 -0.2411
C -1.1114 -0.0166 0.0400
C -1.3923 1.4393 -0.0678
O -0.6453 2.3553 0.2228
O -2.6276 1.6930 -0.5417
H 3.4052 2.2709 -0.7993
H 3.6438 1.3829 0.7220
H 2.4115 2.6867 0.6094
H 1.3921 -2.1809 0.9135
H -0.3884 -3.8330 0.4087
H -2.6253 -3.0566 -0.3340
H -3.0988 -0.6502 -0.5607
H -2.6675 2.6718 -0.5756
"""


def build_system(name: str, temperature: float = 300.0, seed: int = 0) -> Atoms:
    """The structure called `name`, with Maxwell–Boltzmann velocities at `temperature` in K."""
    rng = np.random.default_rng(seed)
    if name == "ethanol":
        atoms = molecule("CH3CH2OH")
    elif name.startswith("aspirin"):
        atoms = _aspirin()
    elif name in SYSTEMS:
        atoms = build_water(round((SYSTEMS[name] // 3) ** (1 / 3)), rng)
    else:
        raise SystemExit(f"no system {name!r}; there are {', '.join(SYSTEMS)}")
    widths = np.sqrt(atoms.get_masses() * units.kB * temperature)
    atoms.set_momenta(widths[:, None] * rng.normal(size=(len(atoms), 3)))
    return atoms


def build_copies(name: str) -> list[Atoms]:
    """The structures of one batch, each with velocities of its own."""
    return [build_system(name, seed=seed) for seed in range(COPIES[name])]


def build_water(n_side: int, rng: np.random.Generator) -> Atoms:
    """`n_side`³ randomly turned water molecules on a grid at 1 g/cm³, periodic."""
    water = molecule("H2O")
    shape = water.positions - water.positions[0]
    spacing = WATER_EDGE / 4
    positions = []
    for site in np.ndindex(n_side, n_side, n_side):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        positions.append(shape @ rotation.T + (np.array(site) + 0.5) * spacing)
    return Atoms(
        numbers=np.tile(water.numbers, n_side**3),
        positions=np.concatenate(positions),
        cell=[n_side * spacing] * 3,
        pbc=True,
    )


def _aspirin() -> Atoms:
    rows = [line.split() for line in ASPIRIN.split("\n") if line]
    return Atoms([r[0] for r in rows], positions=[[float(x) for x in r[1:]] for r in rows])


#: Time step of the benchmark, 0.5 fs in ASE's unit.
TIMESTEP = 0.5 * units.fs
