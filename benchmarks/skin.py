"""How wide the skin of the neighbour list should be: CPU time of a step against the skin.

    python benchmarks/skin.py

Boxes of water whose atoms fly straight at 300 K velocities in steps of 0.5 fs: no force turns them
back, so lists age faster than in any dynamics at that temperature, and the share of the list in a
step is an upper bound. The fused kernel, one thread, medians over stretches.
"""

from __future__ import annotations

import statistics
import time

import torch
from systems import TIMESTEP, build_system

from painn_ase import PaiNNCalculator
from painn_ase.graph import neighbor_pairs
from painn_ase.testing import random_potential

SKINS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
STRETCHES, STEPS = 5, 40


def main() -> None:
    torch.set_num_threads(1)
    potential = random_potential()
    print("system       skin / Å   step / ms   list / ms   steps a list   share of the list")
    for system in ("water-192", "water-1536"):
        start = build_system(system)
        cell, pbc = start.cell.array, start.pbc
        for skin in SKINS:
            steps = STEPS if system == "water-192" else STEPS // 2
            begin = time.process_time()
            neighbor_pairs(start.positions, cell, pbc, potential.cutoff + skin)
            search = time.process_time() - begin
            spent, builds = [], 0
            calculator = PaiNNCalculator(potential, skin=skin, backend="fused")
            for _ in range(STRETCHES):
                atoms = start.copy()
                atoms.calc = calculator
                atoms.get_forces()
                before, begin = calculator.n_list_builds, time.process_time()
                for _ in range(steps):
                    atoms.arrays["positions"] += TIMESTEP * start.get_velocities()
                    atoms.get_forces()
                spent.append((time.process_time() - begin) / steps)
                builds += calculator.n_list_builds - before
            step, life = statistics.median(spent), STRETCHES * steps / max(builds, 1)
            print(
                f"{system:12s} {skin:8.1f} {1e3 * step:11.2f} {1e3 * search:11.2f} {life:14.1f} "
                f"{100 * search / life / step:18.1f} %"
            )


if __name__ == "__main__":
    main()
