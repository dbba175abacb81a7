"""Runs that are killed, run out of disk, lose their folder or are told to stop: nothing is lost."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kill_test import KINDS, kill_test, run

from painn_ase.errors import TrajectoryError
from painn_ase.models import save_model
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader, TrajectoryWriter, journal


def equal(a: Path, b: Path) -> bool:
    """Whether two trajectories hold the same frames, bit for bit."""
    with TrajectoryReader(a) as one, TrajectoryReader(b) as two:
        return one.names == two.names and all(
            np.array_equal(one.steps(n), two.steps(n)) and np.array_equal(one.read(n), two.read(n))
            for n in one.names
        )


def exit_code_of(work: Callable[[], object]) -> int:
    """Exit code of `work` in a child: 0, or 7 for a TrajectoryError, or what it exits with."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except TrajectoryError as error:
            named = ("limit", "full", "No space", "too large")
            code = 7 if any(words in str(error) for words in named) else 8
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_killed_runs_equal_the_uninterrupted_one() -> None:
    report = kill_test(12, 24, ("langevin", "npt", "replicas", "command"), seconds=90.0)
    assert not report.faults, report.faults
    assert sum(report.kills.values()) >= 12
    assert report.frames > 0


RANDOM_STEPS = np.random.default_rng(7).integers(1, 24, len(KINDS) - 1).tolist()


@pytest.mark.parametrize(("kind", "stop"), list(zip(KINDS[:-1], RANDOM_STEPS, strict=True)))
def test_interrupted_at_a_random_step_and_continued_equals_uninterrupted(
    kind: str, stop: int, tmp_path: Path
) -> None:
    run(kind, tmp_path / "whole.h5", 24, False)
    run(kind, tmp_path / "parts.h5", 24, False, stop)
    with TrajectoryReader(tmp_path / "parts.h5") as reader:
        assert stop - 2 < reader.steps("positions")[-1] <= stop
    run(kind, tmp_path / "parts.h5", 24, True)
    assert equal(tmp_path / "whole.h5", tmp_path / "parts.h5")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_interrupted_at_every_step_and_continued_equals_uninterrupted(
    kind: str, tmp_path: Path
) -> None:
    run(kind, tmp_path / "whole.h5", 24, False)
    for stop in range(1, 24):
        run(kind, tmp_path / "parts.h5", 24, False, stop)
        run(kind, tmp_path / "parts.h5", 24, True)
        assert equal(tmp_path / "whole.h5", tmp_path / "parts.h5")


@pytest.mark.parametrize("kind", ["nve", "replicas"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_second_process_on_the_same_trajectory_is_refused(
    kind: str, restart: bool, tmp_path: Path
) -> None:
    path = tmp_path / "run.h5"
    run(kind, path, 8, False)
    before = path.read_bytes()
    said = tmp_path / "said.txt"

    def intrude() -> None:
        try:
            run(kind, path, 12, restart)
        except TrajectoryError as error:
            said.write_text(str(error))
            raise

    with TrajectoryWriter.append(path):
        assert exit_code_of(intrude) == 8
    assert "another run" in said.read_text()
    assert path.read_bytes() == before


@pytest.mark.slow
def test_two_hundred_kills() -> None:
    report = kill_test(200, 150)
    assert not report.faults, report.faults
    assert set(report.runs) == set(KINDS)


@pytest.mark.parametrize("kind", ["bussi", "replicas"])
def test_a_file_size_limit_stops_the_run_and_it_goes_on_when_it_is_lifted(
    kind: str, tmp_path: Path
) -> None:
    run(kind, tmp_path / "whole.h5", 60, False)
    size = (tmp_path / "whole.h5").stat().st_size
    parts = tmp_path / "parts.h5"

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        run(kind, parts, 60, False)

    assert exit_code_of(limited) == 7
    run(kind, parts, 60, True)
    assert equal(tmp_path / "whole.h5", parts)


def test_a_full_disk_stops_the_run_and_it_goes_on_after_room_was_made(
    small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    whole = tmp_path / "whole.h5"
    run("langevin", whole, 60, False)
    # The journal needs as much again as what it protects, so this cannot suffice.
    disk = small_disk(int(1.2 * whole.stat().st_size))
    assert exit_code_of(lambda: run("langevin", disk / "parts.h5", 60, False)) == 7
    for kept in disk.iterdir():
        shutil.copy(kept, tmp_path)
    run("langevin", tmp_path / "parts.h5", 60, True)
    assert equal(whole, tmp_path / "parts.h5")


def test_a_folder_that_vanishes_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()

    def vanish() -> None:
        write, count = journal._write_record, 0

        def and_remove(*args: Any) -> None:
            nonlocal count
            count += 1
            if count == 3:
                shutil.rmtree(folder)
            write(*args)

        journal._write_record = and_remove
        run("langevin", folder / "run.h5", 60, False)

    assert exit_code_of(vanish) == 8


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(TrajectoryError, match="permission"):
            run("nve", tmp_path / "run.h5", 4, False)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_command_ends_with_the_code_of_the_signal_and_goes_on(
    number: signal.Signals, tmp_path: Path
) -> None:
    model = save_model(random_potential(4, 1, 3), tmp_path / "m.safetensors")
    common = ["md", str(model), "H2O", "--temperature", "100", "--timestep", "0.1", "--stride", "5",
              "--save-every", "10", "--ensemble", "langevin", "-q"]  # fmt: skip

    def command(name: str, *more: str) -> Callable[[], object]:
        def work() -> None:
            from painn_ase.cli import main

            sys.argv = ["painn-ase", *common, "-o", str(tmp_path / name), *more]
            raise SystemExit(main())

        return work

    def stopped() -> None:
        from painn_ase.md.integrators import Integrator

        step, count = Integrator.step, 0

        def counting(self: Integrator) -> None:
            nonlocal count
            count += 1
            if count == 33:
                os.kill(os.getpid(), number)
            step(self)

        Integrator.step = counting  # type: ignore[method-assign]
        command("parts.h5", "--steps", "60")()

    assert exit_code_of(command("whole.h5", "--steps", "60")) == 0
    assert exit_code_of(stopped) == 128 + number
    with TrajectoryReader(tmp_path / "parts.h5") as reader:
        assert 30 <= reader.steps("positions")[-1] < 60
    assert exit_code_of(command("parts.h5", "--steps", "60", "--restart")) == 0
    assert equal(tmp_path / "whole.h5", tmp_path / "parts.h5")
