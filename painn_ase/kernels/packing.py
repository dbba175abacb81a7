"""A potential's weights in the order and form in which the compiled kernel takes them.

What differs from network to network says a :class:`KernelNetwork`, one file a kind.
"""

from __future__ import annotations

import ctypes
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from painn_ase.errors import MissingDependencyError
from painn_ase.heads import EnergyHead
from painn_ase.kernels.library import ModelRecord, StackRecord, load_library
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import NetworkSpec

__all__ = [
    "KernelNetwork",
    "as_array",
    "create_kernel",
    "frequency_offsets",
    "gives_responses",
    "kernel_network",
    "known_kinds",
    "layer_weights",
    "packs",
    "stack_names",
    "stack_sizes",
]

FloatArray: TypeAlias = NDArray[np.float64]

_doubles = ctypes.POINTER(ctypes.c_double)


class KernelNetwork(ABC):
    """What the compiled kernel has to know of networks of one kind; used without an instance.

    Attributes
    ----------
    number : int
        ``PAINN_NETWORK_…`` of csrc/abi.h.
    gives_responses : bool
        Whether its kernel evaluates the gated stacks of response heads.
    """

    number: ClassVar[int]
    gives_responses: ClassVar[bool] = False

    @classmethod
    def why_not(cls, potential: AtomisticPotential) -> str | None:
        """Why the kernel cannot evaluate a potential with such a network; None if it can."""
        return None

    @classmethod
    @abstractmethod
    def tensors(cls, potential: AtomisticPotential) -> list[FloatArray]:
        """Embedding and blocks in the order of csrc/abi.h; shared weights are repeated."""

    @classmethod
    def fields(cls, potential: AtomisticPotential) -> dict[str, Any]:
        """Fields of :class:`.ModelRecord` that only this kind has."""
        return {}


_Kind = TypeVar("_Kind", bound=type[KernelNetwork])
_PACKED: dict[type[NetworkSpec], type[KernelNetwork]] = {}


def packs(spec: type[NetworkSpec]) -> Callable[[_Kind], _Kind]:
    """Class decorator: this is how networks described by a record of type `spec` are packed."""

    def register(kind: _Kind) -> _Kind:
        _PACKED[spec] = kind
        return kind

    return register


def kernel_network(potential: AtomisticPotential) -> type[KernelNetwork] | None:
    """What the kernel knows of this potential's kind of network; None if it does not know it."""
    return _PACKED.get(type(potential.spec.representation))


def known_kinds() -> tuple[str, ...]:
    """Kinds of networks that the kernel knows."""
    return tuple(sorted(k for k, spec in NetworkSpec.KINDS.items() if spec in _PACKED))


def gives_responses(potential: AtomisticPotential) -> bool:
    """Whether the kernel evaluates the response heads of this kind of network."""
    network = kernel_network(potential)
    return network is not None and network.gives_responses


def frequency_offsets(potential: AtomisticPotential) -> FloatArray:
    """Stored Bessel frequencies minus nπ/cutoff, 1/Å: float32 training has rounded them."""
    network: Any = potential.representation
    stored = as_array(network.radial_basis.frequencies)
    n = np.arange(1, len(stored) + 1)
    return stored - n * (math.pi / potential.cutoff)


def stack_names(potential: AtomisticPotential) -> tuple[str, ...]:
    """Heads made of a gated stack, in the order the kernel numbers them."""
    if not gives_responses(potential):
        return ()
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
    network = kernel_network(potential)
    assert network is not None  # why_not_fused has said so of any other kind
    spec = potential.spec.representation
    gaussian = spec.radial_basis == "gaussian"
    module: Any = potential.representation
    basis = module.radial_basis
    centers = as_array(basis.centers) if gaussian else frequency_offsets(potential)
    widths = as_array(basis.widths) if gaussian else np.ones(spec.n_rbf)
    energy, scale, reference = _energy_head(potential)
    tensors = network.tensors(potential) + energy
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
        scale=scale,
        hidden=hidden.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
        centers=_address(centers),
        widths=_address(widths),
        reference=_address(reference),
        tensors=_addresses(tensors),
        n_stacks=len(names),
        network=network.number,
        stacks=stacks,
        **network.fields(potential),
    )
    handle: int | None = load_library().painn_create(ctypes.byref(record), isa)
    if not handle:
        raise MissingDependencyError(
            "the compiled kernel could not take this model: not enough memory, or an instruction "
            "set this CPU lacks."
        )
    return handle


def as_array(tensor: Any) -> FloatArray:
    """A contiguous float64 copy."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float64)


def _address(array: FloatArray) -> Any:
    return array.ctypes.data_as(_doubles)


def _addresses(arrays: list[FloatArray]) -> Any:
    return (_doubles * len(arrays))(*(_address(a) for a in arrays))


def layer_weights(mlp: Any) -> list[Any]:
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
    return (
        [as_array(t) for t in layer_weights(head.mlp)],
        head.scale,
        as_array(head.references.values),
    )


def _stack_tensors(potential: AtomisticPotential, name: str) -> list[FloatArray]:
    blocks = _gated_blocks(potential, name)
    return [as_array(t) for b in blocks for t in (b.vector_mix.weight, *layer_weights(b.context))]


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
