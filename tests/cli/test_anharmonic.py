"""`painn-ase anharmonic`, from a model to a table and a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write
from typer.testing import CliRunner

from painn_ase import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.errors import DataError, GeometryError
from painn_ase.quartic import quartic_field
from painn_ase.spectra import anharmonic

runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("levels") / "water"
    result = runner.invoke(app, ["anharmonic", "water", "H2O", "-o", str(target)])
    assert result.exit_code == 0, (result.output, result.exception)
    (target / "output").write_text(result.output, encoding="utf-8")
    return target


def test_fundamentals_of_water_stand_below_its_harmonic_wavenumbers(folder: Path) -> None:
    """Experiment 1594.7, 3657.1, 3755.9: the stretches fall by more than 150."""
    record = json.loads((folder / "anharmonic.json").read_text(encoding="utf-8"))
    fundamentals = np.array(record["fundamentals"])
    np.testing.assert_allclose(fundamentals, [1594.7, 3657.1, 3755.9], atol=15.0)
    assert np.min(np.array(record["harmonic"])[1:] - fundamentals[1:]) > 150.0
    assert record["zero_point"] < record["harmonic_zero_point"]
    assert len(record["levels"]) == 9
    table = (folder / "anharmonic.txt").read_text(encoding="utf-8")
    assert table in (folder / "output").read_text(encoding="utf-8")
    for word in ("fundamental", "check", "km/mol", "v1 + v3", "zero-point energy", "B_0"):
        assert word in table


def test_the_command_is_the_python_functions_with_the_commonest_isotopes(folder: Path) -> None:
    atoms = read(folder / "relaxed.xyz")
    atoms.set_masses("most_common")
    atoms.calc = PaiNNCalculator("water", dtype="float64", device="cpu")
    result = anharmonic(quartic_field(atoms))
    record = json.loads((folder / "anharmonic.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose(result.fundamentals, record["fundamentals"], atol=1e-2)
    np.testing.assert_allclose(result.infrared, record["infrared"], rtol=1e-3)


def test_json_is_all_that_is_printed(folder: Path) -> None:
    relaxed = str(folder / "relaxed.xyz")
    options = ["--no-relax", "--json", "--freeze", "1"]
    result = runner.invoke(app, ["anharmonic", "water", relaxed, *options])
    assert result.exit_code == 0, (result.output, result.exception)
    record = json.loads(result.stdout)
    assert record["frozen"] == [1]
    assert record["fundamentals"][0] == record["harmonic"][0]


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "anharmonic.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec(compile(block, "docs/anharmonic.md", "exec"), {"__name__": "docs"})
    assert "fundamental" in capsys.readouterr().out


def test_a_structure_that_is_not_relaxed_is_refused(folder: Path, tmp_path: Path) -> None:
    atoms = read(folder / "relaxed.xyz")
    atoms.positions[1] *= 1.05
    write(tmp_path / "bent.xyz", atoms)
    result = runner.invoke(app, ["anharmonic", "water", str(tmp_path / "bent.xyz"), "--no-relax"])
    assert isinstance(result.exception, GeometryError)
    result = runner.invoke(app, ["anharmonic", "water", "H2O", "--freeze", "1", "--freeze-none"])
    assert isinstance(result.exception, DataError)
    result = runner.invoke(app, ["anharmonic", "water", "H2O", "-o", str(folder)])
    assert isinstance(result.exception, DataError)
    assert "--overwrite" in str(result.exception)
