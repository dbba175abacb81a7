"""One interface for everything that evaluates a potential, and the choice among what can run.

A backend takes a graph and names of quantities and gives a Prediction, as the potential itself
does. ``eager`` is the potential; every other backend is faster at some quantities, leaves the rest
to eager, and compares itself with eager before its first answer. Those there are have registered
themselves: who needs one asks by name, or for the fastest that can.
"""

from __future__ import annotations

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from painn_ase.errors import MissingDependencyError, SpecError, UnsupportedPropertyError
from painn_ase.graph.neighbors import NeighborPairs
from painn_ase.graph.record import AtomGraph
from painn_ase.potential import AtomisticPotential, Prediction

__all__ = [
    "Backend",
    "BackendStatus",
    "EagerBackend",
    "available_backends",
    "register_backend",
    "select_backend",
]

FloatArray: TypeAlias = NDArray[np.float64]

_log = logging.getLogger("painn_ase")


class Backend(ABC):
    """Something that evaluates one potential.

    Parameters
    ----------
    potential : AtomisticPotential
        What it evaluates.
    n_threads : int, optional
        CPU threads, where the backend has its own.

    Attributes
    ----------
    name : str
        By which users ask for it.
    speed : int
        "auto" takes the highest that can run.
    step_properties : frozenset of str
        Quantities that :meth:`step` gives; empty where there is no lean step.
    """

    name: ClassVar[str]
    speed: ClassVar[int] = 0
    step_properties: frozenset[str] = frozenset()

    def __init__(self, potential: AtomisticPotential, *, n_threads: int | None = None) -> None:
        self.potential = potential
        self.n_threads = n_threads

    @classmethod
    def why_unavailable(cls) -> str | None:
        """Why nothing can run on this machine, with the remedy; None if something can."""
        return None

    @classmethod
    def why_not(
        cls,
        potential: AtomisticPotential,
        properties: Collection[str] = (),
        graph: AtomGraph | None = None,
    ) -> str | None:
        """Why this backend itself does not give `properties` of `graph`; None if it does.

        With fewer arguments the answer is about the potential alone. A call gives all the same
        whatever the potential can, the rest from eager.
        """
        return None

    @classmethod
    @abstractmethod
    def describe(cls) -> str:
        """What it is and uses on this machine, in words."""

    @property
    def remark(self) -> str:
        """What runs, in words."""
        return self.describe()

    @abstractmethod
    def __call__(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> Prediction:
        """The requested quantities, with the meaning and errors of the potential's own call."""

    def step(
        self,
        positions: FloatArray,
        numbers: NDArray[Any],
        cell: FloatArray,
        pairs: NeighborPairs,
        properties: Collection[str],
    ) -> dict[str, FloatArray]:
        """Quantities of one structure from arrays, with as little around them as can be.

        For dynamics: no graph, no tensor, no check of what does not change from step to step. As
        long as `pairs` is the same object, only positions and cell are looked at.

        Parameters
        ----------
        positions : ndarray (n_atoms, 3)
            Å.
        numbers : ndarray (n_atoms,)
            Atomic numbers.
        cell : ndarray (3, 3)
            Row vectors, Å.
        pairs : NeighborPairs
            All directed pairs within the cutoff; farther ones are left out.
        properties : collection of str
            From ``step_properties``; for the stress the structure is periodic in all directions.

        Returns
        -------
        dict
            Quantity → array, float64, shaped as in a Prediction of one structure, and at least
            ``energy`` and ``energies``. NaN where atoms coincide: the caller looks.

        Raises
        ------
        UnsupportedPropertyError
            This backend has no lean step.
        """
        raise UnsupportedPropertyError(
            f"the {self.name} backend has no lean step; call it with a graph instead."
        )


_Kind = TypeVar("_Kind", bound=type[Backend])
_REGISTERED: dict[str, type[Backend]] = {}


def register_backend(backend: _Kind) -> _Kind:
    """Class decorator: users may ask for this backend by its name, and "auto" considers it."""
    _REGISTERED[backend.name] = backend
    return backend


def _fastest_first() -> list[type[Backend]]:
    return sorted(_REGISTERED.values(), key=lambda backend: -backend.speed)


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


@register_backend
class EagerBackend(Backend):
    """The potential itself: plain torch, every quantity, every device."""

    name = "eager"

    @classmethod
    def describe(cls) -> str:
        """What it is and uses on this machine, in words."""
        return "torch: every quantity, CPU and CUDA"

    def __call__(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> Prediction:
        """The potential's own answer."""
        return self.potential(graph, properties, velocities)  # type: ignore[no-any-return]


def available_backends() -> tuple[BackendStatus, ...]:
    """What can run on this machine, fastest first, with the reason where something cannot."""
    found = []
    for backend in _fastest_first():
        missing = backend.why_unavailable()
        found.append(BackendStatus(backend.name, missing is None, missing or backend.describe()))
    return tuple(found)


def select_backend(
    potential: AtomisticPotential, name: str = "auto", *, n_threads: int | None = None
) -> Backend:
    """The backend called `name`, or with "auto" the fastest that can run this potential.

    What was taken and why is said once on the logger ``painn_ase``.

    Parameters
    ----------
    potential : AtomisticPotential
    name : str
        "auto", or the name of a registered backend: "fused", "eager".
    n_threads : int, optional
        For the fused kernel; by default torch's number, and one below about 100 atoms.

    Raises
    ------
    SpecError
        Unknown name.
    MissingDependencyError, UnsupportedPropertyError
        The backend asked for by name cannot run here, or not this potential.
    """
    if name == "auto":
        return _fastest(potential, n_threads)
    if name not in _REGISTERED:
        known = ", ".join(repr(n) for n in ("auto", *(b.name for b in _fastest_first())))
        raise SpecError(f"unknown backend {name!r}; allowed are {known}.")
    kind = _REGISTERED[name]
    if (missing := kind.why_unavailable()) is not None:
        raise MissingDependencyError(missing)
    if (reason := kind.why_not(potential)) is not None:
        raise UnsupportedPropertyError(f"backend {name!r} cannot run this potential: {reason}")
    backend = kind(potential, n_threads=n_threads)
    if kind is not EagerBackend:
        _say_once(logging.INFO, f"backend {name} ({backend.remark}): asked for.")
    return backend


def _fastest(potential: AtomisticPotential, n_threads: int | None) -> Backend:
    """The fastest backend that can run this potential; eager always can."""
    level, reasons = logging.INFO, list[str]()
    for kind in _fastest_first():
        missing = kind.why_unavailable()
        reason = missing or kind.why_not(potential)
        if reason is None:
            backend = kind(potential, n_threads=n_threads)
            why = " ".join(reasons) or "the fastest that runs this potential here."
            remark = "" if kind is EagerBackend else f" ({backend.remark})"
            _say_once(level, f"backend {kind.name}{remark}: {why}")
            return backend
        level = level if missing is None else logging.WARNING
        reasons.append(reason)
    raise SpecError("no backend is registered that can run this potential.")


@functools.cache
def _say_once(level: int, message: str) -> None:
    _log.log(level, message)
