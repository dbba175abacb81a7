"""Tables of the documentation that are made from the code: quantities, errors, commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import painn_ase
from painn_ase import errors
from painn_ase.quantities import QUANTITIES
from painn_ase.trajectory.formats import table_of_formats

__all__ = ["ErrorMessage", "find_error_messages", "write_tables"]

PACKAGE = Path(painn_ase.__file__).parent
#: Characters below which a message says nothing of its own.
SHORTEST = 12


@dataclass(frozen=True)
class ErrorMessage:
    """One place that raises an error of ours.

    Attributes
    ----------
    error : str
        Class.
    module : str
        Where it is raised.
    message : str
        What it says; ``…`` stands for what is filled in.
    """

    error: str
    module: str
    message: str


def write_tables(folder: Path) -> None:
    """Write all tables as Markdown files into `folder`."""
    folder.mkdir(exist_ok=True)
    for name, text in (
        ("quantities.md", quantities_table()),
        ("errors.md", errors_table()),
        ("commands.md", commands()),
        ("formats.md", formats_table()),
    ):
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def quantities_table() -> str:
    """Every quantity with symbol, shape, unit and the head it comes from."""
    rows = ["| name | symbol | shape | unit | from the head |", "|---|---|---|---|---|"]
    for q in QUANTITIES.values():
        shape = ", ".join(map(str, q.shape)) or "scalar"
        rows.append(f"| `{q.name}` | {q.symbol} | {shape} | {q.unit} | {q.requires} |")
    return "\n".join(rows) + "\n"


def formats_table() -> str:
    """Every file that can be read, how it is recognised, and what it gives."""
    rows = [
        "| program | files | recognised by | gives | extra |",
        "|---|---|---|---|---|",
    ]
    for f in table_of_formats():
        rows.append(f"| {f.program} | {f.files} | {f.mark} | {f.gives} | {f.extra} |")
    return "\n".join(rows) + "\n"


def errors_table() -> str:
    """A section for each class of error with the messages it comes with."""
    found = find_error_messages()
    sections = []
    for name in errors.__all__:
        cls = getattr(errors, name)
        if not issubclass(cls, Exception):
            continue
        bases = ", ".join(f"`{b.__name__}`" for b in cls.__bases__)
        sections.append(f"## {name}\n\n{_one_line(cls.__doc__ or '')} A kind of {bases}.\n")
        messages = [m for m in found if m.error == name]
        if messages:
            rows = ["| raised in | message |", "|---|---|"]
            rows += [f"| `{m.module}` | {_cell(m.message)} |" for m in messages]
            sections.append("\n".join(rows) + "\n")
    return "\n".join(sections)


def find_error_messages() -> list[ErrorMessage]:
    """All places that raise one of our errors with a message that stands there, by module."""
    families = _families()
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        module = module.removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                error = families.get(node.func.id)
                message = _template(node.args[0]) if error and node.args else ""
                # a message that is all filling passes on another one, which stands elsewhere
                if error and len(message.replace("…", "")) >= SHORTEST:
                    found.append(ErrorMessage(error, module, message))
    return found


def _families() -> dict[str, str]:
    """Name of each class of ours, and of classes derived from one, to the documented class."""
    families = {name: name for name in errors.__all__}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                for base in node.bases:
                    if isinstance(base, ast.Name) and base.id in families:
                        families.setdefault(node.name, families[base.id])
    return families


def _template(node: ast.expr) -> str:
    """The text of a string expression, with … for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    return "…"


def commands() -> str:
    """The help of the command line and of each sub-command."""
    return "\n".join(_command_sections())


def _command_sections() -> Iterator[str]:
    from typer.testing import CliRunner

    from painn_ase.cli import COMMANDS, app

    for name in ("", *COMMANDS):
        arguments = [name, "--help"] if name else ["--help"]
        environment = {"COLUMNS": "92", "TERM": "dumb", "NO_COLOR": "1"}
        result = CliRunner().invoke(app, arguments, prog_name="painn-ase", env=environment)
        if result.exit_code == 0:
            text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
            yield f"## painn-ase {name}".rstrip() + f"\n\n```text\n{text}\n```\n"


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _cell(text: str) -> str:
    """Text that keeps its characters inside a Markdown table."""
    return re.sub(r"([\\|<>*_`\[\]{}$#])", r"\\\1", _one_line(text))
