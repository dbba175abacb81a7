"""Reference against prediction, for judging a trained model."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from painn_ase.errors import DataError

__all__ = ["plot_parity"]

#: more points than this are drawn as density
MANY_POINTS = 20_000


def plot_parity(
    ax: Axes, reference: ArrayLike, predicted: ArrayLike, *, name: str, unit: str
) -> Axes:
    """Predicted over reference values with the diagonal, MAE and RMSE.

    ``reference`` and ``predicted`` are arrays of one shape; all their numbers are drawn. Beyond
    20 000 of them as a density map on a logarithmic scale.
    """
    x, y = (np.asarray(v, dtype=np.float64).ravel() for v in (reference, predicted))
    if np.shape(reference) != np.shape(predicted) or not x.size:
        raise DataError(
            f"reference has shape {np.shape(reference)}, predicted {np.shape(predicted)}; they "
            "must be equal and not empty"
        )
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.all():
        raise DataError(f"{int((~finite).sum())} of {x.size} values are NaN or infinite")
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.04 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    ax.plot(limits, limits, color="#222222", linewidth=0.8, zorder=1)
    if x.size > MANY_POINTS:
        ax.hexbin(x, y, gridsize=90, extent=(*limits, *limits), bins="log", cmap="Blues", mincnt=1)
    else:
        size = float(np.clip(4000.0 / x.size, 3.0, 18.0))
        ax.scatter(x, y, s=size, color="#0b4f8a", alpha=0.5, linewidths=0, zorder=2)
    error = y - x
    text = f"MAE {np.mean(np.abs(error)):.3g} {unit}\nRMSE {np.sqrt(np.mean(error**2)):.3g} {unit}"
    ax.text(0.04, 0.96, text, transform=ax.transAxes, va="top", fontsize="small")
    ax.set_xlim(*limits)
    ax.set_ylim(*limits)
    ax.set_aspect("equal", adjustable="box")
    ax.set_xlabel(f"reference {name} / {unit}")
    ax.set_ylabel(f"predicted {name} / {unit}")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
