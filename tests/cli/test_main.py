"""The command line as a whole: help, version, errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import words
from typer.testing import CliRunner

from painn_ase._version import __version__
from painn_ase.cli import COMMANDS, app
from painn_ase.cli.encodings import replace_what_cannot_be_shown

ROOT = Path(__file__).parents[2]


def run(*arguments: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "painn_ase", *arguments],
        capture_output=True,
        encoding=encoding,
        env={**os.environ, "PYTHONIOENCODING": encoding},
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
    assert "No such command" in words(result.stderr)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_terminals_without_our_letters_get_a_replacement(encoding: str, tmp_path: Path) -> None:
    frames = tmp_path / "λ.xyz"
    text = (ROOT / "model_recipes" / "data" / "water.extxyz").read_text(encoding="utf-8")
    frames.write_text("\n".join(text.splitlines()[: 5 * 20]) + "\n", encoding="utf-8")
    card = run("info", "water", encoding=encoding)
    assert card.returncode == 0, card.stderr
    assert "eV/Å" in card.stdout if encoding == "cp1252" else "eV/A " in card.stdout
    labels = run("data", str(frames), encoding=encoding)
    assert "?.xyz: 20 frames" in words(labels.stdout), labels.stderr
    assert run("--help", encoding=encoding).returncode == 0


def test_a_letter_that_cannot_be_shown_becomes_its_ascii_part_or_a_question_mark() -> None:
    replace_what_cannot_be_shown()
    shown = "3 Å⁻¹ · é λ".encode("ascii", "painn_ase.replace")
    assert shown == b"3 A^-1 * e ?"
    assert "3 Å · é λ".encode("cp1252", "painn_ase.replace").decode("cp1252") == "3 Å · é ?"


def test_without_a_command_it_says_what_can_be_done_now() -> None:
    done = run()
    assert done.returncode == 0
    for command in ("demo", "spectrum", "harmonic", "learn"):
        assert f"painn-ase {command}" in done.stdout
    named = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("  painn-ase")}
    assert named <= set(COMMANDS)


def test_a_shell_can_complete_commands() -> None:
    environment = {
        **os.environ,
        "_PAINN_ASE_COMPLETE": "complete_bash",
        "COMP_WORDS": "painn-ase spec",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", "from painn_ase.cli import main; main()"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.stdout.split() == ["spectrum"]
