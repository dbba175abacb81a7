"""Sphinx configuration; tables that stand in the code are written out from there first."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from demo import write_demo
from tables import write_tables

from painn_ase import __version__

GENERATED = Path(__file__).parent / "_generated"
write_tables(GENERATED)
write_demo(GENERATED / "ethanol", GENERATED / "site")

project = "painn_ase"
author = "The painn_ase developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_generated"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it, with shapes and units
napoleon_use_rtype = False
napoleon_use_ivar = True
html_theme = "furo"
html_extra_path = ["_generated/site"]
html_title = f"painn_ase {release}"


def escape_bars(app: object, what: str, name: str, obj: object, options: object, lines: list[str]):
    """Keep |x| the absolute value it is; reStructuredText would look for a substitution."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(r"(``[^`]*``)|\|", lambda m: m[1] or r"\|", line)


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape_bars)
