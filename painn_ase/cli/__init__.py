"""The command line, ``painn-ase``: one file a sub-command, loaded only when it is asked for.

What a command does lives in the packages below; here are options, tables and messages.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from dataclasses import dataclass
from typing import Any, TextIO

import typer
from typer.core import TyperGroup
from typer.main import get_command

from painn_ase._version import __version__
from painn_ase.cli.encodings import replace_what_cannot_be_shown
from painn_ase.cli.messages import note, trouble
from painn_ase.errors import PaiNNError, PaiNNWarning

__all__ = ["app", "main"]

#: Sub-command → ``module:attribute``, in the order of ``--help``: a function or a group of its own.
COMMANDS: dict[str, str] = {
    "demo": "painn_ase.cli.demo:demo",
    "info": "painn_ase.cli.info:info",
    "spectrum": "painn_ase.cli.spectrum:spectrum",
    "harmonic": "painn_ase.cli.harmonic:harmonic",
    "anharmonic": "painn_ase.cli.anharmonic:anharmonic",
    "md": "painn_ase.cli.md:md",
    "evaluate": "painn_ase.cli.evaluate:evaluate",
    "plot": "painn_ase.cli.plot:plot",
    "report": "painn_ase.cli.report:report",
    "formats": "painn_ase.cli.formats:formats",
    "sample": "painn_ase.cli.sample:sample",
    "label": "painn_ase.cli.label:label",
    "data": "painn_ase.cli.data:data",
    "train": "painn_ase.cli.train:train",
    "learn": "painn_ase.cli.learn:learn",
    "doctor": "painn_ase.cli.doctor:doctor",
    "convert": "painn_ase.cli.convert:convert",
    "ipi": "painn_ase.cli.ipi:ipi",
    "lammps": "painn_ase.cli.lammps:lammps",
    "export": "painn_ase.cli.export:export",
}


@dataclass
class Settings:
    """Options given before the sub-command."""

    debug: bool = False


class LazyGroup(TyperGroup):
    """A group that imports a sub-command's file when that sub-command is named.

    Sub-commands import what they need inside their functions too, so that ``--help``, which
    imports every file, stays quick.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all sub-commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The sub-command called `cmd_name`, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        target = getattr(importlib.import_module(module), attribute)
        if isinstance(target, typer.Typer):
            group = target
        else:
            group = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            group.command(cmd_name)(target)
        command = get_command(group)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=LazyGroup,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"painn_ase {__version__}")
        raise typer.Exit()


@app.callback()
def painn_ase(
    ctx: typer.Context,
    debug: bool = typer.Option(False, "--debug", help="Show the full traceback of an error."),
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """PaiNN models in ASE, and IR and Raman spectra in absolute units from their dynamics."""
    if isinstance(ctx.obj, Settings):
        ctx.obj.debug = debug
    if ctx.invoked_subcommand is None:
        from painn_ase.cli.welcome import welcome

        welcome()


def main() -> None:
    """Run the command line; our own errors become one message and exit code 1."""
    settings = Settings()
    replace_what_cannot_be_shown()
    warnings.showwarning = _show_warning
    try:
        app(prog_name="painn-ase", obj=settings)
    except (PaiNNError, OSError) as error:
        if settings.debug:
            raise
        _show(error)
        sys.exit(1)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of ours as a note; any other as Python does."""
    if issubclass(category, PaiNNWarning):
        note(message)
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        print(text, end="", file=file or sys.stderr)


def _show(error: Exception) -> None:
    """Print `error` to standard error, with how to see more."""
    trouble(
        f"painn-ase: {type(error).__name__}: {error}",
        "(`painn-ase --debug …` shows where it comes from.)",
    )
