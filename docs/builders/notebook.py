"""How the documentation's notebooks show what commands print and figures look like."""

from __future__ import annotations

import io
import os
import subprocess
from typing import Any

__all__ = ["prepare"]

#: What a command is told of its terminal: none, and no colours, whatever the kernel says.
_TERMINAL = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "92"}
_NOT_SET = ("FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")


def prepare() -> None:
    """Show figures that end a cell as SVG, and what ``%%bash`` prints in one piece and in order."""
    from IPython import get_ipython
    from matplotlib.figure import Figure

    shell = get_ipython()
    shell.display_formatter.formatters["image/svg+xml"].for_type(Figure, _svg)
    shell.register_magic_function(_bash, "cell", "bash")


def _svg(figure: Any) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", bbox_inches="tight")
    return file.getvalue()


def _bash(line: str, cell: str) -> None:
    # IPython's own hands over pieces as they come, errors apart, and pages tear them in mid-word
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_SET} | _TERMINAL
    done = subprocess.run(
        ["bash", "-e", "-c", cell],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print("\n".join(part.rstrip() for part in done.stdout.splitlines()))
    if done.returncode:
        raise RuntimeError(f"the commands of this cell ended with {done.returncode}")
