"""Runs that conserve energy, stop when told, explode with words, and continue bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import (
    SpecError,
    TrajectoryError,
    UnstableRunError,
    UnsupportedPropertyError,
)
from painn_ase.md import LogLines, MDConfig, RecordConfig, load_structure, run_md
from painn_ase.md.state import RunState, previous_path, read_state, write_state
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader

ENSEMBLES = ["nve", "langevin", "baoab", "bussi", "nose-hoover"]
EVERYTHING = RecordConfig(positions=3, velocities=1, energies=2, forces=5, dipole=1)


class StopAt:
    """Sends this process a signal at one step, as a batch system would."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        self.step, self.number = step, number

    def wants(self, step: int) -> bool:
        return step == self.step

    def observe(self, frame) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(0.01)


def _equal_trajectories(a: Path, b: Path) -> None:
    with TrajectoryReader(a) as one, TrajectoryReader(b) as two:
        assert one.names == two.names
        for name in one.names:
            np.testing.assert_array_equal(one.steps(name), two.steps(name))
            np.testing.assert_array_equal(one.read(name), two.read(name), err_msg=name)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("stop", [1, 7, 30])
def test_stopped_and_continued_equals_uninterrupted(tmp_path, ethanol, ensemble, stop) -> None:
    config = MDConfig(steps=60, ensemble=ensemble, save_every=13, record=EVERYTHING, seed=5)
    whole = ethanol()
    run_md(whole, config, trajectory=tmp_path / "whole.h5")

    first = ethanol()
    result = run_md(first, config, trajectory=tmp_path / "parts.h5", observers=[StopAt(stop)])
    assert (result.step, result.completed, result.signal) == (stop, False, signal.SIGTERM)
    second = ethanol()
    result = run_md(second, config, trajectory=tmp_path / "parts.h5", restart=True)
    assert (result.step, result.completed) == (60, True)
    np.testing.assert_array_equal(second.positions, whole.positions)
    np.testing.assert_array_equal(second.arrays["momenta"], whole.arrays["momenta"])
    _equal_trajectories(tmp_path / "whole.h5", tmp_path / "parts.h5")


def test_npt_restart_is_bitwise(tmp_path) -> None:
    def copper():
        atoms = bulk("Cu", cubic=True)
        atoms.calc = LennardJones(sigma=2.3, epsilon=0.4, rc=4.0, smooth=True)
        return atoms

    config = MDConfig(
        steps=40, ensemble="npt", timestep=2.0, pressure_time_constant=200,
        record=RecordConfig(positions=1),
    )  # fmt: skip
    whole = copper()
    run_md(whole, config, trajectory=tmp_path / "whole.h5")
    run_md(copper(), config, trajectory=tmp_path / "parts.h5", observers=[StopAt(17)])
    second = copper()
    run_md(second, config, trajectory=tmp_path / "parts.h5", restart=True)
    np.testing.assert_array_equal(second.cell[:], whole.cell[:])
    _equal_trajectories(tmp_path / "whole.h5", tmp_path / "parts.h5")


def test_steps_are_a_total_and_can_be_raised(tmp_path, ethanol) -> None:
    config = MDConfig(steps=20, ensemble="langevin", record=EVERYTHING)
    run_md(ethanol(), config, trajectory=tmp_path / "a.h5")
    result = run_md(ethanol(), config, trajectory=tmp_path / "a.h5", restart=True)
    assert result.step == 20  # nothing left to do
    longer = replace(config, steps=45)
    run_md(ethanol(), longer, trajectory=tmp_path / "a.h5", restart=True)
    run_md(ethanol(), longer, trajectory=tmp_path / "b.h5")
    _equal_trajectories(tmp_path / "a.h5", tmp_path / "b.h5")


def test_restart_with_other_settings_is_refused(tmp_path, ethanol) -> None:
    config = MDConfig(steps=20, ensemble="langevin")
    run_md(ethanol(), config, state=tmp_path / "s.npz")
    with pytest.raises(TrajectoryError, match="temperature was 300"):
        run_md(
            ethanol(), replace(config, temperature=310.0), state=tmp_path / "s.npz", restart=True
        )


