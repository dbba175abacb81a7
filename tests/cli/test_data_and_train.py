"""``painn-ase data`` and ``painn-ase train`` on the committed water frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from terminal import words
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import DataError, SpecError

WATER = Path(__file__).parents[2] / "model_recipes" / "data" / "water.extxyz"


def test_data_shows_labels_and_finds_them_consistent() -> None:
    result = CliRunner().invoke(app, ["data", str(WATER)])
    shown = words(result.output)
    assert "4000 frames of 3 atoms" in shown
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


def train_file(folder: Path, data: Path, more: str = "") -> list[str]:
    """A configuration for a run of seconds, and the words that start it."""
    (folder / "c.toml").write_text(
        f'name = "w"\n[data]\npath = "{data}"\n{more}\n'
        "[network]\nn_features = 8\nn_interactions = 1\nn_rbf = 6\n"
        '[runtime]\naccelerator = "cpu"\n[schedule]\nepochs = 2\n',
        encoding="utf-8",
    )
    return ["train", str(folder / "c.toml"), "-o", str(folder / "run")]


def few_with_other_names(path: Path) -> Path:
    """REF_forces beside energy: a file that looks as if it were read."""
    images = read(WATER, index=":40")
    for atoms in images:
        atoms.arrays["REF_forces"] = atoms.get_forces()
        atoms.info = {"free_energy": atoms.get_potential_energy(), "source": "test"}
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.info["free_energy"])
    write(path, images)
    return path


def test_train_stops_at_a_key_that_looks_like_a_label_and_was_not_read(tmp_path: Path) -> None:
    words_ = train_file(tmp_path, few_with_other_names(tmp_path / "few.extxyz"))
    result = CliRunner().invoke(app, words_)
    assert isinstance(result.exception, DataError)
    assert "'REF_forces' was not read" in str(result.exception)
    assert "--accept-warnings" in str(result.exception)
    shown = words(result.output)
    assert "energy eV 40" in shown
    assert "not read: REF_forces, free_energy, source" in shown
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*")
@pytest.mark.parametrize("told", ["flag", "key", "named"])
def test_train_goes_on_where_it_is_told_to(tmp_path: Path, told: str) -> None:
    data = few_with_other_names(tmp_path / "few.extxyz")
    more = {"key": "accept_warnings = true", "named": '[data.keys]\nforces = "REF_forces"'}
    words_ = train_file(tmp_path, data, more.get(told, ""))
    result = CliRunner().invoke(app, [*words_, *(["--accept-warnings"] * (told == "flag"))])
    assert result.exit_code == 0, (result.output, result.exception)
    shown = words(result.output)
    assert ("forces REF_forces, eV/Å 40" in shown) is (told == "named")
    assert "epoch 1 of 2" in shown  # plain lines where there is no terminal
    assert "epoch 2 of 2" in shown


def test_an_archive_is_shown_with_a_warning_and_not_trained_on(tmp_path: Path) -> None:
    images = read(WATER, index=":40")
    np.savez(
        tmp_path / "md.npz",
        R=np.array([a.positions for a in images]),
        z=images[0].numbers,
        E=np.array([a.get_potential_energy() for a in images]) * 23.0605,
        F=np.array([a.get_forces() for a in images]) * 23.0605,
    )
    shown = CliRunner().invoke(app, ["data", str(tmp_path / "md.npz")])
    assert shown.exit_code == 2
    assert "MD17 and rMD17 archives usually hold kcal/mol" in words(shown.output)
    assert "warning size of forces" in words(shown.output)
    result = CliRunner().invoke(app, train_file(tmp_path, tmp_path / "md.npz"))
    assert "kcal/mol" in str(result.exception)
    stated = ["data", str(tmp_path / "md.npz"), "--unit", "energy=kcal/mol"]
    assert "warning" not in words(CliRunner().invoke(app, stated).output)


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
