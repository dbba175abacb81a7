"""Kill a run again and again, restart it each time, and compare with one that was left alone.

    python scripts/reliability/kill_test.py --kills 200

A run of molecular dynamics happens in a child process that is killed with SIGKILL: half of the
times at a random moment, half inside a random operation on its files (in the middle of a write,
before a sync, between two renames), which tears journals, trajectories and restart files. Each kill
is followed by a restart. When a run is through, its trajectory must hold every frame exactly once,
in order, and equal that of the uninterrupted run bit for bit.
"""

from __future__ import annotations

import argparse
import collections
import functools
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.io import write

from painn_ase import PaiNNCalculator
from painn_ase.cli import main as main_of_command
from painn_ase.md import MDConfig, RecordConfig, run_md
from painn_ase.md.replicas import ReplicaConfig, run_replicas
from painn_ase.models import save_model
from painn_ase.testing import random_atoms, random_potential
from painn_ase.trajectory import TrajectoryReader, journal

__all__ = ["KINDS", "Report", "kill_test"]

KINDS = (
    "nve", "langevin", "baoab", "bussi", "nose-hoover", "npt", "replicas", "beads", "command",
)  # fmt: skip


def _potential() -> Any:
    return random_potential(16, 2, 8, 4.0, seed=1)


def _atoms(seed: int = 3) -> Atoms:
    """A dense periodic box, so that the pair list has a history worth saving."""
    return random_atoms(10, pbc=True, spacing=1.5, seed=seed)


class StopAt:
    """Sends this process SIGTERM at one step, as a batch system would."""

    def __init__(self, step: int | None) -> None:
        self._step = step

    def wants(self, step: int) -> bool:
        """Whether it is that step."""
        return step == self._step

    def observe(self, frame: object) -> None:
        """Send the signal."""
        os.kill(os.getpid(), signal.SIGTERM)

    def after(self, step: int, note: str) -> None:
        """The same for replicas, which report their progress."""
        if self.wants(step):
            self.observe(None)


def run(kind: str, path: Path, steps: int, restart: bool, stop: int | None = None) -> None:
    """The run of one kind, begun or continued, at will stopped at a step."""
    if kind == "command":
        _command(path, steps, restart)
        return
    if kind in ("replicas", "beads"):
        settings: dict[str, Any] = {"ensemble": "pimd", "beads": 4, "bead_stride": 3}
        config = ReplicaConfig(
            steps=steps, record=(), energy_stride=2, position_stride=2, save_every=7,
            max_displacement=9.0, **(settings if kind == "beads" else {}),
        )  # fmt: skip
        starts = [_atoms() for _ in range(3)]
        for n, start in enumerate(starts):
            start.set_velocities(start.get_velocities() * (1.0 + 0.1 * n))
        run_replicas(_potential(), starts, config, trajectory=path, restart=restart,
                     overwrite=True, progress=StopAt(stop).after)  # fmt: skip
        return
    atoms = _atoms()
    atoms.calc = PaiNNCalculator(_potential())
    record = RecordConfig(positions=1, velocities=2, forces=3, energies=2)
    config = MDConfig(
        steps=steps, ensemble=kind, temperature=400.0, save_every=7, record=record,
        max_displacement=9.0,
    )  # fmt: skip
    run_md(
        atoms, config, trajectory=path, restart=restart, overwrite=True, observers=[StopAt(stop)]
    )


_SETTINGS = """steps = {}
ensemble = "bussi"
temperature = 400.0
save_every = 7
max_displacement = 9.0
[record]
positions = 1
velocities = 2
energies = 2
"""


def _command(path: Path, steps: int, restart: bool) -> None:
    """A run as a user types it: ``painn-ase md``."""
    folder = path.parent
    model, structure, settings = (folder / n for n in ("m.safetensors", "a.extxyz", "c.toml"))
    if not model.exists():
        settings.write_text(_SETTINGS.format(steps), encoding="utf-8")
        write(structure, _atoms())
        save_model(_potential(), model)
    words = [str(model), str(structure), "--config", str(settings), "--overwrite"]
    words = ["md", *(["--restart"] if restart else words), "-o", str(path), "--quiet"]
    before, sys.argv = sys.argv, ["painn-ase", *words]
    try:
        main_of_command()
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"painn-ase {' '.join(words)} ended with {end.code}") from end
    finally:
        sys.argv = before


