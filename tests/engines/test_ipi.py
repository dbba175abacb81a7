"""i-PI with a model of ours: its numbers are ours, and a killed process loses no step."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from typer.testing import CliRunner

pytest.importorskip("ipi")

from ipi.utils.units import unit_to_internal, unit_to_user

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.engines.ipi import IPIConfig, gather, run_ipi, write_input
from painn_ase.engines.ipi_driver import PaiNNDriver
from painn_ase.errors import SpecError, TrajectoryError, UnstableRunError
from painn_ase.models import bundled_models, save_model
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader

pytestmark = pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model")
SHORT = IPIConfig(beads=4, steps=40, stride=2, seed=3)


def test_a_batch_of_beads_has_the_calculators_numbers_in_ipis_units(tmp_path, monkeypatch) -> None:
    write_input(tmp_path, "water", molecule("H2O"), SHORT)
    monkeypatch.chdir(tmp_path)
    driver = PaiNNDriver("water", "template.extxyz")
    calculator = PaiNNCalculator("water", dtype="float64")
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(3):
        frame = molecule("H2O")
        frame.positions += 0.05 * rng.normal(size=(3, 3))
        frames.append(frame)
    positions = [unit_to_internal("length", "angstrom", f.positions) for f in frames]
    found = driver.compute([np.eye(3) * 400.0] * 3, positions)
    for frame, (energy, forces, virial, extras) in zip(frames, found, strict=True):
        frame.calc = calculator
        assert unit_to_user("energy", "electronvolt", energy) == pytest.approx(
            frame.get_potential_energy(), abs=1e-8
        )
        np.testing.assert_allclose(
            unit_to_user("force", "ev/ang", forces), frame.get_forces(), atol=1e-8
        )
        np.testing.assert_array_equal(virial, 0.0)
        assert str(frame.get_dipole_moment()[2])[:8] in extras
    single = driver.compute(np.eye(3) * 400.0, positions[0])
    assert single[0] == pytest.approx(found[0][0], abs=1e-10)


def test_the_virial_of_a_crystal_is_the_stress_times_the_volume(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(random_potential(8, 1, 4, 3.0, elements=(29,)), tmp_path / "m.safetensors")
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.write("template.extxyz")
    driver = PaiNNDriver("m.safetensors", "template.extxyz")
    cell = unit_to_internal("length", "angstrom", atoms.cell[:].T)
    _, _, virial, _ = driver.compute(cell, unit_to_internal("length", "angstrom", atoms.positions))
    atoms.calc = PaiNNCalculator("m.safetensors", dtype="float64")
    expected = -atoms.get_stress(voigt=False) * atoms.get_volume()
    np.testing.assert_allclose(unit_to_user("energy", "electronvolt", virial), expected, atol=1e-7)


@pytest.mark.parametrize("clients", [0, 2])
def test_a_run_starts_from_the_models_energy_and_gathers_means_over_beads(
    tmp_path, clients
) -> None:
    config = IPIConfig(beads=4, steps=20, stride=2, seed=3, clients=clients)
    path = run_ipi(tmp_path / "r", "water", molecule("H2O"), config)
    atoms = molecule("H2O")
    atoms.calc = PaiNNCalculator("water", dtype="float64")
    table = np.loadtxt(tmp_path / "r" / "run.out")
    assert table[0, 5] == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    with TrajectoryReader(path) as reader:
        assert reader.steps("dipole").tolist() == list(range(0, 21, 2))
        np.testing.assert_allclose(reader.read("dipole")[0], atoms.get_dipole_moment(), atol=1e-7)
        alpha = reader.read("polarizability")[0]
        np.testing.assert_allclose(alpha, atoms.calc.get_polarizability(atoms), atol=1e-7)
    with pytest.raises(TrajectoryError, match="--restart"):
        run_ipi(tmp_path / "r", "water", molecule("H2O"), config)


def test_the_first_step_of_ipi_has_the_calculators_energy_and_forces(tmp_path) -> None:
    folder, config = tmp_path / "r", IPIConfig(method="nve", beads=1, steps=2, stride=1)
    atoms = molecule("H2O")
    atoms.rattle(0.03, seed=2)
    write_input(folder, "water", atoms, config)
    text = (folder / "input.xml").read_text()
    asked = (
        "<properties filename='pot'> [ step, potential{electronvolt} ] </properties>"
        "<trajectory filename='for' format='xyz'> forces{ev/ang} </trajectory>"
    )
    (folder / "input.xml").write_text(text.replace("<checkpoint", asked + "<checkpoint", 1))
    run_ipi(folder, "water", atoms, config, restart=True)
    atoms.calc = PaiNNCalculator("water", dtype="float64")
    energy = np.loadtxt(folder / "run.pot")[0, 1]
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-8, abs=1e-8)
    rows = (folder / "run.for_0.xyz").read_text().splitlines()[2:5]
    forces = np.array([[float(x) for x in row.split()[1:4]] for row in rows])
    # i-PI prints six digits behind the first
    np.testing.assert_allclose(forces, atoms.get_forces(), rtol=1e-5, atol=1e-5)


def _kill_now_and_then(folder: Path, times: int, whom: str, every: int) -> threading.Thread:
    """SIGKILL to processes of a run, each time it has made some more steps."""

    def kill() -> None:
        done = 0
        while done < times:
            time.sleep(0.1)
            table = folder / "run.out"
            n_rows = len(table.read_text().splitlines()) if table.exists() else 0
            if n_rows < 6 + every * (done + 1):
                continue
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    here = os.readlink(process / "cwd") == str(folder)
                except OSError:
                    continue
                if here and any(word.endswith(whom.encode()) for word in words):
                    os.kill(int(process.name), signal.SIGKILL)
                    done += 1
                    break

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize(
    ("whom", "clients", "times", "steps"),
    [
        ("i-pi", 0, 2, 400),
        ("i-pi-driver-py", 2, 1, 240),
        pytest.param("i-pi", 0, 10, 2000, marks=pytest.mark.slow),
        pytest.param("i-pi-driver-py", 2, 10, 2000, marks=pytest.mark.slow),
    ],
)
def test_a_killed_process_loses_no_step_and_doubles_none(
    tmp_path, whom, clients, times, steps
) -> None:
    folder = tmp_path / "r"
    config = IPIConfig(beads=2, steps=steps, stride=2, seed=3, clients=clients)
    folder.mkdir()
    killer = _kill_now_and_then(folder, times, whom, 60)
    path = run_ipi(folder, "water", molecule("H2O"), config)
    killer.join(5.0)
    assert not killer.is_alive()
    with TrajectoryReader(path) as reader:
        assert reader.steps("dipole").tolist() == list(range(0, steps + 1, 2))
        jumps = np.linalg.norm(np.diff(reader.read("dipole"), axis=0), axis=1)
    # the dipole goes on where it was
    assert jumps.max() < 0.1


def test_a_run_that_cannot_be_is_given_up_with_the_end_of_its_log(tmp_path) -> None:
    folder = tmp_path / "r"
    write_input(folder, "water", molecule("H2O"), SHORT)
    text = (folder / "input.xml").read_text().replace("<forces>", "<forces><nonsense/>")
    (folder / "input.xml").write_text(text)
    with pytest.raises(UnstableRunError, match="nonsense"):
        run_ipi(folder, "water", molecule("H2O"), SHORT, restart=True, most_restarts=1)
    with pytest.raises(TrajectoryError, match="no dipoles"):
        gather(folder, molecule("H2O"), SHORT)


@pytest.mark.parametrize(
    "wrong", [{"method": "cmd"}, {"beads": 0}, {"method": "nve", "beads": 2}, {"tau": 0.0}]
)
def test_impossible_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError):
        IPIConfig(**wrong)


def test_the_command_leaves_a_file_that_a_spectrum_is_made_of(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(
        app,
        [
            "ipi",
            "water",
            "H2O",
            "-o",
            "r",
            "--beads",
            "2",
            "--steps",
            "300",
            "--stride",
            "2",
            "--method",
            "trpmd",
        ],
    )
    assert made.exit_code == 0, made.output
    done = CliRunner().invoke(app, ["spectrum", "r/run.h5", "-o", "s", "--resolution", "400"])
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    assert Path("s/infrared.csv").exists()


def test_a_restart_with_other_settings_model_or_molecule_is_refused(tmp_path) -> None:
    folder = tmp_path / "r"
    write_input(folder, "water", molecule("H2O"), SHORT)
    others = [
        ("water", "H2O", replace(SHORT, beads=8), "beads"),
        ("formaldehyde", "H2O", SHORT, "model"),
        ("water", "H2O2", SHORT, "structure"),
    ]
    for model, name, config, what in others:
        with pytest.raises(TrajectoryError, match=rf"begun with other settings \({what}\)"):
            run_ipi(folder, model, molecule(name), config, restart=True)
