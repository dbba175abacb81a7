"""Energies, forces and virial of a PaiNN potential by the compiled kernel, without torch in a step.

The mathematics is in csrc/: forward and backward pass written out, each pair once, filters
evaluated per block of pairs and again in the backward pass. Here weights are handed over, pair
lists prepared and kept, and arrays passed by address.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from painn_ase.errors import DeviceError, UnsupportedPropertyError
from painn_ase.graph.neighbors import NeighborPairs
from painn_ase.graph.record import AtomGraph
from painn_ase.kernels.library import (
    INSTRUCTION_SETS,
    STAGES,
    TaskRecord,
    best_instruction_set,
    load_library,
    why_unavailable,
)
from painn_ase.kernels.packing import (
    create_kernel,
    frequency_offsets,
    stack_names,
    stack_sizes,
)
from painn_ase.kernels.pairs import half_pairs
from painn_ase.kernels.response import (
    AtomicOutput,
    Surroundings,
    dipole_of,
    polarizability_of,
)
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import PaiNNSpec

__all__ = ["EnergyForces", "FusedEnergy", "Response", "Structure", "why_not_fused"]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

#: From this many atoms on a second thread gains more than it costs.
ATOMS_PER_THREAD = 48
#: How far (radians at the cutoff) stored Bessel frequencies may lie from multiples of π/cutoff.
_FREQUENCY_TOLERANCE = 1e-4


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


def why_not_fused(potential: AtomisticPotential) -> str | None:
    """Why the fused kernel cannot evaluate this potential here; None if it can."""
    if (reason := why_unavailable()) is not None:
        return reason
    spec = potential.spec
    if potential.device.type != "cpu":
        return f"the fused kernel runs on the CPU, the potential is on {potential.device}."
    if potential.dtype not in (torch.float32, torch.float64):
        return f"the fused kernel knows float32 and float64, the potential is {potential.dtype}."
    if potential.training or any(p.requires_grad for p in potential.parameters()):
        return (
            "the fused kernel copies the weights once, and these may still be trained. Call "
            "potential.eval().requires_grad_(False) first."
        )
    network = spec.representation
    if not isinstance(network, PaiNNSpec):
        return f"the fused kernel knows PaiNN only, this network is of kind {network.kind!r}."
    if spec.heads.dipole is not None and spec.heads.dipole.kind == "point_charge":
        return "the fused kernel has no dipole of point charges."
    if network.filter_hidden:
        return "the fused kernel knows linear filters only, this model's have hidden layers."
    if network.radial_basis == "bessel":
        off = frequency_offsets(potential)
        if np.abs(off).max() * network.cutoff > _FREQUENCY_TOLERANCE:
            return "the Bessel frequencies of this model are not multiples of π/cutoff."
    return None


class Structure:
    """One batch of structures as the kernel reads it, with room for its answer.

    Everything but the positions stays while the pair list does; the addresses are handed over
    once. Made by :meth:`FusedEnergy.prepare`.

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
    ) -> None:
        n_atoms = len(species)
        self._half = half_pairs(idx_i, idx_j, shifts)
        self._moves = bool(self._half.shifts.any())
        self._species = species
        self._system = np.ascontiguousarray(system_idx, dtype=np.int32)
        self._offsets = np.zeros_like(self._half.shifts)
        self._cell = b""
        self.positions = np.zeros((n_atoms, 3))
        self._velocities = np.zeros((n_atoms, 3))
        self._outputs: list[AtomicOutput] = []
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

    @property
    def system_idx(self) -> NDArray[np.int32]:
        """Which structure each atom belongs to."""
        return self._system

    @property
    def species(self) -> NDArray[np.int32]:
        """Index of each atom's element in the model."""
        return self._species

    def request(
        self, stacks: int, sizes: Sequence[tuple[int, int]], velocities: FloatArray | None
    ) -> None:
        """Ask for the gated stacks whose bit is set, with rates if there are velocities."""
        self.task.stacks = stacks
        if stacks and not self._outputs:
            self._outputs = [self._output(n, k) for k, n in enumerate(sizes)]
        self.task.velocities = None
        if velocities is not None:
            self._velocities[:] = velocities
            self.task.velocities = self._velocities.ctypes.data

    def _output(self, sizes: tuple[int, int], k: int) -> AtomicOutput:
        """Room for stack k, known to the kernel."""
        n_scalars, n_vectors = sizes
        scalars = [np.zeros((self.n_atoms, n_scalars)) for _ in range(2)]
        vectors = [np.zeros((self.n_atoms, 3, n_vectors)) for _ in range(2)]
        record = self.task.outputs[k]
        record.scalars, record.scalar_rates = (x.ctypes.data for x in scalars)
        record.vectors, record.vector_rates = (x.ctypes.data for x in vectors)
        return AtomicOutput(scalars[0], vectors[0], scalars[1], vectors[1])

    def output(self, k: int) -> AtomicOutput:
        """What stack k said last; a view that the next run changes."""
        out = self._outputs[k]
        if self.task.velocities:
            return out
        return AtomicOutput(out.scalars, out.vectors, None, None)

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


