"""Import of models trained with SchNetPack 2.x; SchNetPack need not be installed.

Nothing in the file is executed (:mod:`.foreign_pickle`), and a model is carried over exactly or not
at all (:mod:`.record`). Here its names and units become ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from painn_ase.elements import SYMBOLS
from painn_ase.errors import ModelFileError, SpecError
from painn_ase.models.schnetpack.networks import describe_network, rename_mlp, rename_network
from painn_ase.models.schnetpack.record import SchNetPackModel, read_model
from painn_ase.models.schnetpack.torch_archive import read_torch_file
from painn_ase.models.schnetpack.units import (
    SchNetPackUnits,
    find_units,
)
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import (
    DipoleSpec,
    EnergySpec,
    HeadsSpec,
    ModelSpec,
    PolarizabilitySpec,
)

__all__ = ["build_potential", "load_schnetpack"]

#: Kinds of networks as their authors write them.
_NAMES = {"painn": "PaiNN", "schnet": "SchNet", "so3net": "SO3net"}


def load_schnetpack(
    path: str | Path,
    *,
    energy_unit: str | float | None = None,
    length_unit: str | float | None = None,
    dipole_unit: str | float | None = None,
    polarizability_unit: str | float | None = None,
    elements: Sequence[int | str] | None = None,
    energy_key: str | None = None,
    polarizability_origin: Literal["center_of_mass", "coordinates"] = "center_of_mass",
) -> AtomisticPotential:
    """The potential in a model file of SchNetPack 2.x (``best_model``, ``*.model``).

    Energies, forces, stress, dipole, charges and polarizability are those of SchNetPack to
    rounding. What has no exact counterpart is refused with the reason.

    Such a file does not say its units. Those given here count first; then those in the training
    run's ``config.yaml`` (``data.distance_unit``, ``data.property_units``) if it lies beside the
    file as ``config.yaml`` or ``<name>.config.yaml``; then, for
    energy and length only, SchNetPack's own defaults kcal/mol and Å, with a
    :class:`~painn_ase.errors.PaiNNWarning`.

    Parameters
    ----------
    path : str or Path
    energy_unit, length_unit, dipole_unit, polarizability_unit : str or float
        Units of the model's training data: a name of :data:`ENERGY_UNITS`, :data:`LENGTH_UNITS`,
        :data:`DIPOLE_UNITS`, :data:`POLARIZABILITY_UNITS`, or the unit's size in eV, Å, e·Å,
        e²Å²/eV.
    elements : sequence of int or str, optional
        Atomic numbers or symbols of the elements in the training data. The file does not say them
        either; without them the potential takes those with a reference energy in the file, or
        else every element the embedding has room for, trained or not, and says so in its
        provenance.
    energy_key : str, optional
        Name of the output that is the energy, where it has no forces and is not called "energy".
    polarizability_origin : {"center_of_mass", "coordinates"}
        SchNetPack takes positions as they are given, so that α depends on where the molecule is
        put. Equal to SchNetPack's for molecules centred at their centre of mass (as its training
        data usually are); "coordinates" reproduces it everywhere.

    Returns
    -------
    AtomisticPotential
        In the file's precision; in float64 if weights had to be converted to other units.

    Raises
    ------
    ModelFileError
        For a file that is damaged, unsafe, or cannot be carried over exactly.
    SpecError
        For a missing or unknown unit or element.

    Notes
    -----
    The dipole of a charged system is taken from the centre of mass here and from the coordinates'
    origin in SchNetPack; where the unit of charge is not e (Debye with Å), corrected charges agree
    for neutral systems only.
    """
    if polarizability_origin not in ("center_of_mass", "coordinates"):
        raise SpecError(
            f"polarizability_origin={polarizability_origin!r} is unknown; allowed are "
            "'center_of_mass' and 'coordinates'."
        )
    path = Path(path)
    file = read_torch_file(path)
    try:
        model = read_model(file.content, energy_key)
        units, unit_names = find_units(
            path,
            _named_quantities(model, energy_key),
            {
                "length": length_unit,
                "energy": energy_unit,
                "dipole": dipole_unit,
                "polarizability": polarizability_unit,
            },
        )
        numbers, elements_note = _elements(model, elements)
        provenance = {
            "imported_from": "SchNetPack" + (f" {model.version}" if model.version else ""),
            "file": path.name,
            "sha256": file.sha256,
            "units": unit_names,
            "elements": elements_note,
        }
        return build_potential(
            model,
            numbers,
            units,
            polarizability_origin=polarizability_origin,
            name=path.stem,
            provenance=provenance,
        )
    except ModelFileError as error:
        raise ModelFileError(f"cannot import {str(path)!r}: {error}") from error.__cause__


def build_potential(
    model: SchNetPackModel,
    elements: Sequence[int],
    units: SchNetPackUnits,
    *,
    polarizability_origin: Literal["center_of_mass", "coordinates"] = "center_of_mass",
    name: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> AtomisticPotential:
    """The potential of a SchNetPack model, in ASE's units.

    Parameters
    ----------
    model : SchNetPackModel
    elements : sequence of int
        Atomic numbers to keep, ascending.
    units : SchNetPackUnits
    polarizability_origin : {"center_of_mass", "coordinates"}
    name, provenance
        For the model's description.

    Raises
    ------
    ModelFileError
        If its weights do not fit together.
    """
    try:
        state = _state_dict(model, elements, units)
        spec = ModelSpec(
            elements=tuple(elements),
            representation=describe_network(model, model.weights, units.length),
            heads=_heads_spec(model, elements, units, polarizability_origin),
            name=name,
            description=f"{_NAMES[model.kind]} model trained with SchNetPack",
            provenance=dict(provenance or {}),
        )
        return _filled(spec, state)
    except (SpecError, LookupError, RuntimeError, TypeError) as error:
        # Weights of impossible shapes fail wherever they are first cut or counted.
        raise ModelFileError(f"its parts do not fit together: {str(error)[:200]}") from error


def _filled(spec: ModelSpec, state: dict[str, Tensor]) -> AtomisticPotential:
    """A potential with the given weights; refuses weights of another shape than `spec` needs."""
    with torch.device("meta"):  # nothing is allocated before the shapes are known to fit
        expected = {n: w.shape for n, w in AtomisticPotential(spec).state_dict().items()}
    given = {name: tensor.shape for name, tensor in state.items()}
    for name in sorted(set(expected) | set(given)):
        if given.get(name) != expected.get(name):
            shapes = (
                tuple(found[name]) if name in found else "nothing" for found in (given, expected)
            )
            raise ModelFileError(
                "its weights do not fit together: for '{}' it has {}, the rest needs {}.".format(
                    name, *shapes
                )
            )
    with torch.random.fork_rng(devices=()):
        potential = AtomisticPotential(spec)
    is_double = any(tensor.dtype == torch.float64 for tensor in state.values())
    potential.to(torch.float64 if is_double else torch.float32)
    potential.load_state_dict(state)
    return potential.eval().requires_grad_(False)


# -- description -----------------------------------------------------------------------------------


def _heads_spec(
    model: SchNetPackModel,
    elements: Sequence[int],
    units: SchNetPackUnits,
    origin: Literal["center_of_mass", "coordinates"],
) -> HeadsSpec:
    energy = dipole = alpha = None
    if model.energy is not None:
        atomrefs = model.energy.atomrefs or [0.0] * (max(elements) + 1)
        energy = EnergySpec(
            n_hidden=_hidden_widths(model.weights, model.energy.prefix),
            scale=model.energy.scale * units.energy,
            reference_energies=tuple(
                (model.energy.offset + atomrefs[z]) * units.energy for z in elements
            ),
        )
    if model.dipole is not None:
        if model.dipole.from_charges:
            (hidden,) = _hidden_widths(model.weights, model.dipole.prefix)
            dipole = DipoleSpec("point_charge", n_hidden=hidden, scale=units.dipole)
        else:
            hidden = _gated_width(model.weights, model.dipole.prefix)
            dipole = DipoleSpec(
                "latent_charge", n_hidden=hidden, scale=units.dipole, gate_epsilon=0.0
            )
    if model.polarizability is not None:
        hidden = _gated_width(model.weights, model.polarizability.prefix)
        alpha = PolarizabilitySpec(
            "latent_position",
            n_hidden=hidden,
            scale=units.polarizability,
            origin=origin,
            gate_epsilon=0.0,
        )
    return HeadsSpec(energy=energy, dipole=dipole, polarizability=alpha)


def _hidden_widths(weights: Mapping[str, Tensor], prefix: str) -> tuple[int, ...]:
    return tuple(
        weights[f"{prefix}.{k}.weight"].shape[0] for k in range(_depth(weights, prefix) - 1)
    )


def _depth(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Number of layers of the MLP at `prefix`."""
    depth = 0
    while f"{prefix}.{depth}.weight" in weights:
        depth += 1
    return depth


