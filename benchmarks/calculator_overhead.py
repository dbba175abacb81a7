"""What the ASE calculator adds to the kernel in a step, ours and ASE's base class, in CPU time.

    python benchmarks/calculator_overhead.py

Ethanol, forces asked for after every change of the positions; medians of interleaved blocks. The
second calculator hands the same kernel to ``ase.calculators.calculator.Calculator``, whose cache
compares and copies whole ``Atoms``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes

from painn_ase import PaiNNCalculator
from painn_ase.graph import neighbor_pairs
from painn_ase.kernels import select_backend
from painn_ase.testing import random_potential

BLOCKS, STEPS = 15, 400


class Conventional(Calculator):
    """The kernel behind ASE's own cache."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, kernel: Callable[[Atoms], Any]) -> None:
        super().__init__()
        self.kernel = kernel

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Iterable[str] = ("energy",),
        system_changes: Iterable[str] = all_changes,
    ) -> None:
        """Energy and forces of `atoms` into ``results``."""
        super().calculate(atoms, properties, system_changes)
        answer = self.kernel(self.atoms)
        self.results = {"energy": float(answer["energy"][0]), "forces": answer["forces"]}


def main() -> None:
    torch.set_num_threads(1)
    potential = random_potential()
    backend = select_backend(potential, "fused")
    bare = molecule("CH3CH2OH")
    pairs = neighbor_pairs(bare.positions, bare.cell.array, bare.pbc, potential.cutoff)

    def kernel(atoms: Atoms) -> Any:
        cell = atoms.cell.array
        return backend.step(atoms.positions, atoms.numbers, cell, pairs, {"energy", "forces"})

    ours, conventional = bare.copy(), bare.copy()
    ours.calc = PaiNNCalculator(potential)
    conventional.calc = Conventional(kernel)
    ways: dict[str, tuple[Atoms, Callable[[Atoms], Any]]] = {
        "kernel alone": (bare, kernel),
        "PaiNNCalculator": (ours, Atoms.get_forces),
        "ASE's base class": (conventional, Atoms.get_forces),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(BLOCKS):
        for name, (atoms, evaluate) in ways.items():
            begin = time.process_time()
            for _ in range(STEPS):
                atoms.arrays["positions"][0, 0] += 1e-9
                evaluate(atoms)
            taken[name].append(1e6 * (time.process_time() - begin) / STEPS)
    alone = statistics.median(taken["kernel alone"])
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:18s} {median:7.1f} µs   overhead {median - alone:6.1f} µs")


if __name__ == "__main__":
    main()
