"""The networks of SchNetPack: read out of its records, described and renamed as ours.

One reader and one translator a kind. Outputs are in :mod:`.schnetpack_record`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from painn_ase.errors import ModelFileError
from painn_ase.models.schnetpack.foreign_records import ForeignObject, ForeignTensor, describe
from painn_ase.models.schnetpack.parts import MODULE_LIST, Weights, cannot_carry, expect, members
from painn_ase.nn.spherical import allowed_paths, clebsch_gordan, rows_of
from painn_ase.spec import NetworkSpec, PaiNNSpec, SchNetSpec, SO3netSpec

__all__ = ["NetworkRecord", "describe_network", "read_network", "rename_mlp", "rename_network"]

_Basis = Literal["gaussian", "bessel"]

_AT = "representation"
_RADIAL_BASES: dict[str, tuple[Literal["gaussian", "bessel"], tuple[str, ...]]] = {
    "schnetpack.nn.radial.GaussianRBF": ("gaussian", ("offsets", "widths")),
    "schnetpack.nn.radial.GaussianRBFCentered": ("gaussian", ("offsets", "widths")),
    "schnetpack.nn.radial.BesselRBF": ("bessel", ("freqs",)),
}
#: How far a file's coupling coefficients, rounded to float32, may lie from exact ones.
_ROUNDED = 1e-6


@dataclass(frozen=True, kw_only=True)
class NetworkRecord:
    """What a SchNetPack network is beside its weights.

    Attributes
    ----------
    n_interactions : int
    radial_basis : {"gaussian", "bessel"}
    kind : {"painn", "schnet", "so3net"}
    epsilon : float
        ε of PaiNN's mixing blocks.
    shared_interactions : bool
        All blocks are the same object.
    lmax : int
        Highest degree of SO3net's features.
    """

    n_interactions: int
    radial_basis: _Basis
    kind: Literal["painn", "schnet", "so3net"] = "painn"
    epsilon: float = 1e-8
    shared_interactions: bool = False
    lmax: int = 0


# -- reading ---------------------------------------------------------------------------------------


def read_network(part: object, weights: Weights) -> NetworkRecord:
    """The network in `part`; its tensors go into `weights` under SchNetPack's names.

    Raises
    ------
    ModelFileError
        For what cannot be carried over exactly.
    """
    readers: dict[str, Callable[[ForeignObject, Weights, _Basis], NetworkRecord]] = {
        "schnetpack.representation.painn.PaiNN": _read_painn,
        "schnetpack.representation.schnet.SchNet": _read_schnet,
        "schnetpack.representation.so3net.SO3net": _read_so3net,
    }
    network = expect(part, tuple(readers), "the representation")
    embeddings = network.get("electronic_embeddings") or []  # absent before SchNetPack 2.1
    if embeddings != [] and members(embeddings, MODULE_LIST, f"{_AT}.electronic_embeddings"):
        raise cannot_carry("electronic embeddings (charge or spin as input)")
    _read_embedding(network.get("embedding"), weights)
    cutoff = expect(
        network.get("cutoff_fn"), "schnetpack.nn.cutoff.CosineCutoff", "the cutoff function"
    )
    if weights.add(f"{_AT}.cutoff_fn.cutoff", cutoff.get("cutoff")).numel() != 1:
        raise ModelFileError("the cutoff is not one number.")
    basis = expect(network.get("radial_basis"), tuple(_RADIAL_BASES), "the radial basis")
    kind, names = _RADIAL_BASES[basis.type_name]
    for name in names:
        weights.add(f"{_AT}.radial_basis.{name}", basis.get(name))
    return readers[network.type_name](network, weights, kind)


def _read_embedding(part: object, weights: Weights) -> None:
    embedding = expect(part, "torch.nn.modules.sparse.Embedding", "the embedding")
    if embedding.get("max_norm") is not None:
        raise cannot_carry("an embedding with a maximum norm")
    rows = weights.add(f"{_AT}.embedding.weight", embedding.get("weight"))
    if rows.ndim != 2 or rows.shape[0] < 2:
        raise ModelFileError(f"the embedding has the shape {tuple(rows.shape)}.")


def _read_painn(network: ForeignObject, weights: Weights, basis: _Basis) -> NetworkRecord:
    weights.add_dense(f"{_AT}.filter_net", network.get("filter_net"))
    interactions = members(network.get("interactions"), MODULE_LIST, f"{_AT}.interactions")
    mixings = members(network.get("mixing"), MODULE_LIST, f"{_AT}.mixing")
    if not interactions or len(interactions) != len(mixings):
        raise ModelFileError(
            f"it has {len(interactions)} interaction and {len(mixings)} mixing blocks."
        )
    epsilons = [
        _read_painn_block(k, interaction, mixing, weights)
        for k, (interaction, mixing) in enumerate(zip(interactions, mixings, strict=True))
    ]
    if len(set(epsilons)) != 1:
        raise cannot_carry(f"mixing blocks with different ε ({sorted(set(epsilons))})")
    return NetworkRecord(
        n_interactions=len(interactions),
        radial_basis=basis,
        epsilon=epsilons[0],
        shared_interactions=_are_one(interactions) and _are_one(mixings),
    )


def _read_painn_block(k: int, interaction: object, mixing: object, weights: Weights) -> float:
    """Weights of one interaction and one mixing block; its ε."""
    at = f"{_AT}.interactions.{k}"
    block = expect(interaction, "schnetpack.representation.painn.PaiNNInteraction", at)
    weights.add_mlp(f"{at}.interatomic_context_net", block.get("interatomic_context_net"))
    at = f"{_AT}.mixing.{k}"
    block = expect(mixing, "schnetpack.representation.painn.PaiNNMixing", at)
    weights.add_mlp(f"{at}.intraatomic_context_net", block.get("intraatomic_context_net"))
    weights.add_dense(f"{at}.mu_channel_mix", block.get("mu_channel_mix"), bias=False)
    epsilon = block.get("epsilon")
    if not isinstance(epsilon, int | float) or not 0 <= epsilon < 1:
        raise ModelFileError(f"'{at}.epsilon' is {describe(epsilon)}, not a small number.")
    return float(epsilon)


def _read_schnet(network: ForeignObject, weights: Weights, basis: _Basis) -> NetworkRecord:
    blocks = members(network.get("interactions"), MODULE_LIST, f"{_AT}.interactions")
    for k, part in enumerate(blocks):
        at = f"{_AT}.interactions.{k}"
        block = expect(part, "schnetpack.representation.schnet.SchNetInteraction", at)
        weights.add_dense(f"{at}.in2f", block.get("in2f"), bias=False)
        for name in ("filter_network", "f2out"):
            if weights.add_mlp(f"{at}.{name}", block.get(name), "shifted softplus") != 2:
                raise cannot_carry(f"'{at}.{name}' of another depth than two layers")
    return NetworkRecord(
        kind="schnet",
        n_interactions=len(blocks),
        radial_basis=basis,
        shared_interactions=_are_one(blocks),
    )


def _read_so3net(network: ForeignObject, weights: Weights, basis: _Basis) -> NetworkRecord:
    lmax = network.get("lmax")
    if not isinstance(lmax, int) or isinstance(lmax, bool) or not 1 <= lmax <= 6:
        raise cannot_carry(f"SO3net with lmax {describe(lmax)} (1 to 6 are)")
    expect(
        network.get("sphharm"), "schnetpack.nn.so3.RealSphericalHarmonics", "spherical harmonics"
    )
    lists = {
        name: members(network.get(name), MODULE_LIST, f"{_AT}.{name}")
        for name in ("so3convs", "mixings1", "mixings2", "mixings3", "gatings")
    }
    if len(lengths := {len(parts) for parts in lists.values()}) != 1:
        raise ModelFileError(f"its blocks have parts in different numbers, {sorted(lengths)}.")
    product = expect(
        network.get("so3product"), "schnetpack.nn.so3.SO3TensorProduct", "the tensor product"
    )
    _check_couplings(product, lmax, "the tensor product")
    for k, part in enumerate(lists["so3convs"]):
        at = f"{_AT}.so3convs.{k}"
        convolution = expect(part, "schnetpack.nn.so3.SO3Convolution", at)
        _check_couplings(convolution, lmax, at)
        weights.add_dense(f"{at}.filternet", convolution.get("filternet"))
        for name in ("mixings1", "mixings2", "mixings3"):
            weights.add_linear(f"{_AT}.{name}.{k}", lists[name][k], bias=False)
        at = f"{_AT}.gatings.{k}"
        gate = expect(lists["gatings"][k], "schnetpack.nn.so3.SO3ParametricGatedNonlinearity", at)
        weights.add_linear(f"{at}.scaling", gate.get("scaling"), bias=True)
    return NetworkRecord(
        kind="so3net",
        n_interactions=len(lists["so3convs"]),
        radial_basis=basis,
        shared_interactions=all(_are_one(parts) for parts in lists.values()),
        lmax=lmax,
    )


def _check_couplings(module: ForeignObject, lmax: int, where: str) -> None:
    """Refuse coupling coefficients that are not the exact ones rounded."""
    names = ("idx_in_1", "idx_in_2", "idx_out", "clebsch_gordan")
    given = [module.get(name) for name in names]
    if not all(isinstance(part, ForeignTensor) and len(part.shape) == 1 for part in given):
        raise ModelFileError(f"{where} lacks its coupling coefficients.")
    first, second, out, values = (p.to_torch() for p in given if isinstance(p, ForeignTensor))
    n = (lmax + 1) ** 2
    exact = torch.zeros((n, n, n), dtype=torch.float64)
    for degree in range(lmax + 1):
        for l1, l2 in allowed_paths(degree, lmax):
            exact[rows_of(l1), rows_of(l2), rows_of(degree)] = clebsch_gordan(l1, l2, degree)
    found = torch.zeros_like(exact)
    found[first, second, out] = values.double()
    if not float((found - exact).abs().max()) < _ROUNDED:
        raise cannot_carry(f"coupling coefficients in {where} that are not Clebsch-Gordan's")


def _are_one(blocks: list[object]) -> bool:
    """Whether several blocks are the same object."""
    return len(blocks) > 1 and all(block is blocks[0] for block in blocks)


# -- description -----------------------------------------------------------------------------------


def describe_network(
    record: NetworkRecord, weights: Mapping[str, Tensor], length: float
) -> NetworkSpec:
    """Our description of the network; `length` is the file's unit of length in Å."""
    n_features = weights[f"{_AT}.embedding.weight"].shape[1]
    first = {
        "painn": "filter_net.weight",
        "schnet": "interactions.0.filter_network.0.weight",
        "so3net": "so3convs.0.filternet.weight",
    }
    filters = weights[f"{_AT}.{first[record.kind]}"]
    common: dict[str, Any] = {
        "n_features": n_features,
        "n_interactions": record.n_interactions,
        "n_rbf": filters.shape[1],
        "cutoff": float(weights[f"{_AT}.cutoff_fn.cutoff"]) * length,
        "radial_basis": record.radial_basis,
        "shared_interactions": record.shared_interactions,
    }
    if record.kind == "schnet":
        return SchNetSpec(**common, n_filters=filters.shape[0])
    if record.kind == "so3net":
        return SO3netSpec(**common, lmax=record.lmax)
    shared = record.n_interactions > 1 and filters.shape[0] == 3 * n_features
    return PaiNNSpec(**common, shared_filters=shared, epsilon=record.epsilon)


