"""The scripts of md_examples as notebooks that the documentation executes."""

from __future__ import annotations

import re
from pathlib import Path

from builders.writing import write_folder

__all__ = ["show_figures", "write_gallery"]

EXAMPLES = Path(__file__).parents[2] / "md_examples"
_PRELUDE = """# %% tags=["remove-cell"]
import sys

sys.path.insert(0, {docs!r})
from builders.gallery import show_figures

show_figures()
__file__ = {script!r}

"""


def write_gallery(folder: Path) -> None:
    """Copy every script into `folder`, each figure it saves shown under its cell, and an index."""
    files = {}
    titles = []
    for script in sorted(EXAMPLES.glob("[0-9]*.py")):
        text = script.read_text(encoding="utf-8")
        titles.append((script.stem, text.splitlines()[1].removeprefix("# # ")))
        # the title comes first, or Sphinx finds none
        head, mark, rest = text.partition("\n# %%\n")
        prelude = _PRELUDE.format(docs=str(Path(__file__).parents[1]), script=str(script))
        shown = re.sub(r"^(figure\.savefig\(.*\))$", r"\1\nfigure", mark + rest, flags=re.M)
        files[script.name] = f"{head}\n\n{prelude}{shown.lstrip()}"
    lines = "\n".join(f"{stem}" for stem, _ in titles)
    files["index.md"] = (
        "# Examples\n\nEach page is a script of `md_examples/` in the repository, run as it stands when this "
        "documentation was built.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{lines}\n```\n"
    )
    write_folder(folder, files)


def show_figures() -> None:
    """In a notebook: a figure that ends a cell is shown as SVG."""
    import io

    from IPython import get_ipython
    from matplotlib.figure import Figure

    def svg(figure: Figure) -> str:
        file = io.StringIO()
        figure.savefig(file, format="svg", bbox_inches="tight")
        return file.getvalue()

    get_ipython().display_formatter.formatters["image/svg+xml"].for_type(Figure, svg)
