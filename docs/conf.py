"""Sphinx configuration; pages that stand in the code or in records are written from there first.

With ``PAINN_ASE_DOCS=quick`` in the environment nothing is executed: examples, tutorials and
commands stand there without what they print and draw.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from builders.commands import commands_table, run_examples, write_commands
from builders.demo import write_demo
from builders.errors import errors_table, write_errors
from builders.figures import figures
from builders.gallery import write_gallery
from builders.quantities import engines_table, quantities_table, write_quantities
from builders.writing import table, write_folder

from painn_ase import __version__
from painn_ase.trajectory.formats import table_of_formats

DOCS = Path(__file__).parent
QUICK = os.environ.get("PAINN_ASE_DOCS") == "quick"
GENERATED = DOCS / "_generated"
# what pages execute finds the commands and `builders`, and takes one core
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ["PYTHONPATH"] = str(DOCS)
os.environ.setdefault("OMP_NUM_THREADS", "1")

write_folder(
    GENERATED / "tables",
    {
        "quantities.md": quantities_table("reference/quantities/"),
        "engines.md": engines_table(),
        "errors.md": errors_table("reference/errors/"),
        "commands.md": commands_table("reference/commands/"),
        "formats.md": table(
            ("program", "files", "recognised by", "gives", "extra"),
            ((f.program, f.files, f.mark, f.gives, f.extra) for f in table_of_formats()),
        ),
        **figures(),
    },
)
write_quantities(DOCS / "reference" / "quantities")
write_errors(DOCS / "reference" / "errors")
outputs = {} if QUICK else run_examples(GENERATED / "examples.json")
write_commands(DOCS / "reference" / "commands", outputs)
write_gallery(DOCS / "examples")
write_demo(GENERATED / "ethanol", GENERATED / "site")

project = "painn_ase"
author = "The painn_ase developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "builders.mathml",
]
exclude_patterns = ["_build", "_generated", "builders", "conf.py"]
# a notebook's language is known when it has run
suppress_warnings = ["myst-nb.lexer"] if QUICK else []
html_math_renderer = "mathml"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "off" if QUICK else "cache"
nb_execution_cache_path = str(GENERATED / "executed")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it, with shapes and units
napoleon_use_rtype = False
napoleon_use_ivar = True
html_theme = "furo"
html_extra_path = ["_generated/site"]
html_title = f"painn_ase {release}"
html_copy_source = html_show_sourcelink = False
linkcheck_ignore = ["https?://.*"]  # links between pages are to hold wherever there is no network


def escape_bars(app: object, what: str, name: str, obj: object, options: object, lines: list[str]):
    """Keep |x| the absolute value it is; reStructuredText would look for a substitution."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(r"(``[^`]*``)|\|", lambda m: m[1] or r"\|", line)


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape_bars)
