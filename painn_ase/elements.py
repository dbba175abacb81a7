"""Symbols and standard masses of the elements; read from ASE here, so that rooms below need not."""

from __future__ import annotations

from collections.abc import Iterable

from ase.data import atomic_masses as _masses
from ase.data import chemical_symbols as _symbols

__all__ = ["ATOMIC_MASSES", "SYMBOLS", "format_elements"]

#: Chemical symbols, indexed by atomic number.
SYMBOLS: tuple[str, ...] = tuple(_symbols)
#: Standard atomic masses in amu, indexed by atomic number.
ATOMIC_MASSES: tuple[float, ...] = tuple(float(m) for m in _masses)


def format_elements(numbers: Iterable[int]) -> str:
    """Symbols of the given atomic numbers for a message: ``H, C, O``."""
    return ", ".join(SYMBOLS[z] if 0 <= z < len(SYMBOLS) else f"Z={z}" for z in numbers)
