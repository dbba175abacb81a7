"""Harmonic frequencies and intensities of PySCF itself, to judge the general model by.

    python model_recipes/small_organics/reference.py [SMILES ...]

Each molecule is relaxed at B3LYP/def2-SVPD from its frame `source=min`, then displaced by ±0.005 Å
along every coordinate: forces give the Hessian, dipoles and polarizabilities the intensities. What
is there is not done again. A molecule of three heavy atoms takes some five minutes of one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ase.io
from ase import Atoms
from ase.optimize import BFGS

from painn_ase.driven import DrivenCalculator
from painn_ase.labeling import engine_calculator
from painn_ase.spectra import harmonic

HERE = Path(__file__).parent
#: Eight of the set, and the four that are never trained on.
MOLECULES = {
    "water": "O",
    "ammonia": "N",
    "hydrogen_cyanide": "C#N",
    "formaldehyde": "C=O",
    "acetylene": "C#C",
    "methane": "C",
    "ethene": "C=C",
    "methanol": "CO",
    "methylamine": "CN",
    "acetaldehyde": "CC=O",
    "dimethyl_ether": "COC",
    "propene": "C=CC",
}
HELD_OUT = ("methylamine", "acetaldehyde", "dimethyl_ether", "propene")


def minima() -> dict[str, Atoms]:
    """Frames near the minima, by SMILES."""
    frames = ase.io.read(HERE / "frames.extxyz.gz", ":")
    return {a.info["smiles"]: a for a in frames if a.info["source"] == "min"}


def main() -> None:
    """Make what is missing."""
    folder = HERE / "references"
    folder.mkdir(exist_ok=True)
    starts, wanted = minima(), sys.argv[1:]
    for name, smiles in MOLECULES.items():
        path = folder / f"{name}.json"
        if path.exists() or (wanted and smiles not in wanted):
            continue
        found = starts[smiles]
        atoms = Atoms(found.numbers, found.positions)
        atoms.calc = DrivenCalculator(engine_calculator("pyscf", "b3lyp/def2-svpd"))
        BFGS(atoms, logfile=None).run(fmax=1e-3, steps=100)
        harmonic(atoms).save(path)
        print(f"wrote {path}", flush=True)


if __name__ == "__main__":
    main()
