"""The compiled CPU kernel as a backend: what it gives, what it leaves to eager, its lean step."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Collection
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from painn_ase.graph.neighbors import NeighborPairs
from painn_ase.graph.record import AtomGraph
from painn_ase.kernels.checks import check_against_eager
from painn_ase.kernels.fused import FusedKernel, why_not_fused
from painn_ase.kernels.interface import Backend, register_backend
from painn_ase.kernels.library import best_instruction_set, compiler, why_unavailable
from painn_ase.kernels.packing import gives_responses
from painn_ase.kernels.structure import EnergyForces, Response
from painn_ase.potential import AtomisticPotential, Prediction
from painn_ase.potential.derivatives import stress_from_virial

__all__ = ["FusedBackend"]

FloatArray: TypeAlias = NDArray[np.float64]

#: Quantities of the energy head.
FUSED_PROPERTIES = frozenset({"energy", "energies", "forces", "stress"})
#: Quantities of the response heads that the fused kernel gives beside them.
FUSED_RESPONSE = frozenset({"dipole", "dipole_flux", "polarizability", "polarizability_flux"})


@register_backend
class FusedBackend(Backend):
    """Energy, forces, stress, dipole, polarizability, fluxes by the CPU kernel; the rest by eager.

    Of SchNet the kernel gives energy, forces and stress. Born charges, ∂α/∂r, the Hessian and
    charges of a head of their own are eager's. Before the first answer the kernel is compared
    with eager float64 on a probe structure.

    Parameters
    ----------
    potential : AtomisticPotential
        On the CPU, not in training; its weights are copied.
    n_threads : int, optional
        Exactly this many threads; by default torch's number, and one below about 100 atoms.

    Raises
    ------
    MissingDependencyError, UnsupportedPropertyError
        The kernel is not built, or cannot evaluate this potential.
    """

    name = "fused"
    speed = 10
    step_properties = FUSED_PROPERTIES

    def __init__(self, potential: AtomisticPotential, *, n_threads: int | None = None) -> None:
        super().__init__(potential, n_threads=n_threads)
        self._kernel = FusedKernel(potential, n_threads=n_threads)
        self._checked_energy = self._checked_response = False
        self._response_names = _response_names(potential)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # The packed weights live outside Python: a copy in another process packs its own.
        return functools.partial(FusedBackend, n_threads=self.n_threads), (self.potential,)

    def __deepcopy__(self, memo: dict[int, Any]) -> FusedBackend:
        return FusedBackend(copy.deepcopy(self.potential, memo), n_threads=self.n_threads)

    @classmethod
    def why_unavailable(cls) -> str | None:
        """Why the compiled kernel is not here, with the remedy; None if it is."""
        return why_unavailable()

    @classmethod
    def why_not(
        cls,
        potential: AtomisticPotential,
        properties: Collection[str] = (),
        graph: AtomGraph | None = None,
    ) -> str | None:
        """Why the kernel itself does not give this; None if it does."""
        if (reason := why_not_fused(potential)) is not None:
            return reason
        if rest := sorted(set(properties) - FUSED_PROPERTIES - _response_names(potential)):
            return f"the fused kernel has no {', '.join(rest)}; eager gives what it lacks."
        if graph is not None and graph.device.type != "cpu":
            return f"the fused kernel runs on the CPU, the structures are on {graph.device}."
        return None

    @classmethod
    def describe(cls) -> str:
        """What it is and uses on this machine, in words."""
        return f"CPU kernel, {best_instruction_set()}, built by {compiler()}"

    @property
    def remark(self) -> str:
        """What runs, in words."""
        dtype = str(self.potential.dtype).removeprefix("torch.")
        return f"{self._kernel.instruction_set}, {dtype}"

    def check(self, properties: frozenset[str] = FUSED_PROPERTIES) -> None:
        """Compare with eager float64, unless that has been done, what `properties` rest on.

        Raises
        ------
        BackendError
            They disagree.
        """
        energy, response = bool(properties & FUSED_PROPERTIES), properties - FUSED_PROPERTIES
        if energy and not self._checked_energy:
            with self._lock:
                check_against_eager(self.potential, self._alone, self.name, ("energies", "forces"))
                self._checked_energy = True
        if response and not self._checked_response:
            with self._lock:
                mine = self._response_names & set(self.potential.properties)
                check_against_eager(self.potential, self._alone, self.name, mine)
                self._checked_response = True

    def _alone(
        self, graph: AtomGraph, wanted: frozenset[str], velocities: Tensor | None
    ) -> Prediction:
        """What the kernel gives of `wanted`, unchecked."""
        derivatives = bool(wanted & {"forces", "stress"})
        heads = {name.partition("_")[0] for name in wanted & FUSED_RESPONSE}
        if "charges" in wanted & self._response_names:
            heads.add("dipole")
        if not heads:
            answer = self._kernel.compute_graph(graph, derivatives=derivatives)
            return _as_prediction(answer, Response(), wanted, graph)
        moving = None
        if wanted & {"dipole_flux", "polarizability_flux"} and velocities is not None:
            moving = velocities.detach().numpy()
        answer, response = self._kernel.compute_response(
            graph, heads, moving, derivatives=derivatives
        )
        return _as_prediction(answer, response, wanted, graph)

    def __call__(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> Prediction:
        """The requested quantities; see :class:`~painn_ase.potential.AtomisticPotential`."""
        wanted = frozenset(properties)
        self.potential.check_properties(wanted, graph.pbc, graph.n_systems)
        mine = wanted & (FUSED_PROPERTIES | self._response_names)
        rest = wanted - mine
        if not mine or graph.device.type != "cpu" or "hessian" in rest:
            # A Hessian needs the forces with their graph, so eager has them anyway.
            return self.potential(graph, wanted, velocities)  # type: ignore[no-any-return]
        self.check(mine)
        prediction = self._alone(graph, mine, velocities)
        if not rest:
            return prediction
        others = self.potential(graph, rest, velocities)
        return Prediction(**{**prediction.present(), **others.present()})

    def step(
        self,
        positions: FloatArray,
        numbers: NDArray[Any],
        cell: FloatArray,
        pairs: NeighborPairs,
        properties: Collection[str],
    ) -> dict[str, FloatArray]:
        """Energy, forces and stress of one structure without torch: see :meth:`.Backend.step`.

        Raises
        ------
        BackendError, UnknownElementError, GeometryError
        """
        if not self._checked_energy:
            self.check()
        derivatives = "forces" in properties or "stress" in properties
        answer = self._kernel.compute(positions, numbers, cell, pairs, derivatives=derivatives)
        out = {"energy": answer.energy, "energies": answer.energies}
        if answer.forces is not None:
            out["forces"] = answer.forces
        if "stress" in properties and answer.virial is not None:
            out["stress"] = _stress(answer.virial, torch.tensor(cell[None])).numpy()
        return out


def _response_names(potential: AtomisticPotential) -> frozenset[str]:
    """Quantities of heads other than the energy's that the kernel gives for this potential."""
    if not gives_responses(potential):
        return frozenset()
    # Charges without a head of their own are the dipole head's latent ones.
    return FUSED_RESPONSE if "charges" in potential.heads else FUSED_RESPONSE | {"charges"}


def _stress(virial: FloatArray, cell: Tensor) -> Tensor:
    return stress_from_virial(torch.from_numpy(virial), cell)


def _as_prediction(
    answer: EnergyForces, response: Response, wanted: frozenset[str], graph: AtomGraph
) -> Prediction:
    """The kernel's arrays as the tensors asked for."""
    arrays = {**vars(answer), **vars(response)}
    virial = arrays.pop("virial")
    out = {
        name: torch.from_numpy(np.ascontiguousarray(array))
        for name, array in arrays.items()
        if name in wanted and array is not None
    }
    if "stress" in wanted and virial is not None:
        out["stress"] = _stress(virial, graph.cell)
    return Prediction(**out)