def test_damaged_restart_file_falls_back_to_the_one_before(tmp_path) -> None:
    path = tmp_path / "s.npz"
    write_state(path, RunState(1, {"a": 1}, {"x": np.arange(3.0)}))
    write_state(path, RunState(2, {"a": 2}, {"x": np.arange(4.0)}))
    assert read_state(path).step == 2
    path.write_bytes(path.read_bytes()[:100])
    assert read_state(path).step == 1
    previous_path(path).unlink()
    with pytest.raises(TrajectoryError, match="damaged"):
        read_state(path)


def test_unwritable_restart_file_leaves_the_last_one(tmp_path, monkeypatch) -> None:
    path = tmp_path / "s.npz"
    write_state(path, RunState(1, {}, {"x": np.arange(3.0)}))

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("painn_ase.replacing.os.fsync", full)
        with pytest.raises(TrajectoryError, match="No space left"):
            write_state(path, RunState(2, {}, {}))
    assert read_state(path).step == 1
    assert list(tmp_path.glob(".*.part")) == []


SCRIPT = """
import sys
from ase.build import molecule
sys.path.insert(0, {tests!r})
from conftest import Springs
from painn_ase.md import MDConfig, RecordConfig, run_md
atoms = molecule("CH3CH2OH")
atoms.calc = Springs(atoms)
config = MDConfig(steps=1200, ensemble="langevin", save_every=50, seed=5,
                  record=RecordConfig(positions=3, velocities=1, energies=2))
path = sys.argv[1]
from pathlib import Path
restart = Path(path).with_suffix(".state.npz").exists()
print("go", flush=True)
run_md(atoms, config, trajectory=path, restart=restart, overwrite=not restart)
"""


# Hundreds of kills, over all kinds of runs, are the business of scripts/reliability/kill_test.py.
@pytest.mark.parametrize("n_kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_and_restarted_equals_uninterrupted(tmp_path, n_kills) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    rng = np.random.default_rng(0)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(path: Path) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, env=environment
        )
        process.stdout.readline()
        return process

    for _ in range(n_kills):
        process = start(tmp_path / "killed.h5")
        time.sleep(0.05 + 0.2 * rng.random())
        process.kill()
        process.wait()
    for name in ("killed.h5", "whole.h5"):
        assert start(tmp_path / name).wait(timeout=120) == 0
    _equal_trajectories(tmp_path / "killed.h5", tmp_path / "whole.h5")


def test_second_run_on_the_same_trajectory_is_refused(tmp_path, ethanol) -> None:
    class Intruder:
        def wants(self, step: int) -> bool:
            return step == 3

        def observe(self, frame) -> None:
            with pytest.raises(TrajectoryError, match="another run"):
                run_md(ethanol(), config, trajectory=tmp_path / "a.h5", overwrite=True)

    config = MDConfig(steps=5)
    run_md(ethanol(), config, trajectory=tmp_path / "a.h5", observers=[Intruder()])


