"""The potentials of a calculator: from files or at hand, one or a committee, on their device."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch

from painn_ase.errors import ModelFileError
from painn_ase.models import load_model
from painn_ase.models.catalog import find_models
from painn_ase.nn.scatter import check_scatter_backend
from painn_ase.potential import AtomisticPotential

__all__ = ["Model", "members_of", "placed", "potential_of"]

Model = str | Path | AtomisticPotential


def potential_of(model: Model) -> AtomisticPotential:
    """A model as such, from its file, or by the name of a bundled one."""
    return model if isinstance(model, AtomisticPotential) else load_model(model)


def members_of(model: Model | Sequence[Model]) -> list[Model]:
    """The members of a committee; a single model is a committee of one.

    A folder of model files, or the name of a bundled committee, stands for all that it holds.
    """
    if isinstance(model, AtomisticPotential):
        return [model]
    if isinstance(model, str | Path):
        return [*find_models(model)]
    members = list(model) if isinstance(model, Sequence) else [model]
    for member in members:
        if not isinstance(member, str | Path | AtomisticPotential):
            raise ModelFileError(
                f"a model is a path, the name of a bundled model, or an AtomisticPotential, or a "
                f"list of these for a committee; got {type(member).__name__}. Load it first with "
                "load_model(path)."
            )
    return members


def placed(
    potential: AtomisticPotential, device: torch.device, dtype: torch.dtype, scatter: str | None
) -> AtomisticPotential:
    """`potential` itself if it is as asked, frozen; else a copy, so the user's stays untouched."""
    backend = check_scatter_backend(scatter or potential.scatter_backend)
    fits = potential.dtype == dtype and potential.device == device and not potential.training
    fits = fits and potential.scatter_backend == backend
    if fits and not any(p.requires_grad for p in potential.parameters()):
        return potential
    placed = copy.deepcopy(potential).to(device=device, dtype=dtype).use_scatter(backend)
    return placed.eval().requires_grad_(False)
