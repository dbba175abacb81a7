"""A page for each class of error: what it means, what to do, and every message it comes with."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

import painn_ase
from builders.writing import cell, one_line, table, tree, write_folder
from painn_ase import errors

__all__ = ["ErrorMessage", "errors_table", "find_error_messages", "write_errors"]

PACKAGE = Path(painn_ase.__file__).parent
#: Characters below which a message says nothing of its own.
SHORTEST = 12
#: Class → what helps, beyond what the message itself says.
REMEDIES = {
    "PaiNNError": ("Catch this one to catch all of them; each message names the remedy."),
    "GeometryError": (
        "Look at the structure in `ase gui`: units of positions, a missing cell, atoms on top "
        "of each other after a wrong conversion."
    ),
    "UnknownElementError": (
        "`painn-ase info MODEL` lists the elements it knows. Train with frames that hold the "
        "missing one ([Training](../../training.md)); `--from MODEL` keeps what is learnt."
    ),
    "UnsupportedPropertyError": (
        "`painn-ase info MODEL` lists the heads. A stress needs three periodic directions, a "
        "dipole in a cell a local head, a polarizability a network with vectors "
        "([Networks](../../networks.md))."
    ),
    "SpecError": (
        "The message names the key's path and what is allowed there; "
        "[Training](../../training.md) lists every key."
    ),
    "ModelFileError": (
        "Fetch or write the file again; a SchNetPack file is converted first "
        "([SchNetPack](../../schnetpack.md)); one of a newer schema needs a newer painn_ase."
    ),
    "DeviceError": ("`painn-ase info` lists devices; leave `device` out to take what there is."),
    "BackendError": (
        'Go on with `backend="eager"` and report it with the output of `painn-ase info`: '
        "nothing of the faulty path was handed out."
    ),
    "NonFiniteError": (
        "Look at the structure of that step; a model far outside its data can do this. "
        "`painn-ase doctor MODEL STRUCTURE` examines the model."
    ),
    "DataError": (
        "`painn-ase data FILE` shows what was read, under which key and in which unit; "
        "`--key` and `--unit` say what the file does not."
    ),
    "LabelingError": (
        "Raise iterations or memory of the engine, or leave the frame out; a rerun tries what "
        "failed again ([Labels](../../labels.md))."
    ),
    "TrajectoryError": (
        "`painn-ase formats` lists what is read. A run that is already there is continued "
        "with `--restart` or replaced with `--overwrite`."
    ),
    "UnitError": (
        "The message lists the units of that quantity; they are typed as people do "
        "(`kcal/mol`, `Debye`, `a.u.`)."
    ),
    "MissingDependencyError": (
        "The message has the line for pip. `painn-ase info` lists what else is missing."
    ),
    "PaiNNWarning": (
        "A result is there; read the sentence before you use it. Silence it with "
        '`warnings.simplefilter("ignore", PaiNNWarning)`.'
    ),
    "UnstableRunError": (
        "The state before is saved beside the trajectory. A shorter time step helps if the "
        "energy rose slowly; a jump means a hole of the model: label frames of there "
        "([Learning](../../learning.md))."
    ),
}


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


def write_errors(folder: Path) -> None:
    """Write a page for each class into `folder`."""
    found = find_error_messages()
    write_folder(folder, {f"{name}.md": _page(name, found) for name in _names()})


def errors_table(prefix: str) -> str:
    """Every class with its meaning, its page at `prefix`, and the pages' tree."""
    rows = ((f"[`{n}`]({prefix}{n}.md)", cell(_meaning(n))) for n in _names())
    return table(("class", "meaning"), rows) + tree(prefix, _names())


def _names() -> list[str]:
    return [n for n in errors.__all__ if issubclass(getattr(errors, n), Exception)]


def _meaning(name: str) -> str:
    return one_line(getattr(errors, name).__doc__ or "")


def _page(name: str, found: list[ErrorMessage]) -> str:
    bases = " and ".join(f"`{b.__name__}`" for b in getattr(errors, name).__bases__)
    rows = [(f"`{m.module}`", cell(m.message)) for m in found if m.error == name]
    text = f"# {name}\n\n{cell(_meaning(name))} A kind of {bases}.\n\n"
    text += f"## What to do\n\n{REMEDIES[name]}\n"
    if rows:
        text += "\n## Messages\n\n`…` stands for what is filled in.\n\n"
        text += table(("raised in", "message"), rows)
    return text


def find_error_messages() -> list[ErrorMessage]:
    """All places that raise one of our errors with a message that stands there, by module."""
    families = _families()
    found = []
    for module, nodes in _nodes():
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                error = families.get(node.func.id)
                message = _template(node.args[0]) if error and node.args else ""
                # a message that is all filling passes on another one, which stands elsewhere
                if error and len(message.replace("…", "")) >= SHORTEST:
                    found.append(ErrorMessage(error, module, message))
    return found


@functools.cache
def _nodes() -> tuple[tuple[str, tuple[ast.AST, ...]], ...]:
    """Name and syntax of every module of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found.append((module.removesuffix(".__init__"), tuple(ast.walk(tree))))
    return tuple(found)


def _families() -> dict[str, str]:
    """Name of each class of ours, and of classes derived from one, to the documented class."""
    families = {name: name for name in errors.__all__}
    for _, nodes in _nodes():
        for node in nodes:
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