# -- weights ---------------------------------------------------------------------------------------


def rename_network(
    record: NetworkRecord, source: Mapping[str, Tensor], length: float
) -> dict[str, Tensor]:
    """Weights of the network under our names, but for the embedding."""
    renames = {"painn": _rename_painn, "schnet": _rename_schnet, "so3net": _rename_so3net}
    n_blocks = 1 if record.shared_interactions else record.n_interactions
    # sin(kd)/d is itself one over a length, which the layer behind it makes up for.
    factor = length if record.radial_basis == "bessel" else 1.0
    state = _rename_basis(record, source, length)
    state.update(renames[record.kind](record, source, n_blocks, factor))
    return state


def _rename_basis(
    record: NetworkRecord, source: Mapping[str, Tensor], length: float
) -> dict[str, Tensor]:
    """Constants of the radial basis."""
    basis = f"{_AT}.radial_basis"
    if record.radial_basis == "gaussian":
        return {
            f"{basis}.centers": _times(source[f"{basis}.offsets"], length),
            f"{basis}.widths": _times(source[f"{basis}.widths"], length),
        }
    return {f"{basis}.frequencies": _times(source[f"{basis}.freqs"], 1.0 / length)}


def _rename_painn(
    record: NetworkRecord, source: Mapping[str, Tensor], n_blocks: int, factor: float
) -> dict[str, Tensor]:
    state = _split_filters(record, source, factor)
    for k in range(n_blocks):
        at = f"{_AT}.interactions.{k}"
        state.update(rename_mlp(source, f"{at}.interatomic_context_net", f"{at}.context"))
        ours, theirs = f"{_AT}.mixings.{k}", f"{_AT}.mixing.{k}"
        state.update(rename_mlp(source, f"{theirs}.intraatomic_context_net", f"{ours}.context"))
        state[f"{ours}.vector_mix.weight"] = source[f"{theirs}.mu_channel_mix.weight"]
    return state