def _gated_width(weights: Mapping[str, Tensor], prefix: str) -> int:
    return weights[f"{prefix}.1.mix_vectors.weight"].shape[1]


# -- weights ---------------------------------------------------------------------------------------


def _state_dict(
    model: SchNetPackModel, elements: Sequence[int], units: SchNetPackUnits
) -> dict[str, Tensor]:
    """The weights under our names, in our units."""
    source = model.weights
    if units.length != 1.0:
        # Lengths are folded into weights below: in float64, so that nothing is rounded.
        source = {name: tensor.double() for name, tensor in source.items()}
    state = {
        "representation.embedding.weight": source["representation.embedding.weight"][list(elements)]
    }
    state.update(rename_network(model, source, units.length))
    if model.energy is not None:
        state.update(rename_mlp(source, model.energy.prefix, "heads.energy.mlp"))
    # Outputs 0 and 1 of the last gated block are the scalar and the gate of the vector. Where the
    # file's length is not Å, the charge (times a length) and ν (times a length) change, the rest
    # is in the unit of the whole.
    if model.dipole is not None:
        rename = _latent_charges if model.dipole.from_charges else _gated
        state.update(rename(source, model.dipole.prefix, "heads.dipole", 0, units.length))
    if model.polarizability is not None:
        prefix = model.polarizability.prefix
        state.update(_gated(source, prefix, "heads.polarizability", 1, units.length))
    return state


