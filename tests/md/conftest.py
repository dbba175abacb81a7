"""A molecule of springs: cheap, smooth, invariant to shifts and turns, and classical physics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes


class Springs(Calculator):
    """E = ½ k Σ (|r_ij| − d_ij)² over all pairs; the dipole has fixed charges."""

    implemented_properties = ("energy", "forces", "dipole")

    def __init__(self, reference: Atoms, stiffness: float = 10.0, **options: Any) -> None:
        super().__init__(**options)
        self.lengths = reference.get_all_distances()
        self.stiffness = stiffness
        self.i, self.j = np.triu_indices(len(reference), 1)
        self.charges = np.linspace(-0.3, 0.3, len(reference))

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        positions = self.atoms.positions
        vectors = positions[self.j] - positions[self.i]
        distances = np.sqrt(np.einsum("ea,ea->e", vectors, vectors))
        stretch = distances - self.lengths[self.i, self.j]
        pull = self.stiffness * (stretch / distances)[:, None] * vectors
        forces = np.zeros_like(positions)
        np.add.at(forces, self.i, pull)
        np.subtract.at(forces, self.j, pull)
        self.results = {
            "energy": 0.5 * self.stiffness * float(stretch @ stretch),
            "forces": forces,
            "dipole": self.charges @ positions,
        }


@pytest.fixture
def ethanol():
    """Factory of an ethanol of springs."""

    def build() -> Atoms:
        atoms = molecule("CH3CH2OH")
        atoms.calc = Springs(atoms)
        return atoms

    return build


@pytest.fixture
def springs() -> type[Springs]:
    """The calculator's class, for other structures."""
    return Springs
