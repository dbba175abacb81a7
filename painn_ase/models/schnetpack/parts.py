"""Pieces of a SchNetPack model, each taken over only if it is what it should be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from painn_ase.errors import ModelFileError
from painn_ase.models.schnetpack.foreign_records import ForeignObject, ForeignTensor, describe

__all__ = [
    "MODULE_LIST",
    "SILU",
    "Weights",
    "cannot_carry",
    "expect",
    "members",
    "number",
    "parts",
    "text",
]

Activation = Literal["none", "SiLU", "shifted softplus"]

MODULE_LIST = "torch.nn.modules.container.ModuleList"
SILU = ("torch.nn.functional.silu", "torch.nn.modules.activation.SiLU")
_IDENTITY = "torch.nn.modules.linear.Identity"
_ACTIVATIONS: dict[Activation, tuple[str, ...]] = {
    "none": (_IDENTITY,),
    "SiLU": SILU,
    "shifted softplus": ("schnetpack.nn.activations.shifted_softplus",),
}
_MAX_NUMBERS = 1 << 27
_MAX_PARTS = 256


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Weights:
    """Tensors collected under SchNetPack's names, finite and not too many."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._room = _MAX_NUMBERS

    def add(self, name: str, value: object) -> Tensor:
        """Tensor `name`, checked."""
        if not isinstance(value, ForeignTensor) or not value.dtype.is_floating_point:
            raise ModelFileError(f"weight '{name}' is {describe(value)}, not real numbers.")
        self._room -= math.prod(value.shape)
        if self._room < 0:
            raise ModelFileError(f"the model has more than {_MAX_NUMBERS} weights.")
        tensor = value.to_torch()
        if not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"weight '{name}' holds NaN or infinity. The model is unusable.")
        self.tensors[name] = tensor
        return tensor

    def add_dense(
        self, prefix: str, part: object, activation: Activation = "none", bias: bool = True
    ) -> None:
        """A ``Dense`` layer with `activation` after it."""
        dense = expect(part, "schnetpack.nn.base.Dense", prefix)
        given = dense.get("activation")
        name = _IDENTITY if given is None else describe(given)
        if name not in _ACTIVATIONS[activation]:
            wanted = "no activation" if activation == "none" else activation
            raise ModelFileError(
                f"layer '{prefix}' has the activation {name}; only {wanted} can stand there in "
                "this package's network. The model cannot be carried over exactly."
            )
        self._add_layer(prefix, dense, bias)

    def add_linear(self, prefix: str, part: object, bias: bool) -> None:
        """A plain ``Linear`` layer of torch."""
        self._add_layer(prefix, expect(part, "torch.nn.modules.linear.Linear", prefix), bias)

    def _add_layer(self, prefix: str, layer: ForeignObject, bias: bool) -> None:
        self.add(f"{prefix}.weight", layer.get("weight"))
        if (layer.get("bias") is not None) != bias:
            raise ModelFileError(f"layer '{prefix}' {'lacks' if bias else 'has'} a bias.")
        if bias:
            self.add(f"{prefix}.bias", layer.get("bias"))

    def add_mlp(self, prefix: str, part: object, activation: Activation = "SiLU") -> int:
        """A Sequential of ``Dense`` layers, `activation` after all but the last; their number."""
        layers = members(part, "torch.nn.modules.container.Sequential", prefix)
        for k, layer in enumerate(layers):
            self.add_dense(f"{prefix}.{k}", layer, activation if k < len(layers) - 1 else "none")
        return len(layers)


def expect(value: object, allowed: str | tuple[str, ...], where: str) -> ForeignObject:
    """`value`, if it is an object of an allowed class without hooks."""
    allowed = (allowed,) if isinstance(allowed, str) else allowed
    if not isinstance(value, ForeignObject) or value.type_name not in allowed:
        raise ModelFileError(
            f"{where} is {describe(value)}, which cannot be carried over exactly; supported: "
            f"{', '.join(allowed)}."
        )
    if any(value.get(hooks) for hooks in _HOOKS):
        raise ModelFileError(f"{where} has hooks: code that would change its results.")
    return value


def members(value: object, kind: str, where: str) -> list[object]:
    """The modules in a container, in its order."""
    members = expect(value, kind, where).get("_modules")
    if not isinstance(members, dict) or len(members) > _MAX_PARTS:
        raise ModelFileError(f"{where} holds {describe(members)} instead of modules.")
    if list(members) != [str(k) for k in range(len(members))]:
        raise ModelFileError(f"the modules in {where} are not numbered from 0.")
    return list(members.values())


def parts(model: ForeignObject, name: str) -> Iterator[tuple[str, object]]:
    """Number and module of each part of the model's list `name`."""
    for k, part in enumerate(members(model.get(name), MODULE_LIST, f"'{name}'")):
        yield str(k), part


def text(value: object, where: str) -> str:
    """`value`, if it is a string."""
    if not isinstance(value, str):
        raise ModelFileError(f"{where} is {describe(value)}, not a name.")
    return value


def number(value: object, where: str) -> float:
    """One number out of a tensor, exactly."""
    if not isinstance(value, ForeignTensor):
        raise ModelFileError(f"{where} holds {describe(value)} instead of a number.")
    tensor = Weights().add(where, value)
    if tensor.numel() != 1:
        raise ModelFileError(f"{where} holds {tensor.numel()} numbers instead of one.")
    return float(tensor)


def cannot_carry(what: str) -> ModelFileError:
    """The error for what has no exact counterpart here."""
    return ModelFileError(
        f"it has {what}, for which this package has no exact counterpart. The import is refused "
        "rather than approximate."
    )
