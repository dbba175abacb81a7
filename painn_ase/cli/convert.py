"""``painn-ase convert``: other programs' model files into ours."""

from __future__ import annotations

import typer

__all__ = ["convert"]

convert = typer.Typer(
    help="Convert other programs' models into painn_ase model files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@convert.callback()
def _group() -> None:
    """Keep `schnetpack` a sub-command of its own although it is the only one."""
