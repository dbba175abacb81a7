"""Ring polymers from the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.cli.beads import number_of_beads
from painn_ase.errors import SpecError
from painn_ase.models import bundled_models

pytestmark = pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model")


def test_spectrum_with_ring_polymers(tmp_path) -> None:
    folder = tmp_path / "out"
    words = (
        "spectrum water H2O --nuclei rpmd --beads 4 --replicas 2 --segment 0.03 --stride 4 "
        f"--equilibration 0.02 --spacing 0.01 -o {folder}"
    )
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["nuclei"], settings["beads"], settings["timestep"]) == ("rpmd", 4, 0.25)
    assert (folder / "infrared.csv").exists()


@pytest.mark.parametrize(("text", "n"), [("auto", 0), ("64", 64)])
def test_beads_are_a_number_or_auto(text: str, n: int) -> None:
    assert number_of_beads(text) == n


@pytest.mark.parametrize("text", ["0", "-3", "many", "3.5", ""])
def test_other_beads_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match="--beads"):
        number_of_beads(text)
