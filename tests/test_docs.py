"""The documentation builds without a warning, leads nowhere wrong, and says what the code says."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from painn_ase import errors
from painn_ase.cli import COMMANDS
from painn_ase.quantities import QUANTITIES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def builders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))


def test_every_class_of_error_has_a_page_with_a_remedy_and_its_messages(tmp_path: Path) -> None:
    from builders.errors import find_error_messages, write_errors

    write_errors(tmp_path)
    for name in errors.__all__:
        text = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
        assert re.search(r"## What to do\n\n\S+", text), name
    assert "painn_ase.graph" in (tmp_path / "GeometryError.md").read_text(encoding="utf-8")
    assert len(find_error_messages()) > 50


def test_every_quantity_has_a_page_that_names_tests_there_are(tmp_path: Path) -> None:
    from builders.quantities import write_quantities

    write_quantities(tmp_path)  # a test that does not exist is an error there
    assert {p.stem for p in tmp_path.iterdir()} == set(QUANTITIES)
    for path in tmp_path.iterdir():
        assert "`tests/" in path.read_text(encoding="utf-8"), path.stem


def test_every_command_has_a_page_with_its_options_and_an_example_or_where_one_is(
    tmp_path: Path,
) -> None:
    from builders.commands import EXAMPLES, write_commands

    write_commands(tmp_path, {})
    assert set(EXAMPLES) == set(COMMANDS)
    for name, example in EXAMPLES.items():
        text = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
        for option in re.findall(r" (--?[a-z][a-z-]*)", "\n".join(example.lines.splitlines())):
            assert f"`{option}`" in text, f"{name} has no {option}"
        assert "## Example" in text or re.search(r"More: \[.*\.md\)", text)


def test_the_readmes_figures_are_those_of_the_records() -> None:
    from builders.figures import md_step_medians

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ours, theirs = re.search(
        r"takes ([\d.]+) ms of one\ncore .* takes ([\d.]+) ms", readme
    ).groups()
    of = md_step_medians()["ethanol"]
    assert f"{of['auto']:.2f}" == ours
    assert f"{of['schnetpack']:.1f}" == theirs


def test_wrong_links_and_foreign_files_are_found(tmp_path: Path) -> None:
    from builders.links import faults

    (tmp_path / "a.html").write_text(
        '<a href="b.html#there"></a><a href="https://example.org"></a>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p><a href="a.html">a</a>')
    assert list(faults(tmp_path)) == []
    (tmp_path / "b.html").write_text(
        '<script src="https://example.org/x.js"></script><a href="c.html"></a>'
    )
    assert sorted(faults(tmp_path)) == [
        "a.html leads to b.html#there, where there is no such place",
        "b.html fetches https://example.org/x.js",
        "b.html leads to c.html, which does not exist",
    ]


@pytest.mark.slow
@pytest.mark.skipif(
    any(
        importlib.util.find_spec(name) is None for name in ("sphinx", "furo", "myst_nb", "jupytext")
    ),
    reason="needs the extra `docs`",
)
def test_the_documentation_builds_without_warnings_and_leads_nowhere_wrong(tmp_path: Path) -> None:
    from builders.links import faults

    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    site = tmp_path / "html"
    quick = {**os.environ, "PAINN_ASE_DOCS": "quick"}
    result = subprocess.run(
        [*command, "-d", str(tmp_path / "trees"), str(DOCS), str(site)],
        capture_output=True, text=True, timeout=600, env=quick,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert list(faults(site)) == []
