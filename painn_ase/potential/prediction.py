"""The record of what a potential says about one or many structures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from painn_ase.quantities import QUANTITIES

__all__ = ["Prediction"]


@dataclass(frozen=True)
class Prediction:
    """Quantities of a batch in ASE's units, float64; None where not asked for.

    Attributes
    ----------
    energy : Tensor (n_systems,)
        eV.
    energies : Tensor (n_atoms,)
        Atomic contributions, eV.
    forces : Tensor (n_atoms, 3)
        −∂E/∂r, eV/Å.
    stress : Tensor (n_systems, 3, 3)
        (1/V) ∂E/∂ε for a symmetric strain ε, eV/Å³.
    hessian : Tensor (n_atoms, 3, n_atoms, 3)
        ∂²E/∂r∂r of a single structure, eV/Å².
    dipole : Tensor (n_systems, 3)
        e·Å.
    dipole_magnitude : Tensor (n_systems,)
        |μ|, e·Å.
    charges : Tensor (n_atoms,)
        e.
    born_effective_charges : Tensor (n_atoms, 3, 3)
        Z*[i, a, b] = ∂μ_a/∂r_ib, e.
    dipole_flux : Tensor (n_systems, 3)
        dμ/dt for the given velocities, e·Å per ASE time unit.
    polarizability : Tensor (n_systems, 3, 3)
        e²Å²/eV.
    polarizability_derivatives : Tensor (n_atoms, 3, 3, 3)
        [i, c, a, b] = ∂α_ab/∂r_ic, e²Å/eV.
    polarizability_flux : Tensor (n_systems, 3, 3)
        dα/dt for the given velocities, e²Å²/eV per ASE time unit.
    """

    energy: Tensor | None = None
    energies: Tensor | None = None
    forces: Tensor | None = None
    stress: Tensor | None = None
    hessian: Tensor | None = None
    dipole: Tensor | None = None
    dipole_magnitude: Tensor | None = None
    charges: Tensor | None = None
    born_effective_charges: Tensor | None = None
    dipole_flux: Tensor | None = None
    polarizability: Tensor | None = None
    polarizability_derivatives: Tensor | None = None
    polarizability_flux: Tensor | None = None

    def present(self) -> dict[str, Tensor]:
        """The quantities that were computed, by name."""
        pairs = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: value for name, value in pairs if value is not None}

    def split(self, atom_counts: Sequence[int]) -> list[Prediction]:
        """One prediction per structure, each a batch of one, from the number of atoms of each."""
        counts = list(atom_counts)
        parts: list[dict[str, Tensor]] = [{} for _ in counts]
        for name, value in self.present().items():
            sizes = counts if QUANTITIES[name].per_atom else [1] * len(counts)
            for part, piece in zip(parts, value.split(sizes), strict=True):
                part[name] = piece
        return [Prediction(**part) for part in parts]
