"""A potential's weights in the order and form in which the compiled kernel takes them."""

from __future__ import annotations

import ctypes
import math
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from painn_ase.errors import MissingDependencyError
from painn_ase.heads import EnergyHead
from painn_ase.kernels.library import ModelRecord, StackRecord, load_library
from painn_ase.nn.painn import Mixing, PaiNN
from painn_ase.potential import AtomisticPotential

__all__ = ["create_kernel", "frequency_offsets", "stack_names", "stack_sizes"]

FloatArray: TypeAlias = NDArray[np.float64]

_doubles = ctypes.POINTER(ctypes.c_double)


def _network(potential: AtomisticPotential) -> PaiNN:
    """The network; :func:`.why_not_fused` has said no to any other kind."""
    network = potential.representation
    assert isinstance(network, PaiNN)
    return network


def frequency_offsets(potential: AtomisticPotential) -> FloatArray:
    """Stored Bessel frequencies minus nπ/cutoff, 1/Å: float32 training has rounded them."""
    stored = _array(_network(potential).radial_basis.frequencies)
    n = np.arange(1, len(stored) + 1)
    return stored - n * (math.pi / potential.cutoff)


def stack_names(potential: AtomisticPotential) -> tuple[str, ...]:
    """Heads made of a gated stack, in the order the kernel numbers them."""
    return tuple(name for name in ("dipole", "polarizability") if name in potential.heads)


def _gated_blocks(potential: AtomisticPotential, name: str) -> Any:
    head: Any = potential.heads[name]
    stack = head.tensors.stack if hasattr(head, "tensors") else head.stack
    return stack.blocks


def stack_sizes(potential: AtomisticPotential, name: str) -> tuple[int, int]:
    """Number of scalars and of vectors that the stack of head `name` gives for each atom."""
    n_scalars, n_vectors = _gated_blocks(potential, name)[1].n_out
    return n_scalars, n_vectors


def create_kernel(potential: AtomisticPotential, isa: int) -> int:
    """The kernel's own copy of the model for instruction set number `isa`: its address."""
    network = _network(potential)
    spec = network.spec
    gaussian = spec.radial_basis == "gaussian"
    basis = network.radial_basis
    centers = _array(basis.centers) if gaussian else frequency_offsets(potential)
    widths = _array(basis.widths) if gaussian else np.ones(spec.n_rbf)
    energy, scale, reference = _energy_head(potential)
    tensors = _tensors(potential) + energy
    hidden = np.array([t.shape[0] for t in energy[:-2:2]], dtype=np.int32)
    names = stack_names(potential)
    kept = [_stack_tensors(potential, name) for name in names]
    stacks = (StackRecord * max(len(names), 1))()
    for k, name in enumerate(names):
        stacks[k] = _stack_record(potential, name, kept[k])
    record = ModelRecord(
        n_features=spec.n_features,
        n_interactions=spec.n_interactions,
        n_rbf=spec.n_rbf,
        n_elements=len(potential.elements),
        radial_basis=int(gaussian),
        cutoff_function=int(spec.cutoff_function == "polynomial"),
        n_hidden=len(hidden),
        single=int(potential.dtype == torch.float32),
        cutoff=spec.cutoff,
        epsilon=spec.epsilon,
        scale=scale,
        hidden=hidden.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
        centers=_address(centers),
        widths=_address(widths),
        reference=_address(reference),
        tensors=_addresses(tensors),
        n_stacks=len(names),
        stacks=stacks,
    )
    handle: int | None = load_library().painn_create(ctypes.byref(record), isa)
    if not handle:
        raise MissingDependencyError(
            "the compiled kernel could not take this model: not enough memory, or an instruction "
            "set this CPU lacks."
        )
    return handle


def _array(tensor: Any) -> FloatArray:
    """A contiguous float64 copy."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float64)


def _address(array: FloatArray) -> Any:
    return array.ctypes.data_as(_doubles)


def _addresses(arrays: list[FloatArray]) -> Any:
    return (_doubles * len(arrays))(*(_address(a) for a in arrays))


def _layers(mlp: Any) -> list[Any]:
    """Weights and biases of the linear layers of an MLP."""
    return [t for layer in mlp if hasattr(layer, "weight") for t in (layer.weight, layer.bias)]


def _energy_head(potential: AtomisticPotential) -> tuple[list[FloatArray], float, FloatArray]:
    """Weights, scale and reference energies; a model without the head has energy zero."""
    if "energy" not in potential.heads:
        n_features = potential.spec.representation.n_features
        nothing = [np.zeros((1, n_features)), np.zeros(1)]
        return nothing, 0.0, np.zeros(len(potential.elements))
    head = potential.heads["energy"]
    assert isinstance(head, EnergyHead)
    return [_array(t) for t in _layers(head.mlp)], head.scale, _array(head.references.values)


def _tensors(potential: AtomisticPotential) -> list[FloatArray]:
    """The network's weights in the order of csrc/abi.h; blocks that share weights repeat them."""
    net = _network(potential)
    blocks = range(net.spec.n_interactions)
    found: list[Any] = [net.embedding.weight]
    for k in blocks:
        found += _layers(net.filters[k % len(net.filters)])
    for k in blocks:
        mixing = net.mixings[k % len(net.mixings)]
        assert isinstance(mixing, Mixing)
        interaction: Any = net.interactions[k % len(net.interactions)]
        found += _layers(interaction.context)
        found += [mixing.vector_mix.weight, *_layers(mixing.context)]
    return [_array(t) for t in found]


def _stack_tensors(potential: AtomisticPotential, name: str) -> list[FloatArray]:
    blocks = _gated_blocks(potential, name)
    return [_array(t) for b in blocks for t in (b.vector_mix.weight, *_layers(b.context))]


def _stack_record(
    potential: AtomisticPotential, name: str, tensors: list[FloatArray]
) -> StackRecord:
    first = _gated_blocks(potential, name)[0]
    n_scalars, n_vectors = stack_sizes(potential, name)
    return StackRecord(
        n_hidden=first.n_out[0],
        n_scalars=n_scalars,
        n_vectors=n_vectors,
        epsilon=first.epsilon,
        tensors=_addresses(tensors),
    )
