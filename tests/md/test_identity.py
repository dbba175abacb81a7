"""A run that goes on is the run that was begun: another system or model is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLengths, FixCom, Hookean
from ase.io import write
from typer.testing import CliRunner

from painn_ase.annotate import annotate_trajectory
from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.cli.structures import read_structure
from painn_ase.errors import GeometryError, TrajectoryError
from painn_ase.md import MDConfig, RecordConfig, load_structure, run_md
from painn_ase.md.state import RunState, read_state, write_state
from painn_ase.models import save_model
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader

RECORD = RecordConfig(positions=1, velocities=1, dipole=1)


def potential(seed: int = 0):
    return random_potential(
        8, 1, 6, 4.0, heads=("energy", "dipole"), dtype=torch.float64, seed=seed
    )


def ion() -> Atoms:
    """HDO⁺, as a structure file says it."""
    atoms = molecule("H2O")
    atoms.set_masses([15.999, 2.014, 1.008])
    atoms.info["charge"] = 1
    return atoms


def begun(folder: Path, atoms: Atoms, steps: int = 2, **settings) -> Path:
    path = folder / "run.h5"
    run_md(atoms, MDConfig(steps=steps, timestep=0.1, record=RECORD, **settings), trajectory=path)
    return path


def going_on(path: Path, atoms: Atoms, steps: int = 4, **settings) -> None:
    config = MDConfig(steps=steps, timestep=0.1, record=RECORD, **settings)
    run_md(atoms, config, trajectory=path, restart=True)


def with_calculator(atoms: Atoms, **options) -> Atoms:
    atoms.calc = PaiNNCalculator(potential(), **options)
    return atoms


def changed(what: str) -> Atoms:
    """The ion with one thing of it another."""
    atoms = with_calculator(ion())
    if what == "masses":
        atoms.set_masses("defaults")
    elif what == "charge":
        atoms.info["charge"] = 0
    elif what == "pbc":
        atoms.pbc = (True, False, False)
    elif what == "cell":
        atoms.cell = [9.0, 9.0, 9.0]
    elif what == "constraints":
        atoms.set_constraint(FixAtoms([0]))
    elif what == "model":
        atoms.calc = PaiNNCalculator(potential(seed=1))
    return atoms


@pytest.mark.parametrize("what", ["masses", "charge", "cell", "constraints", "model"])
def test_a_restart_with_another_system_or_model_is_refused_by_name(
    tmp_path: Path, what: str
) -> None:
    path = begun(tmp_path, with_calculator(ion()))
    before = path.read_bytes()
    with pytest.raises(TrajectoryError, match=f"a run with other {what} "):
        going_on(path, changed(what))
    assert path.read_bytes() == before
    going_on(path, changed("nothing"))


def test_a_restart_in_other_periodicity_is_refused(tmp_path: Path) -> None:
    def slab(pbc) -> Atoms:
        atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.4]], cell=[9, 9, 9], pbc=pbc)
        atoms.calc = EMT()
        return atoms

    record = RecordConfig(positions=1)
    config = MDConfig(steps=1, timestep=0.1, record=record)
    run_md(slab((True, True, False)), config, trajectory=tmp_path / "run.h5")
    with pytest.raises(TrajectoryError, match="other pbc "):
        run_md(slab(True), config, trajectory=tmp_path / "run.h5", restart=True)


def test_another_calculator_of_the_same_structure_is_refused(tmp_path: Path, ethanol) -> None:
    config = MDConfig(steps=1, record=RecordConfig(positions=1))
    run_md(ethanol(), config, trajectory=tmp_path / "run.h5")
    other = ethanol()
    other.calc = EMT()
    with pytest.raises(TrajectoryError, match=r"other model .*Springs.*EMT"):
        run_md(other, config, trajectory=tmp_path / "run.h5", restart=True)


def test_restart_files_of_version_0_1_0_go_on_and_know_masses_and_periodicity(
    tmp_path: Path,
) -> None:
    path = begun(tmp_path, with_calculator(ion()), ensemble="langevin")
    state = path.with_suffix(".state.npz")
    saved = read_state(state)
    header = {k: v for k, v in saved.header.items() if k != "identity"}
    header["constraints"] = [{"name": "FixCom", "kwargs": {}}]  # the run's own
    write_state(state, RunState(saved.step, header, saved.arrays))
    assert not load_structure(state).constraints
    with pytest.raises(TrajectoryError, match="other masses"):
        going_on(path, changed("masses"), ensemble="langevin")
    going_on(path, changed("nothing"), ensemble="langevin")


def test_driver_and_response_with_different_charges_are_a_question(tmp_path: Path) -> None:
    atoms = with_calculator(molecule("H2O"), charge=1)
    config = MDConfig(steps=1, record=RECORD)
    with pytest.raises(GeometryError, match="drives takes a total charge of 1 e, the response"):
        run_md(atoms, config, response=PaiNNCalculator(potential()))


# -- what is said of the system travels ------------------------------------------------------------


@pytest.mark.parametrize("said_by", ["structure", "total_charge", "calculator"])
def test_trajectory_and_restart_file_keep_masses_and_charge(tmp_path: Path, said_by: str) -> None:
    atoms = ion()
    if said_by != "structure":
        del atoms.info["charge"]
    if said_by == "total_charge":
        atoms.info["total_charge"] = 1
    path = begun(tmp_path, with_calculator(atoms, charge=1 if said_by == "calculator" else None))
    with TrajectoryReader(path) as reader:
        frames = [reader.atoms(0), load_structure(path.with_suffix(".state.npz"))]
    for frame in [*frames, read_structure(str(path)), read_structure(f"{path}@0")]:
        assert frame.info["charge"] == 1.0
        np.testing.assert_array_equal(frame.get_masses(), atoms.get_masses())


def test_evaluate_of_our_own_trajectory_finds_the_recorded_dipoles_of_an_ion(
    tmp_path: Path,
) -> None:
    path = begun(tmp_path, with_calculator(ion()))
    calculator = PaiNNCalculator(potential())
    annotate_trajectory(calculator, path, tmp_path / "again.h5", properties=["dipole"])
    with TrajectoryReader(path) as one, TrajectoryReader(tmp_path / "again.h5") as two:
        np.testing.assert_allclose(one.read("dipole"), two.read("dipole"), atol=1e-12)
        assert two.system.charge == 1.0
    # What is typed goes first, and the new file says so.
    neutral = PaiNNCalculator(potential(), charge=0)
    annotate_trajectory(neutral, path, tmp_path / "neutral.h5", properties=["dipole"])
    with TrajectoryReader(tmp_path / "neutral.h5") as three:
        assert three.system.charge == 0.0


@pytest.mark.parametrize("what", ["masses", "charge", "periodicity"])
def test_evaluate_refuses_a_trajectory_whose_frames_are_not_one_system(
    tmp_path: Path, what: str
) -> None:
    first, second = ion(), ion()
    if what == "masses":
        second.set_masses("defaults")
    elif what == "charge":
        second.info["charge"] = 2
    else:
        second.cell, second.pbc = [9.0, 9.0, 9.0], True
    write(tmp_path / "two.traj", [first, second])
    with pytest.raises(TrajectoryError, match=f"frame 1 has other {what}"):
        annotate_trajectory(
            PaiNNCalculator(potential()), tmp_path / "two.traj", tmp_path / "o.h5", timestep=1.0,
            properties=["energy"],
        )  # fmt: skip


def test_constraints_travel_through_trajectory_and_restart_file(tmp_path: Path, ethanol) -> None:
    atoms = ethanol()
    atoms.set_constraint([FixBondLengths([(2, 3)]), Hookean(0, 1, rt=1.6, k=2.0)])
    config = MDConfig(steps=2, record=RecordConfig(positions=1))
    run_md(atoms, config, trajectory=tmp_path / "run.h5")
    with TrajectoryReader(tmp_path / "run.h5") as reader:
        frame = reader.atoms(-1)
    saved = load_structure(tmp_path / "run.state.npz")
    for found in (frame, saved):
        bonds, spring = found.constraints
        assert bonds.pairs.tolist() == [[2, 3]]
        assert bonds.bondlengths[0] == pytest.approx(atoms.get_distance(2, 3), abs=1e-9)
        assert (spring.indices, spring.threshold, spring.spring) == ([0, 1], 1.6, 2.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("model") / "m.safetensors"
    return str(save_model(potential(), file))


def run_cli(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_restart_on_the_command_line_goes_on_as_the_ion_that_the_file_was(
    model: str, tmp_path: Path
) -> None:
    write(tmp_path / "ion.extxyz", ion())
    settings = ("--timestep", 0.02, "--stride", 1, "--dipole", 1, "-q")
    start = ("md", model, tmp_path / "ion.extxyz", *settings)
    run_cli(*start, "-o", tmp_path / "a.h5", "--steps", 2)
    run_cli("md", "-o", tmp_path / "a.h5", "--steps", 4, "--restart", "-q")
    run_cli("md", "-o", tmp_path / "a.h5", "--steps", 6, "--restart", "--charge", 1, "-q")
    run_cli(*start, "-o", tmp_path / "b.h5", "--steps", 6)
    with TrajectoryReader(tmp_path / "a.h5") as one, TrajectoryReader(tmp_path / "b.h5") as two:
        np.testing.assert_array_equal(one.read("dipole"), two.read("dipole"))
        assert one.system.charge == two.system.charge == 1.0


def test_a_restart_on_the_command_line_keeps_every_constraint(model: str, tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.set_constraint([FixCom(), FixBondLengths([(0, 1)])])
    write(tmp_path / "held.traj", atoms)
    path = tmp_path / "run.h5"
    settings = ("--timestep", 0.2, "--stride", 1, "-q", "--ensemble", "langevin")
    run_cli("md", model, tmp_path / "held.traj", "-o", path, "--steps", 10, *settings)
    run_cli("md", "-o", path, "--steps", 40, "--restart", "-q")
    with TrajectoryReader(path) as reader:
        frames = [reader.atoms(k) for k in range(reader.n_frames("positions"))]
    centers = np.array([frame.get_center_of_mass() for frame in frames])
    bonds = np.array([frame.get_distance(0, 1) for frame in frames])
    assert np.abs(centers - centers[0]).max() < 1e-10
    assert np.ptp(bonds) < 1e-9


@pytest.mark.parametrize("what", ["charge", "masses", "constraints"])
def test_naming_another_structure_at_a_restart_is_a_contradiction(
    model: str, tmp_path: Path, what: str
) -> None:
    write(tmp_path / "ion.traj", ion())
    settings = ("--timestep", 0.02, "--stride", 1, "-q")
    run_cli("md", model, tmp_path / "ion.traj", "-o", tmp_path / "a.h5", "--steps", 2, *settings)
    write(tmp_path / "other.traj", changed(what))
    again = ("-o", tmp_path / "a.h5", "--steps", 4, "--restart", "-q")
    with pytest.raises(TrajectoryError, match=f"the structure's {what} was"):
        run_cli("md", model, tmp_path / "other.traj", *again)
    run_cli("md", model, tmp_path / "ion.traj", *again)
