"""`painn-ase convert schnetpack`: a SchNetPack file becomes ours, with its numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

from painn_ase import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.errors import PaiNNWarning

runner = CliRunner()
UNITS = ("--energy-unit", "kcal/mol", "--length-unit", "Angstrom")


@pytest.fixture
def source(shared: Path) -> Path:
    return shared / "data" / "schnetpack" / "md_ethanol.model"


def test_a_trained_schnetpack_model_keeps_its_energy_and_forces(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "ethanol.safetensors"
    result = runner.invoke(app, ["convert", "schnetpack", str(source), str(target), *UNITS])
    assert result.exit_code == 0, result.output
    assert "SchNetPack" in result.output
    reference = np.load(source.with_suffix(".npz"), allow_pickle=False)
    atoms = Atoms(reference["numbers"], positions=reference["positions"][0])
    atoms.calc = PaiNNCalculator(target, dtype="float64")
    energy = float(reference["energy_eV"][0])
    np.testing.assert_allclose(atoms.get_potential_energy(), energy, rtol=1e-9)
    forces = reference["forces_eV_per_A"][0]
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-8 * abs(forces).max())


def test_units_that_are_guessed_come_with_a_warning_that_names_them(
    source: Path, tmp_path: Path
) -> None:
    with pytest.warns(PaiNNWarning, match="kcal/mol"):
        result = runner.invoke(
            app, ["convert", "schnetpack", str(source), str(tmp_path / "out.safetensors")]
        )
    assert result.exit_code == 0, result.output


def test_an_existing_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    target = tmp_path / "precious.safetensors"
    target.write_text("precious")
    result = runner.invoke(app, ["convert", "schnetpack", "some.model", str(target), *UNITS])
    assert result.exit_code != 0
    assert "--overwrite" in str(result.exception)
    assert target.read_text() == "precious"


def test_what_is_not_a_model_is_refused_by_name(tmp_path: Path) -> None:
    source = tmp_path / "notes.model"
    source.write_text("not a model")
    result = runner.invoke(
        app, ["convert", "schnetpack", str(source), str(tmp_path / "out"), *UNITS]
    )
    assert result.exit_code != 0
    assert "notes.model" in str(result.exception)
