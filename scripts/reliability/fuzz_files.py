"""Damaged files into every reader: only errors of painn_ase may come out.

    python scripts/reliability/fuzz_files.py model --count 100000

Each file is altered from a sound one by a seed of its own, so that every case can be repeated with
``--first SEED --count 1``. The reader runs in a child process with a limit on its memory and an
alarm; a child that dies or hangs is counted, and a new one goes on behind the case. An audit hook
notes whatever would run code, start a process, open a connection or write outside the scratch
folder. What comes out are counts, as JSON.
"""

from __future__ import annotations

import argparse
import collections
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from corpus import TARGETS, Target

from painn_ase.errors import PaiNNError

__all__ = ["Report", "fuzz"]

#: Seconds a file may take, and seconds after which a child that does not answer is killed.
_PATIENCE, _DEADLINE = 20.0, 60.0
#: Files one child reads.
_BATCH = 5000
#: What a child may allocate beyond what it has after reading the sound files.
_HEADROOM = 1 << 30
#: Audit events that no reader has reason to raise.
_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen",
              "socket.connect", "socket.bind", "pickle.find_class", "os.remove", "os.rename",
              "os.rmdir", "shutil.", "ctypes.dlopen", "ftplib", "urllib", "webbrowser",
              "sqlite3.enable_load_extension")  # fmt: skip


class _TooSlow(BaseException):
    """Raised by the alarm; no reader's ``except Exception`` can swallow it."""


@dataclass
class Report:
    """Outcomes of one target by kind."""

    target: str
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0
    peak_mib: float = 0.0

    @property
    def count(self) -> int:
        """Files read or refused so far."""
        return sum(self.outcomes.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "target": self.target,
            "files": self.count,
            "outcomes": dict(self.outcomes.most_common()),
            "faults": len(self.faults),
            "first_faults": self.faults[:20],
            "seconds": round(self.seconds, 1),
            "slowest_file_seconds": round(self.slowest, 3),
            "memory_beyond_sound_files_mib": round(self.peak_mib, 1),
        }


def fuzz(
    name: str, count: int, first: int = 0, folder: Path | None = None, seconds: float = 1e9
) -> Report:
    """Read `count` damaged files of one target, or what `seconds` allow; seeds from `first`."""
    target, report = TARGETS[name], Report(name)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder or _fast_folder(), prefix="fuzz-") as scratch:
        sources = [path.read_bytes() for path in target.make(Path(scratch))]
        seed = first
        while seed < first + count and time.monotonic() - started < seconds:
            end = min(first + count, seed + _BATCH)
            seed = _run_child(target, sources, Path(scratch), seed, end, report)
        if (Path(scratch) / "canary").exists():
            report.outcomes["CODE RAN"] += 1
            report.faults.append({"kind": "CODE RAN", "seed": None})
    report.seconds = time.monotonic() - started
    return report


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _run_child(
    target: Target, sources: list[bytes], scratch: Path, seed: int, end: int, report: Report
) -> int:
    """Read from `seed` on in a child; the seed to go on with."""
    progress = mmap.mmap(-1, 16)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        _child(target, sources, scratch, seed, end, progress, write_end)
    os.close(write_end)
    killed = _watch(child, progress, read_end)
    _, status = os.waitpid(child, 0)
    with os.fdopen(read_end, "rb") as pipe:
        _collect(killed[0] + pipe.read(), report)
    (done,) = struct.unpack("<q", progress[:8])
    if status == 0:
        return end
    at = seed + done
    kind = "HANG" if killed[1] else f"CRASH: status {status}"
    report.outcomes[kind] += 1
    report.faults.append({"kind": kind, "seed": at})
    return at + 1


def _watch(child: int, progress: mmap.mmap, pipe: int) -> tuple[bytes, bool]:
    """Wait for the child's output; kill it when it stands still."""
    os.set_blocking(pipe, False)
    collected, last, since = b"", -1, time.monotonic()
    while True:
        try:
            part = os.read(pipe, 1 << 16)
            if not part:
                os.set_blocking(pipe, True)
                return collected, False
            collected += part
            continue
        except BlockingIOError:
            time.sleep(0.02)
        (done,) = struct.unpack("<q", progress[:8])
        if done != last:
            last, since = done, time.monotonic()
        elif time.monotonic() - since > _DEADLINE:
            os.kill(child, signal.SIGKILL)
            os.set_blocking(pipe, True)
            return collected, True


