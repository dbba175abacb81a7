"""One call of the core on a CUDA device: launched kernel by kernel, and as one captured graph.

The potential's core looks at no value, so a whole step (energy and forces, or with dipole and
polarizability too) can be captured once and replayed. Edges are those of the first frame; lists,
ASE and the integrator are not in it, so this is the floor under an engine that keeps them on the
device. Both answers are compared before anything is timed.

    python benchmarks/cuda_graph.py --output benchmarks/results/cuda_graph.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

# this folder last: its profile.py is not the module of that name that libraries import
sys.path.append(sys.path.pop(0))

import torch
from md_worker import CUTOFF, N_FEATURES, N_INTERACTIONS, N_RBF
from systems import COPIES, SYSTEMS, build_copies, build_system

from painn_ase.graph import collate, from_ase
from painn_ase.potential.core import AtomisticCore, CoreInput, core_input
from painn_ase.testing import random_potential

#: What a step may be asked for.
STEPS = {
    "energy and forces": ("energy", "forces"),
    "with dipole and polarizability": ("energy", "forces", "dipole", "polarizability"),
}


def potential_and_input(system: str) -> tuple[AtomisticCore, CoreInput]:
    """A random potential of the benchmarks' size, and the system's graph, on the device."""
    atoms = build_system(system)
    copies = build_copies(system) if COPIES.get(system) else [atoms]
    potential = random_potential(
        n_features=N_FEATURES,
        n_interactions=N_INTERACTIONS,
        n_rbf=N_RBF,
        cutoff=CUTOFF,
        radial_basis="bessel",
        heads=("energy", "dipole:local", "polarizability:local"),
    ).to("cuda")
    graph = collate([from_ase(copy, potential.cutoff) for copy in copies]).to("cuda")
    given = core_input(graph, potential.element_rows, periodic=bool(atoms.pbc.any()))
    return potential.core, given


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call on the device, by its own events."""
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def measure(system: str, wanted: tuple[str, ...], repeats: int) -> dict[str, object]:
    """Times of the plain and of the captured call, and the largest difference of their forces."""
    core, given = potential_and_input(system)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            plain = core(given, wanted)
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        answer = core(given, wanted)
    captured.replay()
    torch.cuda.synchronize()
    difference = float((answer["forces"] - plain["forces"]).abs().max())
    return {
        "system": system,
        "atoms": SYSTEMS[system],
        "edges": len(given.idx_i),
        "quantities": wanted,
        "plain_ms": milliseconds(lambda: core(given, wanted), repeats),
        "graph_ms": milliseconds(captured.replay, repeats),
        "largest_force_difference": difference,
    }


def main() -> None:
    """Measure every system and print a table."""
    parser = argparse.ArgumentParser(description="The core launched and captured, on CUDA.")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(f"no CUDA device: torch {torch.__version__} finds none.")
    record: dict[str, Any] = {
        "benchmark": "cuda_graph",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "dtype": "float32",
        "results": [],
    }
    print(f"{record['gpu']}, torch {torch.__version__}, float32, ms a call (medians)")
    for name, wanted in STEPS.items():
        print(
            f"\n{name}\n{'system':13s} {'atoms':>6s} {'plain':>8s} {'graph':>8s}  force difference"
        )
        for system in arguments.systems:
            row = measure(system, wanted, arguments.repeats)
            record["results"].append(row)
            print(
                f"{system:13s} {row['atoms']:6d} {row['plain_ms']:8.3f} {row['graph_ms']:8.3f}"
                f"  {row['largest_force_difference']:.1e}"
            )
    if arguments.output:
        arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print("written:", arguments.output)


if __name__ == "__main__":
    main()