@dataclass
class Report:
    """What happened."""

    kills: collections.Counter[str] = field(default_factory=collections.Counter)
    runs: collections.Counter[str] = field(default_factory=collections.Counter)
    frames: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "kills": sum(self.kills.values()),
            "killed": dict(self.kills),
            "finished_runs": dict(self.runs),
            "frames_compared_bitwise": self.frames,
            "faults": self.faults[:10],
            "seconds": round(self.seconds, 1),
        }


def kill_test(
    kills: int, steps: int, kinds: tuple[str, ...] = KINDS, seed: int = 0, seconds: float = 3600.0
) -> Report:
    """Kill at least `kills` times, in turn among `kinds`; ends after `seconds` at the latest."""
    rng, report, started = random.Random(seed), Report(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-") as name:
        folder = Path(name)
        whole, lasts = {}, {}
        for kind in kinds:
            whole[kind] = folder / f"{kind}.h5"
            begun = time.monotonic()
            run(kind, whole[kind], steps, False)
            lasts[kind] = time.monotonic() - begun
        turn = 0
        while sum(report.kills.values()) < kills and not report.faults:
            kind = kinds[turn % len(kinds)]
            turn += 1
            path = folder / f"run{turn}.h5"
            _until_through(kind, path, steps, rng, report, kills // len(kinds) + 1, lasts[kind])
            if not report.faults:
                report.frames += _compare(whole[kind], path, report)
                report.runs[kind] += 1
            print(f"{kind}: {sum(report.kills.values())} kills", file=sys.stderr, flush=True)
            if time.monotonic() - started > seconds:
                break
    report.seconds = time.monotonic() - started
    return report


def _until_through(
    kind: str, path: Path, steps: int, rng: random.Random, report: Report, most: int, lasts: float
) -> None:
    """Run in children that are killed, until one comes to the end; left alone a run `lasts`."""
    n = 0
    while True:
        state = path.with_suffix(".state.npz")
        before = state.with_name(state.name + ".previous")
        begun = state.exists() or before.exists()
        operation = rng.randrange(1, 60) if rng.random() < 0.5 and n < most else 0
        moment = rng.uniform(0.0, 0.5 * lasts) if not operation and n < most else None
        status = _child(functools.partial(run, kind, path, steps, begun), operation, moment)
        if status == 0:
            return
        n += 1
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            report.faults.append(f"{kind}: child ended with status {status} after {n} kills")
            return
        report.kills["inside a file operation" if operation else "at a random moment"] += 1


def _child(work: Callable[[], None], operation: int, moment: float | None) -> int:
    """Fork, do `work`, die at the given file operation or moment; the wait status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if operation:
                _die_inside(operation)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    if moment is not None:
        deadline = time.monotonic() + moment
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return status
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _die_inside(operation: int) -> None:
    """Replace this process's file operations by ones of which the given one is the last."""
    count = 0

    def last() -> bool:
        nonlocal count
        count += 1
        return count >= operation

    def wrap(home: Any, name: str) -> None:
        original = getattr(home, name)

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if last():
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        setattr(home, name, guarded)

    write_all = journal._write_all

    def torn(file: Any, data: bytes) -> None:
        if last():
            write_all(file, bytes(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write_all(file, data)

    savez = np.savez

    def torn_savez(file: Any, **members: Any) -> None:
        if last():
            whole = io.BytesIO()
            savez(whole, **members)
            file.write(whole.getvalue()[: whole.tell() // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        savez(file, **members)

    journal._write_all = torn
    np.savez = torn_savez
    for name in ("fsync", "replace"):
        wrap(os, name)


def _compare(whole: Path, parts: Path, report: Report) -> int:
    """Number of frames, all equal; notes what is not."""
    frames = 0
    with TrajectoryReader(whole) as a, TrajectoryReader(parts) as b:
        if a.names != b.names:
            report.faults.append(f"{parts.name} holds {b.names}, not {a.names}")
            return 0
        for name in a.names:
            same = np.array_equal(a.steps(name), b.steps(name))
            same = same and np.array_equal(a.times(name), b.times(name))
            if not (same and np.array_equal(a.read(name), b.read(name))):
                report.faults.append(f"{whole.name}: {name} differs from the uninterrupted run")
            frames += a.n_frames(name)
    return frames


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="at least so many")
    parser.add_argument("--steps", type=int, default=300, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after these")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    if not 0 < options.kills <= 100_000:
        parser.error("--kills must lie between 1 and 100000")
    torch.set_num_threads(1)
    report = kill_test(options.kills, options.steps, seed=options.seed, seconds=options.seconds)
    text = json.dumps(report.to_dict(), indent=1)
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n", encoding="utf-8")
    return 1 if report.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
