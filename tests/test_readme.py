"""What the README tells people to type works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from painn_ase.cli import COMMANDS, app
from painn_ase.training import read_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL_AND_DEMO = "python -m pip install -c constraints.txt -e . && painn-ase demo"
INSTALL_AND_TEST = "python -m pip install -c constraints.txt -e '.[test]' && python -m pytest"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_python_blocks_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(blocks("python"), start=1):
        exec(compile(block, f"README.md, python block {number}", "exec"), namespace)


def test_the_training_recipe_is_a_configuration(tmp_path: Path) -> None:
    recipes = blocks("toml")
    assert recipes
    for recipe in recipes:
        path = tmp_path / "recipe.toml"
        path.write_text(recipe, encoding="utf-8")
        config = read_config(path)
        assert config.name == "ethanol"
        assert len(recipe.splitlines()) <= 5


def test_the_two_commands_are_lines_of_their_own() -> None:
    lines = README.splitlines()
    assert lines.count(INSTALL_AND_DEMO) == 1
    assert lines.count(INSTALL_AND_TEST) == 1


def shell_lines() -> list[str]:
    joined = "\n".join(blocks("bash")).replace("\\\n", " ")
    return [line.split("#")[0].strip() for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize("line", [s for s in shell_lines() if s.startswith("painn-ase ")])
def test_commands_and_options_exist(line: str) -> None:
    words = line.split()[1:]
    command = words[0]
    assert command in COMMANDS
    if command == "convert":
        command = " ".join(words[:2])
    text = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"}).output
    for option in (w.split("=")[0] for w in words if w.startswith("-")):
        assert option in text, f"{command} has no {option}"


def test_links_to_files_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)[^)]*\)", README):
        assert (ROOT / target).exists(), target
