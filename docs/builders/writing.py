"""Files of a generated folder, touched where their text changes so that Sphinx reads no more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["cell", "one_line", "table", "tree", "write_folder"]


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Make `folder` hold these text files and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.iterdir():
        if path.is_file() and path.name not in files:
            path.unlink()


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def tree(prefix: str, names: Iterable[str]) -> str:
    """A toctree, not shown, of pages below `prefix`."""
    lines = "\n".join(f"{prefix}{name}" for name in names)
    return f"\n```{{toctree}}\n:hidden:\n\n{lines}\n```\n"


def one_line(text: str) -> str:
    """Text with single blanks and no breaks."""
    return re.sub(r"\s+", " ", text).strip()


def cell(text: str) -> str:
    """Plain text that keeps its characters inside a Markdown table."""
    return re.sub(r"([\\|<>*_`\[\]{}$#])", r"\\\1", one_line(text))
