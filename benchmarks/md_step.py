"""One molecular-dynamics step in ASE: painn_ase beside SchNetPack's SpkCalculator, in one run.

Velocity Verlet (0.5 fs, 300 K start) with PaiNN, or another ``--network``, of 128 features, 3
interactions, 20 Bessel functions and a 5 Å cutoff, random weights, energy and forces. Every
contender lives in a process of its own; blocks of steps are measured in turn, so that a busy
machine treats all alike, and the median over blocks is reported. ``aspirin-x64`` is 64 copies
evaluated as one batch, with pair lists made once by everybody. CPU time (all threads of the
process) is the steadier figure on a shared machine; wall time is beside it.

    python benchmarks/md_step.py --schnetpack-python PATH     (see benchmarks/README.md)
    python benchmarks/md_step.py --contenders painn_ase:eager painn_ase:fused --systems ethanol
    python benchmarks/md_step.py --device cuda --schnetpack-python PATH
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from systems import SYSTEMS
from workers import Worker

HERE = Path(__file__).parent
#: Steps of one block, by system: about as long as a pair list with a skin lives, less where a
#: step takes seconds.
STEPS = {"ethanol": 40, "aspirin": 40, "water-192": 10, "water-1536": 4, "aspirin-x64": 5}


@dataclass
class Measurement:
    """Times of one contender on one system, milliseconds a step, one entry a block."""

    contender: str
    system: str
    n_atoms: int
    steps_per_block: int
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    peak_memory_mib: float = 0.0

    @property
    def wall(self) -> float:
        """Median wall time of a step, ms."""
        return statistics.median(self.wall_ms)

    @property
    def cpu(self) -> float:
        """Median CPU time of a step, ms."""
        return statistics.median(self.cpu_ms)


def measure(workers: list[Worker], system: str, options: argparse.Namespace) -> list[Measurement]:
    """Blocks of all contenders on one system, in turn, until time or count is reached."""
    steps = options.steps or STEPS[system]
    rows = [Measurement(w.contender, system, SYSTEMS[system], steps) for w in workers]
    for worker in workers:
        worker.versions = worker.ask(system=system)["versions"]
        worker.ask(steps=min(steps, 5))  # warm-up
    begin = time.perf_counter()
    for block in range(options.blocks):
        # turned round each time, so that nobody always runs after the same neighbour
        for worker, row in list(zip(workers, rows, strict=True))[:: 1 if block % 2 else -1]:
            answer = worker.ask(steps=steps)
            row.wall_ms.append(1e3 * answer["wall"] / steps)
            row.cpu_ms.append(1e3 * answer["cpu"] / steps)
            row.peak_memory_mib = answer["peak_memory_mib"]
        if block >= 4 and time.perf_counter() - begin > options.seconds:
            break
    return rows


def print_table(rows: list[Measurement]) -> None:
    """The medians of one system; ratios are SchNetPack's CPU time over the contender's."""
    reference = min((r.cpu for r in rows if r.contender.startswith("schnetpack")), default=None)
    for row in rows:
        ratio = f"{reference / row.cpu:6.1f}x" if reference else "      –"
        print(
            f"{row.system:12s} {row.contender:18s} {row.cpu:10.3f} {row.wall:10.3f} {ratio}"
            f" {len(row.cpu_ms):6d} {row.peak_memory_mib:9.0f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument(
        "--contenders",
        nargs="+",
        default=["painn_ase:eager", "painn_ase:auto"],
        help="painn_ase:BACKEND; SchNetPack's two are added by --schnetpack-python",
    )
    parser.add_argument("--schnetpack-python", help="interpreter of SchNetPack's environment")
    parser.add_argument("--network", default="painn", choices=["painn", "schnet", "so3net"])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=30, help="at most so many blocks each")
    parser.add_argument("--seconds", type=float, default=60.0, help="aim per system")
    parser.add_argument("--steps", type=int, default=0, help="steps a block (default: by system)")
    parser.add_argument("--output", type=Path, help="JSON file (default: under results/)")
    options = parser.parse_args()

    asked = options.network, options.device, options.dtype
    settings = ["--network", options.network, "--device", options.device, "--dtype", options.dtype]

    def worker(contender: str, python: str) -> Worker:
        return Worker(contender, python, "md_worker.py", [contender, *settings], options.threads)

    workers = [worker(c, sys.executable) for c in options.contenders]
    if options.schnetpack_python:
        workers += [worker(c, options.schnetpack_python) for c in ("schnetpack", "schnetpack:skin")]
    print(f"{', '.join(asked)}, {options.threads} thread(s), ms a step (medians)")
    print("system       contender             CPU       wall   ratio blocks  peak MiB")
    rows: list[Measurement] = []
    for system in options.systems:
        rows += (measured := measure(workers, system, options))
        print_table(measured)
    report = {
        "benchmark": "md_step",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform()},
        "network": options.network,
        "device": options.device,
        "gpu": _gpu() if options.device.startswith("cuda") else None,
        "dtype": options.dtype,
        "threads": options.threads,
        "versions": {w.contender: w.versions for w in workers},
        "results": [{**asdict(r), "median_cpu_ms": r.cpu, "median_wall_ms": r.wall} for r in rows],
    }
    for contender in workers:
        contender.close()
    network = "" if options.network == "painn" else f"_{options.network}"
    name = f"md_step_{options.device.replace(':', '')}_{options.threads}t{network}.json"
    path = options.output or HERE / "results" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written: {path}")


def _cpu() -> str:
    """Name of the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


if __name__ == "__main__":
    main()