def test_nve_energy_error_falls_with_the_square_of_the_time_step(ethanol) -> None:
    errors = []
    for timestep in (0.25, 0.5, 1.0):
        energies = []

        class Energies:
            def wants(self, step: int) -> bool:
                return True

            def observe(self, frame, energies=energies) -> None:
                energies.append(frame.conserved_energy)

        atoms = ethanol()
        steps = int(200 / timestep)
        run_md(atoms, MDConfig(steps=steps, timestep=timestep, seed=3), observers=[Energies()])
        errors.append(np.std(energies))
    slope = np.polyfit(np.log([0.25, 0.5, 1.0]), np.log(errors), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("ensemble", ["nve", "bussi", "nose-hoover"])
def test_conserved_energy_does_not_drift(ethanol, ensemble) -> None:
    result = run_md(ethanol(), MDConfig(steps=1500, ensemble=ensemble, timestep=0.25))
    assert result.drift is not None
    assert abs(result.drift) < 1e-3  # eV per atom and ps


def test_explosion_names_atom_and_step_and_keeps_the_state_before(tmp_path, ethanol) -> None:
    atoms = ethanol()
    config = MDConfig(steps=200, record=RecordConfig(positions=1))

    class Kick:
        def wants(self, step: int) -> bool:
            return step == 33

        def observe(self, frame) -> None:
            frame.atoms.arrays["momenta"][4] = 1e3

    with pytest.raises(UnstableRunError, match=r"step 34, atom 4 \(H\)") as caught:
        run_md(atoms, config, trajectory=tmp_path / "a.h5", observers=[Kick()])
    assert "a.state" in str(caught.value)
    assert read_state(tmp_path / "a.state.npz").step == 30
    broken = ase.io.read(tmp_path / "a.state.failed.extxyz")
    assert len(broken) == 9
    result = run_md(ethanol(), config, trajectory=tmp_path / "a.h5", restart=True)
    assert result.completed


def test_the_broken_frame_keeps_isotopes_and_charge(tmp_path, ethanol) -> None:
    atoms = ethanol()
    masses = atoms.get_masses()
    masses[3] = 2.014
    atoms.set_masses(masses)
    atoms.calc = PaiNNCalculator(random_potential(16, 2, 8, 4.0), charge=-1.0)
    atoms.set_velocities(np.full((9, 3), 50.0) * np.arange(9)[:, None])
    config = MDConfig(steps=9, velocities="keep")
    with pytest.raises(UnstableRunError):
        run_md(atoms, config, trajectory=tmp_path / "a.h5")
    broken = ase.io.read(tmp_path / "a.state.failed.extxyz")
    np.testing.assert_allclose(broken.get_masses(), masses)
    assert broken.info["charge"] == -1.0


def test_not_a_number_stops_the_run(ethanol) -> None:
    atoms = ethanol()
    atoms.calc.stiffness = float("nan")
    with pytest.raises(UnstableRunError, match="not a number"):
        run_md(atoms, MDConfig(steps=5))


def test_drift_limit_stops_the_run(ethanol) -> None:
    with pytest.raises(UnstableRunError, match="max_drift"):
        run_md(ethanol(), MDConfig(steps=2000, timestep=1.0, max_drift=1e-6))


def test_runaway_temperature_stops_the_run(ethanol) -> None:
    atoms = ethanol()
    atoms.positions *= 1.3
    with pytest.raises(UnstableRunError, match="temperature reached"):
        run_md(atoms, MDConfig(steps=100, max_temperature=1000))


@pytest.mark.parametrize("driver", ["emt", "lj"])
def test_painn_gives_dipoles_beside_another_programs_forces(tmp_path, driver) -> None:
    model = PaiNNCalculator(
        random_potential(16, 2, 8, 4.0, heads=("energy", "dipole", "polarizability"))
    )
    atoms = molecule("CH3CH2OH")
    atoms.calc = EMT() if driver == "emt" else LennardJones(sigma=1.0, epsilon=0.01)
    record = RecordConfig(
        positions=4, velocities=4, dipole=2, dipole_flux=1, polarizability=4, polarizability_flux=1
    )
    config = MDConfig(steps=12, timestep=0.02, temperature=300, record=record)
    run_md(atoms, config, trajectory=tmp_path / "a.h5", response=model)
    with TrajectoryReader(tmp_path / "a.h5") as reader:
        frame = reader.atoms(2)  # step 8
        np.testing.assert_allclose(
            reader.read("dipole_flux")[8], model.get_dipole_flux(frame), rtol=1e-5, atol=1e-8
        )
        np.testing.assert_allclose(
            reader.read("polarizability")[2], model.get_polarizability(frame), rtol=1e-5, atol=1e-8
        )
        assert reader.provenance["calculator"]["class"] in ("EMT", "LennardJones")
        assert reader.provenance["response"]["model"]["name"] == "random"
        # the flux is the time derivative of the dipole that was recorded
        dipole = reader.read("dipole")
        central = (dipole[2:] - dipole[:-2]) / (2 * 0.04) * 10.180506
        np.testing.assert_allclose(
            central, reader.read("dipole_flux")[2:-2:2], rtol=0.05, atol=1e-3
        )


def test_restart_with_a_painn_model_is_bitwise(tmp_path) -> None:
    def build():
        atoms = molecule("CH3CH2OH")
        atoms.calc = PaiNNCalculator(random_potential(16, 2, 8, 4.0, heads=("energy", "dipole")))
        return atoms

    record = RecordConfig(positions=1, dipole_flux=2)
    config = MDConfig(steps=24, ensemble="langevin", record=record)
    run_md(build(), config, trajectory=tmp_path / "whole.h5")
    run_md(build(), config, trajectory=tmp_path / "parts.h5", observers=[StopAt(11)])
    run_md(build(), config, trajectory=tmp_path / "parts.h5", restart=True)
    _equal_trajectories(tmp_path / "whole.h5", tmp_path / "parts.h5")


def test_quantity_nobody_can_give_is_named(tmp_path, ethanol) -> None:
    config = MDConfig(steps=2, record=RecordConfig(polarizability=1))
    with pytest.raises(UnsupportedPropertyError, match="polarizability"):
        run_md(ethanol(), config, trajectory=tmp_path / "a.h5")


def test_structure_comes_back_from_a_restart_file(tmp_path, ethanol) -> None:
    atoms = ethanol()
    run_md(atoms, MDConfig(steps=5), state=tmp_path / "s.npz")
    loaded = load_structure(tmp_path / "s.npz")
    np.testing.assert_array_equal(loaded.positions, atoms.positions)
    np.testing.assert_array_equal(loaded.get_momenta(), atoms.get_momenta())


def test_log_lines_carry_the_numbers(ethanol) -> None:
    lines: list[str] = []
    run_md(ethanol(), MDConfig(steps=100), observers=[LogLines(50, lines.append)])
    assert len(lines) == 4
    assert "steps/s" in lines[0]
    assert lines[-1].split()[0] == "100"


def test_runs_in_a_thread_without_touching_signals(ethanol) -> None:
    before = signal.getsignal(signal.SIGTERM)
    results = []
    config = MDConfig(steps=5)
    thread = threading.Thread(target=lambda: results.append(run_md(ethanol(), config)))
    thread.start()
    thread.join()
    assert results[0].completed
    run_md(ethanol(), config)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "data",
    [
        {"steps": -1},
        {"steps": 1, "timestep": 0},
        {"steps": 1, "ensemble": "magic"},
        {"steps": 1, "temprature": 300},
        {"steps": 1, "temperature": float("nan")},
        {"steps": 1, "ensemble": "bussi", "temperature": 0},
        {"steps": 1, "record": {"positions": -2}},
        {"steps": 1.5},
    ],
)
def test_wrong_settings_are_refused(data) -> None:
    with pytest.raises(SpecError):
        MDConfig.from_dict(data)


