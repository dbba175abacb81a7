"""Labelling with ASE calculators: resuming after kills, refusals, failures, what training reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.io import read, write
from typer.testing import CliRunner

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.errors import DataError, PaiNNWarning, SpecError
from painn_ase.labeling import (
    CalculatorEngine,
    LabelFile,
    LabelReport,
    PySCFEngine,
    label_frames,
    make_engine,
)
from painn_ase.training.readers import read_frames

EMT_ENGINE = CalculatorEngine("ase.calculators.emt:EMT", "EMT")
SLOW = """
import os, time
from ase.calculators.emt import EMT

class Slow(EMT):
    def calculate(self, *args, **kwargs):
        with open("pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
        time.sleep(0.05)
        super().calculate(*args, **kwargs)
"""


def copper(n: int) -> list[Atoms]:
    """`n` rattled cells, each told from the others by its name."""
    frames = []
    for number in range(n):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=number)
        atoms.info["name"] = f"cell {number}"
        frames.append(atoms)
    return frames


def labelled(frames: list[Atoms], path: Path) -> LabelReport:
    with ThreadPoolExecutor(1) as executor:
        return label_frames(frames, EMT_ENGINE, path, executor=executor)


def check_against_emt(path: Path, frames: list[Atoms]) -> None:
    """Every frame stands in the file once, with EMT's numbers."""
    found = read(path, ":")
    assert sorted(a.info["label_frame"] for a in found) == list(range(len(frames)))
    for atoms in found:
        given = frames[atoms.info["label_frame"]].copy()
        assert atoms.info["name"] == given.info["name"]
        given.calc = EMT()
        assert atoms.get_potential_energy() == pytest.approx(given.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(atoms.get_forces(), given.get_forces(), atol=2e-8)


def test_only_what_is_missing_is_done(tmp_path: Path) -> None:
    frames, path = copper(5), tmp_path / "out.extxyz"
    first = labelled(frames[:3], path)
    assert (first.n_before, first.n_labelled) == (0, 3)
    begun = path.read_bytes()
    second = labelled(frames, path)
    assert (second.n_before, second.n_labelled) == (3, 2)
    assert path.read_bytes().startswith(begun)
    check_against_emt(path, frames)


def test_a_half_written_frame_is_cut_off_wherever_it_ends(tmp_path: Path) -> None:
    frames, path = copper(2), tmp_path / "out.extxyz"
    labelled(frames[:1], path)
    one = path.read_bytes()
    labelled(frames, path)
    both = path.read_bytes()
    for end in (*range(len(one), len(both) - 20, 23), *range(len(both) - 20, len(both))):
        path.write_bytes(both[:end])
        with LabelFile(path, EMT_ENGINE, frames) as file:
            assert file.done == {0}, end
        assert path.read_bytes() == one
    for end in (*range(6), *range(6, len(one), 23)):
        path.write_bytes(one[:end])
        with LabelFile(path, EMT_ENGINE, frames) as file:
            assert file.done == set(), end
    labelled(frames, path)
    check_against_emt(path, frames)


def killed_often(tmp_path: Path, n_kills: int, n_frames: int) -> None:
    """Kill the command again and again, then let it end."""
    path = tmp_path / "out.extxyz"
    write(tmp_path / "frames.extxyz", copper(n_frames))
    frames = read(tmp_path / "frames.extxyz", ":")
    (tmp_path / "slow_emt.py").write_text(SLOW)
    command = [sys.executable, "-m", "painn_ase", "label", "frames.extxyz", "-o", "out.extxyz"]
    command += ["--engine", "slow_emt:Slow", "--processes", "2"]
    random = np.random.default_rng(n_kills)
    killed, size = 0, 0
    while killed < n_kills:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
        while (path.stat().st_size if path.exists() else 0) <= size:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.06))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed, size = killed + 1, path.stat().st_size
    last = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    check_against_emt(path, frames)
    deadline = time.monotonic() + 20
    while left := [pid for pid in (tmp_path / "pids").read_text().split() if is_alive(pid)]:
        assert time.monotonic() < deadline, f"processes {left} outlive the one that was killed"
        time.sleep(0.1)


def is_alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


needs_kill = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


@needs_kill
def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    killed_often(tmp_path, n_kills=1, n_frames=20)


@needs_kill
@pytest.mark.slow
def test_twenty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    killed_often(tmp_path, n_kills=20, n_frames=200)


