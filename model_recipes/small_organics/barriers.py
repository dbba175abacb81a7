"""Barriers of internal rotation: the general model beside PySCF at the level of its labels.

    python model_recipes/small_organics/barriers.py

A methyl or hydroxyl group is turned by 60° from the minimum and held there while the rest relaxes.
Writes reports/small_organics_barriers.json; what of PySCF is there is not done again (some minutes
a molecule).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import FixInternals
from ase.optimize import BFGS
from reference import minima

from painn_ase import PaiNNCalculator
from painn_ase.labeling import engine_calculator
from painn_ase.sampling.displacements import bonds_of

HERE = Path(__file__).parent
TARGET = HERE.parent / "reports" / "small_organics_barriers.json"
#: SMILES → the elements of the bond that is turned about.
TURNED = {"CC": (6, 6), "CO": (6, 8), "CCC": (6, 6)}


def main() -> None:
    """Compute, print, write."""
    found: dict[str, Any] = {}
    if TARGET.exists():
        found = json.loads(TARGET.read_text(encoding="utf-8"))["barriers"]
    starts = minima()
    for smiles, bond in TURNED.items():
        row = found.setdefault(smiles, {})
        row["model"] = barrier(starts[smiles], bond, PaiNNCalculator("small-organics"))
        if "pyscf" not in row:
            row["pyscf"] = barrier(starts[smiles], bond, engine_calculator("pyscf"))
        row["difference"] = round(row["model"] - row["pyscf"], 2)
        print(smiles, row, flush=True)
        report = {"unit": "kJ/mol", "level": "b3lyp/def2-svpd", "barriers": found}
        TARGET.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def barrier(start: Atoms, bond: tuple[int, int], calculator: Any) -> float:
    """Energy of the turned structure above the minimum, kJ/mol."""
    atoms = Atoms(start.numbers, start.positions)
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=60)
    lowest = atoms.get_potential_energy()
    dihedral, group = about(atoms, bond)
    atoms.rotate_dihedral(*dihedral, 60.0, indices=group)
    held = [atoms.get_dihedral(*dihedral), list(dihedral)]
    atoms.set_constraint(FixInternals(dihedrals_deg=[held]))
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=60)
    return round((atoms.get_potential_energy() - lowest) / (units.kJ / units.mol), 2)


def about(atoms: Atoms, bond: tuple[int, int]) -> tuple[tuple[int, int, int, int], list[int]]:
    """A dihedral about the bond, and the atoms at its end, which turn."""
    bonded = bonds_of(atoms)
    for j, k in np.argwhere(bonded):
        ends = [int(n) for n in np.flatnonzero(bonded[k]) if n != j]
        if (atoms.numbers[j], atoms.numbers[k]) == bond and (atoms.numbers[ends] == 1).all():
            first = next(int(n) for n in np.flatnonzero(bonded[j]) if n != k)
            return (first, int(j), int(k), ends[0]), ends
    raise ValueError(f"no bond of {bond} with a group of hydrogens at its end")


if __name__ == "__main__":
    main()