def _collect(lines: bytes, report: Report) -> None:
    for line in lines.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the last line of a child that was killed
        report.outcomes[entry["kind"]] += entry.get("n", 1)
        if "fault" in entry:
            report.faults.append(entry)
        report.slowest = max(report.slowest, entry.get("slowest", 0.0))
        report.peak_mib = max(report.peak_mib, entry.get("peak_mib", 0.0))


def _child(
    target: Target,
    sources: list[bytes],
    scratch: Path,
    seed: int,
    end: int,
    progress: mmap.mmap,
    pipe: int,
) -> None:
    """Read files until `end`; leaves by ``os._exit``."""
    code = 1
    try:
        path = scratch / f"case{target.suffix}"
        for data in sources:  # imports and caches happen here, before the limits
            path.write_bytes(data)
            _outcome(target, path)
        events = _watch_events(scratch)
        _limit_memory()
        before = _peak_mib()
        signal.signal(signal.SIGALRM, _too_slow)
        out = os.fdopen(pipe, "wb", buffering=0)
        counts: collections.Counter[str] = collections.Counter()
        slowest = 0.0
        for n in range(seed, end):
            progress[:8] = struct.pack("<q", n - seed)
            rng = random.Random(f"{target.suffix}-{n}")
            try:
                data = target.mutate(rng.choice(sources), rng)
            except Exception:  # HDF5 itself refuses to write some alterations
                data = rng.choice(sources)[: rng.randrange(200)]
            path.write_bytes(data)
            events.clear()
            started = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
            kind, fault = _outcome(target, path)
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            slowest = max(slowest, time.monotonic() - started)
            if events and fault is None:
                kind, fault = "FORBIDDEN", "; ".join(events[:3])
            if fault is None:
                counts[kind] += 1
            else:
                _send(out, {"kind": kind, "fault": fault, "seed": n})
            if n % 100 == 99 or n == end - 1:
                for name, number in counts.items():
                    _send(out, {"kind": name, "n": number})
                counts.clear()
                _send(out, {"kind": "-", "n": 0, "slowest": slowest,
                            "peak_mib": _peak_mib() - before})  # fmt: skip
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _send(out: Any, entry: dict[str, Any]) -> None:
    out.write(json.dumps(entry).encode() + b"\n")


def _outcome(target: Target, path: Path) -> tuple[str, str | None]:
    """What became of a file, and the report where it should not have."""
    try:
        target.read(path)
    except PaiNNError as error:
        return f"refused: {type(error).__name__}", None
    except _TooSlow:
        return "TOO SLOW", traceback.format_exc(limit=-3)
    except BaseException as error:
        return f"ESCAPED: {type(error).__name__}", traceback.format_exc(limit=-4)
    return "read", None


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise _TooSlow


def _watch_events(scratch: Path) -> list[str]:
    """A list that fills with forbidden events."""
    seen: list[str] = []
    inside = str(scratch)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            seen.append(f"{event} {args!r:.200}")
        elif event == "open" and len(args) > 2 and isinstance(args[2], int):
            writes = args[2] & (os.O_WRONLY | os.O_RDWR)
            if writes and inside not in str(args[0]) and isinstance(args[0], str):
                seen.append(f"open for writing {args[0]!r:.200}")

    sys.addaudithook(hook)
    return seen


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + _HEADROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("targets", nargs="+", choices=[*TARGETS, "all"])
    parser.add_argument("--count", type=int, default=100_000, help="damaged files per reader")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop each reader after these")
    parser.add_argument("--output", type=Path, help="folder for one JSON file per reader")
    options = parser.parse_args()
    if not 0 < options.count <= 10_000_000:
        parser.error("--count must lie between 1 and 10 million")
    names = list(TARGETS) if "all" in options.targets else options.targets
    faults = 0
    for name in names:
        report = fuzz(name, options.count, options.first, seconds=options.seconds)
        faults += len(report.faults)
        text = json.dumps(report.to_dict(), indent=1)
        print(text, flush=True)
        if options.output is not None:
            options.output.mkdir(parents=True, exist_ok=True)
            (options.output / f"fuzz_{name}.json").write_text(text + "\n", encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    raise SystemExit(main())
