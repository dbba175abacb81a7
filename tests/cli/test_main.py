"""The command line as a whole: help, version, errors."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from painn_ase._version import __version__
from painn_ase.cli import COMMANDS, app


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "painn_ase", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


def test_help_lists_the_commands_and_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from painn_ase.cli import app\n"
        "try:\n    app(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for name in COMMANDS:
        assert name in result.stdout


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_that_says_what_it_does(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) > 8


def test_version_is_the_package_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.strip() == f"painn_ase {__version__}"


def test_an_error_of_ours_is_one_message_with_exit_code_one_and_no_traceback() -> None:
    result = run("info", "no-such-model")
    assert result.returncode == 1
    assert "no-such-model" in result.stderr
    assert "ModelFileError" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback() -> None:
    result = run("--debug", "info", "no-such-model")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_an_unknown_command_is_a_usage_error() -> None:
    result = run("spectra-please")
    assert result.returncode == 2
    assert "No such command" in result.stderr
