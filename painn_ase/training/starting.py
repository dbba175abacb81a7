"""Training that goes on from a model: what is kept of it, and what is added.

A molecule of H, C and O does not take nitrogen away from a general model: elements, reference
energies and scales stay as they were, so that the model says of the old molecules what it said
before, until the weights move.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from painn_ase.errors import DataError, ModelFileError, SpecError
from painn_ase.models.catalog import bundled_models, find_model, find_models
from painn_ase.models.file import load_model
from painn_ase.potential.potential import AtomisticPotential
from painn_ase.spec import HeadsSpec, ModelSpec
from painn_ase.training.config import TrainConfig, network_to_train

__all__ = ["copy_weights", "extended_spec", "load_start", "start_paths", "with_network_of"]

_EMBEDDING = "representation.embedding.weight"


def start_paths(start: str, n_models: int) -> list[str]:
    """The models that the members of a run start from.

    Parameters
    ----------
    start : str
        A model file or a bundled model, for every member; or a committee, a folder with one file
        a member or the name of a bundled one.
    n_models : int
        Members of the run.

    Raises
    ------
    DataError
        When the folder holds another number of models, or there is nothing of that name.
    """
    if Path(start).is_file() or start in bundled_models():
        return [start] * n_models  # as it was named, which is what the record of a run says
    try:
        found = find_models(start)
    except ModelFileError as error:
        raise DataError(f"no model to start from: {error}") from error
    if len(found) != n_models:
        raise DataError(
            f"{start} holds {len(found)} models, and {n_models} are to be trained. Name a "
            "committee of as many, one model for all, or set n_models."
        )
    return [str(path) for path in found]


def with_network_of(config: TrainConfig, base: AtomisticPotential) -> TrainConfig:
    """The configuration with the network of the model it starts from.

    Raises
    ------
    SpecError
        When it asks for another network.
    """
    network = base.spec.representation
    if config.network not in (network, network_to_train()):
        raise SpecError(
            f"[network] describes another network than that of {config.start}, whose weights it is "
            "to start from. Leave [network] out, or train from nothing."
        )
    return config.replace(network=network)


def extended_spec(base: ModelSpec, fresh: ModelSpec) -> ModelSpec:
    """The header of a model that goes on from `base`.

    Parameters
    ----------
    base : ModelSpec
        Of the model to start from.
    fresh : ModelSpec
        As it would be without it, its offsets completed for all elements of both
        (:func:`~painn_ase.training.statistics.compute_statistics` with `kept`).

    Returns
    -------
    ModelSpec
        With the heads of `fresh`; those that `base` has too in its form and on its scale.
    """
    heads: dict[str, Any] = {}
    for name in fresh.heads.names:
        new, old = getattr(fresh.heads, name), getattr(base.heads, name)
        if old is not None:
            offsets = {
                key: getattr(new, key)
                for key in ("reference_energies", "isotropic")
                if hasattr(new, key)
            }
            if name == "dipole":  # a sign that was learnt stays; lengths do not teach one
                offsets["magnitude"] = old.magnitude and new.magnitude
            new = dataclasses.replace(old, **offsets)
        heads[name] = new
    return dataclasses.replace(fresh, heads=HeadsSpec(**heads))


def copy_weights(base: AtomisticPotential, to: AtomisticPotential) -> None:
    """Weights of `base` into `to`, whose new elements and heads keep what they were drawn as."""
    given, weights = base.state_dict(), to.state_dict()
    rows = [to.spec.elements.index(z) for z in base.spec.elements]
    for name, value in given.items():
        if name == _EMBEDDING:
            weights[name][rows] = value.to(weights[name].dtype)
        elif name in weights:  # not so those of a head that is dropped
            weights[name] = value.to(weights[name].dtype)
    to.load_state_dict(weights)


def load_start(path: str) -> AtomisticPotential:
    """The model at `path`, of a file or bundled."""
    return load_model(find_model(path))
