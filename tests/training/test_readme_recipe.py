"""The README's way from frames to a model, as it stands there: its file, its commands."""

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

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FRAMES = ROOT / "model_recipes" / "data" / "ethanol.extxyz"


def section(title: str) -> str:
    """The text under a heading of the README, up to the next."""
    found = re.search(rf"^#+ {title}$(.*?)^#+ ", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title!r}"
    return found[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*")
def test_the_recipe_of_the_readme_trains_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the number of frames and epochs is cut down."""
    text = section("From your own data")
    (recipe,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (name,) = re.findall(r"a file `(\w+\.toml)`", text)
    commands = re.findall(r"^painn-ase (.*)$", text, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["data", "train"]

    monkeypatch.chdir(tmp_path)
    images = read(FRAMES, index="0:1500:30")
    write("frames.extxyz", images)
    Path(name).write_text(recipe, encoding="utf-8")
    look, train = (command.split() for command in commands)
    shown = CliRunner().invoke(app, look)
    assert shown.exit_code == 0, shown.output
    assert "polarizability" in shown.output
    trained = CliRunner().invoke(app, [*train, "--epochs", "4"])
    assert trained.exit_code == 0, trained.output

    folder = Path("runs") / "ethanol"
    errors = json.loads((folder / "errors.json").read_text())["errors"]
    assert set(errors) >= {"energy", "forces", "dipole", "polarizability"}
    for file in ("split.json", "parity.png", "learning_curve.png"):
        assert (folder / file).stat().st_size > 0
    atoms = images[0].copy()
    atoms.calc = PaiNNCalculator(folder / "ethanol.safetensors")
    assert np.isfinite(atoms.get_forces()).all()
    assert np.isfinite(atoms.get_dipole_moment()).all()
