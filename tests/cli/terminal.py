"""What a terminal shows, as words: where lines are broken depends on its width and on paths."""

from __future__ import annotations

__all__ = ["words"]


def words(output: str) -> str:
    """`output` with every run of white space as one space."""
    return " ".join(output.split())
