"""What `painn-ase info` says, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from terminal import words
from typer.testing import CliRunner

from painn_ase._version import __version__
from painn_ase.cli import app
from painn_ase.models import save_model
from painn_ase.testing import random_potential

runner = CliRunner()


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    potential = random_potential(
        n_features=8, n_interactions=1, n_rbf=4, heads=("energy", "dipole"), elements=(1, 8)
    )
    return save_model(potential, tmp_path / "model.safetensors")


def test_info_names_versions_threads_and_backends() -> None:
    result = runner.invoke(app, ["info"])
    assert result.exit_code == 0, result.output
    for word in (__version__, "torch", "CUDA", "eager", "torch-scatter", "lightning"):
        assert word in words(result.output)


def test_info_json_can_be_read_by_programs() -> None:
    result = runner.invoke(app, ["info", "--json"])
    report = json.loads(result.output)
    assert report["painn_ase"] == __version__
    assert {p["name"] for p in report["core"]} >= {"ase", "torch", "matscipy"}
    assert all(p["version"] for p in report["core"])
    assert {"name": "eager", "available": True} in [
        {k: b[k] for k in ("name", "available")} for b in report["backends"]
    ]


def test_info_on_a_file_names_elements_heads_cutoff_and_units(model_file: Path) -> None:
    result = runner.invoke(app, ["info", str(model_file)])
    assert result.exit_code == 0, result.output
    for word in ("H O", "dipole (latent charge)", "5 Å", "e·Å", "eV/Å", __version__):
        assert word in words(result.output)


def test_info_on_a_file_as_json_is_its_description(model_file: Path) -> None:
    description = json.loads(runner.invoke(app, ["info", "--json", str(model_file)]).output)
    assert description["elements"] == [1, 8]
    assert description["representation"]["n_features"] == 8
    assert description["heads"]["polarizability"] is None
