"""`painn-ase md`, `spectrum`, `evaluate` and `demo`, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import DataError, ModelFileError, TrajectoryError
from painn_ase.models import bundled_models, save_model
from painn_ase.spectra import load_spectrum
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader
from painn_ase.units import (
    ase_time_to_fs,
    boltzmann_constant,
    debye_to_e_angstrom,
    e2_angstrom2_per_ev_to_angstrom3,
    e2_per_amu_to_km_per_mol,
)

runner = CliRunner()
needs_water = pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    potential = random_potential(16, 2, 8, 4.0, heads=("energy", "dipole", "polarizability"))
    return str(save_model(potential, tmp_path_factory.mktemp("model") / "m.safetensors"))


def _run(*words: str | Path, code: int = 0) -> str:
    result = runner.invoke(app, [str(w) for w in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def _same(a: Path, b: Path) -> None:
    with TrajectoryReader(a) as one, TrajectoryReader(b) as two:
        assert one.names == two.names
        for name in one.names:
            np.testing.assert_array_equal(one.steps(name), two.steps(name))
            np.testing.assert_array_equal(one.read(name), two.read(name))


def test_md_records_and_steps_are_a_total(model: str, tmp_path: Path) -> None:
    options = ["--ensemble", "langevin", "--timestep", "0.02", "--flux", "2", "--stride", "5"]
    output = _run("md", model, "CH3CH2OH", "-o", tmp_path / "a.h5", "--steps", 20, *options)
    assert "step 20" in output
    _run("md", "-o", tmp_path / "a.h5", "--steps", 40, "--restart")  # the rest is in the file
    _run("md", model, "CH3CH2OH", "-o", tmp_path / "b.h5", "--steps", 40, *options)
    _same(tmp_path / "a.h5", tmp_path / "b.h5")
    with TrajectoryReader(tmp_path / "a.h5") as reader:
        assert reader.steps("dipole_flux")[-1] == 40
        assert reader.n_frames("positions") == 9


@pytest.fixture
def begun(model: str, tmp_path: Path) -> Path:
    """A short Langevin run that can go on."""
    path = tmp_path / "run.h5"
    _run(
        "md", model, "CH3CH2OH", "-o", path, "--steps", 6, "--ensemble", "langevin",
        "--timestep", 0.02, "-T", 350, "--flux", 2, "-q",
    )  # fmt: skip
    return path


def test_restart_with_all_settings_typed_again_is_the_same_run(model: str, begun: Path) -> None:
    _run(
        "md", model, "CH3CH2OH", "-o", begun, "--steps", 8, "--ensemble", "langevin",
        "--timestep", 0.02, "-T", 350, "--flux", 2, "-q", "--restart",
    )  # fmt: skip
    with TrajectoryReader(begun) as reader:
        assert reader.steps("dipole_flux")[-1] == 8
        assert reader.provenance["config"]["temperature"] == 350


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["-T", 400], "--temperature was 350"),
        (["--ensemble", "nve"], "--ensemble was langevin"),
        (["--time-constant", 50], "--time-constant was 100"),
        (["--flux", 4], "record.dipole_flux was 2"),
        (["--stride", 3], "record.positions was 10"),
        (["--charge", 1], "--charge was 0.0"),
        (["--steps", 3], "has done 6 already"),
    ],
)
def test_restart_refuses_what_contradicts_the_run(begun: Path, words: list, named: str) -> None:
    result = runner.invoke(app, [str(w) for w in ("md", "-o", begun, "--restart", *words)])
    assert isinstance(result.exception, TrajectoryError)
    assert named in str(result.exception)


def test_restart_refuses_another_model_structure_or_file_of_settings(
    model: str, begun: Path, tmp_path: Path
) -> None:
    heads = ("energy", "dipole", "polarizability")
    other = save_model(random_potential(16, 2, 8, 4.0, heads=heads, seed=5), tmp_path / "o.st")
    settings = tmp_path / "run.toml"
    settings.write_text("steps = 9\nfriction = 0.5\n")
    for words, named in (
        ([other], "other weights"),
        ([model, "H2O"], "structure was C2OH6"),
        (["--config", settings], "--friction was 0.01"),
    ):
        command = [str(w) for w in ("md", *words, "-o", begun, "--restart")]
        assert named in str(runner.invoke(app, command).exception)


def test_restart_finds_a_model_that_was_moved_when_told_where(model: str, tmp_path: Path) -> None:
    here = tmp_path / "here.safetensors"
    here.write_bytes(Path(model).read_bytes())
    _run("md", here, "H2O", "-o", tmp_path / "a.h5", "--steps", 2, "--timestep", 0.02, "-q")
    there = here.rename(tmp_path / "there.safetensors")
    result = runner.invoke(app, ["md", "-o", str(tmp_path / "a.h5"), "--restart", "--steps", "4"])
    assert "If it was moved" in str(result.exception)
    _run("md", there, "-o", tmp_path / "a.h5", "--restart", "--steps", 4, "-q")
    _run("md", "-o", tmp_path / "a.h5", "--restart", "--steps", 6, "-q")  # it is known from now on


def test_md_without_model_or_restart_file_says_what_is_missing(model: str, tmp_path: Path) -> None:
    for words, named in (
        ([], "no model"),
        ([model], "no structure"),
        (["--restart"], "no restart file beside it"),
    ):
        command = [str(w) for w in ("md", *words, "-o", tmp_path / "a.h5")]
        assert named in str(runner.invoke(app, command).exception)


def test_options_beside_a_file_of_settings_count_more(model: str, tmp_path: Path) -> None:
    settings = tmp_path / "run.toml"
    settings.write_text("steps = 4\ntimestep = 0.02\ntemperature = 50\n")
    _run("md", model, "H2O", "--config", settings, "-T", 70, "-o", tmp_path / "a.h5", "-q")
    with TrajectoryReader(tmp_path / "a.h5") as reader:
        assert reader.provenance["config"]["temperature"] == 70
        assert reader.provenance["config"]["timestep"] == 0.02


def test_md_takes_its_settings_from_a_file(model: str, tmp_path: Path) -> None:
    settings = tmp_path / "run.toml"
    settings.write_text('steps = 4\nensemble = "bussi"\ntimestep = 0.02\n[record]\npositions = 2\n')
    _run("md", model, "CH3CH2OH", "--config", settings, "-o", tmp_path / "a.h5", "-q")
    with TrajectoryReader(tmp_path / "a.h5") as reader:
        assert reader.n_frames("positions") == 3
        assert reader.provenance["config"]["ensemble"] == "bussi"
    settings.write_text("steps = 4\nensamble = 'nve'\n")
    result = runner.invoke(app, ["md", model, "CH3CH2OH", "--config", str(settings)])
    assert "ensamble" in str(result.exception)


def test_md_does_not_overwrite_unasked(model: str, tmp_path: Path) -> None:
    words = ["md", model, "CH3CH2OH", "-o", tmp_path / "a.h5", "--steps", 2, "--timestep", "0.02"]
    _run(*words)
    result = runner.invoke(app, [str(w) for w in words])
    assert "exists" in str(result.exception)
    _run(*words, "--overwrite")


def test_md_stopped_by_a_signal_says_how_to_go_on(model: str, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "painn_ase", "md", model, "CH3CH2OH", "-o", str(tmp_path / "a.h5"),
        "--steps", "1000000", "--timestep", "0.001", "--save-every", "50",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "a.h5").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "--restart" in output
    with TrajectoryReader(tmp_path / "a.h5") as reader:
        assert reader.n_frames("positions") >= 1


def test_evaluate_then_spectrum_of_a_foreign_run(model: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(300):
        atoms = molecule("CH3CH2OH")
        atoms.rattle(0.02, rng=rng)
        frames.append(atoms)
    ase.io.write(tmp_path / "run.traj", frames)
    output = _run(
        "evaluate", model, tmp_path / "run.traj", "-o", tmp_path / "e.h5", "--timestep", 0.5,
        "--extxyz", tmp_path / "e.extxyz",
    )  # fmt: skip
    assert "300 frames" in output
    assert len(ase.io.read(tmp_path / "e.extxyz", index=":")) == 300
    _run("spectrum", tmp_path / "e.h5", "-T", 300, "-o", tmp_path / "s", "--resolution", 600)
    for name in ("infrared.csv", "raman.csv", "spectra.png"):
        assert (tmp_path / "s" / name).stat().st_size > 0


def test_a_failed_evaluate_leaves_nothing_in_the_way_of_the_next(
    model: str, tmp_path: Path
) -> None:
    frames = [molecule("CH3CH2OH") for _ in range(260)]
    ase.io.write(tmp_path / "bad.traj", [*frames, molecule("CH3OH")])
    ase.io.write(tmp_path / "good.traj", frames[:3])
    options = ["-o", str(tmp_path / "e.h5"), "--timestep", "0.5"]
    failed = runner.invoke(app, ["evaluate", model, str(tmp_path / "bad.traj"), *options])
    assert isinstance(failed.exception, TrajectoryError)
    assert not list(tmp_path.glob("e*"))
    assert "3 frames" in _run("evaluate", model, tmp_path / "good.traj", *options)
    kept = (tmp_path / "e.h5").read_bytes()
    again = ["evaluate", model, str(tmp_path / "bad.traj"), *options, "--overwrite"]
    assert isinstance(runner.invoke(app, again).exception, TrajectoryError)
    assert (tmp_path / "e.h5").read_bytes() == kept


@needs_water
@pytest.mark.parametrize("text", ["{", "[]", '{"replicas": "many"}', '{"colour": 1}'])
def test_restart_names_damaged_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    demo = ["demo", "--out", str(tmp_path), "--model", "water", "--molecule", "H2O", "--restart"]
    spectrum = ["spectrum", "water", "H2O", "-o", str(tmp_path), "--restart"]
    for words in (demo, spectrum):
        result = runner.invoke(app, words)
        assert isinstance(result.exception, DataError), result.exception
        assert "settings.json cannot be read" in str(result.exception)


@pytest.mark.parametrize("place", ["results", "info"])
def test_a_users_traj_becomes_infrared_and_raman_by_one_command(tmp_path: Path, place: str) -> None:
    """Dipole where the calculator or the user put it, polarizability in the info; both analytic."""
    step, nu, kelvin = 1.0, 1500.0, 300.0
    amplitude, slope = 0.01, 0.02  # e·Å; e²Å²/eV along the molecule
    frames = []
    for k in range(4000):
        atoms = molecule("HCl")
        wave = np.cos(2 * np.pi * 2.99792458e-5 * nu * step * k)
        dipole = np.array([0.0, 0.0, 0.2 + amplitude * wave])
        if place == "results":
            atoms.calc = SinglePointCalculator(atoms, dipole=dipole)
        else:
            atoms.info["dipole"] = dipole
        atoms.info["polarizability"] = np.diag([0.2, 0.2, 0.3 + slope * wave])
        atoms.info["polarizability_unit"] = "e^2*Å^2/eV"
        frames.append(atoms)
    ase.io.write(tmp_path / "run.traj", frames)
    words = ["spectrum", tmp_path / "run.traj", "--timestep", step, "-T", kelvin]
    output = _run(*words, "-o", tmp_path / "s")
    assert "depolarisation ratio of the whole spectrum: 0.333" in output  # a'=γ'/3: 3/(5 + 4)
    for name in ("infrared", "raman"):
        found = load_spectrum(tmp_path / "s" / f"{name}.csv")
        assert found.frequency[np.argmax(found.intensity)] == pytest.approx(nu, abs=3)
    # N_A⟨μ̇²⟩/(12ε0c²kT), as in the sum rule
    rate = amplitude * 2 * np.pi * 2.99792458e-5 * nu * ase_time_to_fs
    expected = e2_per_amu_to_km_per_mol * 0.5 * rate**2 / (boltzmann_constant * kelvin)
    area = load_spectrum(tmp_path / "s" / "infrared.csv").band_area(1300, 1700)
    assert area.value == pytest.approx(expected, rel=5e-3)
    # the same in other units, from the same command
    debye = [a.copy() for a in frames]
    for changed, atoms in zip(debye, frames, strict=True):
        dipole = atoms.get_dipole_moment() if place == "results" else atoms.info["dipole"]
        changed.info["dipole"] = dipole / debye_to_e_angstrom
        changed.info["polarizability"] = (
            atoms.info["polarizability"] * e2_angstrom2_per_ev_to_angstrom3
        )
    ase.io.write(tmp_path / "run.traj", debye)
    units = ["--dipole-unit", "debye", "--polarizability-unit", "angstrom3"]
    _run(*words, *units, "-o", tmp_path / "t")
    for name in ("infrared", "raman"):
        one, two = (load_spectrum(tmp_path / f / f"{name}.csv") for f in "st")
        np.testing.assert_allclose(two.intensity, one.intensity, rtol=1e-9, atol=1e-9)


def test_spectra_of_a_trajectory_go_into_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("dipoles.npy", np.random.default_rng(0).normal(size=(400, 3)))
    words = ("spectrum", "dipoles.npy", "--timestep", 1, "-T", 300, "--resolution", 1000)
    _run(*words, "--dipole-unit", "Debye")
    assert (tmp_path / "dipoles_spectrum" / "infrared.csv").exists()


def test_nothing_that_exists_is_overwritten_unasked(model: str, tmp_path: Path) -> None:
    frames = [molecule("H2O") for _ in range(40)]
    for k, atoms in enumerate(frames):
        atoms.info["dipole"] = np.array([0.0, 0.0, np.cos(0.3 * k)])
    ase.io.write(tmp_path / "run.extxyz", frames)
    evaluated, picture = tmp_path / "e.h5", tmp_path / "p.png"
    source = tmp_path / "run.extxyz"
    csv = tmp_path / "spectrum" / "infrared.csv"
    commands = {
        csv: ["spectrum", source, "--timestep", 1, "-T", 300, "--resolution", 2000, "-o",
              csv.parent],
        evaluated: ["evaluate", model, source, "--timestep", 1, "-o", evaluated],
        tmp_path / "e.extxyz": ["evaluate", model, source, "--timestep", 1, "-o",
                                tmp_path / "other.h5", "--extxyz", tmp_path / "e.extxyz"],
        picture: ["plot", csv, "-o", picture],
        tmp_path / "modes" / "modes.json": ["harmonic", model, "H2O", "--fmax", 0.1, "-o",
                                            tmp_path / "modes"],
    }  # fmt: skip
    for target, words in commands.items():
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"precious")
        refused = str(runner.invoke(app, [str(w) for w in words]).exception)
        assert str(target) in refused, words
        assert "--overwrite" in refused
        assert target.read_bytes() == b"precious"
        _run(*words, "--overwrite")
        assert target.read_bytes() != b"precious"


@needs_water
def test_spectrum_of_a_model_and_a_molecule(tmp_path: Path) -> None:
    words = [
        "spectrum", "water", "H2O", "-o", tmp_path / "s", "--replicas", 4, "--segment", 0.1,
        "--equilibration", 0.05, "--spacing", 0.02, "-T", 100,
    ]  # fmt: skip
    output = _run(*words)
    assert "report.html" in output
    assert (tmp_path / "s" / "report.html").stat().st_size > 10_000
    refused = str(runner.invoke(app, [str(w) for w in words]).exception)
    assert "--restart" in refused
    assert "--overwrite" in refused
    _run(*words[:-1], 120, "--overwrite")
    assert json.loads((tmp_path / "s" / "settings.json").read_text())["temperature"] == 120
    # what the folder knows need not be typed again, and may not be contradicted
    short = ["spectrum", "water", "H2O", "-o", tmp_path / "s", "--restart"]
    assert "report.html" in _run(*short)
    result = runner.invoke(app, [str(w) for w in (*short, "-T", 90)])
    assert "other settings (temperature)" in str(result.exception)


def test_demo_of_a_model_that_is_not_there_says_which_are(tmp_path: Path) -> None:
    words = ["demo", "--out", str(tmp_path / "demo"), "--model", "nothing-of-this-name"]
    refused = runner.invoke(app, words).exception
    assert isinstance(refused, ModelFileError)
    assert "Bundled: ethanol" in str(refused)
    assert not (tmp_path / "demo").exists()


@needs_water
def test_demo_with_a_trained_model_keeps_to_its_budget(tmp_path: Path) -> None:
    begun = time.monotonic()
    output = _run(
        "demo", "--out", tmp_path / "d", "--model", "water", "--molecule", "H2O", "--budget", 5
    )
    assert "report.html" in output
    assert time.monotonic() - begun < 120
    again = runner.invoke(app, ["demo", "--out", str(tmp_path / "d"), "--molecule", "H2O"])
    assert "--overwrite" in str(again.exception)


@pytest.mark.parametrize("command", ["md", "spectrum", "evaluate", "demo"])
def test_help_teaches(command: str) -> None:
    output = _run(command, "--help")
    assert "--restart" in output or command == "evaluate"
    assert len(output.splitlines()) > 20


def test_what_was_understood_of_a_file_is_printed_and_written(tmp_path: Path) -> None:
    wave = np.cos(2 * np.pi * 2.99792458e-5 * 1700.0 * 0.5 * np.arange(2000))
    table = np.column_stack([5e-4 * np.arange(2000), wave, 0 * wave, 0 * wave])
    header = "time(ps),mu_x(D),mu_y(D),mu_z(D)"
    path = tmp_path / "run.csv"
    np.savetxt(path, table, delimiter=",", header=header, comments="")
    output = _run("spectrum", path, "-T", 300, "--resolution", 100, "-o", tmp_path / "s")
    line = (
        "2000 frames, Δt = 0.5 fs (from column 'time(ps)'), dipole in D (from columns mu_x(D) … "
        "mu_z(D)), T = 300 K (as given), one molecule (no periodic cell in the file)"
    )
    assert line in output
    written = (tmp_path / "s" / "infrared.csv").read_text(encoding="utf-8")
    assert "dipole in D (from columns mu_x(D) … mu_z(D))" in written.splitlines()[0]
    assert load_spectrum(tmp_path / "s" / "infrared.csv").provenance["input"] == line


def test_options_that_would_be_ignored_are_refused(model: str, tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.zeros((400, 3)))
    for option in (["--rotation"], ["--replicas", 3], ["--seed", 1]):
        words = ["spectrum", tmp_path / "d.npy", "--timestep", 1, "-T", 300, *option]
        result = runner.invoke(app, [str(w) for w in words])
        assert isinstance(result.exception, DataError)
        assert f"{option[0]}: says how a run is to be made" in str(result.exception)
    for option in (["--dipole-unit", "D"], ["--key", "dipole=mu"], ["--bulk"]):
        result = runner.invoke(app, ["spectrum", model, "H2O", *map(str, option)])
        assert isinstance(result.exception, DataError)
        assert "says of a file" in str(result.exception)
