"""A page for each command: its help, every option, and an example that was run.

The examples run in one folder, in the order below, so that one may use what another wrote. Their
outputs are kept beside the generated pages until the examples or the package change.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo

import painn_ase
from builders.writing import cell, table, tree, write_folder
from painn_ase.cli import COMMANDS

__all__ = ["EXAMPLES", "Example", "commands_table", "run_examples", "write_commands"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Example:
    """What a page shows of a command.

    Attributes
    ----------
    lines : str
        The commands, one a line.
    after : str
        What to read on.
    before : str
        Commands that make what the example needs and are not shown.
    modules : tuple of str
        Optional packages without which it is not run.
    pictures : tuple of str
        Files it writes that are shown.
    """

    lines: str
    after: str = ""
    before: str = ""
    modules: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()


_FRAMES = f"head -n 240 {ROOT}/model_recipes/data/water.extxyz > water.extxyz"
_CONFIG = (
    'printf \'name = "small"\\n[data]\\npath = "water.extxyz"\\nn_train = 36\\nn_validation = 4\\n'
    '[data.units]\\npolarizability = "Angstrom^3"\\n'
    "[network]\\nn_features = 16\\nn_interactions = 2\\n' > small.toml"
)
_WATER = "'painn_ase:PaiNNCalculator?model=water'"
#: Command, in the order in which they are run → its example.
EXAMPLES: dict[str, Example] = {
    "info": Example("painn-ase info water", "[Model files](../../model_files.md)"),
    "formats": Example("painn-ase formats", "[Files of other programs](../../formats.md)"),
    "demo": Example(
        "painn-ase demo --budget 20 -o demo", "[The report page](../../report_page.md)"
    ),
    "harmonic": Example(
        "painn-ase harmonic water H2O -o modes", "[Spectra](../../spectra.md#normal-modes)"
    ),
    "anharmonic": Example(
        "painn-ase anharmonic water H2O -o levels", "[Anharmonic levels](../../anharmonic.md)"
    ),
    "spectrum": Example(
        "painn-ase spectrum water H2O --replicas 16 --segment 0.5 --equilibration 0.5 -o spectrum",
        "[Spectra](../../spectra.md)",
        pictures=("spectrum/spectra.png",),
    ),
    "md": Example(
        "painn-ase md water H2O --ensemble langevin --steps 2000 --flux 2 -o run.h5\n"
        "painn-ase md -o run.h5 --restart --steps 3000",
        "[Dynamics](../../dynamics.md)",
    ),
    "evaluate": Example(
        "painn-ase evaluate water run.h5 --properties dipole,polarizability -o evaluated.h5",
        "[Spectra from a trajectory](../../spectra.md#from-a-trajectory-of-your-own)",
    ),
    "plot": Example(
        "painn-ase plot modes/infrared.csv --sticks modes/modes.json --peaks -o infrared.png\n"
        "painn-ase plot run.h5 -o run.png",
        "[Files and pictures](../../spectra.md#files-and-pictures)",
        pictures=("infrared.png", "run.png"),
    ),
    "report": Example(
        "painn-ase report demo spectrum --name ethanol --name water -o two.html",
        "[The report page](../../report_page.md)",
    ),
    "sample": Example(
        "painn-ase sample H2O --model water --near 4 --quantum 3 --turned 0 --thermal 300:3",
        "[Labels](../../labels.md)",
    ),
    "label": Example(
        "painn-ase label frames.extxyz --engine pyscf --level hf/sto-3g --processes 1",
        "[Labels](../../labels.md)",
        modules=("pyscf",),
    ),
    "data": Example(
        "painn-ase data water.extxyz --unit polarizability=Angstrom^3",
        "[Training](../../training.md)",
        before=_FRAMES,
    ),
    "train": Example(
        "cat small.toml\npainn-ase train small.toml --steps 200 --accept-warnings",
        "[Training](../../training.md)",
        before=_CONFIG,
        modules=("lightning",),
        pictures=("runs/small/parity.png",),
    ),
    "learn": Example(
        f"painn-ase learn H2O --engine {_WATER} --guide {_WATER} --n-models 2 --near 20 "
        "--steps 400 --max-frames 20 --dynamics-rounds 0 -o learnt",
        "[Learning a molecule](../../learning.md) shows it at work with PySCF, for minutes to "
        "hours. Here a bundled model gives the labels.",
        modules=("lightning",),
    ),
    "doctor": Example(
        "painn-ase doctor water H2O --steps 50", "[Networks](../../networks.md#is-it-a-potential)"
    ),
    "convert": Example("", "[Models from SchNetPack](../../schnetpack.md) shows it at work."),
    "ipi": Example(
        "painn-ase ipi water H2O --method trpmd --beads 4 --timestep 0.25 --steps 40 -o beads",
        "[i-PI](../../ipi.md)",
        modules=("ipi",),
    ),
    "lammps": Example(
        "painn-ase lammps water H2O --steps 100 -o md",
        "[LAMMPS](../../lammps.md)",
    ),
    "export": Example(
        "painn-ase export water water.pt",
        "[metatomic](../../metatomic.md)",
        modules=("metatomic.torch",),
    ),
}


def run_examples(kept: Path) -> dict[str, str]:
    """Output of each example by its command, from the file `kept` where it still holds."""
    mark = _mark()
    if kept.exists():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["mark"] == mark:
            return dict(found["outputs"])
    folder, pictures = kept.with_suffix(""), kept.with_name("pictures")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pictures.mkdir(exist_ok=True)
    outputs = {}
    for name, example in EXAMPLES.items():
        if _possible(example):
            outputs[name] = _run(example, folder).replace(f"{folder}/", "")
            for picture in example.pictures:
                shutil.copy(folder / picture, pictures)
    kept.write_text(json.dumps({"mark": mark, "outputs": outputs}), encoding="utf-8")
    return outputs


def _mark() -> str:
    """Changes with the examples and with the package."""
    digest = hashlib.sha256(repr(EXAMPLES).encode())
    for path in sorted(Path(painn_ase.__file__).parent.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _possible(example: Example) -> bool:
    from importlib.util import find_spec

    return bool(example.lines) and all(find_spec(m.partition(".")[0]) for m in example.modules)


def _run(example: Example, folder: Path) -> str:
    """What a terminal shows of an example, its own commands included."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "OMP_NUM_THREADS": "1",
    }
    shown = []
    for line in [*example.before.splitlines(), *example.lines.splitlines()]:
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the documentation's example failed: {line}\n{done.stdout}")
        if line not in example.before:
            shown.append(f"$ {line}\n{_plain(done.stdout)}")
            print(f"example: {line}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return "\n".join(shown)


def _plain(output: str) -> str:
    """Text without colours and trailing blanks."""
    output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.replace("\r\n", "\n"))
    return "\n".join(line.rstrip() for line in output.strip("\n").splitlines()) + "\n"


