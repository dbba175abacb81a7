r"""Ring-polymer dynamics: milliseconds a step, and how much of a step is outside the network.

TRPMD by `painn_ase.run_replicas` with PaiNN of 128 features, 3 interactions, 20 Bessel functions, a
5 Å cutoff and heads for energy and dipole; the weights are random, since no free data set holds
aspirin with dipoles. Blocks are measured in turn over the systems; medians are reported, the best
block (the quiet moments of a shared machine) and CPU time, in which threads add up. "with flux"
also records the bead-averaged dipole flux every fourth step.

SchNetPack's ring-polymer engine, TRPMD with energy and forces alone, is measured in turn with ours
where its interpreter is named.

    python benchmarks/ring_polymer.py                     (aspirin of 64 beads, one thread)
    python benchmarks/ring_polymer.py --threads 2
    python benchmarks/ring_polymer.py --systems aspirin ethanol water-192 --beads 32 \
        --schnetpack-python PATH                          (see benchmarks/README.md)
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Collection
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from systems import build_system
from torch import Tensor
from workers import Worker

from painn_ase.calculator import PaiNNCalculator
from painn_ase.graph import AtomGraph
from painn_ase.md.replicas import ReplicaConfig, run_replicas
from painn_ase.testing import random_potential

#: Steps of a block.
STEPS = {"ethanol": 20, "aspirin": 8, "water-192": 2}
#: Steps of the seed's promise: 62.5 ps at 0.25 fs.
PROMISE = 250_000


class Timed:
    """A backend that adds up the time spent in it."""

    def __init__(self, backend: Any) -> None:
        self.potential, self.name = backend.potential, backend.name
        self._backend = backend
        self.seconds = 0.0

    def __call__(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> Any:
        """What the backend gives."""
        started = time.perf_counter()
        found = self._backend(graph, properties, velocities)
        self.seconds += time.perf_counter() - started
        return found


def block(timed: Timed, system: str, beads: int, record: tuple[str, ...]) -> dict[str, float]:
    """Milliseconds a step of one block: wall, CPU, and wall outside the network."""
    steps = STEPS[system]
    config = ReplicaConfig(
        steps=steps, ensemble="trpmd", beads=beads, timestep=0.05, record=record, stride=4
    )
    timed.seconds, wall, cpu = 0.0, time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ring.h5" if record else None
        run_replicas(timed, [build_system(system)], config, trajectory=path)
    # The start is evaluated, too: one call more than steps.
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "wall": 1e3 * wall / (steps + 1),
        "cpu": 1e3 * cpu / (steps + 1),
        "outside": 1.0 - timed.seconds / wall,
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--systems", nargs="+", default=["aspirin"], choices=list(STEPS))
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--beads", type=int, default=64)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--schnetpack-python", help="interpreter of SchNetPack's environment")
    parser.add_argument("--output", type=Path, help="JSON file (default: under results/)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = random_potential(options.features, 3, 20, 5.0, heads=("energy", "dipole:local"))
    timed = Timed(PaiNNCalculator(model, backend=options.backend).backends[0])
    cases = [(s, r) for s in options.systems for r in ((), ("dipole_flux",))]
    theirs = None
    if options.schnetpack_python:
        sizes = ["--beads", str(options.beads), "--features", str(options.features)]
        theirs = Worker(
            "SchNetPack", options.schnetpack_python, "schnetpack_ring.py", sizes, options.threads
        )
    rows: dict[str, list[dict[str, float]]] = {}
    versions: dict[str, str] = {}
    for n in range(options.blocks + 1):
        for system, record in cases:
            found = block(timed, system, options.beads, record)
            if n:  # the first warms up
                rows.setdefault(system + (" with flux" if record else ""), []).append(found)
        for system in options.systems if theirs else ():
            steps = STEPS[system]
            versions = theirs.ask(system=system)["versions"]
            spent = theirs.ask(steps=steps)
            if n:
                found = {"wall": 1e3 * spent["wall"] / steps, "cpu": 1e3 * spent["cpu"] / steps}
                rows.setdefault(f"{system}, SchNetPack", []).append(found)
    figures = {
        name: {
            "median_ms": statistics.median(r["wall"] for r in found),
            "best_ms": min(r["wall"] for r in found),
            "cpu_ms": statistics.median(r["cpu"] for r in found),
            **(
                {"outside_percent": 100.0 * statistics.median(r["outside"] for r in found)}
                if "outside" in found[0]
                else {}
            ),
        }
        for name, found in rows.items()
    }
    print(f"{options.beads} beads, {timed.name}, {options.threads} thread(s)")
    print(f"{'':22} {'median':>9} {'best':>9} {'CPU ms':>9} {'outside':>9} {'250,000 steps':>14}")
    for name, row in figures.items():
        hours = row["median_ms"] * PROMISE / 3.6e6
        outside = f"{row['outside_percent']:.1f}%" if "outside_percent" in row else ""
        print(
            f"{name:22} {row['median_ms']:9.2f} {row['best_ms']:9.2f} {row['cpu_ms']:9.2f} "
            f"{outside:>9} {hours:12.2f} h"
        )
    name = f"ring_polymer_{options.beads}_beads_{options.threads}t.json"
    path = options.output or Path(__file__).parent / "results" / name
    record = {
        "benchmark": "ring_polymer",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "schnetpack": versions,
        "beads": options.beads,
        "features": options.features,
        "threads": options.threads,
        "blocks": options.blocks,
        "backend": timed.name,
        "figures": figures,
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}")
    if theirs is not None:
        theirs.close()


if __name__ == "__main__":
    main()