def _latent_charges(
    source: Mapping[str, Tensor], theirs: str, ours: str, row: int, length: float
) -> dict[str, Tensor]:
    """The MLP of latent charges, its output `row` divided by the unit of length."""
    state = rename_mlp(source, theirs, f"{ours}.mlp")
    _divide(state, f"{ours}.mlp.2", row, length)
    return state


def _gated(
    source: Mapping[str, Tensor], theirs: str, ours: str, row: int, length: float
) -> dict[str, Tensor]:
    """Two gated blocks; output `row` of the last one divided by the unit of length."""
    state = {}
    for k in range(2):
        at = f"{ours}.stack.blocks.{k}"
        state[f"{at}.vector_mix.weight"] = source[f"{theirs}.{k}.mix_vectors.weight"]
        state.update(rename_mlp(source, f"{theirs}.{k}.scalar_net", f"{at}.context"))
    _divide(state, f"{ours}.stack.blocks.1.context.2", row, length)
    return state


def _divide(state: dict[str, Tensor], layer: str, row: int, length: float) -> None:
    """Divide output `row` of a layer by the unit of length."""
    if length != 1.0:
        for part in ("weight", "bias"):
            last = state[f"{layer}.{part}"].clone()
            last[row] /= length
            state[f"{layer}.{part}"] = last


# -- what the file does not say --------------------------------------------------------------------


def _named_quantities(model: SchNetPackModel, energy_key: str | None) -> dict[str, str]:
    """What the model has that carries a unit, under the names of its outputs."""
    has = {
        "length": True,
        "energy": model.energy is not None,
        "dipole": model.dipole is not None,
        "polarizability": model.polarizability is not None,
    }
    own = {"energy": energy_key or "energy"}
    return {what: own.get(what, what) for what, present in has.items() if present}


def _elements(
    model: SchNetPackModel, given: Sequence[int | str] | None
) -> tuple[tuple[int, ...], str]:
    """Atomic numbers to keep, and where they come from."""
    n_rows = model.weights["representation.embedding.weight"].shape[0]
    atomrefs = model.energy.atomrefs if model.energy is not None else ()
    top = min(n_rows, len(atomrefs) or n_rows, len(SYMBOLS))
    if given is not None:
        numbers = tuple(sorted({_atomic_number(element) for element in given}))
        if not numbers or numbers[-1] >= top:
            raise SpecError(
                f"elements={list(given)!r}: the file has room for the atomic numbers 1 to "
                f"{top - 1}. Name at least one of these."
            )
        return numbers, "named at import"
    shown = tuple(z for z in range(1, top) if atomrefs and atomrefs[z] != 0.0)
    if shown:
        return shown, "those with a reference energy in the file"
    return tuple(range(1, top)), (
        "every row of the embedding: the file does not say which elements it was trained on, and "
        "results for others are meaningless. Name them with elements=[...] at import"
    )


def _atomic_number(element: int | str) -> int:
    number = SYMBOLS.index(element) if element in SYMBOLS else element
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number < len(SYMBOLS):
        raise SpecError(
            f"elements: {element!r} is neither an atomic number nor a chemical symbol, such as 8 "
            "or 'O'."
        )
    return number
