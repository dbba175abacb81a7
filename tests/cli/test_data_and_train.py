"""``painn-ase data`` and ``painn-ase train`` on the committed water frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ase.io import read, write
from terminal import words
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import SpecError

WATER = Path(__file__).parents[2] / "model_recipes" / "data" / "water.extxyz"


def test_data_shows_labels_and_finds_them_consistent() -> None:
    result = CliRunner().invoke(app, ["data", str(WATER)])
    shown = words(result.output)
    assert "2000 frames of 3 atoms" in shown
    for name in ("energy", "forces", "dipole", "polarizability"):
        assert name in shown
    assert "ok energy against forces: slope 1.000" in shown


def test_data_flags_a_wrong_unit_and_says_so_in_its_exit_code() -> None:
    arguments = ["data", str(WATER), "--json", "--unit", "energy=kcal/mol"]
    result = CliRunner().invoke(app, [*arguments, "--unit", "forces=eV/Angstrom"])
    assert result.exit_code == 2
    report = json.loads(result.output)
    (finding,) = [f for f in report["findings"] if f["check"] == "energy against forces"]
    assert finding["level"] == "warning"
    assert "units of energy and forces disagree" in finding["message"]


def test_data_says_under_which_key_and_in_which_unit_it_found_a_label(tmp_path: Path) -> None:
    images = read(WATER, index=":20")
    for atoms in images:
        atoms.info = {"REF_alpha": atoms.info["polarizability"], "origin": "test"}
    write(tmp_path / "a.extxyz", images)
    arguments = ["data", str(tmp_path / "a.extxyz"), "--json", "--key", "polarizability=REF_alpha"]
    result = CliRunner().invoke(app, [*arguments, "--unit", "polarizability=a.u."])
    report = json.loads(result.output)
    rows = {row["quantity"]: row for row in report["labels"]}
    assert rows["polarizability"]["key"] == "REF_alpha"
    assert rows["polarizability"]["read_as"] == "a.u."
    assert rows["forces"]["read_as"] == "eV/Angstrom"
    assert report["unread_keys"] == ["origin"]


def test_data_warns_of_a_polarizability_whose_unit_it_had_to_assume(tmp_path: Path) -> None:
    """Training refuses such a file; the table of it must not pass as if all were well."""
    write(tmp_path / "few.extxyz", read(WATER, index=":40"))
    arguments = ["data", str(tmp_path / "few.extxyz"), "--json"]
    for more, stated in (([], False), (["--unit", "polarizability=Angstrom^3"], True)):
        report = json.loads(CliRunner().invoke(app, [*arguments, *more]).output)
        assert report["labels"][-1]["read_as"] == "Angstrom^3"
        warned = [f["message"] for f in report["findings"] if "not stated" in f["message"]]
        assert bool(warned) is not stated
    assert CliRunner().invoke(app, arguments).exit_code == 2
    assert "40 frames" in words(CliRunner().invoke(app, arguments[:2]).output)


def test_data_writes_plots(tmp_path: Path) -> None:
    CliRunner().invoke(app, ["data", str(WATER), "--plots", str(tmp_path / "plots")])
    picture = tmp_path / "plots" / "water_labels.png"
    assert picture.stat().st_size > 0
    picture.write_text("precious")
    again = CliRunner().invoke(app, ["data", str(WATER), "--plots", str(tmp_path / "plots")])
    assert "--overwrite" in str(again.exception)
    assert picture.read_text() == "precious"
    twins = [str(WATER), str(tmp_path / "water.extxyz"), "--plots", str(tmp_path / "more")]
    assert "share one picture" in str(CliRunner().invoke(app, ["data", *twins]).exception)


def test_wrong_options_are_named() -> None:
    result = CliRunner().invoke(app, ["data", str(WATER), "--unit", "energy"])
    assert result.exit_code == 2
    assert "NAME=VALUE" in words(result.output)
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
    assert "errors on 20 test frames" in words(result.output)
    assert (output / "w.safetensors").exists()