def write_commands(folder: Path, outputs: dict[str, str]) -> None:
    """Write a page for each command into `folder`."""
    write_folder(folder, {f"{name}.md": _page(name, outputs.get(name)) for name in COMMANDS})


def commands_table(prefix: str) -> str:
    """Every command with its first line, its page at `prefix`, and the pages' tree."""
    rows = []
    for name in COMMANDS:
        first = _help(_target(name)).partition("\n")[0]
        rows.append((f"[`painn-ase {name}`]({prefix}{name}.md)", first))
    return table(("command", "does"), rows) + tree(prefix, COMMANDS)


def _target(name: str) -> Any:
    """The function of a command, or its group."""
    module, attribute = COMMANDS[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def _page(name: str, output: str | None) -> str:
    example, target = EXAMPLES[name], _target(name)
    text = f"# painn-ase {name}\n\n{_help(target)}\n\n"
    if isinstance(target, typer.Typer):
        for part in target.registered_commands:
            text += f"## painn-ase {name} {part.name}\n\n{_help(part.callback)}\n\n"
            text += _options(part.callback)
    else:
        text += _options(target)
    if example.lines:
        shown = output or "".join(f"$ {line}\n" for line in example.lines.splitlines())
        text += f"\n## Example\n\n```console\n{shown}```\n"
        for picture in example.pictures if output else ():
            title = f"What the example wrote: {picture}"
            text += f"\n![{title}](../../_generated/pictures/{Path(picture).name})\n"
    return text + f"\nMore: {example.after}\n"


def _help(target: Any) -> str:
    """A command's own words."""
    text = target.info.help if isinstance(target, typer.Typer) else target.__doc__
    return inspect.cleandoc(text or "").replace("\b", "").replace("<", "&lt;")


def _options(function: Any) -> str:
    """Tables of a command's arguments and options, as its signature has them."""
    arguments, options = [], []
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        info = parameter.default
        if not isinstance(info, (ArgumentInfo, OptionInfo)):
            continue
        words = _code(cell(info.help or ""))
        words += " *Required.*" if info.default is ... else ""
        if isinstance(info, ArgumentInfo):
            arguments.append((f"`{info.metavar or name}`", words))
            continue
        declared = info.param_decls or (f"--{name.replace('_', '-')}",)
        flag = parameter.annotation in (bool, bool | None)
        default = getattr(info.default, "value", info.default)
        options.append(
            (
                ", ".join(f"`{part}`" for part in "/".join(declared).split("/")),
                "" if flag else _value(parameter.annotation),
                words,
                "" if flag or default in (None, ...) or not info.show_default else f"`{default}`",
            )
        )
    text = ""
    if arguments:
        text += table(("argument", "what"), arguments) + "\n"
    if options:
        text += table(("option", "value", "what", "default"), options)
    return text


def _code(text: str) -> str:
    """Escaped text with its code between backticks plain again."""
    return re.sub(r"\\`(.*?)\\`", lambda m: "`" + re.sub(r"\\(?!\|)", "", m[1]) + "`", text)


def _value(annotation: Any) -> str:
    """What an option takes, in a word or two."""
    kinds = {str: "text", int: "whole number", float: "number", Path: "path"}
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(map(str, parts))
    if origin is list:
        return f"{kinds[parts[0]]}, repeatable"
    if origin is tuple:
        return " ".join(kinds[part] for part in parts)
    if issubclass(annotation, Enum):
        return ", ".join(str(member.value) for member in annotation)
    return kinds[annotation]
