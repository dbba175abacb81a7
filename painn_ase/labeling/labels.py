"""What an engine gives for one frame, and what every engine is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.errors import DataError, LabelingError

__all__ = ["Engine", "Labels", "charge_of", "refuse_periodic"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """Labels of one frame; None is what the engine does not give.

    Attributes
    ----------
    energy : float
        eV.
    forces : array (n_atoms, 3)
        eV/Å.
    dipole : array (3,), optional
        e·Å, about the origin of the coordinates.
    polarizability : array (3, 3), optional
        As volume, Å³.
    notes : mapping of str to str
        How they were found, e.g. by which solver.
    """

    energy: float
    forces: Array
    dipole: Array | None = None
    polarizability: Array | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what is not finite.

        Raises
        ------
        LabelingError
        """
        for name in ("energy", "forces", "dipole", "polarizability"):
            value = getattr(self, name)
            if value is not None and not np.isfinite(value).all():
                raise LabelingError(f"the {name} came out NaN or infinite")


class Engine(Protocol):
    """What labels frames: a small picklable record that any process can work with.

    Attributes
    ----------
    name, level, settings : str
        Program, level of theory and numerical settings. Frames of one file have all three equal.
    """

    @property
    def name(self) -> str:
        """The program."""

    @property
    def level(self) -> str:
        """The level of theory."""

    @property
    def settings(self) -> str:
        """What else decides the numbers."""

    def versions(self) -> str:
        """Names and versions of the programs behind it."""

    def cautions(self) -> Sequence[str]:
        """What the user should know before the work begins."""

    def check(self, frames: Sequence[Atoms]) -> None:
        """Refuse what cannot be done before the work begins; raises a PaiNNError."""

    def label(self, atoms: Atoms) -> Labels:
        """Labels of one frame; LabelingError where there are none."""


def charge_of(atoms: Atoms) -> int:
    """Total charge of a frame, e: ``atoms.info["charge"]``, else 0.

    Raises
    ------
    DataError
        When it is no whole number.
    """
    charge = float(np.asarray(atoms.info.get("charge", 0.0)))
    if charge != round(charge):
        raise DataError(f"charge={charge} is no whole number of electrons.")
    return round(charge)


def refuse_periodic(frames: Sequence[Atoms], engine: str) -> None:
    """Refuse periodic frames for an engine of molecules.

    Raises
    ------
    DataError
    """
    for number, atoms in enumerate(frames):
        if atoms.pbc.any():
            raise DataError(
                f"frame {number} is periodic; the engine {engine} labels molecules. Set pbc to "
                "F F F if this is one, else give a periodic ASE calculator as module:factory."
            )
