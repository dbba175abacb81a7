"""`painn-ase harmonic` and `painn-ase plot`, from a model to pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read, write
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.models import save_model
from painn_ase.spectra import HarmonicResult, load_spectrum
from painn_ase.testing import random_potential

runner = CliRunner()
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    heads = ("energy", "dipole", "polarizability")
    potential = random_potential(32, 2, heads=heads)  # has a bent water
    return str(save_model(potential, tmp_path_factory.mktemp("model") / "m.safetensors"))


@pytest.fixture(scope="module")
def folder(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("modes")
    result = runner.invoke(
        app, ["harmonic", model, "H2O", "-o", str(target), "--animate", "--check"]
    )
    assert result.exit_code == 0, (result.output, result.exception)
    (target / "output").write_text(result.output, encoding="utf-8")
    return target


def test_water_has_three_vibrations_with_intensities_and_a_zero_point(folder: Path) -> None:
    output = (folder / "output").read_text(encoding="utf-8")
    for word in ("km/mol", "Å^4/amu", "zero-point energy", "Gibbs energy", "relaxed below"):
        assert word in output
    modes = HarmonicResult.load(folder / "modes.json")
    assert len(modes.frequencies) == 3
    assert modes.n_imaginary == 0
    assert modes.infrared is not None
    assert modes.raman is not None


def test_frequencies_agree_with_finite_differences_of_ase_vibrations(folder: Path) -> None:
    lines = (folder / "output").read_text(encoding="utf-8").splitlines()
    start = next(k for k, line in enumerate(lines) if "ASE/cm^-1" in line)
    differences = [float(line.split()[3]) for line in lines[start + 1 : start + 4]]
    assert np.abs(differences).max() < 1.0


def test_spectra_carry_the_harmonic_areas(folder: Path) -> None:
    modes = HarmonicResult.load(folder / "modes.json")
    spectrum = load_spectrum(folder / "infrared.csv")
    assert modes.infrared is not None
    np.testing.assert_allclose(spectrum.band_area().value, modes.infrared.sum(), rtol=0.05)


def test_the_relaxed_structure_and_the_animation_can_be_opened(folder: Path) -> None:
    assert len(read(folder / "relaxed.xyz")) == 3
    assert len(read(folder / "mode_01.xyz", index=":")) == 24


def test_spectra_become_a_picture_with_sticks(folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "ir.png"
    files = [str(folder / "infrared.csv"), str(folder / "raman.csv")]
    options = ["--sticks", str(folder / "modes.json"), "--descending", "--range", "500", "4000"]
    result = runner.invoke(app, ["plot", *files, *options, "-o", str(picture)])
    assert result.exit_code == 0, (result.output, result.exception)
    assert picture.read_bytes().startswith(PNG)
    assert (folder / "spectra.png").read_bytes().startswith(PNG)


def test_a_spectrum_over_an_experiment_and_as_transmittance(folder: Path, tmp_path: Path) -> None:
    ours = str(folder / "infrared.csv")
    for options in (["--experiment", ours], ["--transmittance", "--range", "0", "4000"]):
        picture = tmp_path / f"{options[0][2:]}.svg"
        result = runner.invoke(app, ["plot", ours, *options, "-o", str(picture)])
        assert result.exit_code == 0, (result.output, result.exception)
        assert "<svg" in picture.read_text(encoding="utf-8")


def test_a_structure_file_is_taken_as_well_as_a_name(model: str, tmp_path: Path) -> None:
    path = tmp_path / "water.xyz"
    write(path, molecule("H2O"))
    result = runner.invoke(app, ["harmonic", model, str(path), "--fmax", "0.01"])
    assert result.exit_code == 0, (result.output, result.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plot", "nothing.csv"], ["nothing.csv"]),
        (["plot", "a.csv", "b.csv", "-l", "one"], ["1 label", "2 file"]),
        (["plot", "run.h5", "a.csv"], ["run.h5", "alone"]),
        (["harmonic", "MODEL", "no-such-structure"], ["no-such-structure", "CH3CH2OH"]),
        (["harmonic", "MODEL", "H2O", "--animate"], ["--output"]),
    ],
)
def test_bad_arguments_are_named_with_the_remedy(
    arguments: list[str], words: list[str], model: str
) -> None:
    result = runner.invoke(app, [model if a == "MODEL" else a for a in arguments])
    assert result.exit_code != 0
    for word in words:
        assert word in str(result.exception)


def test_an_unknown_picture_format_is_refused(folder: Path, tmp_path: Path) -> None:
    result = runner.invoke(
        app, ["plot", str(folder / "infrared.csv"), "-o", str(tmp_path / "x.docx")]
    )
    assert result.exit_code != 0
    assert "png" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["harmonic", "-o", "FILE"], "is a file"),
        (["harmonic", "--temperature", "0"], "above 0 K"),
        (["anharmonic", "-o", "FILE"], "is a file"),
        (["anharmonic", "--freeze", "0"], "count from 1 to 3"),
        (["anharmonic", "--freeze", "4"], "count from 1 to 3"),
        (["doctor", "--json", "FILE/x.json"], "no folder"),
    ],
)
def test_what_cannot_be_is_said_before_the_work(
    model: str, tmp_path: Path, words: list[str], told: str
) -> None:
    (tmp_path / "file").write_text("mine")
    command, *rest = (word.replace("FILE", str(tmp_path / "file")) for word in words)
    result = runner.invoke(app, [command, model, "H2O", *rest])
    assert result.exit_code == 1
    assert told in str(result.exception)