def test_another_level_engine_or_frames_are_refused_by_name(tmp_path: Path) -> None:
    frames, path = copper(2), tmp_path / "out.extxyz"
    labelled(frames, path)
    before = path.read_bytes()
    others = [
        (CalculatorEngine(EMT_ENGINE.name, "LDA"), frames, "level 'EMT'.*'LDA'"),
        (CalculatorEngine("ase.calculators.lj:LennardJones", "EMT"), frames, "engine .*emt:EMT"),
        (EMT_ENGINE, frames[::-1], "other frames"),
        (EMT_ENGINE, frames[:1], "frame 1 is not"),
    ]
    for engine, given, says in others:
        with pytest.raises(DataError, match=says):
            label_frames(given, engine, path)
    with (
        LabelFile(path, EMT_ENGINE, frames),
        pytest.raises(DataError, match="another run"),
    ):
        LabelFile(path, EMT_ENGINE, frames)
    assert path.read_bytes() == before


@pytest.mark.parametrize("cut", [0, 1, 20], ids=["whole", "end cut", "more cut"])
def test_a_file_of_somebody_else_is_refused_and_left_alone(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "mine.extxyz"
    write(path, copper(2))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut])
    with pytest.raises(DataError, match="no file of this command"):
        label_frames(copper(2), EMT_ENGINE, path)
    assert path.read_bytes() == content[: len(content) - cut]


def test_frames_that_fail_are_listed_and_tried_again(tmp_path: Path) -> None:
    frames = copper(3)
    frames[1].numbers[0] = 26  # EMT has no parameters of iron
    write(tmp_path / "in.extxyz", frames)
    arguments = ["label", str(tmp_path / "in.extxyz"), "--engine", EMT_ENGINE.name]
    arguments += ["-o", str(tmp_path / "out.extxyz"), "--processes", "1"]
    for n_before in (0, 2):
        with pytest.warns(PaiNNWarning, match="no dipole and no polarizability"):
            result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2, result.output
        assert "frame 1 has no labels" in result.output
        assert f"{n_before} before, 1 failed" in result.output
    assert {a.info["label_frame"] for a in read(tmp_path / "out.extxyz", ":")} == {0, 2}


def test_training_reads_every_label_in_the_right_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "our_water.py").write_text(
        "from painn_ase import PaiNNCalculator\n"
        "def make():\n    return PaiNNCalculator('water', dtype='float64')\n"
    )
    monkeypatch.chdir(tmp_path)
    water = molecule("H2O")
    water.rattle(0.05, seed=1)
    water.info |= {"energy": 1.0, "polarizability": np.ones(9), "dipole": np.ones(3)}
    engine = make_engine("our_water:make")
    with ThreadPoolExecutor(1) as executor:
        label_frames([water], engine, "out.extxyz", executor=executor)
    stored = read("out.extxyz")
    assert stored.info["polarizability_unit"] == "Angstrom^3"
    names = ("energy", "forces", "dipole", "polarizability")
    (frame,) = read_frames(tmp_path / "out.extxyz", labels=names)
    rounded = Atoms(stored.numbers, stored.positions)
    rounded.calc = PaiNNCalculator("water", dtype="float64")
    for name in names:
        label = getattr(frame, name)
        expected = rounded.calc.get_property(name, rounded)
        np.testing.assert_allclose(label, np.reshape(expected, np.shape(label)), atol=1e-6)


def test_bad_calls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="unknown engine 'gaussian'"):
        make_engine("gaussian")
    with pytest.raises(SpecError, match="functional/basis"):
        make_engine("pyscf", "b3lyp")
    with pytest.raises(SpecError, match="gives no calculator"):
        label_frames(copper(1), make_engine("no_such_module:make"), tmp_path / "o.extxyz")
    with pytest.raises(DataError, match="no frames"):
        label_frames([], EMT_ENGINE, tmp_path / "o.extxyz")
    assert not (tmp_path / "o.extxyz").exists()


@pytest.mark.parametrize(
    ("basis", "diffuse"),
    [("def2-svpd", True), ("def2-tzvppd", True), ("aug-cc-pvdz", True), ("6-31++g**", True),
     ("ma-def2-svp", True), ("def2-svp", False), ("6-31g(2df,p)", False), ("cc-pvdz", False),
     ("def2-tzvpp", False)],
)  # fmt: skip
def test_a_basis_without_diffuse_functions_is_warned_of(basis: str, diffuse: bool) -> None:
    assert bool(PySCFEngine(f"pbe/{basis}").cautions()) is not diffuse
