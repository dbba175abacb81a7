"""Readers of other programs' files, one file a format or family, and the table of them all.

Each reader is a function of a path and a key map and says only what the file says; units, time axes
and what is missing are settled in one place, for every format alike.
"""

from __future__ import annotations

from painn_ase.trajectory.formats.overview import FormatRow, installed, table_of_formats
from painn_ase.trajectory.formats.registry import FORMATS, Format, identify, read_foreign

__all__ = [
    "FORMATS",
    "Format",
    "FormatRow",
    "identify",
    "installed",
    "read_foreign",
    "table_of_formats",
]
