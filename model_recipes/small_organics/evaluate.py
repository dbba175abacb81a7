"""How good the general model is: its frequencies and intensities beside PySCF's own.

    python model_recipes/small_organics/evaluate.py [MODEL]

Of the bundled model it writes reports/small_organics.json: for every molecule with a reference
(reference.py) the mean and largest error of its harmonic frequencies, the errors of its infrared
and Raman intensities as shares of their sums, and how much the members differ; in the set, and of
molecules that were never trained on; and how many molecules of the set are answered where no model
is named, which needs members to agree. Errors of forces, dipoles and polarizabilities stand in the
members' own files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from numpy.typing import NDArray
from reference import HELD_OUT, MOLECULES, minima
from scipy.optimize import linear_sum_assignment

from painn_ase.calculator import PaiNNCalculator
from painn_ase.models import read_model_spec
from painn_ase.models.catalog import find_models
from painn_ase.spectra import HarmonicResult, harmonic
from painn_ase.workflow import MOST_SPREAD, largest_spread, with_spread

HERE = Path(__file__).parent


def main() -> None:
    """Measure, print, write."""
    model = sys.argv[1] if len(sys.argv) > 1 else "small-organics"
    rows = {}
    for name in MOLECULES:
        path = HERE / "references" / f"{name}.json"
        if path.exists():
            rows[name] = compared(model, HarmonicResult.load(path))
            rows[name]["held_out"] = name in HELD_OUT
            print(f"{name:18s} {told(rows[name])}{'  held out' if name in HELD_OUT else ''}")
    parts = {
        "in_set": [row for name, row in rows.items() if name not in HELD_OUT],
        "held_out": [row for name, row in rows.items() if name in HELD_OUT],
    }
    summary = {part: means(found) for part, found in parts.items() if found}
    for part, found in summary.items():
        print(f"{part}: {found}")
    spreads = {smiles: spread_of(model, start) for smiles, start in minima().items()}
    unseen = {MOLECULES[name] for name in HELD_OUT}
    answered = {
        "in_set": sum(s <= MOST_SPREAD for m, s in spreads.items() if m not in unseen),
        "of": len(spreads) - len(unseen),
        "held_out": sum(spreads[m] <= MOST_SPREAD for m in unseen),
        "of_held_out": len(unseen),
    }
    print(f"answered where no model is named: {answered}")
    report = {
        "model": model,
        "level": "b3lyp/def2-svpd",
        "summary": summary,
        "answered": answered,
        "spreads": spreads,
        "molecules": rows,
        "errors_of_members": [
            read_model_spec(path).provenance.get("errors", {}) for path in find_models(model)
        ],
    }
    if len(sys.argv) > 1:
        return  # the report is the bundled model's
    target = HERE.parent / "reports" / "small_organics.json"
    target.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {target}")


def compared(model: str, reference: HarmonicResult) -> dict[str, Any]:
    """The model's modes at its own minimum beside those of the reference at its."""
    atoms = Atoms(reference.symbols, reference.positions)
    atoms.calc = PaiNNCalculator(model, dtype="float64")
    BFGS(atoms, logfile=None).run(fmax=1e-4, steps=500)
    ours = with_spread(harmonic(atoms), atoms.calc, atoms)
    errors = np.sort(ours.frequencies) - np.sort(reference.frequencies)
    pairs = partners(ours, reference)
    row: dict[str, Any] = {
        "frequency_mae": float(np.abs(errors).mean()),
        "frequency_largest": float(np.abs(errors).max()),
        "n_imaginary": ours.n_imaginary,
        "frequencies": [round(float(f), 1) for f in ours.frequencies],
        "reference": [round(float(f), 1) for f in reference.frequencies],
    }
    for kind in ("infrared", "raman"):
        mine, theirs = getattr(ours, kind)[pairs], getattr(reference, kind)
        row[f"{kind}_share"] = float(np.abs(mine - theirs).sum() / theirs.sum())
    if ours.frequency_std is not None:
        spread = ours.frequency_std
        row["spread"] = [round(float(s), 1) for s in spread]
        row["within_two_spreads"] = float(np.mean(np.abs(errors) <= 2.0 * spread))
    return row


def spread_of(model: str, start: Atoms) -> float:
    """What members differ by at most in a frequency of a molecule above 200 cm⁻¹, cm⁻¹."""
    atoms = Atoms(start.numbers, start.positions)
    atoms.calc = PaiNNCalculator(model, dtype="float64")
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=500)
    found = largest_spread(with_spread(harmonic(atoms), atoms.calc, atoms))
    return round(found or 0.0, 1)


def partners(ours: HarmonicResult, reference: HarmonicResult) -> NDArray[np.intp]:
    """For each mode of the reference the one of ours that overlaps most, each taken once."""
    n = len(reference.frequencies)
    overlap = np.abs(ours.modes.reshape(n, -1) @ reference.modes.reshape(n, -1).T)
    rows, columns = linear_sum_assignment(-overlap)
    order: NDArray[np.intp] = rows[np.argsort(columns)]
    return order


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Over molecules."""
    names = ("frequency_mae", "infrared_share", "raman_share", "within_two_spreads")
    found = {n: round(float(np.mean([r[n] for r in rows if n in r])), 3) for n in names}
    return {"molecules": len(rows), **found}


def told(row: dict[str, Any]) -> str:
    """A line."""
    return (
        f"mean {row['frequency_mae']:5.1f}, largest {row['frequency_largest']:5.1f} cm⁻¹, "
        f"infrared {100 * row['infrared_share']:3.0f} %, Raman {100 * row['raman_share']:3.0f} %, "
        f"members differ by at most {max(row.get('spread', [0.0])):.0f} cm⁻¹"
    )


if __name__ == "__main__":
    main()
