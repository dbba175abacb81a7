"""Features of ghosts: how a network runs on a system that is divided among processes.

Each process has its own atoms first and after them ghosts, copies of atoms that others own and its
own atoms have as neighbours. A network's block reads the features of neighbours, so before each
block but the first the ghosts' are fetched from their owners. In the backward pass the road is gone
in the other direction: what arrived at a ghost is a part of its owner's gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["GhostExchange", "GlobalSum"]


class GhostExchange:
    """An exchange hook from two plain functions, with derivatives of any order.

    All that a block passes on travels in one call, as one buffer. Every process must evaluate the
    same quantities in the same order, also one without atoms: a call with no rows takes part as
    any other.

    Parameters
    ----------
    fill : callable
        Buffer (n_atoms, K) → the same with the rows of ghosts replaced by their owners'.
    add : callable
        Its transpose: buffer (n_atoms, K) → the rows of ghosts added to their owners', wherever
        those are, and then zero.
    """

    def __init__(self, fill: Callable[[Tensor], Tensor], add: Callable[[Tensor], Tensor]) -> None:
        self.fill, self.add = fill, add

    def __call__(self, *features: Tensor) -> tuple[Tensor, ...]:
        """The features (n_atoms, ...) with the ghosts' rows as their owners have them."""
        widths = [math.prod(f.shape[1:]) for f in features]
        buffer = torch.cat(
            [f.reshape(f.shape[0], n) for f, n in zip(features, widths, strict=True)], dim=1
        )
        filled: Tensor = _Transposable.apply(buffer, self.fill, self.add)  # type: ignore[no-untyped-call]
        parts = filled.split(widths, dim=1)
        return tuple(p.reshape(f.shape) for p, f in zip(parts, features, strict=True))


class GlobalSum:
    """A sum over all processes from a plain function, with derivatives of any order.

    Parameters
    ----------
    total : callable
        Tensor → its sum over the processes, the same on all of them.
    """

    def __init__(self, total: Callable[[Tensor], Tensor]) -> None:
        self.total = total

    def __call__(self, values: Tensor) -> Tensor:
        """The sum of every process's `values`."""
        summed: Tensor = _Transposable.apply(values, self.total, self.total)  # type: ignore[no-untyped-call]
        return summed


class _Transposable(torch.autograd.Function):
    """A linear map over processes and its transpose, each the other's derivative."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        forth: Callable[[Tensor], Tensor],
        back: Callable[[Tensor], Tensor],
    ) -> Tensor:
        ctx.forth, ctx.back = forth, back
        return forth(values)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        pulled: Tensor = _Transposable.apply(  # type: ignore[no-untyped-call]
            outer[0].contiguous(), ctx.back, ctx.forth
        )
        return pulled, None, None
