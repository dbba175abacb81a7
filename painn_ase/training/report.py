"""Plots of a finished run: parity of every quantity and the learning curve."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from painn_ase.training.evaluation import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_learning_curve", "plot_parity", "plot_report", "read_learning_curve"]


def plot_report(
    comparisons: dict[str, Comparison], log: Path | None, folder: Path
) -> None:
    """Write ``parity.png`` and, given the run's log folder, the learning curve as CSV and PNG."""
    from matplotlib.figure import Figure

    shown = {n: c for n, c in comparisons.items() if n != "energy_per_atom" and c.reference.size}
    if shown:
        figure = Figure(figsize=(3.4 * len(shown), 3.4), layout="constrained")
        for k, (name, comparison) in enumerate(shown.items()):
            plot_parity(figure.add_subplot(1, len(shown), k + 1), name, comparison)
        figure.savefig(folder / "parity.png", dpi=120)
    if log is None:
        return
    curve = read_learning_curve(log)
    if curve["epoch"]:
        _write_curve(curve, folder / "learning_curve.csv")
        figure = Figure(figsize=(5, 3.4), layout="constrained")
        plot_learning_curve(figure.add_subplot(), curve)
        figure.savefig(folder / "learning_curve.png", dpi=120)


def plot_parity(ax: Axes, name: str, comparison: Comparison) -> Axes:
    """Predicted against reference values with the diagonal; the errors stand in the title."""
    reference, predicted = comparison.reference, comparison.predicted
    shift = float(np.mean(reference)) if name == "energy" else 0.0
    ax.plot(reference - shift, predicted - shift, ".", ms=2, alpha=0.5, rasterized=True)
    ends = [float(reference.min()) - shift, float(reference.max()) - shift]
    ax.plot(ends, ends, "k-", lw=0.8)
    errors = comparison.errors
    ax.set_title(f"{name}: MAE {errors.mae:.2g}, RMSE {errors.rmse:.2g} {errors.unit}", fontsize=8)
    what = "− mean " if shift else ""
    ax.set_xlabel(f"reference {what}({comparison.unit})")
    ax.set_ylabel(f"predicted {what}({comparison.unit})")
    return ax


def read_learning_curve(log: Path) -> dict[str, list[float]]:
    """Epochs with their losses from the CSV logs of a run, continued ones joined.

    Where a continued run repeats an epoch the later record counts.
    """
    rows: dict[int, dict[str, float]] = {}
    for path in sorted(log.glob("version_*/metrics.csv"), key=lambda p: int(p.parent.name[8:])):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("epoch"):
                    values = {k: float(v) for k, v in row.items() if v and k not in ("epoch", "step")}
                    rows.setdefault(int(row["epoch"]), {}).update(values)
    names = sorted({name for row in rows.values() for name in row})
    curve: dict[str, list[float]] = {"epoch": [float(e) for e in sorted(rows)]}
    for name in names:
        curve[name] = [rows[e].get(name, float("nan")) for e in sorted(rows)]
    return curve


def _write_curve(curve: dict[str, list[float]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(curve)
        for row in zip(*curve.values(), strict=True):
            writer.writerow([int(row[0]), *("" if np.isnan(v) else f"{v:.6g}" for v in row[1:])])


def plot_learning_curve(ax: Axes, curve: dict[str, list[float]]) -> Axes:
    """Losses over epochs on a logarithmic axis."""
    epochs = np.array(curve["epoch"])
    for name in ("train_loss", "validation_loss"):
        values = np.array(curve.get(name, []))
        if values.size:
            known = ~np.isnan(values)
            ax.semilogy(epochs[known], values[known], lw=1, label=name.replace("_", " "))
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss (squared spreads)")
    ax.legend()
    return ax
