"""``painn-ase sample``, and SMILES wherever a structure is named."""

from __future__ import annotations

import ase.io
import pytest
from terminal import words
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.cli.structures import is_smiles, read_structure
from painn_ase.errors import GeometryError
from painn_ase.models import bundled_models


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


needs_models = pytest.mark.skipif("ethanol" not in bundled_models(), reason="no bundled models")


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("CCO", "C2H6O"),
        ("smiles:CO", "CH4O"),
        ("name:CO", "CO"),
        ("CH3CH2OH", "C2H6O"),
        ("c1ccccc1", "C6H6"),
        ("[NH4+]", "H4N"),
        ("C=O", "CH2O"),
        ("H2O", "H2O"),
    ],
)
def test_a_molecule_is_named_by_smiles_or_as_in_ase(name, formula) -> None:
    pytest.importorskip("rdkit")
    assert read_structure(name).get_chemical_formula() == formula


def test_what_could_be_both_is_asked() -> None:
    for name in ("CO", "CN", "OCS"):
        with pytest.raises(GeometryError, match=f"name:{name} or smiles:{name}"):
            read_structure(name)
    assert not is_smiles("absent.xyz")
    assert not is_smiles("folder/file.xyz")
    with pytest.raises(GeometryError, match=r"there is no file 'absent\.xyz'"):
        read_structure("absent.xyz")


@needs_models
def test_frames_of_a_smiles_are_written_with_their_kinds(tmp_path) -> None:
    pytest.importorskip("rdkit")
    target = tmp_path / "frames.extxyz"
    arguments = ["sample", "CCO", "-o", str(target), "--model", "ethanol", "--conformers", "1"]
    arguments += ["--near", "3", "--quantum", "2", "--turned", "1", "--thermal", "300:2"]
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    frames = ase.io.read(target, ":")
    assert str(len(frames)) + " frames of 1 structures" in words(done.output)
    assert {f.info["molecule"] for f in frames} == {"CCO"}
    assert {f.info["source"] for f in frames} >= {"near", "quantum", "md300"}
    again = run(*arguments)
    assert again.exit_code == 1


@needs_models
def test_a_committee_keeps_a_part_of_what_it_made(tmp_path) -> None:
    """Without --keep as many as one model would give, of four times as many."""
    target = tmp_path / "frames.extxyz"
    arguments = ["sample", "H2O", "-o", str(target), "--model", "water", "--model", "water"]
    arguments += ["--near", "2", "--quantum", "1", "--turned", "0", "--thermal", "300:0"]
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert len(ase.io.read(target, ":")) == 3
    assert "9 of less disagreement" in words(done.output)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["H2O", "-o", "x.xyz"], "extxyz"),
        (["H2O", "--thermal", "warm"], "KELVIN:FRAMES"),
        (["H2O", "--engine", "orca"], "unknown engine"),
        (["H2O", "--model", "water", "--keep", "3"], "two models or more"),
    ],
)
def test_wrong_options_are_refused(tmp_path, monkeypatch, options, message) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("sample", *options)
    assert done.exit_code == 1
    assert message in words(f"{done.output} {done.exception}")
