"""One training step on ethanol, energy and forces: painn_ase beside SchNetPack, in one run.

PaiNN of 128 features, 3 interactions, 20 Bessel functions, cutoff 5 Å, float32, AdamW. A step is
forward, forces, loss, backward and update. SchNetPack gets its batch ready-made; ours cuts a new
batch out of the data every step. Contenders run in processes of their own and in turns; the median
over blocks of CPU time is the steadier figure on a shared machine.

    python benchmarks/training_step.py --schnetpack-python PATH     (see benchmarks/README.md)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DATA = HERE.parent / "model_recipes" / "data" / "ethanol.extxyz"
FEATURES, INTERACTIONS, BASIS, CUTOFF = 128, 3, 20, 5.0


# -- contenders: build(batch size) → a function that makes one step ------------------------------


def build_painn_ase(batch_size: int, compiled: bool) -> Callable[[], None]:
    import torch

    from painn_ase.potential import AtomisticPotential
    from painn_ase.spec import PaiNNSpec
    from painn_ase.training.batches import FrameTensors
    from painn_ase.training.config import DataSpec, TrainConfig
    from painn_ase.training.loss import WeightedLoss
    from painn_ase.training.readers import read_frames
    from painn_ase.training.statistics import build_model_spec, compute_statistics
    from painn_ase.training.step import CompiledStep, EagerStep

    labels = ("energy", "forces")
    frames = read_frames(DATA, labels=labels)
    network = PaiNNSpec(
        n_features=FEATURES, n_interactions=INTERACTIONS, n_rbf=BASIS, cutoff=CUTOFF
    )
    config = TrainConfig("benchmark", DataSpec(str(DATA)), network=network)
    statistics_ = compute_statistics(frames)
    potential = AtomisticPotential(build_model_spec(frames, labels, statistics_, config))
    eager = EagerStep(potential, WeightedLoss(config.loss, labels, statistics_.spread))
    compute = CompiledStep(eager) if compiled else eager
    optimizer = torch.optim.AdamW(potential.parameters(), lr=1e-4, fused=True)
    tensors = FrameTensors(frames, CUTOFF, labels)
    position = [0]

    def step() -> None:
        first = position[0] = (position[0] + batch_size) % (len(frames) - batch_size)
        loss, _ = compute(tensors.batch(range(first, first + batch_size)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def build_schnetpack(batch_size: int) -> Callable[[], None]:
    import schnetpack as spk
    import schnetpack.transform as trn
    import torch
    from ase.io import read
    from schnetpack.interfaces import AtomsConverter

    images = read(str(DATA), index=f":{batch_size}")
    representation = spk.representation.PaiNN(
        n_atom_basis=FEATURES,
        n_interactions=INTERACTIONS,
        radial_basis=spk.nn.BesselRBF(n_rbf=BASIS, cutoff=CUTOFF),
        cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
    )
    model = spk.model.NeuralNetworkPotential(
        representation=representation,
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=FEATURES, output_key="energy"),
            spk.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
    )
    converter = AtomsConverter(
        neighbor_list=trn.ASENeighborList(cutoff=CUTOFF), dtype=torch.float32, device="cpu"
    )
    inputs = converter(images)
    energy = torch.tensor([a.get_potential_energy() + 4215.0 for a in images]).float()
    forces = torch.cat([torch.tensor(a.get_forces()) for a in images]).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        result = model(dict(inputs))
        loss = 0.1 * torch.nn.functional.mse_loss(result["energy"], energy)
        loss = loss + torch.nn.functional.mse_loss(result["forces"], forces)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def serve(contender: str) -> None:
    """Answer requests on standard input: build for a batch size, or make steps and time them."""
    # The folder of a script comes first in the search path, where its neighbours would hide
    # modules of the standard library.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != HERE.resolve()]
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    step: Callable[[], None] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {"torch": torch.__version__}
        if "batch" in request:
            if contender == "schnetpack":
                step = build_schnetpack(request["batch"])
            else:
                step = build_painn_ase(request["batch"], contender == "painn_ase:compiled")
            for _ in range(3):
                step()
        else:
            assert step is not None
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(request["steps"]):
                step()
            answer |= {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(answer), file=answers, flush=True)


# -- the run -------------------------------------------------------------------------------------


class Worker:
    """A contender's process."""

    def __init__(self, contender: str, python: str, threads: int) -> None:
        self.contender = contender
        self.process = subprocess.Popen(
            [python, str(Path(__file__)), "--serve", contender],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.contender} stopped with code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[10, 64])
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--schnetpack-python", help="interpreter of SchNetPack's environment")
    parser.add_argument("--no-compile", action="store_true", help="leave out the compiled step")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    contenders = ["painn_ase:eager"] + ([] if options.no_compile else ["painn_ase:compiled"])
    workers = [Worker(c, sys.executable, options.threads) for c in contenders]
    if options.schnetpack_python:
        workers.append(Worker("schnetpack", options.schnetpack_python, options.threads))
    results = []
    versions: dict[str, str] = {}
    for batch in options.batches:
        for worker in workers:
            versions[worker.contender] = worker.ask(batch=batch)["torch"]
        times: dict[str, list[tuple[float, float]]] = {w.contender: [] for w in workers}
        steps = max(1, 60 // batch)
        for block in range(options.blocks):
            for worker in workers[:: 1 if block % 2 else -1]:
                answer = worker.ask(steps=steps)
                times[worker.contender].append((answer["cpu"] / steps, answer["wall"] / steps))
        for contender, values in times.items():
            cpu, wall = (statistics.median(v) for v in zip(*values, strict=True))
            results.append(
                {
                    "contender": contender,
                    "batch": batch,
                    "cpu_ms_per_step": 1e3 * cpu,
                    "wall_ms_per_step": 1e3 * wall,
                    "structures_per_cpu_second": batch / cpu,
                }
            )
            print(
                f"batch {batch:3d}  {contender:20s} {1e3 * cpu:8.1f} ms CPU {batch / cpu:8.0f} /s"
            )
    report = {
        "benchmark": "training_step",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": platform.processor(), "cores": os.cpu_count()},
        "threads": options.threads,
        "torch": versions,
        "results": results,
    }
    path = options.output or HERE / "results" / f"training_step_{options.threads}t.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    for worker in workers:
        worker.close()


if __name__ == "__main__":
    main()
