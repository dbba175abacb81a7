"""One training step, energy and forces: painn_ase beside SchNetPack, in one run.

PaiNN of 128 features, 3 interactions, 20 Bessel functions, cutoff 5 Å, float32, AdamW. A step is
forward, forces, loss, backward and update, on ethanol, or on ethanol and water mixed at random,
where every batch has another size. SchNetPack gets its batches ready-made; ours cuts a new one out
of the data every step. Contenders run in processes of their own and in turns; the median over
blocks of CPU time is the steadier figure on a shared machine.

    python benchmarks/training_step.py --schnetpack-python PATH     (see benchmarks/README.md)
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DATA = HERE.parent / "model_recipes" / "data"
#: Frames of each data set: how many of which file. Mixed, an average batch is half and half.
SETS = {"ethanol": {"ethanol": 800}, "mixed": {"ethanol": 400, "water": 400}}
#: Batches that SchNetPack goes through in turn.
N_READY = 12
FEATURES, INTERACTIONS, BASIS, CUTOFF = 128, 3, 20, 5.0


# -- contenders: build(data set, batch size) → a function that makes one step --------------------


def draws(n_frames: int, batch_size: int) -> list[list[int]]:
    """The same random batches for everybody."""
    import numpy as np

    rng = np.random.default_rng(0)
    return [rng.choice(n_frames, batch_size, replace=False).tolist() for _ in range(N_READY)]


def build_painn_ase(data: str, batch_size: int, compiled: bool) -> Callable[[], None]:
    import torch

    from painn_ase.potential import AtomisticPotential
    from painn_ase.training.batches import FrameTensors
    from painn_ase.training.config import DataSpec, TrainConfig, network_to_train
    from painn_ase.training.loss import WeightedLoss
    from painn_ase.training.padding import choose_sizes
    from painn_ase.training.readers import read_frames
    from painn_ase.training.statistics import build_model_spec, compute_statistics
    from painn_ase.training.step import CompiledStep, EagerStep

    labels = ("energy", "forces")
    frames = []
    for name, n in SETS[data].items():
        frames += read_frames(DATA / f"{name}.extxyz", labels=labels)[:n]
    network = network_to_train(
        n_features=FEATURES, n_interactions=INTERACTIONS, n_rbf=BASIS, cutoff=CUTOFF
    )
    config = TrainConfig("benchmark", DataSpec(data), network=network)
    statistics_ = compute_statistics(frames)
    potential = AtomisticPotential(build_model_spec(frames, labels, statistics_, config))
    eager = EagerStep(potential, WeightedLoss(config.loss, labels, statistics_.spread))
    tensors = FrameTensors(frames, CUTOFF, labels)
    sizes = choose_sizes(tensors, batch_size)
    compute = CompiledStep(eager, sizes, tensors.is_periodic) if compiled else eager
    optimizer = torch.optim.AdamW(potential.parameters(), lr=1e-4, fused=True)
    batches = itertools.cycle(draws(len(frames), batch_size))

    def step() -> None:
        loss, _ = compute(tensors.batch(next(batches)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    if compiled:  # every size before the clock runs
        for indices in draws(len(frames), batch_size):
            compute(tensors.batch(indices))
    return step


def build_schnetpack(data: str, batch_size: int) -> Callable[[], None]:
    import schnetpack as spk
    import schnetpack.transform as trn
    import torch
    from ase.io import read
    from schnetpack.interfaces import AtomsConverter

    frames = []
    for name, n in SETS[data].items():
        frames += read(str(DATA / f"{name}.extxyz"), index=f":{n}")
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
    ready = []
    for indices in draws(len(frames), batch_size):
        images = [frames[k] for k in indices]
        shifts = [4215.0 if len(a) == 9 else 0.0 for a in images]
        energies = [a.get_potential_energy() + e for a, e in zip(images, shifts, strict=True)]
        forces = torch.cat([torch.tensor(a.get_forces()) for a in images]).float()
        ready.append((converter(images), torch.tensor(energies).float(), forces))
    batches = itertools.cycle(ready)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        inputs, energy, forces = next(batches)
        result = model(dict(inputs))
        loss = 0.1 * torch.nn.functional.mse_loss(result["energy"], energy)
        loss = loss + torch.nn.functional.mse_loss(result["forces"], forces)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def serve(contender: str, descriptor: int) -> None:
    """Answer requests on standard input: build for a batch size, or make steps and time them."""
    # The folder of a script comes first in the search path, where its neighbours would hide
    # modules of the standard library.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != HERE.resolve()]
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    answers = os.fdopen(descriptor, "w")
    step: Callable[[], None] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {"torch": torch.__version__}
        if "batch" in request:
            if contender == "schnetpack":
                step = build_schnetpack(request["data"], request["batch"])
            else:
                compiled = contender == "painn_ase:compiled"
                step = build_painn_ase(request["data"], request["batch"], compiled)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=sorted(SETS), default=list(SETS))
    parser.add_argument("--batches", type=int, nargs="+", default=[10, 64])
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--schnetpack-python", help="interpreter of SchNetPack's environment")
    parser.add_argument("--no-compile", action="store_true", help="leave out the compiled step")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--answers", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.answers)
        return
    from workers import Worker

    def worker(contender: str, python: str) -> Worker:
        arguments = ["--serve", contender]
        return Worker(contender, python, Path(__file__).name, arguments, options.threads)

    contenders = ["painn_ase:eager"] + ([] if options.no_compile else ["painn_ase:compiled"])
    workers = [worker(c, sys.executable) for c in contenders]
    if options.schnetpack_python:
        workers.append(worker("schnetpack", options.schnetpack_python))
    results: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
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
    for batch, data in itertools.product(options.batches, options.data):
        for one in workers:
            versions[one.contender] = one.ask(data=data, batch=batch)["torch"]
        times: dict[str, list[tuple[float, float]]] = {w.contender: [] for w in workers}
        for block in range(options.blocks):
            for one in workers[:: 1 if block % 2 else -1]:
                # A block is one round through the batches, so that all have seen the same sizes.
                answer = one.ask(steps=N_READY)
                times[one.contender].append((answer["cpu"] / N_READY, answer["wall"] / N_READY))
        for contender, values in times.items():
            cpu, wall = (statistics.median(v) for v in zip(*values, strict=True))
            results.append(
                {
                    "contender": contender,
                    "data": data,
                    "batch": batch,
                    "cpu_ms_per_step": 1e3 * cpu,
                    "wall_ms_per_step": 1e3 * wall,
                    "structures_per_cpu_second": batch / cpu,
                    "blocks_cpu_ms_per_step": [1e3 * c for c, _ in values],
                }
            )
            print(
                f"{data:8s} batch {batch:3d}  {contender:20s} {1e3 * cpu:8.1f} ms CPU "
                f"{batch / cpu:8.0f} /s",
                flush=True,
            )
        path.write_text(json.dumps(report, indent=1) + "\n")
    for one in workers:
        one.close()


if __name__ == "__main__":
    main()
