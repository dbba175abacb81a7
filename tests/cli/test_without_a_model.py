"""Committees under one name, and commands that are given a structure alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from terminal import words
from typer.testing import CliRunner

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.cli.structures import is_one_structure
from painn_ase.errors import DataError, GeometryError, ModelFileError
from painn_ase.models import bundled_committees, bundled_models, load_model, save_model
from painn_ase.spectra import HarmonicResult
from painn_ase.testing import random_potential
from painn_ase.training.starting import start_paths
from painn_ase.workflow import GENERAL, model_for, refuse_unknown

runner = CliRunner()
general = pytest.mark.skipif(GENERAL not in bundled_committees(), reason="no general model")


@pytest.fixture(scope="module")
def committee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("committee")
    first = random_potential(32, 2, heads=("energy", "dipole"))  # has a bent water
    save_model(first, folder / "one.safetensors")
    with_noise = load_model(folder / "one.safetensors")
    for weights in with_noise.parameters():
        weights.data *= 1.01
    (folder / "deeper").mkdir()
    save_model(with_noise, folder / "deeper" / "two.safetensors")
    return folder


# ---------------------------------------------------------------------- committees by one name


def test_a_folder_of_models_is_the_committee_of_its_files(committee) -> None:
    files = sorted(committee.rglob("*.safetensors"))
    atoms, same = molecule("H2O"), molecule("H2O")
    atoms.calc, same.calc = PaiNNCalculator(committee), PaiNNCalculator(files)
    assert atoms.get_potential_energy() == same.get_potential_energy()
    assert atoms.calc.results["energy_std"] > 0.0
    assert start_paths(str(committee), 2) == [str(f) for f in files]
    with pytest.raises(DataError, match="holds 2 models, and 3 are to be trained"):
        start_paths(str(committee), 3)
    with pytest.raises(ModelFileError, match=r"committee of 2 models, and one is needed.*two"):
        load_model(committee)
    with pytest.raises(ModelFileError, match="no model file"):
        PaiNNCalculator(committee / "empty")


def test_frequencies_of_a_committee_carry_what_its_members_differ_by(committee, tmp_path) -> None:
    def modes_of(model: Path, name: str) -> HarmonicResult:
        done = runner.invoke(app, ["harmonic", str(model), "H2O", "-o", str(tmp_path / name)])
        assert done.exit_code == 0, (done.output, done.exception)
        return HarmonicResult.load(tmp_path / name / "modes.json")

    each = [modes_of(f, f.stem) for f in sorted(committee.rglob("*.safetensors"))]
    assert each[0].frequency_std is None
    both = modes_of(committee, "both")
    own = np.std([m.frequencies for m in each], axis=0, ddof=1)
    assert own.max() > 1.0
    np.testing.assert_allclose(both.frequency_std, own, rtol=0.02)  # relaxed a little less far
    assert "±" in both.table()
    assert "±" not in each[0].table()
    page = (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    assert f"±&nbsp;{both.frequency_std[0]:.1f}" in page
    assert "its members differ by" in page


def test_modes_on_which_members_differ_are_refused_where_the_model_was_chosen() -> None:
    modes = HarmonicResult(
        frequencies=np.array([100.0, 1000.0]),
        modes=np.eye(6)[:2].reshape(2, 2, 3),
        masses=np.ones(2),
        positions=np.eye(2, 3),
        symbols=("H", "C"),
    )
    refuse_unknown(modes)  # a single model has no members to ask
    refuse_unknown(replace(modes, frequency_std=np.array([300.0, 50.0])))  # a torsion may
    with pytest.raises(GeometryError, match=r"CH: .* 70 cm⁻¹ .* 60 are allowed.*painn-ase learn"):
        refuse_unknown(replace(modes, frequency_std=np.array([0.0, 70.0])))


# ---------------------------------------------------------------------- no model named


@pytest.mark.parametrize(
    ("name", "model"), [("H2O", "water"), ("CH3CH2OH", "ethanol"), ("H2CO", "formaldehyde")]
)
def test_a_molecule_with_a_model_of_its_own_gets_that(name: str, model: str) -> None:
    if model not in bundled_models():
        pytest.skip(f"no bundled {model}")
    moved = molecule(name)
    moved.rattle(0.05, seed=1)
    assert model_for(moved[::-1]) == model


@general
@pytest.mark.parametrize("name", ["CH4", "CH3OCH3", "HCOOH"])
def test_another_small_molecule_gets_the_general_model(name: str) -> None:
    assert model_for(molecule(name)) == GENERAL  # dimethyl ether is no ethanol


@general
@pytest.mark.parametrize(
    ("atoms", "reason"),
    [
        (molecule("CH3SH"), "it holds S, the general model knows H, C, N, O"),
        (molecule("C6H6"), "6 atoms beside hydrogen, the general model learnt from at most 3"),
        (molecule("CH3"), "odd number of electrons"),
        (bulk("C", "diamond"), "periodic"),
        (Atoms("NH4", molecule("CH4").positions, info={"charge": 1}), "its charge is 1 e"),
        (
            molecule("H2O") + Atoms("NH3", molecule("NH3").positions + 5.0),
            "2 molecules, and the general model is of one",
        ),
    ],
)
def test_what_no_bundled_model_covers_is_refused_with_the_remedy(atoms, reason: str) -> None:
    with pytest.raises(GeometryError, match=reason) as caught:
        model_for(atoms)
    assert "painn-ase learn" in str(caught.value)


def test_one_structure_is_told_from_a_trajectory(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("one.xyz", molecule("H2O"))
    write("two.xyz", [molecule("H2O")] * 2)
    np.save("dipoles.npy", np.zeros((4, 3)))
    for name in ("one.xyz", "CCO", "H2O", "name:CO", "smiles:CO"):
        assert is_one_structure(name)
    for name in ("two.xyz", "dipoles.npy", "nothing.xyz", "."):
        assert not is_one_structure(name)


@general
def test_a_spectrum_of_a_structure_alone_is_the_general_models(tmp_path) -> None:
    short = ["--replicas", "2", "--segment", "0.02", "--equilibration", "0.02", "--spacing", "0.01"]
    done = runner.invoke(app, ["spectrum", "CH4", "-o", str(tmp_path / "s"), *short])
    assert done.exit_code == 0, (done.output, done.exception)
    assert f"{GENERAL} covers CH4" in words(done.output)
    facts = json.loads((tmp_path / "s" / "summary.json").read_text(encoding="utf-8"))
    assert facts["model"]["name"] == GENERAL
    assert "its members differ by" in (tmp_path / "s" / "report.html").read_text(encoding="utf-8")


def test_a_model_alone_is_asked_for_its_structure() -> None:
    for command in ("spectrum", "harmonic"):
        done = runner.invoke(app, [command, "water"])
        assert "structure was named" in str(done.exception)
