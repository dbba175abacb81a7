"""A potential, or a committee, evaluated for all copies of a batch at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from ase import Atoms
from torch import Tensor

from painn_ase.graph import AtomGraph
from painn_ase.md.batch import ReplicaBatch
from painn_ase.md.committee import Committee
from painn_ase.md.identity import model_digests
from painn_ase.potential import Prediction
from painn_ase.spec import to_dict

__all__ = ["BatchEvaluation", "BatchedPotential", "model_of"]


class BatchedPotential(Protocol):
    """An :class:`~painn_ase.potential.AtomisticPotential`, or a backend that evaluates one."""

    def __call__(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> Prediction:
        """Quantities of every system in the graph."""


@runtime_checkable
class DrivingItself(Protocol):
    """A potential whose energies and forces come from another program
    (:class:`~painn_ase.md.driven_batch.DrivenBatch`).
    """

    response: BatchedPotential

    def forces_of(self, template: Atoms, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Energies [n_copies], eV, and forces [n_copies * n_atoms, 3], eV/Å."""

    def identity_record(self) -> dict[str, Any]:
        """What a restart compares."""


def model_of(potential: BatchedPotential) -> Any:
    """The :class:`~painn_ase.potential.AtomisticPotential` behind; of a committee its first."""
    return getattr(potential, "potential", potential)


class BatchEvaluation:
    """What a batch's positions mean to a potential.

    Parameters
    ----------
    potential : BatchedPotential
        With an energy; a committee moves the batch by the mean of its members.
    batch : ReplicaBatch
        The copies' graphs.

    Attributes
    ----------
    spread : Tensor [n_copies * n_atoms, 3] or None
        Standard deviations of the last forces among the members of a committee, eV/Å.
    digests : dict of str to str
        SHA-256 of the weights and of the descriptions of all members; "driver" says which other
        program moves the copies, and is empty where none does.
    """

    def __init__(self, potential: BatchedPotential, batch: ReplicaBatch) -> None:
        self.spread: Tensor | None = None
        self._potential = potential
        self._batch = batch
        self._graphs: tuple[AtomGraph, ...] = ()
        self.digests = model_digests(self._models()) | {"driver": ""}
        if isinstance(potential, DrivingItself):
            self.digests["driver"] = json.dumps(potential.identity_record(), sort_keys=True)

    def forces_of(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Energies and forces of all copies, as a stepper asks for them."""
        self.go_to(positions)
        if isinstance(self._potential, DrivingItself):
            return self._potential.forces_of(self._batch.template, positions)
        found = self.quantities(("energy", "forces"))
        self.spread = found.get("forces_std")
        return found["energy"].to(torch.float64), found["forces"].to(torch.float64)

    def go_to(self, positions: Tensor) -> None:
        """Have the next quantities be those at `positions` [n_copies * n_atoms, 3], Å."""
        self._graphs = self._batch.update(positions)

    def quantities(
        self, names: Collection[str], velocities: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Quantities of all copies in order, and their spread where there is a committee."""
        graphs = self._graphs
        pieces: Sequence[Tensor | None] = [None] * len(graphs)
        if velocities is not None:
            pieces = velocities.split([graph.n_atoms for graph in graphs])
        parts = [
            self._of_one(graph, names, piece) for graph, piece in zip(graphs, pieces, strict=True)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _of_one(
        self, graph: AtomGraph, names: Collection[str], velocities: Tensor | None
    ) -> dict[str, Tensor]:
        if not isinstance(self._potential, Committee):
            return self._potential(graph, names, velocities).present()
        mean, spread = self._potential.with_spread(graph, names, velocities)
        return {**mean.present(), **spread}

    def describe(self) -> dict[str, Any]:
        """What a trajectory says of the model."""
        record: dict[str, Any] = {
            "model": to_dict(model_of(self._potential).spec),
            "backend": getattr(self._potential, "name", "eager"),
        }
        if isinstance(self._potential, DrivingItself):
            record["driver"] = self._potential.identity_record()
        if self._members() is not None:
            record["committee"] = [to_dict(model.spec) for model in self._models()]
        return record

    def _models(self) -> list[Any]:
        members = self._members()
        return [model_of(self._potential)] if members is None else members

    def _members(self) -> list[Any] | None:
        """Models of a committee; None where there is none."""
        told_by = self._potential
        if isinstance(told_by, DrivingItself):
            told_by = told_by.response
        if not isinstance(told_by, Committee):
            return None
        return [member.potential for member in told_by.members]
