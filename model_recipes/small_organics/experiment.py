"""The general model, and the level it was learnt from, beside measured fundamentals.

    python model_recipes/small_organics/experiment.py

For each molecule: mean and largest difference of harmonic frequencies from the fundamentals, the
same times one factor fitted to all molecules of the training set, and of second-order perturbation
theory where that is for the molecule; and of PySCF's own harmonic frequencies where they are there
(reference.py). Levels are compared in order of their size, torsions below 400 cm⁻¹ left out: they
are no oscillators. Writes reports/small_organics_experiment.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase.optimize import BFGS
from numpy.typing import NDArray
from reference import HELD_OUT, MOLECULES, minima

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import PaiNNError
from painn_ase.quartic import quartic_field
from painn_ase.spectra import HarmonicResult, anharmonic, harmonic

HERE = Path(__file__).parent
LEAST = 400.0
#: SMILES → fundamentals in the gas phase, cm⁻¹, and how often each is there: T. Shimanouchi, Tables
#: of Molecular Vibrational Frequencies, Consolidated Volume I, NSRDS-NBS 39 (1972).
EXPERIMENT: dict[str, dict[float, int]] = {
    "O": {1595: 1, 3657: 1, 3756: 1},
    "N": {950: 1, 1627: 2, 3337: 1, 3444: 2},
    "C": {1306: 3, 1534: 2, 2917: 1, 3019: 3},
    "C#N": {712: 2, 2089: 1, 3312: 1},
    "O=C=O": {667: 2, 1333: 1, 2349: 1},
    "C=O": {1167: 1, 1249: 1, 1500: 1, 1746: 1, 2783: 1, 2843: 1},
    "C#C": {612: 2, 729: 2, 1974: 1, 3287: 1, 3374: 1},
    "C=C": {
        826: 1, 943: 1, 949: 1, 1023: 1, 1236: 1, 1342: 1, 1444: 1, 1623: 1, 2989: 1, 3026: 1,
        3103: 1, 3106: 1,
    },
    "CC": {
        289: 1, 822: 2, 995: 1, 1190: 2, 1379: 1, 1388: 1, 1468: 2, 1469: 2, 2896: 1, 2954: 1,
        2969: 2, 2985: 2,
    },
    "CO": {
        295: 1, 1033: 1, 1060: 1, 1165: 1, 1345: 1, 1455: 1, 1477: 2, 2844: 1, 2960: 1, 3000: 1,
        3681: 1,
    },
    "CN": {
        268: 1, 780: 1, 1044: 1, 1130: 1, 1195: 1, 1419: 1, 1430: 1, 1473: 1, 1485: 1, 1623: 1,
        2820: 1, 2961: 1, 2985: 1, 3361: 1, 3427: 1,
    },
    "CC#N": {362: 2, 920: 1, 1041: 2, 1385: 1, 1448: 2, 2267: 1, 2954: 1, 3009: 2},
    "O=CO": {625: 1, 638: 1, 1033: 1, 1105: 1, 1229: 1, 1387: 1, 1770: 1, 2943: 1, 3570: 1},
    "C=C=O": {438: 1, 528: 1, 588: 1, 977: 1, 1118: 1, 1388: 1, 2152: 1, 3071: 1, 3166: 1},
    "CC=O": {
        150: 1, 509: 1, 763: 1, 867: 1, 919: 1, 1113: 1, 1352: 1, 1400: 1, 1420: 1, 1441: 1,
        1743: 1, 2822: 1, 2917: 1, 2967: 1, 3005: 1,
    },
}  # fmt: skip

Array = NDArray[np.float64]


def main() -> None:
    """Measure, print, write."""
    names = {smiles: name for name, smiles in MOLECULES.items()}
    unseen = {MOLECULES[name] for name in HELD_OUT}
    starts = minima()
    modes: dict[str, Array] = {}
    second: dict[str, Array | str] = {}
    for smiles in EXPERIMENT:
        atoms = starts[smiles].copy()
        atoms.info.clear()
        atoms.set_masses("most_common")
        atoms.calc = PaiNNCalculator("small-organics", dtype="float64")
        BFGS(atoms, logfile=None).run(fmax=1e-5, steps=500)
        modes[smiles] = np.sort(harmonic(atoms).frequencies)
        second[smiles] = perturbed(atoms)
    factor = fitted({s: f for s, f in modes.items() if s not in unseen})
    rows: dict[str, Any] = {}
    for smiles, ours in modes.items():
        row: dict[str, Any] = {
            "held_out": smiles in unseen,
            "experiment": measured(smiles).tolist(),
            "harmonic": off(ours, smiles),
            "scaled": off(factor * ours, smiles),
        }
        found = second[smiles]
        if isinstance(found, str):
            row["no_perturbation_theory"] = found
        else:
            row["perturbation_theory"] = off(np.sort(found), smiles)
        reference = HERE / "references" / f"{names.get(smiles, '')}.json"
        if smiles in names and reference.exists():
            theirs = HarmonicResult.load(reference).frequencies
            row["harmonic_pyscf"] = off(np.sort(theirs), smiles)
        rows[smiles] = row
        print(smiles, {k: v for k, v in row.items() if k != "experiment"})
    target = HERE.parent / "reports" / "small_organics_experiment.json"
    report = {"model": "small-organics", "factor": round(factor, 4), "molecules": rows}
    target.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"factor {factor:.4f}; wrote {target}")


def perturbed(atoms: Any) -> Array | str:
    """Fundamentals of second-order perturbation theory, or why there are none."""
    try:
        return np.asarray(anharmonic(quartic_field(atoms)).fundamentals)
    except PaiNNError as error:
        return str(error)


def measured(smiles: str) -> Array:
    """All fundamentals in order, as often as they are there."""
    each = EXPERIMENT[smiles]
    return np.sort(np.repeat(list(each), list(each.values())).astype(float))


def off(ours: Array, smiles: str) -> dict[str, float]:
    """Mean and largest difference from experiment, cm⁻¹."""
    truth = measured(smiles)
    error = np.abs(ours - truth)[truth >= LEAST]
    return {"mean": round(float(error.mean()), 1), "largest": round(float(error.max()), 1)}


def fitted(modes: dict[str, Array]) -> float:
    """The factor on all harmonic frequencies with the least squares from experiment."""
    pairs = [(f, measured(s)) for s, f in modes.items()]
    ours, truth = (np.concatenate(part) for part in zip(*pairs, strict=True))
    kept = truth >= LEAST
    return float(ours[kept] @ truth[kept] / (ours[kept] @ ours[kept]))


if __name__ == "__main__":
    main()
