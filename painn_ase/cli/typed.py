"""What a user typed, as opposed to defaults: what may contradict a run that goes on."""

from __future__ import annotations

from typing import Any

import typer

__all__ = ["typed_options"]


def typed_options(ctx: typer.Context) -> dict[str, Any]:
    """What the user wrote on the command line, as opposed to defaults."""
    return {
        name: value
        for name, value in ctx.params.items()
        if (source := ctx.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    }
