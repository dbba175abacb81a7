"""``painn-ase data`` and ``painn-ase train`` on the committed water frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import SpecError

WATER = Path(__file__).parents[2] / "model_recipes" / "data" / "water.extxyz"


def test_data_shows_labels_and_finds_them_consistent() -> None:
    result = CliRunner().invoke(app, ["data", str(WATER)])
    assert "2000 frames of 3 atoms" in result.output
    for name in ("energy", "forces", "dipole", "polarizability"):
        assert name in result.output
    assert "ok       energy against forces: slope 1.000" in result.output


def test_data_flags_a_wrong_unit_and_says_so_in_its_exit_code() -> None:
    arguments = ["data", str(WATER), "--json", "--unit", "energy=kcal/mol"]
    result = CliRunner().invoke(app, [*arguments, "--unit", "forces=eV/Angstrom"])
    assert result.exit_code == 2
    report = json.loads(result.output)
    (finding,) = [f for f in report["findings"] if f["check"] == "energy against forces"]
    assert finding["level"] == "warning"
    assert "units of energy and forces disagree" in finding["message"]


def test_data_writes_plots(tmp_path: Path) -> None:
    CliRunner().invoke(app, ["data", str(WATER), "--plots", str(tmp_path / "plots")])
    assert (tmp_path / "plots" / "water_labels.png").stat().st_size > 0


def test_wrong_options_are_named() -> None:
    result = CliRunner().invoke(app, ["data", str(WATER), "--unit", "energy"])
    assert result.exit_code == 2
    assert "NAME=VALUE" in result.output
    result = CliRunner().invoke(app, ["data", str(WATER), "--unit", "energy=calories"])
    assert isinstance(result.exception, SpecError)
    assert "kcal/mol" in str(result.exception)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*")
def test_train_writes_a_model_and_prints_its_errors(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        f'name = "w"\n[data]\npath = "{WATER}"\nn_train = 40\nn_validation = 20\nn_test = 20\n'
        '[data.units]\npolarizability = "Angstrom^3"\n'
        "[network]\nn_features = 8\nn_interactions = 1\nn_rbf = 6\n"
        '[runtime]\naccelerator = "cpu"\nprogress = false\n'
    )
    output = tmp_path / "run"
    arguments = ["train", str(tmp_path / "c.toml"), "-o", str(output), "--epochs", "2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "errors on 20 test frames" in result.output
    assert (output / "w.safetensors").exists()
