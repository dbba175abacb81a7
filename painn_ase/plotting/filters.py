"""What a network's blocks multiply a neighbour's features with, as pictures.

SchNet's filters as cuts through space, as in its paper (Schütt et al., NIPS 2017, figure 4); those
of networks with several filters a block over the distance.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from painn_ase.errors import DataError
from painn_ase.potential import AtomisticPotential

__all__ = ["draw_filters", "plot_filter_cut", "plot_radial_filters"]

FloatArray = NDArray[np.float64]

#: Å from one side of a cut to the other.
WIDTH = 10.0
_N_DISTANCES = 400
_N_PIXELS = 201
#: Cuts of one block; those of the largest filters.
_N_CUTS = 8
#: Nearer than this no two atoms come, and no data has said what a filter is there, Å.
_NEAREST = 0.4


def draw_filters(potential: AtomisticPotential) -> Figure:
    """The filters of every block of a potential, a row for each block.

    A network with one filter for each block (SchNet) is drawn as cuts of 10 × 10 Å through its
    largest filters, any other as its filters over the distance. Red is positive, blue negative;
    each picture has its own scale.

    Parameters
    ----------
    potential : AtomisticPotential
    """
    cutoff = potential.cutoff
    distances = np.linspace(min(_NEAREST, 0.5 * cutoff), cutoff, _N_DISTANCES)
    at = torch.tensor(distances, dtype=potential.dtype, device=potential.device)
    with torch.no_grad():
        blocks = [
            {name: part.double().cpu().numpy() for name, part in block.items()}
            for block in potential.representation.radial_filters(at)
        ]
    if not blocks or not blocks[0]:
        raise DataError(f"a network of kind {potential.spec.representation.kind!r} has no filters.")
    is_cut = len(blocks[0]) == 1
    n_columns = min(_N_CUTS, next(iter(blocks[0].values())).shape[1]) if is_cut else len(blocks[0])
    width, height = (1.35, 1.5) if is_cut else (3.0, 2.1)
    figure = Figure(
        figsize=(width * n_columns + 0.9, height * len(blocks) + 0.5), layout="constrained"
    )
    grid = figure.subplots(len(blocks), n_columns, squeeze=False)
    for number, (axes, block) in enumerate(zip(grid, blocks, strict=True), start=1):
        if is_cut:
            _draw_cuts(axes, distances, next(iter(block.values())))
        else:
            for ax, (name, filters) in zip(axes, block.items(), strict=True):
                plot_radial_filters(ax, distances, filters)
                ax.set_title(name if number == 1 else "", fontsize="medium")
        axes[0].set_ylabel(f"block {number}\n" + axes[0].get_ylabel())
    for ax in grid[-1]:
        ax.set_xlabel("x / Å" if is_cut else "distance / Å")
    return figure


def _draw_cuts(axes: NDArray[np.object_], distances: FloatArray, filters: FloatArray) -> None:
    """The largest filters of one block, one in each Axes."""
    largest = np.argsort(-np.abs(filters).max(axis=0), kind="stable")[: len(axes)]
    for ax, k in zip(axes, np.sort(largest), strict=True):
        plot_filter_cut(ax, distances, filters[:, k])
        ax.set_title(f"{k + 1}", fontsize="small")
        ax.label_outer()


def plot_filter_cut(ax: Axes, distances: FloatArray, values: FloatArray) -> Axes:
    """A cut of 10 × 10 Å through the filter w(√(x² + y²)) around an atom.

    Parameters
    ----------
    ax : Axes
    distances, values : ndarray (n,)
        The filter over the distance in Å, ascending; it is zero beyond the last. Nearer than the
        first nothing is drawn.
    """
    x = np.linspace(-0.5 * WIDTH, 0.5 * WIDTH, _N_PIXELS)
    radius = np.hypot(*np.meshgrid(x, x))
    cut = np.interp(radius, distances, values, right=0.0)
    cut = np.where(radius < distances[0], np.nan, cut)
    _show(ax, cut, (x[0], x[-1], x[0], x[-1]), float(np.abs(values).max()))
    ax.set_aspect("equal")
    ax.set_ylabel("y / Å")
    return ax


def plot_radial_filters(ax: Axes, distances: FloatArray, filters: FloatArray) -> Axes:
    """All filters of one kind over the distance, a line of the picture each.

    Lines are ordered by the distance at which a filter weighs most.

    Parameters
    ----------
    ax : Axes
    distances : ndarray (n,)
        Å, ascending.
    filters : ndarray (n, F)
    """
    weight = np.abs(filters)
    center = (weight * distances[:, None]).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-300)
    ordered = filters[:, np.argsort(center, kind="stable")].T
    # a few strong filters would leave all others white
    largest = float(np.quantile(weight, 0.995))
    _show(ax, ordered, (distances[0], distances[-1], 0.0, float(len(ordered))), largest)
    ax.set_aspect("auto")
    ax.set_ylabel("feature")
    return ax


def _show(
    ax: Axes, values: FloatArray, extent: tuple[float, float, float, float], largest: float
) -> None:
    """Values up to `largest` as colours, white at zero; grey shows where there are none."""
    largest = largest or 1.0
    ax.set_facecolor("#dddddd")
    ax.imshow(
        values,
        extent=extent,
        origin="lower",
        cmap="RdBu_r",
        vmin=-largest,
        vmax=largest,
        interpolation="nearest",
    )
