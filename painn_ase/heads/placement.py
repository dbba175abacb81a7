"""What a head may know of the structures beside the features: who belongs where, and positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from painn_ase.nn.scatter import ScatterBackend, gather_rows, scatter_sum

__all__ = ["Placement"]


@dataclass(frozen=True)
class Placement:
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
    origin : Tensor (n_systems, 3), float64, or None
        Where lever arms begin, Å; None for the centres of mass.
    total : callable or None
        Where the atoms are divided among processes, the sum over these of a tensor; the atoms here
        are then those of one process.
    """

    element_idx: Tensor
    system_idx: Tensor
    n_systems: int
    positions: Tensor
    masses: Tensor
    standard_masses: Tensor
    charge: Tensor
    scatter_backend: ScatterBackend = "torch"
    origin: Tensor | None = None
    total: Callable[[Tensor], Tensor] | None = None

    def sum_over_atoms(self, values: Tensor) -> Tensor:
        """Sum per structure (n_systems, ...) of the values (n_atoms, ...) of these atoms, float64.

        Of one process's share, where there are several: results are added up by the caller.
        """
        return scatter_sum(values.double(), self.system_idx, self.n_systems, self.scatter_backend)

    def sum_over_all(self, values: Tensor) -> Tensor:
        """The same over the atoms of all processes, known to each."""
        own = self.sum_over_atoms(values)
        return own if self.total is None else self.total(own)

    def of_each_atom(self, values: Tensor) -> Tensor:
        """What each atom's structure has (n_atoms, ...) of values (n_systems, ...)."""
        return gather_rows(values, self.system_idx, self.scatter_backend)

    @property
    def mass_fractions(self) -> Tensor:
        """m_i / M of each atom in its structure (n_atoms,)."""
        return self._fractions(self.masses)

    @property
    def centers_of_mass(self) -> Tensor:
        """Centre of mass of each atom's structure, or its stated origin (n_atoms, 3), Å."""
        return self._centers(self.masses)

    @property
    def standard_centers(self) -> Tensor:
        """Centre of the standard masses, or the stated origin (n_atoms, 3), Å."""
        return self._centers(self.standard_masses)

    def _fractions(self, masses: Tensor) -> Tensor:
        return masses / self.of_each_atom(self.sum_over_all(masses))

    def _centers(self, masses: Tensor) -> Tensor:
        if self.origin is not None:
            return self.of_each_atom(self.origin)
        weighted = self._fractions(masses).unsqueeze(-1) * self.positions
        return self.of_each_atom(self.sum_over_all(weighted))

    def corrected_charges(self, charges: Tensor) -> Tensor:
        """Charges (n_atoms,) shifted evenly so that each structure has its total charge."""
        counts = self.sum_over_all(charges.new_ones(charges.shape))
        excess = (self.sum_over_all(charges) - self.charge) / counts
        return charges.double() - self.of_each_atom(excess)
