"""How a run behaved: energy drift and temperature."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from painn_ase.errors import DataError

__all__ = ["plot_energy_drift", "plot_temperature"]

Array = NDArray[np.float64]
_BLUE, _RED = "#0b4f8a", "#d1495b"


def plot_energy_drift(
    ax: Axes, time: ArrayLike, energy: ArrayLike, *, n_atoms: int, label: str | None = None
) -> Axes:
    """Total energy less its start, in meV an atom, with its linear drift in the legend.

    ``time`` (n,) in ps, ``energy`` (n,) or (n_runs, n) in eV; several runs are drawn pale.
    """
    t, e = _series(time, energy, "energy")
    if n_atoms < 1:
        raise DataError(f"n_atoms must be at least 1, not {n_atoms}")
    deviation = 1000.0 * (e - e[:, :1]) / n_atoms
    slope = float(np.mean([np.polyfit(t, row, 1)[0] for row in deviation]))
    alpha = 0.9 if len(e) == 1 else 0.35
    for row in deviation:
        ax.plot(t, row, color=_BLUE, linewidth=0.7, alpha=alpha)
    text = f"drift {slope:+.2g} meV/atom/ps"
    mean_line = slope * (t - t[0]) + float(np.mean(deviation - slope * (t - t[0])))
    ax.plot(
        t, mean_line, color=_RED, linewidth=1.2, label=text if label is None else f"{label}: {text}"
    )
    ax.set_ylabel("energy − start\n/ meV atom$^{-1}$")
    return _dress(ax, t)


def plot_temperature(
    ax: Axes, time: ArrayLike, temperature: ArrayLike, *, target: float | None = None
) -> Axes:
    """Temperature along a run with its mean, and the target as a dashed line.

    ``time`` (n,) in ps, ``temperature`` (n,) or (n_runs, n) in K.
    """
    t, kelvin = _series(time, temperature, "temperature")
    alpha = 0.9 if len(kelvin) == 1 else 0.35
    for row in kelvin:
        ax.plot(t, row, color=_BLUE, linewidth=0.6, alpha=alpha)
    mean = float(kelvin.mean())
    ax.axhline(mean, color=_RED, linewidth=1.2, label=f"mean {mean:.1f} K")
    if target is not None:
        ax.axhline(
            target, color="#222222", linewidth=1.0, linestyle="--", label=f"target {target:g} K"
        )
    ax.set_ylabel("temperature / K")
    ax.set_ylim(bottom=0.0)
    return _dress(ax, t)


def _series(time: ArrayLike, values: ArrayLike, name: str) -> tuple[Array, Array]:
    t = np.asarray(time, dtype=np.float64)
    y = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if t.ndim != 1 or y.ndim != 2 or y.shape[1] != len(t) or len(t) < 2:
        raise DataError(
            f"{name} has shape {np.shape(values)} for {t.shape} times; allowed are (n,) and "
            "(n_runs, n) with at least two times"
        )
    return t, y


def _dress(ax: Axes, t: Array) -> Axes:
    ax.set_xlabel("time / ps")
    ax.set_xlim(t[0], t[-1])
    ax.spines[["top", "right"]].set_visible(False)
    low, high = ax.get_ylim()
    # room for the legend above the lines
    ax.set_ylim(low, high + 0.18 * (high - low))
    ax.legend(frameon=False, fontsize="small", loc="upper right", ncols=2)
    return ax
