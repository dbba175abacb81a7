"""Many frames labelled by processes of one thread each, resumable after any kill."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time as clock
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from ase import Atoms

from painn_ase.errors import DataError, LabelingError
from painn_ase.labeling.label_file import LabelFile
from painn_ase.labeling.labels import Engine, Labels

__all__ = ["LabelReport", "label_frames"]

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class LabelReport:
    """What a run did.

    Attributes
    ----------
    n_before : int
        Frames that the file held already.
    n_labelled : int
        Frames added.
    failures : mapping of int to str
        Number of a frame → why it has no labels; a rerun tries it again.
    cpu_seconds : float
        Spent on the frames added.
    """

    n_before: int
    n_labelled: int
    failures: Mapping[int, str]
    cpu_seconds: float


def label_frames(
    frames: Sequence[Atoms],
    engine: Engine,
    output: str | Path,
    *,
    processes: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> LabelReport:
    """Label frames into an extxyz file, each on disk when it is done.

    Repeated with the same arguments it does only what is missing. A script that calls it needs
    ``if __name__ == "__main__":`` as every script does that starts processes.

    Parameters
    ----------
    frames : sequence of Atoms
        ``info["charge"]`` is the total charge.
    engine : Engine
        See :func:`make_engine`.
    output : str or Path
        Frames stand in it in the order they are done; ``label_frame`` is their number.
    processes : int, optional
        Of one thread each; by default one for every core this process may use.
    executor : concurrent.futures.Executor, optional
        Does the work instead of processes of this machine; it has to bring the engine's package.
    progress : callable, optional
        Called with frames done now, frames to do, and a note, at the start and after each.

    Raises
    ------
    DataError
        For no frames, or an output of another engine, level or other frames.
    SpecError, MissingDependencyError
        For an engine that cannot do this, or cannot run here.
    """
    if not frames:
        raise DataError("there are no frames to label.")
    if processes is not None and processes < 1:
        raise DataError(f"processes must be at least 1; got {processes}.")
    engine.check(frames)
    with LabelFile(Path(output), engine, frames) as file:
        n_before = len(file.done)
        missing = [number for number in range(len(frames)) if number not in file.done]
        failures: dict[int, str] = {}
        spent = 0.0
        tell = progress or (lambda done, total, note: None)
        tell(0, len(missing), f"{n_before} there already")
        with _pool(executor, processes or _cores(), len(missing)) as pool:
            tasks = {pool.submit(_label, engine, frames[n]): n for n in missing}
            for n_done, (number, outcome, seconds) in enumerate(_results(tasks), start=1):
                if isinstance(outcome, Labels):
                    file.append(number, outcome, seconds)
                    spent += seconds
                else:
                    failures[number] = outcome
                tell(n_done, len(missing), f"{len(failures)} failed" if failures else "")
    return LabelReport(n_before, len(missing) - len(failures), failures, spent)


def _label(engine: Engine, atoms: Atoms) -> tuple[Labels | str, float]:
    """Labels, or why there are none, and CPU seconds; this runs in the other process."""
    started = clock.process_time()
    outcome: Labels | str
    try:
        outcome = engine.label(atoms)
        outcome.check()
    except LabelingError as error:
        outcome = str(error)
    return outcome, clock.process_time() - started


def _results(
    tasks: Mapping[Future[tuple[Labels | str, float]], int],
) -> Iterator[tuple[int, Labels | str, float]]:
    """Number, outcome and seconds of tasks as they are done."""
    try:
        for task in as_completed(tasks):
            yield tasks[task], *task.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a labelling process died, most likely for want of memory; the frames done so far are "
            "kept. Take fewer --processes and run the same again."
        ) from error


@contextmanager
def _pool(executor: Executor | None, processes: int, n_tasks: int) -> Iterator[Executor]:
    """The executor given, or processes of one thread that end with this one."""
    if executor is not None:
        yield executor
        return
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # for the processes started below
    pool = ProcessPoolExecutor(
        max(1, min(processes, n_tasks)),
        # fork would copy threads of torch and BLAS in whatever state they are
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_with_parent() -> None:
    """See to it that a killed parent leaves no process behind that waits for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
