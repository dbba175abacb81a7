"""The documentation builds without a warning, and its generated tables hold what they should."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from painn_ase import errors

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(DOCS))
    import tables

    return tables


def test_the_error_table_names_every_class_and_real_messages(tables: object) -> None:
    text = tables.errors_table()
    for name in errors.__all__:
        if issubclass(getattr(errors, name), Exception):
            assert f"## {name}" in text
    assert len(tables.find_error_messages()) > 50


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("sphinx") is None or importlib.util.find_spec("furo") is None,
    reason="needs the extra `docs`",
)
def test_the_documentation_builds_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    result = subprocess.run(
        [*command, str(DOCS), str(tmp_path / "html")], capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "html" / "index.html").exists()