def test_configuration_round_trips() -> None:
    config = MDConfig(steps=3, ensemble="bussi", record=RecordConfig(dipole=2))
    assert MDConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("stop", [9, 20])
def test_restart_of_a_crystal_keeps_the_pair_list_that_rounding_depends_on(tmp_path, stop) -> None:
    model = random_potential(8, 1, 6, 3.5, elements=(29,))

    def build():
        atoms = bulk("Cu", cubic=True) * (2, 1, 1)
        atoms.calc = PaiNNCalculator(model, skin=0.3)
        return atoms

    config = MDConfig(
        steps=40, ensemble="langevin", timestep=3.0, temperature=1500,
        record=RecordConfig(positions=1),
    )  # fmt: skip
    run_md(build(), config, trajectory=tmp_path / "whole.h5")
    run_md(build(), config, trajectory=tmp_path / "parts.h5", observers=[StopAt(stop)])
    run_md(build(), config, trajectory=tmp_path / "parts.h5", restart=True)
    _equal_trajectories(tmp_path / "whole.h5", tmp_path / "parts.h5")


@pytest.mark.parametrize("name", ["ensemble", "center_of_mass", "rotation", "velocities", "guard"])
def test_words_that_mean_nothing_are_refused_with_those_that_do(name: str) -> None:
    """`nose_hoover` was a raw KeyError once the run began."""
    with pytest.raises(SpecError, match=rf"{name} is one of \w+.*; got 'nose_hoover'"):
        MDConfig(steps=1, **{name: "nose_hoover"})
