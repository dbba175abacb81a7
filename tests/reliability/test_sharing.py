"""Nothing of the process is touched, nothing grows, and several users do not meet."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from leaks import WORK, watch

from painn_ase import PaiNNCalculator
from painn_ase.kernels import available_backends
from painn_ase.md import MDConfig, run_md
from painn_ase.models import load_model, save_model
from painn_ase.potential import AtomisticPotential
from painn_ase.testing import random_atoms, random_potential


def process_state() -> dict[str, Any]:
    """Whatever belongs to the whole process and not to us."""
    return {
        "default dtype": torch.get_default_dtype(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch random": torch.random.get_rng_state().numpy().tobytes(),
        "numpy random": repr(np.random.get_state()),  # noqa: NPY002
        "python random": hash(random.getstate()),
        "numpy errors": np.geterr(),
        "numpy print": repr(np.get_printoptions()),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
        "handlers": (list(logging.root.handlers), list(logging.getLogger("painn_ase").handlers)),
        "filters": list(warnings.filters),
        "threads alive": threading.active_count(),
    }


def _life(potential: AtomisticPotential, backend: str, folder: Path) -> None:
    """A model saved, loaded, evaluated and driven."""
    folder.mkdir()
    model = save_model(potential, folder / "m.safetensors")
    atoms = molecule("CH3OH")
    atoms.calc = PaiNNCalculator(load_model(model), backend=backend)
    atoms.get_forces()
    atoms.get_dipole_moment()
    atoms.calc.get_polarizability(atoms)
    config = MDConfig(steps=4, ensemble="langevin", max_displacement=9.0)
    run_md(atoms, config, trajectory=folder / "run.h5")


@pytest.mark.parametrize("backend", ["eager", "auto"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_whole_life_leaves_the_process_as_it_was(
    backend: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    before_dtype = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        potential = random_potential(8, 2, 4, 4.0, heads=("energy", "dipole", "polarizability"))
        _life(potential, backend, tmp_path / "first")  # other packages set things on import
        before = process_state()
        _life(potential, backend, tmp_path / "second")
        after = process_state()
        assert {k: v for k, v in after.items() if v != before[k]} == {}
    finally:
        torch.set_default_dtype(before_dtype)


def test_several_models_in_several_threads_give_what_each_gives_alone() -> None:
    potentials = [random_potential(8 * (1 + n % 2), 2, 4, 4.0, seed=n) for n in range(4)]
    structures = [random_atoms(5 + n, pbc=bool(n % 2), seed=n) for n in range(6)]
    alone = [[PaiNNCalculator(p).get_property("forces", a) for a in structures] for p in potentials]
    calculators = [PaiNNCalculator(p) for p in potentials]

    def work(n: int) -> bool:
        k, m = n % len(potentials), (7 * n) % len(structures)
        forces = calculators[k].get_property("forces", structures[m].copy())
        return np.array_equal(forces, alone[k][m])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(240)))


def test_forked_children_give_the_same_while_the_parent_computes() -> None:
    calculator = PaiNNCalculator(random_potential(16, 2, 4, 4.0))
    atoms = random_atoms(9, pbc=True)
    expected = calculator.get_property("forces", atoms)
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                moved = atoms.copy()
                moved.rattle(0.01)
                calculator.get_property("forces", moved)
                same = np.array_equal(calculator.get_property("forces", atoms), expected)
                code = 0 if same else 2
            finally:
                os._exit(code)
        children.append(pid)
        calculator.get_property("forces", atoms)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes == [0] * 4
    assert np.array_equal(calculator.get_property("forces", atoms), expected)


FIRST_FORCES = """
import hashlib, sys, time
import numpy as np
from ase.build import molecule
from painn_ase import PaiNNCalculator
from painn_ase.models import load_model
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))  # all begin at one moment
for backend in sys.argv[3:]:
    atoms = molecule("CH3CH2OH")
    atoms.calc = PaiNNCalculator(load_model(sys.argv[1]), backend=backend)
    print(hashlib.sha256(atoms.get_forces().tobytes()).hexdigest())
