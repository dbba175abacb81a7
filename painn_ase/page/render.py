"""From a record to the page: one HTML file that allows itself its own script and no network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from painn_ase.replacing import write_text

__all__ = ["SCRIPTS", "Page"]

#: parts of the script and of the style, in the order in which they are joined
SCRIPTS = (
    "numbers.js",
    "experiment.js",
    "results.js",
    "chart.js",
    "panel.js",
    "molecule.js",
    "molecule_paint.js",
    "spectra.js",
    "areas.js",
    "modes.js",
    "overlay.js",
    "downloads.js",
    "app.js",
)
STYLES = ("layout.css", "parts.css")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: height of the frame in a notebook, pixels
_FRAME = 860


@dataclass(frozen=True)
class Page:
    """A page of results, made of the record of :func:`~painn_ase.page.page_record`.

    A notebook shows it in a frame of its own.

    Attributes
    ----------
    record : mapping
        JSON-ready.
    """

    record: Mapping[str, Any]

    @property
    def html(self) -> str:
        """The page as text, complete."""
        return _render(self.record)

    def save(self, path: str | Path) -> Path:
        """Write the page, whole or not at all; gives its path. OSError if it cannot be written."""
        path = Path(path)
        write_text(path, self.html)
        return path

    def _repr_html_(self) -> str:
        """The page in a frame: its style and the notebook's do not meet, its policy holds."""
        source = html.escape(self.html, quote=True)
        return (
            f'<iframe srcdoc="{source}" sandbox="allow-scripts allow-downloads allow-modals" '
            f'style="width:100%;height:{_FRAME}px;border:0" title="{_title(self.record)}"></iframe>'
        )


def _asset(name: str) -> str:
    return (resources.files("painn_ase.page") / "assets" / name).read_text(encoding="utf-8")


def _title(record: Mapping[str, Any]) -> str:
    names = [str(r["formula"] or r["name"]) for r in record["results"]]
    return html.escape(", ".join(dict.fromkeys(names)))


def _formula(text: str) -> str:
    """A chemical formula as HTML, its numbers lowered."""
    return re.sub(r"(\d+)", r"<sub>\1</sub>", html.escape(text, quote=False))


def _short(value: float) -> str:
    """Two significant digits, without a computer's exponent: 0.0042, 1.7 × 10⁻⁵."""
    text = f"{value:.2g}"
    if "e" not in text:
        return text
    mantissa, _, power = text.partition("e")
    return f"{mantissa} × 10{str(int(power)).translate(_RAISED)}"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _render(record: Mapping[str, Any]) -> str:
    import jinja2  # slow to load

    script = "(() => {\n'use strict';\n" + "\n".join(map(_asset, SCRIPTS)) + "\n})();\n"
    data = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"formula": _formula, "short": _short}
    return environment.get_template("page.html.j2").render(
        record=record,
        style="\n".join(map(_asset, STYLES)),
        script=script,
        # '</' and '<!--' would end or change the script element; JSON knows the escape
        data=data.replace("<", "\\u003c"),
        policy="default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'",
    )
