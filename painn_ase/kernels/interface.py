"""One interface for everything that evaluates a potential, and the choice among what can run.

A backend takes a graph and names of quantities and gives a Prediction, as the potential itself
does. ``eager`` is the potential; every other backend is faster at some quantities, leaves the rest
to eager, and compares itself with eager before its first answer.
"""

from __future__ import annotations

import copy
import functools
import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from painn_ase.errors import MissingDependencyError, SpecError, UnsupportedPropertyError
from painn_ase.graph.neighbors import NeighborPairs
from painn_ase.graph.record import AtomGraph
from painn_ase.kernels.checks import check_against_eager
from painn_ase.kernels.fused import EnergyForces, FusedEnergy, Response, why_not_fused
from painn_ase.kernels.library import best_instruction_set, compiler, why_unavailable
from painn_ase.potential import AtomisticPotential, Prediction

__all__ = [
    "Backend",
    "BackendStatus",
    "EagerBackend",
    "FusedBackend",
    "available_backends",
    "select_backend",
]

FloatArray: TypeAlias = NDArray[np.float64]

_log = logging.getLogger("painn_ase")

#: Quantities of the energy head, which :meth:`FusedBackend.compute` gives without torch.
FUSED_PROPERTIES = frozenset({"energy", "energies", "forces", "stress"})
#: Quantities of the response heads that the fused kernel gives beside them.
FUSED_RESPONSE = frozenset({"dipole", "dipole_flux", "polarizability", "polarizability_flux"})


@runtime_checkable
class Backend(Protocol):
    """Something that evaluates one potential.

    Attributes
    ----------
    name : str
    potential : AtomisticPotential
        What it evaluates.
    """

    name: str
    potential: AtomisticPotential

    def __call__(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> Prediction:
        """The requested quantities, with the meaning and errors of the potential's own call."""


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend can run here.

    Attributes
    ----------
    name : str
    available : bool
    remark : str
        What it uses, or why it cannot run and the remedy.
    """

    name: str
    available: bool
    remark: str


class EagerBackend:
    """The potential itself: plain torch, every quantity, every device.

    Parameters
    ----------
    potential : AtomisticPotential
    """

    name = "eager"

    def __init__(self, potential: AtomisticPotential) -> None:
        self.potential = potential

    def __call__(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> Prediction:
        """The potential's own answer."""
        return self.potential(graph, properties, velocities)  # type: ignore[no-any-return]


class FusedBackend:
    """Energy, forces, stress, dipole, polarizability, fluxes by the CPU kernel; the rest by eager.

    Born charges, ∂α/∂r, the Hessian and charges of a head of their own are eager's. Before the
    first answer the kernel is compared with eager float64 on a probe structure.

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

    def __init__(self, potential: AtomisticPotential, *, n_threads: int | None = None) -> None:
        self.potential = potential
        self.n_threads = n_threads
        self._energy = FusedEnergy(potential, n_threads=n_threads)
        self._checked_energy = self._checked_response = False
        self._response_names = FUSED_RESPONSE
        if "charges" not in potential.heads:
            self._response_names |= {"charges"}  # then they are the dipole head's latent ones
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # The packed weights live outside Python: a copy in another process packs its own.
        return functools.partial(FusedBackend, n_threads=self.n_threads), (self.potential,)

    def __deepcopy__(self, memo: dict[int, Any]) -> FusedBackend:
        return FusedBackend(copy.deepcopy(self.potential, memo), n_threads=self.n_threads)

    @property
    def remark(self) -> str:
        """What runs, in words."""
        dtype = str(self.potential.dtype).removeprefix("torch.")
        return f"{self._energy.instruction_set}, {dtype}"

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
            answer = self._energy.compute_graph(graph, derivatives=derivatives)
            return _as_prediction(answer, Response(), wanted, graph)
        moving = None
        if wanted & {"dipole_flux", "polarizability_flux"} and velocities is not None:
            moving = velocities.detach().numpy()
        answer, response = self._energy.compute_response(
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

    def compute(
        self,
        positions: FloatArray,
        numbers: NDArray[Any],
        cell: FloatArray,
        pairs: NeighborPairs,
        *,
        derivatives: bool = True,
    ) -> EnergyForces:
        """Energy and forces of one structure without torch: see :meth:`FusedEnergy.compute`.

        Raises
        ------
        BackendError, UnknownElementError, GeometryError
        """
        if not self._checked_energy:
            self.check()
        return self._energy.compute(positions, numbers, cell, pairs, derivatives=derivatives)


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
        tensor = torch.from_numpy(virial)
        volume = torch.linalg.det(graph.cell).abs().reshape(-1, 1, 1)
        out["stress"] = 0.5 * (tensor + tensor.mT) / volume
    return Prediction(**out)


def available_backends() -> tuple[BackendStatus, ...]:
    """What can run on this machine, fastest first, with the reason where something cannot."""
    reason = why_unavailable()
    if reason is None:
        remark = f"CPU kernel, {best_instruction_set()}, compiled by {compiler()}"
        fused = BackendStatus("fused", True, remark)
    else:
        fused = BackendStatus("fused", False, reason)
    return fused, BackendStatus("eager", True, "torch: every quantity, CPU and CUDA")


def select_backend(
    potential: AtomisticPotential, name: str = "auto", *, n_threads: int | None = None
) -> Backend:
    """The backend called `name`, or with "auto" the fastest that can run this potential.

    What was taken and why is said once on the logger ``painn_ase``.

    Parameters
    ----------
    potential : AtomisticPotential
    name : {"auto", "fused", "eager"}
    n_threads : int, optional
        For the fused kernel; by default torch's number, and one below about 100 atoms.

    Raises
    ------
    SpecError
        Unknown name.
    MissingDependencyError, UnsupportedPropertyError
        The backend asked for by name cannot run here, or not this potential.
    """
    if name == "eager":
        return EagerBackend(potential)
    if name not in ("auto", "fused"):
        raise SpecError(f"unknown backend {name!r}; allowed are 'auto', 'fused', 'eager'.")
    if (missing := why_unavailable()) is not None:
        if name == "fused":
            raise MissingDependencyError(missing)
        _say_once(logging.WARNING, f"backend eager: {missing}")
        return EagerBackend(potential)
    if (reason := why_not_fused(potential)) is not None:
        if name == "fused":
            raise UnsupportedPropertyError(f"backend 'fused' cannot run this potential: {reason}")
        _say_once(logging.INFO, f"backend eager: {reason}")
        return EagerBackend(potential)
    backend = FusedBackend(potential, n_threads=n_threads)
    why = "asked for" if name == "fused" else "the fastest that runs this potential here"
    _say_once(logging.INFO, f"backend fused ({backend.remark}): {why}.")
    return backend


@functools.cache
def _say_once(level: int, message: str) -> None:
    _log.log(level, message)
