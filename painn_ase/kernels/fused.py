"""Energies, forces and virial of a potential by the compiled kernel, without torch in a step.

The mathematics is in csrc/: forward and backward pass written out, each pair once, filters
evaluated per block of pairs and again in the backward pass. Here weights are handed over, pair
lists prepared and kept, and arrays passed by address.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Collection
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from painn_ase.errors import DeviceError, UnsupportedPropertyError
from painn_ase.graph.neighbors import NeighborPairs
from painn_ase.graph.record import AtomGraph
from painn_ase.kernels.library import (
    INSTRUCTION_SETS,
    best_instruction_set,
    load_library,
    why_unavailable,
)
from painn_ase.kernels.packing import (
    create_kernel,
    frequency_offsets,
    kernel_network,
    known_kinds,
    stack_names,
    stack_sizes,
)
from painn_ase.kernels.structure import EnergyForces, Response, ResponseStack, Structure
from painn_ase.potential import AtomisticPotential

__all__ = ["FusedKernel", "why_not_fused"]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

#: From this many atoms on a second thread gains more than it costs.
ATOMS_PER_THREAD = 48
#: How far (radians at the cutoff) stored Bessel frequencies may lie from multiples of π/cutoff.
_FREQUENCY_TOLERANCE = 1e-4


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
    if potential.scatter_backend == "torch_scatter":
        return "torch-scatter was asked for, and the fused kernel does its own sums."
    network, known = spec.representation, kernel_network(potential)
    if known is None:
        kinds = " and ".join(known_kinds())
        return f"the fused kernel knows {kinds}, this network is of kind {network.kind!r}."
    if (reason := known.why_not(potential)) is not None:
        return reason
    if network.radial_basis == "bessel":
        off = frequency_offsets(potential)
        if np.abs(off).max() * network.cutoff > _FREQUENCY_TOLERANCE:
            return "the Bessel frequencies of this model are not multiples of π/cutoff."
    return None


class FusedKernel:
    """The compiled kernel with the weights of one potential: energy, forces, virial, responses.

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
        self._stacks = [
            ResponseStack(name, getattr(potential.spec.heads, name), stack_sizes(potential, name))
            for name in stack_names(potential)
        ]
        self._masses = potential.masses_by_element.values.numpy().copy()
        self._isotropic = np.zeros(len(potential.elements))
        if "polarizability" in potential.heads:
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
        masses, isotropic = self._masses[species], self._isotropic[species]
        return Structure(species, system, n_systems, idx_i, idx_j, shifts, cell, masses, isotropic)

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
            structure.request((), (), None)
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
            structure.request((), (), None)
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
            structure.request(heads, self._stacks, velocities)
            self.run(structure, derivatives=derivatives)
            return structure.answer(derivatives), _respond(structure, graph, heads)

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


def _respond(structure: Structure, graph: AtomGraph, heads: Collection[str]) -> Response:
    """Sums over atoms of what the stacks of `heads` said, as copies."""
    where = structure.where
    where.charge[:] = graph.charge.numpy()
    where.masses[:] = where.standard_masses if graph.masses is None else graph.masses.numpy()
    moving = structure.task.velocities is not None
    out: dict[str, FloatArray] = {}
    for name, readout in structure.readouts.items():
        if name not in heads:
            continue
        readout.run(moving=moving)
        out[name] = readout.value.copy()
        if moving:
            out[f"{name}_flux"] = readout.rate.copy()
        if name == "dipole" and readout.has_charges:
            out["charges"] = readout.charges.copy()
    return Response(**out)


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
