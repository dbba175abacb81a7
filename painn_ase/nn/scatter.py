"""Aggregation, in one place: the sum of rows that share an index, and its counterpart, the gather.

The default is torch's own ``index_add``, fast, but on CUDA its order of summation changes from run
to run. ``sorted`` sums each row's terms in one order on every device, to the last bit the same, and
its gathers have such sums as their derivatives. The package torch-scatter is an alternative with
the same results; only its ``scatter(sum)`` is used, because ``segment_csr`` has silently wrong
second derivatives, and forces in a training loss are second derivatives.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from painn_ase.errors import MissingDependencyError, SpecError

__all__ = ["ScatterBackend", "check_scatter_backend", "gather_rows", "scatter_sum"]

ScatterBackend = Literal["torch", "torch_scatter", "sorted"]


def scatter_sum(
    values: Tensor, index: Tensor, n_out: int, backend: ScatterBackend = "torch"
) -> Tensor:
    """Sum of the rows of `values` that share an index.

    Parameters
    ----------
    values : Tensor (n, ...)
    index : Tensor (n,), int64
        Row of the result each row of `values` is added to.
    n_out : int
        Number of rows of the result.
    backend : {"torch", "torch_scatter", "sorted"}

    Returns
    -------
    Tensor (n_out, ...)
    """
    if backend == "torch":
        return values.new_zeros((n_out, *values.shape[1:])).index_add(0, index, values)
    if backend == "sorted":
        summed: Tensor = _SortedSum.apply(values, index, n_out)  # type: ignore[no-untyped-call]
        return summed
    from torch_scatter import scatter

    out: Tensor = scatter(values, index, dim=0, dim_size=n_out, reduce="sum")
    return out


def gather_rows(values: Tensor, index: Tensor, backend: ScatterBackend = "torch") -> Tensor:
    """Rows `index` of `values`; where `backend` is "sorted", with a derivative in that order too.

    Parameters
    ----------
    values : Tensor (n, ...)
    index : Tensor (m,), int64
    backend : {"torch", "torch_scatter", "sorted"}

    Returns
    -------
    Tensor (m, ...)
    """
    if backend == "sorted":
        rows: Tensor = _Gather.apply(values, index)  # type: ignore[no-untyped-call]
        return rows
    return values.index_select(0, index)


def check_scatter_backend(backend: str) -> ScatterBackend:
    """`backend`, if it is known and installed.

    Raises
    ------
    SpecError
        For an unknown name.
    MissingDependencyError
        If torch-scatter is asked for and not installed.
    """
    if backend == "torch":
        return "torch"
    if backend == "sorted":
        return "sorted"
    if backend != "torch_scatter":
        known = ", ".join(map(repr, get_args(ScatterBackend)))
        raise SpecError(f"unknown scatter back end {backend!r}; allowed: {known}.")
    try:
        import torch_scatter  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "scatter back end 'torch_scatter' needs the package torch-scatter, which is not "
            "installed. Install it after torch: pip install --no-build-isolation torch-scatter, "
            "or use the default back end 'torch'."
        ) from error
    return "torch_scatter"


def _segment_sum(values: Tensor, index: Tensor, n_out: int) -> Tensor:
    """Sums over the rows sorted by index, equal ones in the order they came in."""
    ascending, order = torch.sort(index, stable=True)
    rows = torch.arange(n_out + 1, dtype=index.dtype, device=index.device)
    starts = torch.searchsorted(ascending, rows)
    return torch.segment_reduce(
        values.index_select(0, order), "sum", offsets=starts, axis=0, unsafe=True, initial=0
    )


class _SortedSum(torch.autograd.Function):
    """A segment sum whose derivative is a gather; torch's own has no second derivative."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, n_out: int) -> Tensor:
        ctx.save_for_backward(index)
        return _segment_sum(values, index, n_out)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        rows: Tensor = _Gather.apply(outer[0], index)  # type: ignore[no-untyped-call]
        return rows, None, None


class _Gather(torch.autograd.Function):
    """A gather whose derivative is a sorted sum."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.n_rows = values.shape[0]
        return values.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        summed: Tensor = _SortedSum.apply(  # type: ignore[no-untyped-call]
            outer[0], index, ctx.n_rows
        )
        return summed, None
