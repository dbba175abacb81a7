"""Replicas in one batch beside a single run: atom-steps a second of NVE ethanol.

The single run is `painn_ase.md.run_md` on the ASE calculator; the batch is
`painn_ase.md.replicas.run_replicas` with the same model. Blocks of both are measured in turn, so
that a busy machine treats both alike. The median over blocks is reported, the best block (the
quiet moments of a shared machine), and CPU time, in which threads add up.

    python benchmarks/replicas.py                      (eager, one thread)
    python benchmarks/replicas.py --backend fused --threads 2
    python benchmarks/replicas.py --device cuda
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import torch
from systems import build_system

from painn_ase.calculator import PaiNNCalculator
from painn_ase.md import MDConfig, run_md
from painn_ase.md.replicas import ReplicaConfig, run_replicas
from painn_ase.testing import random_potential


def measure(work: Callable[[], None], atom_steps: int) -> tuple[float, float]:
    """Atom-steps a second by wall time and by CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (
        atom_steps / (time.perf_counter() - wall),
        atom_steps / (time.process_time() - cpu),
    )


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backend", default="eager")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = random_potential(options.features, 3, 20, 5.0)
    calculator = PaiNNCalculator(model, device=options.device, backend=options.backend)
    atoms = build_system("ethanol")
    starts = [build_system("ethanol", seed=k) for k in range(options.replicas)]
    n_single, n_batch = 60, 30

    def single() -> None:
        moving = atoms.copy()
        moving.calc = calculator
        run_md(moving, MDConfig(steps=n_single, timestep=0.1, velocities="keep"))

    def batch() -> None:
        config = ReplicaConfig(steps=n_batch, timestep=0.1, record=())
        run_replicas(calculator.backends[0], starts, config, device=calculator.device)

    single()
    batch()
    rates: dict[str, list[tuple[float, float]]] = {"single": [], "batch": []}
    for _ in range(options.blocks):
        rates["single"].append(measure(single, n_single * len(atoms)))
        rates["batch"].append(measure(batch, n_batch * len(atoms) * options.replicas))
    figures = {
        name: {
            "median": statistics.median(wall for wall, _ in pairs),
            "best": max(wall for wall, _ in pairs),
            "cpu": statistics.median(cpu for _, cpu in pairs),
        }
        for name, pairs in rates.items()
    }
    ratios = {k: figures["batch"][k] / figures["single"][k] for k in figures["single"]}
    record = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        **{k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()},
        "atom_steps_per_second": figures,
        "ratio": ratios,
    }
    print(f"{'atom-steps/s':12} {'median':>10} {'best':>10} {'CPU':>10}")
    for name, row in [*figures.items(), ("ratio", ratios)]:
        digits = 2 if name == "ratio" else 0
        print(f"{name:12} " + " ".join(f"{value:10.{digits}f}" for value in row.values()))
    if options.output is not None:
        options.output.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
