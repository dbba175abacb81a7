"""The scripts of md_examples as notebooks that the documentation executes."""

from __future__ import annotations

import re
from pathlib import Path

from builders.writing import write_folder

__all__ = ["write_gallery"]

EXAMPLES = Path(__file__).parents[2] / "md_examples"
_PRELUDE = """# %% tags=["remove-cell"]
from builders.notebook import prepare

prepare()
__file__ = {script!r}

"""


def write_gallery(folder: Path) -> None:
    """Copy every script into `folder`, each figure it saves shown under its cell, and an index."""
    files = {}
    for script in sorted(EXAMPLES.glob("[0-9]*.py")):
        text = script.read_text(encoding="utf-8")
        # the title comes first, or Sphinx finds none
        head, mark, rest = text.partition("\n# %%\n")
        prelude = _PRELUDE.format(script=str(script))
        shown = re.sub(r"^(figure\.savefig\(.*\))$", r"\1\nfigure", mark + rest, flags=re.M)
        files[script.name] = f"{head}\n\n{prelude}{shown.lstrip()}"
    lines = "\n".join(name.removesuffix(".py") for name in files)
    files["index.md"] = (
        "# Examples\n\nEach page is a script of `md_examples/` in the repository, run as it stands "
        "when this documentation was built.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{lines}\n```\n"
    )
    write_folder(folder, files)
