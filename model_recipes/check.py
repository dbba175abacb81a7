"""Measure bundled models against their data and their exact harmonic references.

    python model_recipes/check.py                      # all bundled models
    python model_recipes/check.py water --model runs/water/water.safetensors

Writes `reports/<name>.json` beside this file: errors on the test part of the split stored in the
model, and frequencies, IR and Raman intensities of the relaxed molecule beside the reference's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.optimize import BFGS
from numpy.typing import NDArray

from painn_ase.calculator import PaiNNCalculator
from painn_ase.models import bundled_models, load_model
from painn_ase.spectra.normal_modes import harmonic
from painn_ase.training import read_config, read_frames
from painn_ase.training.evaluation import compare, errors_of

HERE = Path(__file__).parent
#: What each model is to reach: mean absolute errors on the test part, in the report's units.
BARS = {
    "ethanol": {"forces": 9e-3, "energy": 1.5e-3, "dipole": 1.5e-3, "polarizability": 5e-3},
    "water": {"forces": 8e-4, "dipole": 3e-5, "polarizability": 2e-4},
    "formaldehyde": {"forces": 2e-3, "dipole": 5e-4},
}
#: Margin of the intensities: part of the reference's, and km/mol.
MARGIN = {"infrared": (0.05, 0.5), "raman": (0.05, 0.0)}
#: cm⁻¹ below which two modes are one band of a spectrum.
RESOLUTION = 20.0
Array = NDArray[Any]


def test_errors(name: str, path: Path, others: Sequence[Path]) -> dict[str, Any]:
    """Errors on the frames that the model's stored split, and those of `others`, call `test`."""
    config = read_config(HERE / f"{name}.toml")
    if not Path(config.data.path).exists():
        return {"skipped": f"{Path(config.data.path).name} has not been fetched"}
    frames = read_frames(config.data.path, config.data.keys, config.data.units)
    model = load_model(path)
    splits = [load_model(other).spec.provenance["split"] for other in (path, *others)]
    chosen = sorted(set.intersection(*(set(split["indices"]["test"]) for split in splits)))
    errors = errors_of(compare(model, [frames[n] for n in chosen]))
    report: dict[str, Any] = {"n_frames": len(chosen)}
    for quantity, e in errors.items():
        report[quantity] = {"unit": e.unit, "mae": e.mae, "rmse": e.rmse, "largest": e.largest}
        if (bar := BARS[name].get(quantity)) is not None:
            report[quantity] |= {"bar": bar, "reached": e.mae <= bar}
    by_frame = [errors_of(compare(model, [frames[n]], ["forces"]))["forces"].mae for n in chosen]
    report["forces"] |= {
        "standard_error": float(np.std(by_frame, ddof=1) / len(by_frame) ** 0.5),
        "median_of_frames": float(np.median(by_frame)),
    }
    return report


def references(name: str) -> dict[str, dict[str, Any]]:
    """Harmonic references by conformer; none for models without."""
    path = HERE / "data" / f"{name}_harmonic.json"
    if not path.exists():
        return {}
    data = json.loads(path.read_text())
    return {"minimum": data} if "hessian_Ha_bohr2" in data else data


def harmonic_errors(path: Path, reference: dict[str, Any]) -> dict[str, Any]:
    """Frequencies and intensities of the molecule relaxed with the model, beside the reference."""
    numbers = reference.get("numbers", [8, 1, 1])
    atoms = Atoms(numbers, reference["positions_A"], masses=reference["masses_amu"])
    atoms.calc = PaiNNCalculator(path, dtype="float64")
    BFGS(atoms, logfile=None).run(fmax=1e-5, steps=500)
    result = harmonic(atoms)
    pairs = {
        "frequency": (result.frequencies, reference["freq_cm1"], "cm^-1"),
        "infrared": (result.infrared, reference["ir_km_mol"], "km/mol"),
        "raman": (result.raman, reference["raman_A4_amu"], "Å^4/amu"),
    }
    bands = band_starts(np.asarray(reference["freq_cm1"], dtype=float))
    report: dict[str, Any] = {}
    for quantity, (ours, theirs, unit) in pairs.items():
        x, y = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
        report[quantity] = deviation(x, y, unit)
        if quantity in MARGIN:
            in_bands = np.add.reduceat(x, bands), np.add.reduceat(y, bands)
            report[quantity]["within_margin"] = {
                "modes": within(x, y, *MARGIN[quantity]),
                "bands": within(*in_bands, *MARGIN[quantity]),
            }
    return report


def within(ours: Array, theirs: Array, relative: float, absolute: float) -> str:
    """How many of how many values are as near as that to the reference's."""
    near = np.abs(ours - theirs) <= relative * theirs + absolute
    return f"{near.sum()} of {near.size}"


def band_starts(frequencies: Array) -> Array:
    """First mode of each band: neighbours closer than `RESOLUTION` make one.

    Modes that lie so close mix at the smallest change of the surface; a spectrum shows their sum.
    """
    return np.flatnonzero(np.diff(frequencies, prepend=-np.inf) > RESOLUTION)


def deviation(ours: Array, theirs: Array, unit: str) -> dict[str, Any]:
    """Figures of one quantity, mode by mode."""
    difference = np.abs(ours - theirs)
    return {
        "unit": unit,
        "mae": float(difference.mean()),
        "largest": float(difference.max()),
        "largest_relative": float((difference / np.abs(theirs)).max()),
        "ours": np.round(ours, 3).tolist(),
        "reference": np.round(theirs, 3).tolist(),
    }


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="default: all bundled models")
    parser.add_argument("--model", type=Path, help="another file than the bundled one")
    parser.add_argument(
        "--beside",
        type=Path,
        nargs="*",
        default=[],
        help="on frames these never saw either; no report",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shipped = bundled_models()
    for name in arguments.names or [n for n in BARS if n in shipped]:
        path = arguments.model or shipped[name]
        report: dict[str, Any] = {"model": name}
        report["test"] = test_errors(name, path, arguments.beside)
        for conformer, reference in references(name).items():
            report[conformer] = harmonic_errors(path, reference)
        if not arguments.beside:
            target = HERE / "reports" / f"{name}.json"
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        print_report(report)


def print_report(report: dict[str, Any]) -> None:
    """One line a figure."""
    print(f"\n{report['model']}")
    for part, values in report.items():
        if not isinstance(values, dict):
            continue
        for quantity, e in values.items():
            if isinstance(e, dict):
                bar = (
                    f"  bar {e['bar']:.1e} {'ok' if e['reached'] else 'NOT reached'}"
                    if "bar" in e
                    else ""
                )
                if "standard_error" in e:
                    bar = (
                        f" ± {e['standard_error']:.1e}, half of the frames below "
                        f"{e['median_of_frames']:.1e}{bar}"
                    )
                worst = f"  relative {e['largest_relative']:.2%}" if "largest_relative" in e else ""
                if (counts := e.get("within_margin")) is not None:
                    worst += f"  within {MARGIN[quantity][0]:.0%}: " + ", ".join(
                        f"{count} {kind}" for kind, count in counts.items()
                    )
                print(
                    f"  {part:9s} {quantity:16s} MAE {e['mae']:.3e}  largest {e['largest']:.3e} "
                    f"{e['unit']}{worst}{bar}"
                )
            else:
                print(f"  {part:9s} {quantity}: {e}")


if __name__ == "__main__":
    main()