"""


def test_processes_that_start_at_once_get_the_same_bits(tmp_path: Path) -> None:
    model = save_model(random_potential(16, 2, 8, 4.0), tmp_path / "m.safetensors")
    backends = ["eager", *(b.name for b in available_backends() if b.name != "eager")]
    words = [sys.executable, "-c", FIRST_FORCES, str(model), repr(time.time() + 6.0), *backends]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()  # nothing kept from earlier runs helps or disturbs
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(words, env=environment, **pipes) for _ in range(3)]
    ended = [process.communicate(timeout=180) for process in started]
    assert [process.returncode for process in started] == [0] * 3, [e[1] for e in ended]
    assert len({said for said, _ in ended}) == 1
    assert len(ended[0][0].split()) == len(backends)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p != model]


def test_a_model_file_written_by_several_processes_at_once_is_always_whole(tmp_path: Path) -> None:
    path, potentials = (
        tmp_path / "m.safetensors",
        [random_potential(8, 1, 4, seed=n) for n in (1, 2)],
    )
    known = [p.state_dict()["representation.embedding.weight"] for p in potentials]
    save_model(potentials[0], path)
    writers = []
    for potential in potentials:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for _ in range(60):
                    save_model(potential, path)
                code = 0
            finally:
                os._exit(code)
        writers.append(pid)
    for _ in range(60):
        found = load_model(path).state_dict()["representation.embedding.weight"]
        assert any(torch.equal(found, weight) for weight in known)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in writers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]


TWO_TRAININGS = """
name = "springs"
[data]
path = "frames.extxyz"
n_train = 16
n_validation = 4
[network]
n_features = 4
n_interactions = 1
n_rbf = 4
cutoff = 4.0
[optimizer]
batch_size = 4
[schedule]
epochs = 2
warmup_steps = 2
[runtime]
threads = 1
progress = false
compile = "always"
"""


@pytest.mark.slow
def test_trainings_that_compile_at_once_into_an_empty_cache_end_alike(tmp_path: Path) -> None:
    rng, frames = np.random.default_rng(0), []
    for _ in range(24):
        atoms = molecule("H2O")
        atoms.positions += 0.05 * rng.normal(size=(3, 3))
        atoms.calc = LennardJones(sigma=0.8, epsilon=0.1)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")
    }  # fmt: skip
    started = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        write(folder / "frames.extxyz", frames)
        (folder / "c.toml").write_text(TWO_TRAININGS)
        words = [sys.executable, "-m", "painn_ase", "train", "c.toml"]
        started.append(
            subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        )
    said = [process.communicate(timeout=600)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert (tmp_path / "cache").is_dir()
    assert not any("goes on uncompiled" in text for text in said)
    models = [load_model(tmp_path / n / "runs/springs/springs.safetensors") for n in ("a", "b")]
    one, other = (m.state_dict() for m in models)
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())


@pytest.mark.gpu
def test_calculators_on_gpu_and_cpu_side_by_side_give_what_each_gives_alone() -> None:
    potential = random_potential(16, 2, 8, 4.0, dtype=torch.float64)
    structures = [random_atoms(5 + n, pbc=bool(n % 2), seed=n) for n in range(6)]
    places = ("cpu", "cuda")
    calculators = {
        place: PaiNNCalculator(potential, device=place, dtype="float64") for place in places
    }
    alone = {
        place: [calculators[place].get_property("forces", a).copy() for a in structures]
        for place in places
    }
    for on_cpu, on_gpu in zip(alone["cpu"], alone["cuda"], strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-9)

    def work(n: int) -> float:
        place, m = places[n % 2], (5 * n) % len(structures)
        forces = calculators[place].get_property("forces", structures[m].copy())
        return float(np.abs(forces - alone[place][m]).max())

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(120))) < 1e-10
    assert potential.device == torch.device("cpu")


@pytest.mark.parametrize("name", WORK)
def test_memory_and_open_files_stay(name: str) -> None:
    report = watch(name, 2000 if name.startswith("fused") else 40)
    assert report["growth_in_last_half_mib"] < 2.0, report
    assert report["open_files"][0] == report["open_files"][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", WORK)
def test_memory_and_open_files_stay_for_very_long(name: str) -> None:
    report = watch(name, max(200, int(100_000 * WORK[name][2])))
    assert report["growth_in_last_half_mib"] < 2.0, report
    assert report["open_files"][0] == report["open_files"][1]