def _split_filters(
    record: NetworkRecord, source: Mapping[str, Tensor], factor: float
) -> dict[str, Tensor]:
    """PaiNN's one filter layer cut into that of each block."""
    weight = _times(source[f"{_AT}.filter_net.weight"], factor)
    n_features = source[f"{_AT}.embedding.weight"].shape[1]
    weights = torch.split(weight, 3 * n_features)
    biases = torch.split(source[f"{_AT}.filter_net.bias"], 3 * n_features)
    if len(weights) not in (1, record.n_interactions) or len(biases) != len(weights):
        raise ModelFileError(
            f"its filter layer has {weight.shape[0]} rows; {record.n_interactions} blocks of "
            f"{n_features} features need {3 * n_features * record.n_interactions}."
        )
    state = {}
    for k, (block, bias) in enumerate(zip(weights, biases, strict=True)):
        state[f"{_AT}.filters.{k}.0.weight"] = block.clone()
        state[f"{_AT}.filters.{k}.0.bias"] = bias.clone()
    return state


def _rename_schnet(
    record: NetworkRecord, source: Mapping[str, Tensor], n_blocks: int, factor: float
) -> dict[str, Tensor]:
    state = {}
    for k in range(n_blocks):
        at = f"{_AT}.interactions.{k}"
        state[f"{at}.carry.weight"] = source[f"{at}.in2f.weight"]
        state.update(rename_mlp(source, f"{at}.filter_network", f"{at}.filter"))
        state[f"{at}.filter.0.weight"] = _times(state[f"{at}.filter.0.weight"], factor)
        state.update(rename_mlp(source, f"{at}.f2out", f"{at}.update"))
    return state


