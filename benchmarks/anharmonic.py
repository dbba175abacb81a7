"""Perturbation theory: CPU seconds of a molecule's field, of its levels, and of their intensities.

Bundled models with the fastest kernel in float64 on one thread. The field is measured once with its
check; levels with infrared, and where the model has a polarizability with Raman, many times, also
without the check and without any property. CPU time of the process, for other programs share the
machine.

    OMP_NUM_THREADS=1 python benchmarks/anharmonic.py
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.build import molecule
from ase.optimize import BFGS

from painn_ase import __version__
from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import PaiNNWarning
from painn_ase.quartic import quartic_field
from painn_ase.spectra import QuarticField, anharmonic

#: Bundled models and what ASE calls their molecules.
MOLECULES = {"water": "H2O", "formaldehyde": "H2CO", "ethanol": "CH3CH2OH"}


def repeated(call: Callable[[], object], times: int) -> dict[str, Any]:
    """CPU seconds of a call: every one, and their median."""
    found = []
    for _ in range(times):
        started = time.process_time()
        call()
        found.append(time.process_time() - started)
    return {"median": statistics.median(found), "all": found}


def measured(model: str, times: int) -> dict[str, Any]:
    """What one molecule costs."""
    atoms = molecule(MOLECULES[model])
    atoms.set_masses("most_common")
    atoms.calc = PaiNNCalculator(model, dtype="float64", device="cpu")
    BFGS(atoms, logfile=None).run(fmax=1e-4, steps=500)
    structures: list[int] = []
    started = time.process_time()
    field = quartic_field(atoms, progress=lambda done, total: structures.append(total))
    seconds = time.process_time() - started
    n = len(field.frequencies)
    alone = replace(field, check=None)
    bare = QuarticField(field.frequencies, field.cubic, field.quartic, field.rotor)
    result = anharmonic(field)
    return {
        "atoms": len(atoms),
        "modes": n,
        "frozen": len(result.frozen),
        "resonances": len(result.resonances),
        "coupled_states": int(np.sum(result.levels.coupled)),
        "properties": [p for p in ("dipole", "polarizability") if getattr(field, p) is not None],
        # pairs, then every mode to both sides at three radii, and the minimum
        "structures": max(structures, default=0) + 6 * n + 1,
        "field_cpu_s": seconds,
        "levels_with_check_cpu_s": repeated(lambda: anharmonic(field), times),
        "levels_cpu_s": repeated(lambda: anharmonic(alone), times),
        "levels_without_properties_cpu_s": repeated(
            lambda: anharmonic(bare, frozen=field.frozen), times
        ),
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(MOLECULES), choices=list(MOLECULES))
    parser.add_argument("--times", type=int, default=21)
    parser.add_argument("--output", type=Path, help="JSON file (default: under results/)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", PaiNNWarning)
    figures = {model: measured(model, options.times) for model in options.models}
    print(f"{'':14}{'modes':>6}{'structures':>12}{'field s':>9}{'levels s':>10}{'+ check s':>11}")
    for model, found in figures.items():
        print(
            f"{model:14}{found['modes']:6}{found['structures']:12}{found['field_cpu_s']:9.2f}"
            f"{found['levels_cpu_s']['median']:10.4f}"
            f"{found['levels_with_check_cpu_s']['median']:11.4f}"
        )
    record = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": platform.processor() or platform.machine(),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
            "painn_ase": __version__,
        },
        "threads": 1,
        "figures": figures,
    }
    path = options.output or Path(__file__).parent / "results" / "anharmonic.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
