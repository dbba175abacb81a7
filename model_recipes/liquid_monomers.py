"""Put frames of lone, strongly distorted water molecules behind the liquid's.

    python model_recipes/liquid_monomers.py

Two hundred frames of the liquid hold no molecule bent below 84 degrees. A model trained on them
alone has no wall there, and sooner or later a molecule of a long run falls in. A lone molecule of
q-TIP4P/F has an energy in closed form (Habershon, Markland, Manolopoulos, J. Chem. Phys. 131,
024501 (2009); the constants are those of i-PI's qtip4pf, which labelled the liquid, to four
digits), so such frames cost nothing: 64 molecules each, too far apart to see each other. Frames
this program wrote before are replaced.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import kcal, mol
from numpy.typing import NDArray
from torch import Tensor

FILE = Path(__file__).parent / "data" / "liquid.extxyz"
WELL_DEPTH, WIDTH, LENGTH = 116.09 * kcal / mol, 2.287, 0.9419  # eV, 1/Å, Å
BEND, ANGLE = 87.85 * kcal / mol, float(np.radians(107.4))  # eV/rad², rad
N_FRAMES, N_SIDE, SPACING = 20, 4, 10.0
#: Bond lengths, Å, and angles, degrees, that the distortions reach.
BONDS, ANGLES = (0.78, 1.25), (50.0, 150.0)


def energy_of(molecules: Tensor) -> Tensor:
    """Energies, eV, of lone molecules (n, 3, 3) in Å, oxygen first."""
    bonds = molecules[:, 1:] - molecules[:, :1]
    lengths = bonds.norm(dim=-1)
    cosine = (bonds[:, 0] * bonds[:, 1]).sum(-1) / lengths.prod(-1)
    x = WIDTH * (lengths - LENGTH)
    stretch = WELL_DEPTH * (x**2 - x**3 + 7 / 12 * x**4)
    return stretch.sum(-1) + 0.5 * BEND * (torch.arccos(cosine) - ANGLE) ** 2


def monomers(rng: np.random.Generator) -> Atoms:
    """One frame of distorted molecules, most of them a little, some up to the limits."""
    n = N_SIDE**3
    share = rng.random((n, 1))
    lengths = LENGTH + share * (rng.uniform(*BONDS, (n, 2)) - LENGTH)
    angles = ANGLE + share[:, 0] * (np.radians(rng.uniform(*ANGLES, n)) - ANGLE)
    molecules = np.zeros((n, 3, 3))
    molecules[:, 1, 0] = lengths[:, 0]
    molecules[:, 2, 0] = lengths[:, 1] * np.cos(angles)
    molecules[:, 2, 1] = lengths[:, 1] * np.sin(angles)
    turns, _ = np.linalg.qr(rng.normal(size=(n, 3, 3)))
    molecules = molecules @ turns
    places = SPACING * np.stack(np.meshgrid(*3 * [np.arange(N_SIDE)]), -1).reshape(-1, 1, 3)
    leaf = torch.tensor(molecules, requires_grad=True)
    energy = energy_of(leaf).sum()
    (gradient,) = torch.autograd.grad(energy, leaf)
    positions = (molecules + places + 0.5 * SPACING).reshape(-1, 3)
    atoms = Atoms(n * "OHH", positions, cell=3 * [N_SIDE * SPACING], pbc=True)
    forces: NDArray[Any] = -gradient.numpy().reshape(-1, 3)
    atoms.calc = SinglePointCalculator(atoms, energy=float(energy.detach()), forces=forces)
    return atoms


def as_text(frame: Atoms) -> str:
    """A frame in extended XYZ, written like those of the liquid."""
    cell = " ".join(f"{x:g}" for x in frame.cell[:].ravel())
    lines = [
        str(len(frame)),
        f'Lattice="{cell}" Properties=species:S:1:pos:R:3:forces:R:3 '
        f'energy={frame.get_potential_energy():.6f} monomers=T pbc="T T T"',
    ]
    for symbol, r, f in zip(frame.symbols, frame.positions, frame.get_forces(), strict=True):
        lines.append(" ".join([symbol, *(f"{x:.5f}" for x in r), *(f"{x:.4f}" for x in f)]))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Keep the liquid's frames as they are, append the molecules."""
    lines = FILE.read_text(encoding="utf-8").splitlines(keepends=True)
    liquid, at = [], 0
    while at < len(lines):
        end = at + int(lines[at]) + 2
        if " monomers=T " not in lines[at + 1]:
            liquid += lines[at:end]
        at = end
    rng = np.random.default_rng(0)
    texts = [as_text(monomers(rng)) for _ in range(N_FRAMES)]
    FILE.write_text("".join(liquid + texts), encoding="utf-8")
    print(f"{FILE}: {N_FRAMES} frames of lone molecules behind those of the liquid")


if __name__ == "__main__":
    main()
