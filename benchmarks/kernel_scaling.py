"""Cost and memory of the fused kernel against system size: boxes of water, 192 to 12,288 atoms.

    python benchmarks/kernel_scaling.py

CPU time of energy and forces, one thread, PaiNN 128/3/20/5 Å, float32, medians. Writes
results/kernel_scaling.json and results/kernel_scaling.svg.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from systems import build_water

from painn_ase.graph import neighbor_pairs
from painn_ase.kernels import FusedKernel
from painn_ase.testing import random_potential

HERE = Path(__file__).parent


def main() -> None:
    torch.set_num_threads(1)
    matplotlib.use("svg")
    fused = FusedKernel(random_potential(), n_threads=1)
    records = []
    for n_side in (4, 5, 6, 8, 10, 12, 16):
        atoms = build_water(n_side, np.random.default_rng(0))
        cell = atoms.cell.array
        pairs = neighbor_pairs(atoms.positions, cell, atoms.pbc, fused.cutoff)
        times = []
        for _ in range(max(4, 6000 // len(atoms))):
            start = time.process_time()
            fused.compute(atoms.positions, atoms.numbers, cell, pairs)
            times.append(1e3 * (time.process_time() - start))
        record = {
            "atoms": len(atoms),
            "edges": pairs.n_edges,
            "cpu_ms": round(statistics.median(times[1:]), 3),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        record["us_per_atom"] = round(1e3 * record["cpu_ms"] / len(atoms), 2)
        print(json.dumps(record), flush=True)
        records.append(record)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    content = {"machine": platform.processor(), "records": records}
    (results / "kernel_scaling.json").write_text(json.dumps(content, indent=1))
    figure = Figure(figsize=(4.5, 3.2), layout="constrained")
    axes = figure.subplots()
    n = [r["atoms"] for r in records]
    axes.loglog(n, [r["cpu_ms"] for r in records], "o-", label="fused kernel")
    axes.loglog(n, [records[0]["cpu_ms"] * x / n[0] for x in n], "k:", label="linear")
    axes.set(xlabel="atoms (water)", ylabel="CPU ms per energy and forces")
    axes.legend()
    figure.savefig(results / "kernel_scaling.svg")


if __name__ == "__main__":
    main()
