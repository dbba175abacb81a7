"""Structures as the compiled kernel reads them, with room for its answer, and that answer."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from painn_ase.kernels.library import STAGES, TaskRecord
from painn_ase.kernels.pairs import half_pairs
from painn_ase.kernels.response import Readout, Surroundings
from painn_ase.spec import DipoleSpec, PolarizabilitySpec

__all__ = ["EnergyForces", "Response", "ResponseStack", "Structure"]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class EnergyForces:
    """What one evaluation gives; arrays are copies, the caller's own.

    Attributes
    ----------
    energy : ndarray (n_systems,)
        eV.
    energies : ndarray (n_atoms,)
        Atomic contributions, eV.
    forces : ndarray (n_atoms, 3) or None
        eV/Å; None unless derivatives were asked for.
    virial : ndarray (n_systems, 3, 3) or None
        ∂E/∂ε for a symmetric strain ε, eV; divided by the volume it is the stress.
    """

    energy: FloatArray
    energies: FloatArray
    forces: FloatArray | None
    virial: FloatArray | None


@dataclass(frozen=True)
class Response:
    """What the dipole and polarizability heads give; None where not asked for.

    Attributes
    ----------
    dipole, dipole_flux : ndarray (n_systems, 3) or None
        e·Å, and per ASE time.
    charges : ndarray (n_atoms,) or None
        Latent charges of the dipole head, e.
    polarizability, polarizability_flux : ndarray (n_systems, 3, 3) or None
        e²Å²/eV, and per ASE time.
    """

    dipole: FloatArray | None = None
    dipole_flux: FloatArray | None = None
    charges: FloatArray | None = None
    polarizability: FloatArray | None = None
    polarizability_flux: FloatArray | None = None


class ResponseStack(NamedTuple):
    """A response head made of a gated stack: its name, its description, its stack's width."""

    name: str
    spec: DipoleSpec | PolarizabilitySpec
    sizes: tuple[int, int]


class Structure:
    """One batch of structures as the kernel reads it, with room for its answer.

    Everything but the positions stays while the pair list does; the addresses are handed over
    once. Made by :meth:`.FusedKernel.prepare`.

    Parameters
    ----------
    species : ndarray (n_atoms,), int32
        Index of each atom's element in the model.
    system_idx : ndarray (n_atoms,)
        Which structure each atom belongs to.
    n_systems : int
    idx_i, idx_j, shifts
        Directed pairs as in :class:`~painn_ase.graph.neighbors.NeighborPairs`.
    cell : ndarray (n_systems, 3, 3)
        Row vectors, Å.
    standard_masses, isotropic : ndarray (n_atoms,)
        As :class:`~painn_ase.kernels.response.Surroundings` has them.

    Attributes
    ----------
    where : Surroundings
    readouts : dict of Readout
        Results of the response heads, by name, once they have been asked for.
    """

    def __init__(
        self,
        species: NDArray[np.int32],
        system_idx: NDArray[Any],
        n_systems: int,
        idx_i: IntArray,
        idx_j: IntArray,
        shifts: FloatArray,
        cell: FloatArray,
        standard_masses: FloatArray,
        isotropic: FloatArray,
    ) -> None:
        n_atoms = len(species)
        self._half = half_pairs(idx_i, idx_j, shifts)
        self._moves = bool(self._half.shifts.any())
        self._species = species
        self._system = np.ascontiguousarray(system_idx, dtype=np.int32)
        self._offsets = np.zeros_like(self._half.shifts)
        self._cell = b""
        self.positions = np.zeros((n_atoms, 3))
        self.where = Surroundings(
            positions=self.positions,
            velocities=np.zeros((n_atoms, 3)),
            masses=standard_masses.copy(),
            standard_masses=standard_masses,
            isotropic=isotropic,
            system_idx=self._system,
            charge=np.zeros(n_systems),
        )
        self.readouts: dict[str, Readout] = {}
        self._outputs: list[FloatArray] = []
        self._energy = np.zeros(n_systems)
        self._energies = np.zeros(n_atoms)
        self._forces = np.zeros((n_atoms, 3))
        self._virial = np.zeros((n_systems, 3, 3))
        self._seconds = np.zeros(8)
        self.n_atoms, self.n_systems, self.n_pairs = n_atoms, n_systems, len(self._half.idx_i)
        self.set_cell(cell)
        self.task = TaskRecord(n_atoms, n_systems, self.n_pairs, 1)
        for name, array in (
            ("positions", self.positions),
            ("species", self._species),
            ("system", self._system),
            ("idx_i", self._half.idx_i),
            ("idx_j", self._half.idx_j),
            ("shifts", self._offsets),
            ("energy", self._energy),
            ("energies", self._energies),
            ("forces", self._forces),
            ("virial", self._virial),
        ):
            setattr(self.task, name, array.ctypes.data)
        self._task_address = ctypes.addressof(self.task)

    def set_cell(self, cell: FloatArray) -> None:
        """Take Cartesian shifts from this cell, if it is another than before."""
        key = cell.tobytes()
        if not self._moves or key == self._cell:
            return
        self._cell = key
        cells = cell.reshape(self.n_systems, 3, 3)[self._system[self._half.idx_i]]
        self._offsets[:] = np.einsum("pa,pab->pb", self._half.shifts, cells)

    def request(
        self, heads: Collection[str], stacks: Sequence[ResponseStack], velocities: FloatArray | None
    ) -> None:
        """Ask for the gated stacks of these heads, with rates if there are velocities."""
        self.task.stacks = sum(1 << k for k, stack in enumerate(stacks) if stack.name in heads)
        if self.task.stacks and not self.readouts:
            for k, stack in enumerate(stacks):
                self._make_room(stack, k)
        self.task.velocities = None
        if velocities is not None:
            self.where.velocities[:] = velocities
            self.task.velocities = self.where.velocities.ctypes.data

    def _make_room(self, stack: ResponseStack, k: int) -> None:
        """Room for what stack k says, known to the kernel, and for its sums."""
        n_scalars, n_vectors = stack.sizes
        scalars = [np.zeros((self.n_atoms, n_scalars)) for _ in range(2)]
        vectors = [np.zeros((self.n_atoms, 3, n_vectors)) for _ in range(2)]
        self._outputs += scalars + vectors
        record = self.task.outputs[k]
        record.scalars, record.scalar_rates = (x.ctypes.data for x in scalars)
        record.vectors, record.vector_rates = (x.ctypes.data for x in vectors)
        self.readouts[stack.name] = Readout(stack.spec, record, stack.sizes, self.where)

    def measure(self, on: bool = True) -> None:
        """Have the kernel add up the time of its stages, or no longer."""
        self._seconds[:] = 0.0
        self.task.seconds = self._seconds.ctypes.data if on else None

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time of each stage since :meth:`measure`."""
        return dict(zip(STAGES, self._seconds.tolist(), strict=False))

    def answer(self, derivatives: bool) -> EnergyForces:
        """The last evaluation's results, as copies."""
        return EnergyForces(
            self._energy.copy(),
            self._energies.copy(),
            self._forces.copy() if derivatives else None,
            self._virial.copy() if derivatives else None,
        )