def _rename_so3net(
    record: NetworkRecord, source: Mapping[str, Tensor], n_blocks: int, factor: float
) -> dict[str, Tensor]:
    state = {}
    for k in range(n_blocks):
        at = f"{_AT}.interactions.{k}"
        filters = f"{_AT}.so3convs.{k}.filternet"
        state[f"{at}.convolution.filter.weight"] = _times(source[f"{filters}.weight"], factor)
        state[f"{at}.convolution.filter.bias"] = source[f"{filters}.bias"]
        for theirs, ours in enumerate(("mix_product", "mix_before", "mix_after"), start=1):
            state[f"{at}.{ours}.weight"] = source[f"{_AT}.mixings{theirs}.{k}.weight"]
        for part in ("weight", "bias"):
            state[f"{at}.gate.{part}"] = source[f"{_AT}.gatings.{k}.scaling.{part}"]
    return state


def rename_mlp(source: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    """Layers of an MLP; ours are numbered in twos because activations count too."""
    state: dict[str, Tensor] = {}
    while f"{theirs}.{len(state) // 2}.weight" in source:
        k = len(state) // 2
        for part in ("weight", "bias"):
            state[f"{ours}.{2 * k}.{part}"] = source[f"{theirs}.{k}.{part}"]
    return state


def _times(tensor: Tensor, factor: float) -> Tensor:
    return tensor if factor == 1.0 else tensor * factor
