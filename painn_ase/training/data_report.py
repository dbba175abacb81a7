"""What a file of labelled frames holds, how it was read, and what the checks say of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from painn_ase.training.checks import LabelRow, check_frames, label_table
from painn_ase.training.file_spec import KeysSpec, UnitsSpec
from painn_ase.training.findings import Finding
from painn_ase.training.frames import LABELS
from painn_ase.training.readers import FrameFile, read_file
from painn_ase.unit_names import known_spellings

__all__ = ["DataReport", "DataRow", "inspect_file"]


@dataclass(frozen=True)
class DataRow:
    """A line of the table: a label, where it stood in the file, and in which unit it was read."""

    key: str
    read_as: str
    label: LabelRow


@dataclass(frozen=True)
class DataReport:
    """A file as it was read, and the findings about it.

    Attributes
    ----------
    path : Path
    source : FrameFile
    rows : tuple of DataRow
    findings : tuple of Finding
    """

    path: Path
    source: FrameFile
    rows: tuple[DataRow, ...]
    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that deserve a warning."""
        return tuple(f for f in self.findings if f.level == "warning")


def inspect_file(
    path: str | Path,
    keys: KeysSpec | None = None,
    units: UnitsSpec | None = None,
    *,
    assumed: Mapping[str, str] | None = None,
    wanted: Collection[str] = LABELS,
) -> DataReport:
    """Read a file of labelled frames and check it.

    Parameters
    ----------
    path, keys, units
        As for :func:`~painn_ase.training.readers.read_file`.
    assumed : mapping, optional
        Units of last resort, for looking at a file: taken where nobody states one and the reader
        would refuse to guess. Each one used is a warning.
    wanted : collection of str
        Labels whose absence matters where a key of the file looks like them.

    Raises
    ------
    DataError
        For a file that cannot be read.
    """
    path = Path(path)
    source = read_file(path, keys, units, assumed=assumed)
    findings = [*_about_reading(source, wanted), *check_frames(source.frames)]
    return DataReport(path, source, tuple(_rows(source)), tuple(findings))


def _rows(source: FrameFile) -> Iterator[DataRow]:
    for row in label_table(source.frames):
        name = row.quantity
        key = source.keys.get(name, name)
        read_as = source.units.name_of("energy" if key == source.virial_key else name)
        yield DataRow(key, read_as, row)
    if "charge" in source.keys:
        charges = np.array([f.charge for f in source.frames])
        numbers = float(charges.min()), float(charges.max()), float(np.sqrt(np.mean(charges**2)))
        yield DataRow(
            source.keys["charge"], "e", LabelRow("charge", "e", len(source.frames), *numbers)
        )


def _about_reading(source: FrameFile, wanted: Collection[str]) -> Iterator[Finding]:
    """Units that had to be assumed, what was left out, and keys that look like labels."""
    for quantity, unit in source.assumed.items():
        yield Finding("warning", quantity, _unstated(quantity, unit))
    if source.without_volume:
        yield Finding(
            "note",
            "stress",
            f"left out of {source.without_volume} frames that are not periodic in all three "
            "directions: a molecule or a slab has no volume to it",
        )
    for key in source.unread:
        label = _looks_like(key)
        if label is None or label in source.keys:
            continue
        named = "virial" if "virial" in key.lower() else label
        yield Finding(
            "warning" if label in (*wanted, "charge") else "note",
            "unread keys",
            f"{key!r} was not read, and no {label} was found elsewhere. Name it with [data.keys] "
            f'{named} = "{key}", or --key {named}={key}',
        )


def _unstated(quantity: str, unit: str) -> str:
    why = {
        "polarizability": "files disagree by a factor of up to 14.4",
        "energy": "MD17 and rMD17 archives usually hold kcal/mol, a factor of 23",
    }[quantity]
    others = ", ".join(known_spellings(quantity).split(", ")[:3])
    return (
        f"the unit is not stated, read as {unit}; {why}. State it with --unit "
        f"{quantity}={others} …: training refuses to guess"
    )


#: Names that a label may have in somebody's files.
_NAMES = {
    "energy": r"energy|energies|E(tot|total)?",
    "forces": r"forces?|gradients?|grads?|F",
    "stress": r"stress(es)?|virials?",
    "dipole": r"dipoles?|dipole_moment|mu",
    "polarizability": r"polari[sz]abilit(y|ies)|alpha",
    "charge": r"total_charge|charge|Q",
}


def _looks_like(key: str) -> str | None:
    """The label that a key of a file seems to be, with any prefix or suffix of words."""
    for label, names in _NAMES.items():
        if re.fullmatch(rf"(\w*_)?({names})(_(dft|ref|tot|total|qm|ccsdt?|[A-Z]\w*))?", key, re.I):
            return label
    return None
