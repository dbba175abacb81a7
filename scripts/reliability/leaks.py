"""Memory and open files over very many calls: they must not grow.

    python scripts/reliability/leaks.py --calls 1000000

Calculators of both backends are called with moving atoms (new pair lists now and then), with
structures in turn, with errors among them; models, trajectories and spectra are opened and closed.
After a warm-up the resident memory and the number of open files are noted ten times.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule

from painn_ase import PaiNNCalculator
from painn_ase.errors import PaiNNError
from painn_ase.models import load_model, save_model
from painn_ase.testing import random_atoms, random_potential
from painn_ase.trajectory import System, TrajectoryReader, TrajectoryWriter

__all__ = ["WORK", "watch"]


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE")) / 2**20


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _one_molecule(backend: str, folder: Path) -> Callable[[int], None]:
    """A moving molecule, as in dynamics."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = PaiNNCalculator(random_potential(16, 2, 8, 4.0), backend=backend)
    start, rng = atoms.positions.copy(), np.random.default_rng(0)

    def call(n: int) -> None:
        atoms.positions[:] = start + 0.05 * rng.normal(size=start.shape)
        atoms.get_forces()

    return call


def _many_structures(backend: str, folder: Path) -> Callable[[int], None]:
    """Structures of many sizes in turn, every tenth of them refused."""
    calc = PaiNNCalculator(random_potential(16, 2, 8, 4.0), backend=backend)
    structures = [random_atoms(n, pbc=bool(n % 2), spacing=1.3, seed=n) for n in range(2, 11)]
    structures.append(Atoms("H2", [[0, 0, 0], [0, 0, 0]]))

    def call(n: int) -> None:
        atoms = structures[n % len(structures)]
        if n % len(structures) < 9:
            atoms.rattle(1e-3, seed=n)
        try:
            calc.get_property("forces", atoms)
        except PaiNNError:
            return

    return call


def _files(backend: str, folder: Path) -> Callable[[int], None]:
    """A model and a trajectory written and read, a broken one refused."""
    potential = random_potential(4, 1, 3)
    water = molecule("H2O")
    broken = folder / "broken.h5"
    broken.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))

    def call(n: int) -> None:
        path = folder / "run.h5"
        with TrajectoryWriter.create(
            path, System.of(water), {"positions": 1}, overwrite=True
        ) as writer:
            writer.write(0, 0.0, {"positions": water.positions})
        with TrajectoryReader(path) as reader:
            reader.atoms(0)
        load_model(save_model(potential, folder / "m.safetensors"))
        try:
            TrajectoryReader(broken)
        except PaiNNError:
            return

    return call


#: Name → (work, share of the calls it gets).
WORK: dict[str, tuple[Callable[[str, Path], Callable[[int], None]], str, float]] = {
    "fused, one molecule": (_one_molecule, "fused", 1.0),
    "fused, many structures": (_many_structures, "fused", 0.2),
    "eager, one molecule": (_one_molecule, "eager", 0.02),
    "eager, many structures": (_many_structures, "eager", 0.02),
    "files": (_files, "eager", 0.002),
}


def watch(name: str, calls: int) -> dict[str, Any]:
    """Memory (MiB) and open files along `calls` calls of one kind of work."""
    build, backend, _ = WORK[name]
    with tempfile.TemporaryDirectory(prefix="leaks-") as folder:
        call = build(backend, Path(folder))
        for n in range(max(20, calls // 20)):  # warm-up: caches, allocator's pools
            call(n)
        memory, files, started = [], [], time.monotonic()
        for part in range(10):
            for n in range(part * calls // 10, (part + 1) * calls // 10):
                call(n)
            gc.collect()
            memory.append(round(_resident_mib(), 2))
            files.append(_open_files())
    return {
        "calls": calls,
        "growth_mib": round(memory[-1] - memory[0], 2),
        "growth_in_last_half_mib": round(memory[-1] - memory[4], 2),
        "open_files": [files[0], files[-1]],
        "memory_mib": memory,
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--work", choices=list(WORK), action="append")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = {}
    for name in options.work or WORK:
        report[name] = watch(name, max(100, int(options.calls * WORK[name][2])))
        print(name, json.dumps(report[name]), flush=True)
        if options.output is not None:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    grown = [n for n, r in report.items() if r["growth_in_last_half_mib"] > 2.0]
    leaked = [n for n, r in report.items() if r["open_files"][0] != r["open_files"][1]]
    return 1 if grown or leaked else 0


if __name__ == "__main__":
    raise SystemExit(main())
