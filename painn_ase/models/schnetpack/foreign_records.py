"""Inert records of what another program's file holds: names, objects, views of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["ForeignName", "ForeignObject", "ForeignTensor", "describe"]


@dataclass(frozen=True)
class ForeignName:
    """Name of a class or function that a file refers to; only ever a name.

    Attributes
    ----------
    module, name : str
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class ForeignObject:
    """An object of a file as a record: the name of its class and its attributes.

    Attributes
    ----------
    type_name : str
        Full name, for example ``schnetpack.nn.base.Dense``.
    state : dict or None
        Its attributes; None until the file has given them.
    """

    type_name: str
    state: dict[str, object] | None = None

    def get(self, name: str, default: object = None) -> object:
        """Attribute `name`: what an object has itself, else among a module's weights and parts."""
        state = self.state or {}
        if name in state:
            return state[name]
        for part in ("_parameters", "_buffers", "_modules"):
            members = state.get(part)
            if isinstance(members, dict) and name in members:
                return members[name]
        return default


@dataclass(frozen=True, eq=False)
class ForeignTensor:
    """A view of a file's bytes as numbers, checked to lie inside them.

    Attributes
    ----------
    data : bytes
        The whole storage, little-endian.
    dtype : torch.dtype
    offset : int
        First element of the view in its storage.
    shape, strides : tuple of int
        In elements.
    """

    data: bytes = field(repr=False)
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def to_torch(self) -> Tensor:
        """A tensor of its own with these numbers."""
        if math.prod(self.shape) == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        is_bool = self.dtype == torch.bool
        # A bool byte other than 0 and 1 has no defined meaning; read bytes, then compare.
        flat = torch.frombuffer(bytearray(self.data), dtype=torch.uint8 if is_bool else self.dtype)
        view = flat.as_strided(self.shape, self.strides, self.offset).clone()
        return view != 0 if is_bool else view


def describe(value: object) -> str:
    """What `value` is, for a message: short whatever the file put there."""
    if isinstance(value, ForeignObject):
        return value.type_name
    if isinstance(value, ForeignName):
        return str(value)
    if isinstance(value, ForeignTensor):
        return f"a tensor of shape {value.shape}"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    return f"a {type(value).__name__}"