class FusedEnergy:
    """The energy of one potential, evaluated by the compiled kernel.

    The weights are copied and packed once; later changes of the potential are not seen.

    Parameters
    ----------
    potential : AtomisticPotential
        On the CPU, not in training.
    instruction_set : str, optional
        "portable", "avx2" or "avx512"; the fastest this CPU has if not given.
    n_threads : int, optional
        Exactly this many; if not given, torch's number for structures large enough to gain.

    Raises
    ------
    UnsupportedPropertyError
        The kernel cannot evaluate this potential; the message says why.
    MissingDependencyError
        The kernel was not built.
    DeviceError
        This CPU lacks the instruction set asked for.
    """

    def __init__(
        self,
        potential: AtomisticPotential,
        *,
        instruction_set: str | None = None,
        n_threads: int | None = None,
    ) -> None:
        library = load_library()
        if (reason := why_not_fused(potential)) is not None:
            raise UnsupportedPropertyError(reason)
        self.instruction_set = _chosen(instruction_set)
        self.n_threads = n_threads
        self.cutoff = potential.cutoff
        self._rows = potential.element_rows.numpy().astype(np.int32)
        self._check_elements = potential.check_elements
        self._compute = library.painn_compute
        self._lock = threading.Lock()
        handle = create_kernel(potential, INSTRUCTION_SETS.index(self.instruction_set))
        self._handle = handle
        self._stacks = stack_names(potential)
        self._stack_sizes = [stack_sizes(potential, name) for name in self._stacks]
        self._heads = potential.spec.heads
        self._masses = potential.masses_by_element.values.numpy().copy()
        self._isotropic = np.zeros(len(potential.elements))
        if "polarizability" in self._stacks:
            head: Any = potential.heads["polarizability"]
            self._isotropic = head.isotropic.values.numpy().copy()
        self._close = weakref.finalize(self, library.painn_destroy, handle)
        self._structure: Structure | None = None
        self._pairs: NeighborPairs | None = None
        self._numbers = b""
        self._batch: tuple[Structure, tuple[Any, ...]] | None = None

    def prepare(
        self,
        numbers: NDArray[Any],
        idx_i: IntArray,
        idx_j: IntArray,
        shifts: FloatArray,
        cell: FloatArray,
        system_idx: NDArray[Any] | None = None,
        n_systems: int = 1,
    ) -> Structure:
        """A structure, or a batch, ready for :meth:`run`; valid while its pairs are.

        Raises
        ------
        UnknownElementError, GeometryError
        """
        inside = (numbers >= 0) & (numbers < len(self._rows))
        species = self._rows[np.where(inside, numbers, 0)]
        if not inside.all() or (species < 0).any():
            self._check_elements(numbers.tolist())
        system = np.zeros(len(numbers), dtype=np.int32) if system_idx is None else system_idx
        return Structure(species, system, n_systems, idx_i, idx_j, shifts, cell)

    def run(self, structure: Structure, *, derivatives: bool = True) -> None:
        """Evaluate `structure` at its ``positions``; results stay in it until the next run."""
        structure.task.derivatives = derivatives
        n_threads = self.n_threads or self.default_threads(structure.n_atoms)
        if self._compute(self._handle, structure._task_address, n_threads):
            raise MemoryError(
                f"no memory for the fused kernel with {structure.n_atoms} atoms and "
                f"{structure.n_pairs} pairs. Evaluate smaller batches."
            )

    @staticmethod
    def default_threads(n_atoms: int) -> int:
        """Torch's number of threads, but one for small structures."""
        if n_atoms < 2 * ATOMS_PER_THREAD:
            return 1
        return min(torch.get_num_threads(), n_atoms // ATOMS_PER_THREAD)

    def compute(
        self,
        positions: FloatArray,
        numbers: NDArray[Any],
        cell: FloatArray,
        pairs: NeighborPairs,
        *,
        derivatives: bool = True,
    ) -> EnergyForces:
        """Energy, forces and virial of one structure.

        As long as `pairs` is the same object, only the positions (and the cell) are looked at.

        Parameters
        ----------
        positions : ndarray (n_atoms, 3)
            Å.
        numbers : ndarray (n_atoms,)
            Atomic numbers.
        cell : ndarray (3, 3)
            Row vectors, Å.
        pairs : NeighborPairs
            All directed pairs within the cutoff; farther ones are left out at little cost.
        derivatives : bool
            Whether forces and virial are wanted.

        Returns
        -------
        EnergyForces
            NaN where atoms coincide: the caller looks.
        """
        with self._lock:
            structure = self._structure
            if structure is None or pairs is not self._pairs or numbers.tobytes() != self._numbers:
                structure = self.prepare(numbers, pairs.idx_i, pairs.idx_j, pairs.shifts, cell)
                self._structure, self._pairs = structure, pairs
                self._numbers = numbers.tobytes()
            structure.set_cell(cell)
            structure.positions[:] = positions
            structure.request(0, (), None)
            self.run(structure, derivatives=derivatives)
            return structure.answer(derivatives)

    def compute_graph(self, graph: AtomGraph, *, derivatives: bool = True) -> EnergyForces:
        """Energies, forces and virials of all structures of `graph`.

        As long as the graph's pairs, numbers and grouping are the same tensors, only positions
        and cells are looked at.

        Raises
        ------
        UnknownElementError, GeometryError
        """
        with self._lock:
            structure = self._structure_of(graph)
            structure.set_cell(graph.cell.numpy())
            structure.positions[:] = graph.positions.numpy()
            structure.request(0, (), None)
            self.run(structure, derivatives=derivatives)
            return structure.answer(derivatives)

    def compute_response(
        self,
        graph: AtomGraph,
        heads: Collection[str],
        velocities: FloatArray | None = None,
        *,
        derivatives: bool = True,
    ) -> tuple[EnergyForces, Response]:
        """Energies and forces, and dipole or polarizability from the same pass.

        Parameters
        ----------
        graph : AtomGraph
        heads : collection of str
            From "dipole" and "polarizability", as far as the model has them.
        velocities : ndarray (n_atoms, 3), optional
            Å per ASE time; with them the rates of change are given too.
        derivatives : bool
            Whether forces and virial are wanted.

        Raises
        ------
        UnknownElementError, GeometryError
        """
        with self._lock:
            structure = self._structure_of(graph)
            structure.set_cell(graph.cell.numpy())
            structure.positions[:] = graph.positions.numpy()
            stacks = sum(1 << k for k, name in enumerate(self._stacks) if name in heads)
            structure.request(stacks, self._stack_sizes, velocities)
            self.run(structure, derivatives=derivatives)
            return structure.answer(derivatives), self._respond(structure, graph, heads, velocities)

    def _respond(
        self,
        structure: Structure,
        graph: AtomGraph,
        heads: Collection[str],
        velocities: FloatArray | None,
    ) -> Response:
        """Sums over atoms of what the stacks said."""
        standard = self._masses[structure.species]
        where = Surroundings(
            positions=structure.positions,
            velocities=velocities,
            masses=standard if graph.masses is None else graph.masses.numpy(),
            standard_masses=standard,
            system_idx=structure.system_idx,
            charge=graph.charge.numpy(),
        )
        out: dict[str, FloatArray | None] = {}
        if "dipole" in heads and self._heads.dipole is not None:
            output = structure.output(self._stacks.index("dipole"))
            dipole, charges, flux = dipole_of(self._heads.dipole, output, where)
            out.update(dipole=dipole, charges=charges, dipole_flux=flux)
        if "polarizability" in heads and self._heads.polarizability is not None:
            output = structure.output(self._stacks.index("polarizability"))
            isotropic = self._isotropic[structure.species]
            spec = self._heads.polarizability
            alpha, flux = polarizability_of(spec, isotropic, output, where)
            out.update(polarizability=alpha, polarizability_flux=flux)
        return Response(**out)

    def _structure_of(self, graph: AtomGraph) -> Structure:
        """The prepared batch, new if another graph's tensors come."""
        parts = (graph.numbers, graph.idx_i, graph.idx_j, graph.shifts, graph.system_idx)
        if self._batch is not None:
            structure, known = self._batch
            same = all(a is b for a, b in zip(parts, known, strict=True))
            if same and structure.n_systems == graph.n_systems:
                return structure
        numbers, idx_i, idx_j, shifts, system_idx = (t.detach().numpy() for t in parts)
        structure = self.prepare(
            numbers, idx_i, idx_j, shifts, graph.cell.numpy(), system_idx, graph.n_systems
        )
        self._batch = (structure, parts)
        return structure


def _chosen(instruction_set: str | None) -> str:
    """A usable instruction set: the one asked for, or the best."""
    if instruction_set is None:
        return best_instruction_set()
    usable = [n for k, n in enumerate(INSTRUCTION_SETS) if load_library().painn_supports(k)]
    if instruction_set not in usable:
        raise DeviceError(
            f"instruction set {instruction_set!r} is not available here; this CPU and the "
            f"compiled kernel have {', '.join(usable)}."
        )
    return instruction_set
