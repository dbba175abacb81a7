"""What a head may know of the structures beside the features: who belongs where, and positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from painn_ase.nn.scatter import ScatterBackend, scatter_sum

__all__ = ["Frame"]


@dataclass(frozen=True)
class Frame:
    """Where the atoms are and to which structure they belong.

    Attributes
    ----------
    element_idx : Tensor (n_atoms,), int64
        Row of each atom's element in the model's list.
    system_idx : Tensor (n_atoms,), int64
        Structure of each atom.
    n_systems : int
    positions : Tensor (n_atoms, 3), float64
        Å, differentiable where a derivative is wanted.
    masses : Tensor (n_atoms,), float64
        Of the atoms as they move, amu. An ion's dipole counts from their centre: about any other
        point it would radiate when the ion merely turns, or when an isotopologue vibrates.
    standard_masses : Tensor (n_atoms,), float64
        Of the elements. A polarizability depends on no origin, so where a model's form needs one
        it is that of its training, which no isotope moves.
    charge : Tensor (n_systems,), float64
        Total charges, e.
    scatter_backend : str
    """

    element_idx: Tensor
    system_idx: Tensor
    n_systems: int
    positions: Tensor
    masses: Tensor
    standard_masses: Tensor
    charge: Tensor
    scatter_backend: ScatterBackend = "torch"

    def sum_over_atoms(self, values: Tensor) -> Tensor:
        """Sum per structure (n_systems, ...) of atomic values (n_atoms, ...), in float64."""
        return scatter_sum(values.double(), self.system_idx, self.n_systems, self.scatter_backend)

    @cached_property
    def mass_fractions(self) -> Tensor:
        """m_i / M of each atom in its structure (n_atoms,)."""
        return self._fractions(self.masses)

    @cached_property
    def centers_of_mass(self) -> Tensor:
        """Centre of mass of each atom's structure (n_atoms, 3), Å."""
        return self._centers(self.mass_fractions)

    @cached_property
    def standard_centers(self) -> Tensor:
        """Centre of the standard masses of each atom's structure (n_atoms, 3), Å."""
        return self._centers(self._fractions(self.standard_masses))

    def _fractions(self, masses: Tensor) -> Tensor:
        total = self.sum_over_atoms(masses)
        return masses / total.index_select(0, self.system_idx)

    def _centers(self, fractions: Tensor) -> Tensor:
        center = self.sum_over_atoms(fractions.unsqueeze(-1) * self.positions)
        return center.index_select(0, self.system_idx)

    def corrected_charges(self, charges: Tensor) -> Tensor:
        """Charges (n_atoms,) shifted evenly so that each structure has its total charge."""
        counts = self.sum_over_atoms(charges.new_ones(charges.shape))
        excess = (self.sum_over_atoms(charges) - self.charge) / counts
        return charges.double() - excess.index_select(0, self.system_idx)
