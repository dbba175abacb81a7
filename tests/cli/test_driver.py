"""`painn-ase spectrum` with `--driver` and `--response`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import SpecError, TrajectoryError
from painn_ase.models import save_model
from painn_ase.spectra import load_spectrum
from painn_ase.testing import random_potential

runner = CliRunner()
LJ = "ase.calculators.lj:LennardJones?sigma=1.0&epsilon=0.01"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    potential = random_potential(16, 2, 8, 4.0, heads=("energy", "dipole", "polarizability"))
    return str(save_model(potential, tmp_path_factory.mktemp("model") / "m.safetensors"))


def _run(*words: str | Path | int, code: int = 0) -> str:
    result = runner.invoke(app, [str(w) for w in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def _refused(kind: type[Exception], match: str, *words: str | Path | int) -> None:
    result = runner.invoke(app, [str(w) for w in words])
    with pytest.raises(kind, match=match):
        raise result.exception or AssertionError(result.output)


def test_spectrum_by_a_driver_is_that_of_the_model(model: str, tmp_path: Path) -> None:
    short = (
        "--replicas", 2, "--segment", 0.02, "--timestep", 0.1, "--equilibration", 0.02,
        "--spacing", 0.01, "--no-relax",
    )  # fmt: skip
    _run("spectrum", model, "H2O", "-o", tmp_path / "a", *short)
    driver = f"painn_ase.calculator:PaiNNCalculator?model={model}"
    words = ("spectrum", "H2O", "--driver", driver, "--response", model, "-o", tmp_path / "b")
    assert "one by one" in _run(*words, *short)
    own, driven = (load_spectrum(tmp_path / name / "infrared.csv") for name in "ab")
    scale = np.abs(own.intensity).max()
    np.testing.assert_allclose(driven.intensity, own.intensity, atol=1e-4 * scale)
    record = json.loads((tmp_path / "b" / "model.json").read_text())
    assert record["identity"]["model"]["driver"] == driver
    for page in ("report.md", "report.html"):
        assert "Energies and forces are those of painn_ase.calculator" in (
            tmp_path / "b" / page
        ).read_text(encoding="utf-8")
        assert "Energies and forces are those of" not in (tmp_path / "a" / page).read_text("utf-8")
    _run(*words, "--restart")
    _refused(
        TrajectoryError, "other model", "spectrum", "H2O", "--driver", LJ, "--response", model,
        "-o", tmp_path / "b", "--restart",
    )  # fmt: skip


def test_a_spectrum_needs_a_model_beside_its_driver(model: str) -> None:
    _refused(SpecError, "add --response", "spectrum", "H2O", "--driver", LJ)
    _refused(SpecError, "goes with --driver", "spectrum", model, "H2O", "--response", model)
