"""Dipole, charges and polarizability from what the kernel says of each atom, with their rates.

The kernel evaluates the heads' gated stacks; the sums over atoms that remain are a few numbers per
atom and stand here, in float64. The equations are those of painn_ase.heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from painn_ase.spec import DipoleSpec, PolarizabilitySpec

__all__ = ["AtomicOutput", "Surroundings", "dipole_of", "polarizability_of"]

FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class AtomicOutput:
    """One gated stack's scalars and vectors per atom.

    Attributes
    ----------
    scalars : ndarray (n_atoms, n_scalars)
    vectors : ndarray (n_atoms, 3, n_vectors)
    scalar_rates, vector_rates : ndarray, shaped like these, or None
        Their time derivatives, where velocities were given.
    """

    scalars: FloatArray
    vectors: FloatArray
    scalar_rates: FloatArray | None
    vector_rates: FloatArray | None


@dataclass(frozen=True)
class Surroundings:
    """Where the atoms are, how they move and to which structure they belong.

    Attributes
    ----------
    positions : ndarray (n_atoms, 3)
        Å.
    velocities : ndarray (n_atoms, 3) or None
        Å per ASE time.
    masses : ndarray (n_atoms,)
        Of the atoms as they move, amu: the dipole counts from their centre.
    standard_masses : ndarray (n_atoms,)
        Of the elements: the polarizability's origin.
    system_idx : ndarray (n_atoms,)
    charge : ndarray (n_systems,)
        Total charges, e.
    """

    positions: FloatArray
    velocities: FloatArray | None
    masses: FloatArray
    standard_masses: FloatArray
    system_idx: NDArray[np.int32]
    charge: FloatArray

    def sum_over_atoms(self, values: FloatArray) -> FloatArray:
        """Sum per structure (n_systems, ...) of atomic values (n_atoms, ...)."""
        if len(self.charge) == 1:
            return np.asarray(values.sum(axis=0)[None])
        out = np.zeros((len(self.charge), *values.shape[1:]))
        np.add.at(out, self.system_idx, values)
        return out

    def mean(self, values: FloatArray, weights: FloatArray) -> FloatArray:
        """Weighted mean over each structure, for every atom of it."""
        total = self.sum_over_atoms(weights)
        columns = weights.reshape(-1, *(1,) * (values.ndim - 1))
        mean = self.sum_over_atoms(columns * values) / total.reshape(-1, *(1,) * (values.ndim - 1))
        return np.asarray(mean[self.system_idx])

    def corrected(self, charges: FloatArray, total: FloatArray) -> FloatArray:
        """Atomic charges shifted evenly so that each structure has its total."""
        counts = self.sum_over_atoms(np.ones(len(charges)))
        excess = (self.sum_over_atoms(charges) - total) / counts
        return np.asarray(charges - excess[self.system_idx])


def dipole_of(
    spec: DipoleSpec, output: AtomicOutput, where: Surroundings
) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
    """Dipole (n_systems, 3), charges (n_atoms,) if the head has them, and the dipole's rate."""
    s, v, ts, tv = output.scalars, output.vectors, output.scalar_rates, output.vector_rates
    if spec.kind == "local":
        dipole = spec.scale * where.sum_over_atoms((s[:, None] * v).sum(axis=2))
        if ts is None or tv is None:
            return dipole, None, None
        rate = (ts[:, None] * v + s[:, None] * tv).sum(axis=2)
        return dipole, None, spec.scale * where.sum_over_atoms(rate)
    charges = where.corrected(spec.scale * s[:, 0], where.charge)
    lever = where.positions - where.mean(where.positions, where.masses)
    dipole = where.sum_over_atoms(spec.scale * v[:, :, 0] + charges[:, None] * lever)
    if ts is None or tv is None or where.velocities is None:
        return dipole, charges, None
    currents = where.corrected(spec.scale * ts[:, 0], np.zeros_like(where.charge))
    # The centre of mass is the origin: an ion's dipole moves with it by -Q·v_com.
    relative = where.velocities - where.mean(where.velocities, where.masses)
    atomic = spec.scale * tv[:, :, 0] + currents[:, None] * lever + charges[:, None] * relative
    return dipole, charges, where.sum_over_atoms(atomic)


def polarizability_of(
    spec: PolarizabilitySpec, isotropic: FloatArray, output: AtomicOutput, where: Surroundings
) -> tuple[FloatArray, FloatArray | None]:
    """Polarizability (n_systems, 3, 3) and its rate; `isotropic` (n_atoms,) adds to α0."""
    s, v, ts, tv = output.scalars, output.vectors, output.scalar_rates, output.vector_rates
    sphere = spec.scale * s[:, -1] + isotropic
    if spec.kind == "local":
        atomic = np.einsum("nk,nak,nbk->nab", s[:, :-1], v, v)
        alpha = where.sum_over_atoms(spec.scale * atomic + _spheres(sphere))
        if ts is None or tv is None:
            return alpha, None
        one = np.einsum("nk,nak,nbk->nab", s[:, :-1], tv, v)
        rate = np.einsum("nk,nak,nbk->nab", ts[:, :-1], v, v) + one + one.transpose(0, 2, 1)
        return alpha, where.sum_over_atoms(spec.scale * (rate + _spheres(ts[:, -1])))
    com = spec.origin == "center_of_mass"
    # No isotope moves this origin: a polarizability has none by nature, the model's form has.
    weights = where.standard_masses
    lever = where.positions - (where.mean(where.positions, weights) if com else 0.0)
    nu = spec.scale * v[:, :, 0]
    alpha = where.sum_over_atoms(_symmetric(nu, lever) + _spheres(sphere))
    if ts is None or tv is None or where.velocities is None:
        return alpha, None
    moving = where.velocities - (where.mean(where.velocities, weights) if com else 0.0)
    rate = _symmetric(spec.scale * tv[:, :, 0], lever) + _symmetric(nu, moving)
    return alpha, where.sum_over_atoms(rate + _spheres(spec.scale * ts[:, -1]))


def _symmetric(a: FloatArray, b: FloatArray) -> FloatArray:
    """a⊗b + b⊗a for rows of vectors (n, 3)."""
    outer = a[:, :, None] * b[:, None, :]
    return np.asarray(outer + outer.transpose(0, 2, 1))


def _spheres(values: FloatArray) -> FloatArray:
    """Values (n,) times the unit matrix (n, 3, 3)."""
    return np.asarray(values[:, None, None] * np.eye(3))
