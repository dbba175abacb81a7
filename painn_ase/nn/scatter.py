"""Aggregation, in one place: the sum of rows that share an index.

The default is torch's own ``index_add``. The package torch-scatter is an alternative back end with
the same results; only its ``scatter(sum)`` is used, because ``segment_csr`` has silently wrong
second derivatives, and forces in a training loss are second derivatives.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from painn_ase.errors import MissingDependencyError, SpecError

__all__ = ["ScatterBackend", "check_scatter_backend", "scatter_sum"]

ScatterBackend = Literal["torch", "torch_scatter"]


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
    backend : {"torch", "torch_scatter"}

    Returns
    -------
    Tensor (n_out, ...)
    """
    if backend == "torch_scatter":
        from torch_scatter import scatter

        out: Tensor = scatter(values, index, dim=0, dim_size=n_out, reduce="sum")
        return out
    return values.new_zeros((n_out, *values.shape[1:])).index_add(0, index, values)


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
    if backend != "torch_scatter":
        raise SpecError(f"unknown scatter back end {backend!r}; allowed: 'torch', 'torch_scatter'.")
    try:
        import torch_scatter  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "scatter back end 'torch_scatter' needs the package torch-scatter, which is not "
            "installed. Install it after torch: pip install --no-build-isolation torch-scatter, "
            "or use the default back end 'torch'."
        ) from error
    return "torch_scatter"
