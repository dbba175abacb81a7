"""Room and addresses for the kernel's sums over atoms: dipole, polarizability and their rates.

The kernel evaluates the heads' gated stacks and these sums (csrc/readout.cpp), with the equations
of painn_ase.heads.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from painn_ase.kernels.library import OutputRecord, ReadoutRecord, load_library
from painn_ase.spec import DipoleSpec, PolarizabilitySpec

__all__ = ["Readout", "Surroundings"]

FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Surroundings:
    """What the sums know of the atoms; arrays that keep their place while their contents change.

    Attributes
    ----------
    positions, velocities : ndarray (n_atoms, 3)
        Å, and Å per ASE time.
    masses : ndarray (n_atoms,)
        Of the atoms as they move, amu: the dipole counts from their centre.
    standard_masses : ndarray (n_atoms,)
        Of the elements: no isotope moves the polarizability's origin.
    isotropic : ndarray (n_atoms,)
        What the model adds to the isotropic part of the polarizability, e²Å²/eV.
    system_idx : ndarray (n_atoms,), int32
    charge : ndarray (n_systems,)
        Total charges, e.
    """

    positions: FloatArray
    velocities: FloatArray
    masses: FloatArray
    standard_masses: FloatArray
    isotropic: FloatArray
    system_idx: NDArray[np.int32]
    charge: FloatArray


class Readout:
    """One response head's results for one batch of structures.

    Parameters
    ----------
    spec : DipoleSpec or PolarizabilitySpec
    output : OutputRecord
        Where the kernel writes what the head's stack says of each atom.
    sizes : (int, int)
        Scalars and vectors of the stack.
    where : Surroundings

    Attributes
    ----------
    value, rate : ndarray (n_systems, 3) or (n_systems, 3, 3)
        Of the last run: e·Å or e²Å²/eV, and per ASE time.
    charges : ndarray (n_atoms,)
        Corrected charges of a dipole with lever arms, e.
    has_charges : bool
        Whether it is such a dipole.
    """

    def __init__(
        self,
        spec: DipoleSpec | PolarizabilitySpec,
        output: OutputRecord,
        sizes: tuple[int, int],
        where: Surroundings,
    ) -> None:
        library = load_library()
        n_atoms, n_systems = len(where.positions), len(where.charge)
        is_dipole = isinstance(spec, DipoleSpec)
        shape = (n_systems, 3) if is_dipole else (n_systems, 3, 3)
        self.value, self.rate = np.zeros(shape), np.zeros(shape)
        self.charges = np.zeros(n_atoms)
        self.has_charges = is_dipole and spec.kind == "latent_charge"
        self._room = np.zeros(library.painn_readout_room(n_systems))
        self._where, self._compute = where, library.painn_readout
        record = ReadoutRecord(n_atoms, n_systems, int(not is_dipole), int(spec.kind == "local"))
        record.n_scalars, record.n_vectors = sizes
        record.scale, record.output = spec.scale, output
        weights: FloatArray | None = where.masses
        if isinstance(spec, PolarizabilitySpec):
            weights = where.standard_masses if spec.origin == "center_of_mass" else None
        for name, array in (
            ("positions", where.positions),
            ("weights", weights),
            ("isotropic", where.isotropic),
            ("system", where.system_idx),
            ("charge", where.charge),
            ("value", self.value),
            ("rate", self.rate),
            ("charges", self.charges),
            ("room", self._room),
        ):
            setattr(record, name, None if array is None else array.ctypes.data)
        self._record = record
        self._address = ctypes.addressof(record)
        self._velocities = where.velocities.ctypes.data

    def run(self, *, moving: bool) -> None:
        """Sum what the stack said last, with the rates if the atoms are `moving`."""
        self._record.velocities = self._velocities if moving else None
        self._compute(self._address)
