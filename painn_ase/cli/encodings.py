"""Output on terminals and in pipes that cannot show every letter: a replacement, never a crash."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

__all__ = ["replace_what_cannot_be_shown"]

_HANDLER = "painn_ase.replace"
#: What stands for the field's signs where they cannot be written.
_REPLACEMENTS = {
    "Å": "A",
    "·": "*",
    "×": "x",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "→": "->",
    "±": "+-",
    "≈": "~",
    "√": "sqrt",
    "∂": "d",
    "μ": "mu",
    "α": "alpha",
    "σ": "sigma",
    "Δ": "Delta",
    "⁰": "^0",
    "¹": "^1",
    "²": "^2",
    "³": "^3",
    "⁴": "^4",
    "⁻": "^-",
    "•": "*",
    "─": "-",
    "“": '"',
    "”": '"',
    "’": "'",
}


def replace_what_cannot_be_shown() -> None:
    """Make standard output and error write a replacement for letters their encoding lacks.

    Streams with an error handler of the user's choice (``PYTHONIOENCODING=ascii:backslashreplace``)
    are left alone.
    """
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors=_HANDLER)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(map(_replacement, letters)).replace("^-^", "^-"), error.end


def _replacement(letter: str) -> str:
    """Our sign for `letter`, its ASCII part (é → e), or a question mark."""
    if letter in _REPLACEMENTS:
        return _REPLACEMENTS[letter]
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return plain or "?"
