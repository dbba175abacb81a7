"""Where a step's time goes: ASE, pair list, hand-over to the kernel, and the kernel's stages.

    python benchmarks/profile.py
    python benchmarks/profile.py --systems ethanol water-192 --instruction-set avx2 --threads 2

Velocity Verlet of PaiNN 128/3/20/5 Å, float32, energy and forces. CPU time by layers, each the
median of calls measured in turn; the kernel's stages by its own clock, scaled to its CPU time.
Writes results/profile.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from ase import units
from ase.md.verlet import VelocityVerlet
from systems import SYSTEMS, build_system

from painn_ase.calculator import PaiNNCalculator
from painn_ase.graph import VerletList, collate, from_ase
from painn_ase.kernels import FusedKernel
from painn_ase.testing import random_potential

HERE = Path(__file__).parent


def in_turn(works: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median CPU milliseconds of each, measured in turn so that load treats all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def profile(name: str, instruction_set: str | None, threads: int) -> dict[str, Any]:
    potential = random_potential(heads=("energy", "dipole:local", "polarizability:local"))
    atoms = build_system(name)
    fused = FusedKernel(potential, instruction_set=instruction_set, n_threads=threads)
    verlet = VerletList(potential.cutoff, 0.5)
    arrays, cell, pbc = atoms.arrays, atoms.cell.array, atoms.pbc

    def pairs() -> Any:
        return verlet.update(arrays["numbers"], arrays["positions"], cell, pbc)

    def evaluate(derivatives: bool = True) -> None:
        fused.compute(
            arrays["positions"], arrays["numbers"], cell, pairs(), derivatives=derivatives
        )

    moving = atoms.copy()
    moving.set_momenta(atoms.get_momenta())
    moving.calc = PaiNNCalculator(potential)
    dynamics = VelocityVerlet(moving, 0.5 * units.fs)
    dynamics.run(2)
    evaluate()
    structure = fused._structure
    assert structure is not None
    graph, velocities = from_ase(atoms, potential.cutoff), atoms.get_velocities()
    heads = ("dipole", "polarizability")
    n_atoms = len(atoms)
    layers = in_turn(
        {
            "ASE velocity Verlet step (one thread, best instruction set)": lambda: dynamics.run(1),
            "pair list, kept": pairs,
            "pair list, searched": lambda: VerletList(potential.cutoff, 0.5).update(
                arrays["numbers"], arrays["positions"], cell, pbc
            ),
            "compute(): energy and forces": evaluate,
            "compute(): energy": lambda: evaluate(False),
            "kernel alone": lambda: fused.run(structure),
            "with dipole and polarizability": lambda: fused.compute_response(graph, heads),
            "with their fluxes": lambda: fused.compute_response(graph, heads, velocities),
        },
        max(5, 3000 // n_atoms),
    )
    structure.request(0, (), None)
    structure.measure()
    for _ in range(max(5, 1000 // n_atoms)):
        fused.run(structure)
    stages = structure.seconds
    total = sum(stages.values())
    alone = layers["kernel alone"]
    return {
        "system": name,
        "atoms": n_atoms,
        "pairs": structure.n_pairs,
        "instruction_set": fused.instruction_set,
        "threads": threads,
        "cpu_ms": {k: round(v, 4) for k, v in layers.items()},
        "stages_ms": {k: round(alone * v / total, 4) for k, v in stages.items() if v > 0},
    }


def batch_of_aspirin(threads: int) -> dict[str, Any]:
    potential = random_potential()
    fused = FusedKernel(potential, n_threads=threads)
    one = from_ase(build_system("aspirin"), potential.cutoff)
    batch = collate([one] * 64)
    times = in_turn({"64 aspirin in one call": lambda: fused.compute_graph(batch)}, 15)
    return {"system": "64 x aspirin", "atoms": batch.n_atoms, "threads": threads, "cpu_ms": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--instruction-set", default=None)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    records = [profile(name, given.instruction_set, given.threads) for name in given.systems]
    records.append(batch_of_aspirin(given.threads))
    for record in records:
        print(json.dumps(record, indent=1))
    target = HERE / "results" / "profile.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"machine": platform.processor(), "records": records}, indent=1))


if __name__ == "__main__":
    main()
