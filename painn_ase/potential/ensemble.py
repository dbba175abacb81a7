"""Committees: several potentials trained alike, whose spread says where they know little."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from painn_ase.errors import SpecError
from painn_ase.potential.potential import AtomisticPotential
from painn_ase.potential.prediction import Prediction

__all__ = ["SPREAD_QUANTITIES", "check_members", "mean_and_spread"]

#: Quantities whose spread is reported, as ``<name>_std``.
SPREAD_QUANTITIES = ("energy", "forces", "dipole")


def check_members(members: Sequence[AtomisticPotential]) -> None:
    """Raise :class:`SpecError` unless the members can form one committee."""
    if not members:
        raise SpecError("a committee needs at least one model; got an empty list.")
    first = members[0]
    for n, other in enumerate(members[1:], start=2):
        for what in ("elements", "cutoff", "properties"):
            mine, theirs = getattr(first, what), getattr(other, what)
            if mine != theirs:
                raise SpecError(
                    f"members of a committee must agree in {what}: member 1 has {mine}, member "
                    f"{n} has {theirs}. Train them with one configuration (n_models)."
                )


def mean_and_spread(predictions: Sequence[Prediction]) -> tuple[Prediction, dict[str, Tensor]]:
    """Mean of all quantities and sample standard deviation of energy, forces and dipole.

    Returns
    -------
    Prediction
        Means over the members.
    dict
        ``energy_std`` (n_systems,), ``forces_std`` (n_atoms, 3), ``dipole_std`` (n_systems, 3),
        as far as predicted; empty for a single member.
    """
    if len(predictions) == 1:
        return predictions[0], {}
    stacked = {
        name: torch.stack([getattr(p, name) for p in predictions])
        for name in predictions[0].present()
    }
    mean = Prediction(**{name: values.mean(dim=0) for name, values in stacked.items()})
    spread = {f"{n}_std": stacked[n].std(dim=0) for n in SPREAD_QUANTITIES if n in stacked}
    return mean, spread
