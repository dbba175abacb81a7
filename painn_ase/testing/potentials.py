"""Potentials with random weights, the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from painn_ase.errors import SpecError
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import (
    ChargesSpec,
    DipoleSpec,
    EnergySpec,
    HeadsSpec,
    ModelSpec,
    NetworkSpec,
    PolarizabilitySpec,
    from_dict,
)

__all__ = ["random_potential"]

_HEADS: Mapping[str, Any] = {
    "energy": EnergySpec(),
    "dipole": DipoleSpec(),
    "dipole:local": DipoleSpec(kind="local"),
    "dipole:point_charge": DipoleSpec(kind="point_charge"),
    "polarizability": PolarizabilitySpec(),
    "polarizability:local": PolarizabilitySpec(kind="local"),
    "charges": ChargesSpec(),
}


def random_potential(
    n_features: int = 128,
    n_interactions: int = 3,
    n_rbf: int = 20,
    cutoff: float = 5.0,
    heads: Sequence[str] = ("energy",),
    elements: Sequence[int] = (1, 6, 7, 8),
    seed: int = 0,
    *,
    kind: str = "painn",
    dtype: torch.dtype = torch.float32,
    **representation: Any,
) -> AtomisticPotential:
    """A potential with random weights, the same for the same arguments everywhere.

    Parameters
    ----------
    n_features, n_interactions, n_rbf, cutoff
        As in :class:`~painn_ase.spec.NetworkSpec`; further keywords go to the record of the kind.
    heads : sequence of str
        From "energy", "dipole", "dipole:local", "dipole:point_charge", "polarizability",
        "polarizability:local", "charges".
    elements : sequence of int
        Atomic numbers.
    seed : int
        The global random state of torch is left as it was.
    kind : str
        Of the network: "painn", "schnet", "so3net".
    dtype : torch.dtype

    Raises
    ------
    SpecError
        For unknown heads or impossible sizes.
    """
    if unknown := [h for h in heads if h not in _HEADS]:
        raise SpecError(f"unknown heads {unknown}; allowed are {', '.join(_HEADS)}.")
    chosen = {name.partition(":")[0]: _HEADS[name] for name in heads}
    sizes = {"n_features": n_features, "n_interactions": n_interactions, "n_rbf": n_rbf}
    network = {"kind": kind, **sizes, "cutoff": cutoff, **representation}
    spec = ModelSpec(
        elements=tuple(sorted(set(elements))),
        heads=HeadsSpec(**chosen),
        representation=from_dict(NetworkSpec, network, "random_potential"),
        name="random",
        description=f"random weights, seed {seed}; not trained on anything",
    )
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # Drawn in float32 whatever the caller's default dtype, so that they are the same numbers.
        potential = AtomisticPotential(spec).to(torch.float32)
        torch.manual_seed(seed)
        for name, parameter in potential.named_parameters():
            _draw(name, parameter)
    return potential.to(dtype).eval().requires_grad_(False)


def _draw(name: str, parameter: torch.nn.Parameter) -> None:
    """Random numbers as at the start of a training, but for biases, which start at zero there:
    nonzero ones exercise the terms that a trained model has.
    """
    if name.endswith("bias"):
        torch.nn.init.uniform_(parameter, -0.1, 0.1)
    elif "embedding" in name:
        torch.nn.init.normal_(parameter)
    else:
        torch.nn.init.xavier_uniform_(parameter)
