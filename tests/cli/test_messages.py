"""Notes and errors have colours where somebody wants them."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from painn_ase.cli.messages import note

app = typer.Typer()
app.command()(lambda: note("as it is"))


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"TERM": "xterm", "NO_COLOR": None}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb", "NO_COLOR": None}, False),
    ],
)
def test_dumb_terminals_and_no_color_get_plain_text(
    variables: dict[str, str | None], coloured: bool
) -> None:
    shown = CliRunner().invoke(app, env=variables, color=True).output
    assert shown.replace("\x1b[33m", "").replace("\x1b[0m", "") == "note: as it is\n"
    assert ("\x1b[" in shown) is coloured
