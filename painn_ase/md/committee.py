"""Several potentials that move a batch together: the mean drives, the spread warns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor

from painn_ase.graph import AtomGraph
from painn_ase.kernels import Backend
from painn_ase.potential import AtomisticPotential, Prediction, check_members, mean_and_spread

__all__ = ["Committee", "driving"]


class Committee:
    """A committee as one batched potential; answers are means over the members.

    Parameters
    ----------
    members : sequence of Backend
        One for each member, all on one device.

    Attributes
    ----------
    potential : AtomisticPotential
        The first member, for what all have in common.
    name : str
        Of the members' backends.

    Raises
    ------
    SpecError
        When the members differ in elements, cutoff or quantities.
    """

    def __init__(self, members: Sequence[Backend]) -> None:
        check_members([member.potential for member in members])
        self.members = tuple(members)
        self.potential: AtomisticPotential = members[0].potential
        self.name = "+".join(dict.fromkeys(member.name for member in members))

    def __call__(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> Prediction:
        """Means over the members."""
        return self.with_spread(graph, properties, velocities)[0]

    def with_spread(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> tuple[Prediction, dict[str, Tensor]]:
        """Means, and standard deviations of energy, forces and dipole as ``<name>_std``."""
        return mean_and_spread([m(graph, properties, velocities) for m in self.members])


def driving(backends: Sequence[Backend]) -> Any:
    """What moves a batch for these backends of a calculator: the only one, or their committee."""
    return backends[0] if len(backends) == 1 else Committee(backends)
