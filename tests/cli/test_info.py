"""What `painn-ase info` says, as a user meets it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from terminal import words
from typer.testing import CliRunner

import painn_ase
from painn_ase._version import __version__
from painn_ase.cli import app
from painn_ase.cli.card import _reference_rows
from painn_ase.kernels.library import _why_not_built
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


def test_equal_reference_energies_are_one_row() -> None:
    potential = random_potential(
        n_features=8, n_interactions=1, n_rbf=4, heads=("energy",), elements=tuple(range(1, 90))
    )
    energies = (-13.5, *[0.0] * 87, 0.25)
    energy = replace(potential.spec.heads.energy, reference_energies=energies)
    heads = replace(potential.spec.heads, energy=energy)
    rows = dict(_reference_rows(replace(potential.spec, heads=heads)))
    assert rows == {
        "H": "-13.500000",
        "He to Ra, 87 elements": "0.000000",
        "Ac": "0.250000",
    }


def test_info_says_of_a_source_tree_that_it_was_never_built(tmp_path: Path) -> None:
    """A tree without a compiled kernel is not an installation without a compiler."""
    package = Path(painn_ase.__file__).parent
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "bundled")
    shutil.copytree(package, tmp_path / "tree" / "painn_ase", ignore=ignored)
    code = "from painn_ase.kernels.library import why_unavailable; print(why_unavailable())"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "tree", capture_output=True, text=True
    )
    assert "never built" in said.stdout, said.stderr
    assert str(tmp_path / "tree") in said.stdout
    assert "no C++17 compiler was found" in _why_not_built()


def test_info_on_a_file_as_json_is_its_description(model_file: Path) -> None:
    description = json.loads(runner.invoke(app, ["info", "--json", str(model_file)]).output)
    assert description["elements"] == [1, 8]
    assert description["representation"]["n_features"] == 8
    assert description["heads"]["polarizability"] is None
