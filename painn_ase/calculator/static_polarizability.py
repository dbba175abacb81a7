"""The polarizability as ASE's Raman classes take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

if TYPE_CHECKING:
    from painn_ase.calculator.ase_calculator import PaiNNCalculator

__all__ = ["StaticPolarizability"]


class StaticPolarizability:
    """The polarizability of a PaiNN model in the shape that ASE's Raman classes ask for.

    Parameters
    ----------
    calculator : PaiNNCalculator

    Examples
    --------
    ``StaticRamanCalculator(atoms, StaticPolarizability(calc)).run()`` from
    :mod:`ase.vibrations.raman`, then ``PlaczekStatic(atoms)`` from :mod:`ase.vibrations.placzek`.
    """

    def __init__(self, calculator: PaiNNCalculator) -> None:
        self.calculator = calculator

    def __call__(self, atoms: Atoms | None = None) -> StaticPolarizability | NDArray[np.float64]:
        """Polarizability (3, 3) in e²Å²/eV; without atoms itself, since ASE first makes an
        instance of what it is given.
        """
        return self if atoms is None else self.calculator.get_polarizability(atoms)
