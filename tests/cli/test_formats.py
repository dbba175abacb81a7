"""``painn-ase formats``."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from painn_ase.cli import app


def test_every_format_is_listed_with_what_it_gives_and_needs() -> None:
    result = CliRunner().invoke(app, ["formats", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output)
    programs = {row["program"] for row in rows}
    assert {"CP2K", "i-PI", "GPUMD", "LAMMPS", "VASP", "Gaussian", "PLUMED"} <= programs
    assert {row["extra"] for row in rows if ".xtc" in row["files"]} == {"formats"}
    text = CliRunner().invoke(app, ["formats"], env={"COLUMNS": "160"}).output
    assert "COLVAR" in text
    assert "[" not in text.splitlines()[0]
