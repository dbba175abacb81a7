"""Plots of a finished run: parity of every quantity and the learning curve."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from painn_ase.training.evaluation import Comparison
from painn_ase.training.frames import LabeledFrame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plot_labels",
    "plot_learning_curve",
    "plot_report",
    "read_learning_curve",
]


def plot_report(comparisons: dict[str, Comparison], log: Path | None, folder: Path) -> None:
    """Write ``parity.png`` and, given the run's log folder, the learning curve as CSV and PNG."""
    from matplotlib.figure import Figure

    from painn_ase.plotting.parity import plot_parity

    shown = {n: c for n, c in comparisons.items() if n != "energy_per_atom" and c.reference.size}
    if shown:
        figure = Figure(figsize=(3.4 * len(shown), 3.4), layout="constrained")
        for k, (name, comparison) in enumerate(shown.items()):
            ax = figure.add_subplot(1, len(shown), k + 1)
            shift = float(np.mean(comparison.reference)) if name == "energy" else 0.0
            plot_parity(
                ax,
                comparison.reference - shift,
                comparison.predicted - shift,
                name=f"{name} − mean" if shift else name,
                unit=comparison.unit,
            )
        figure.savefig(folder / "parity.png", dpi=120)
    if log is None:
        return
    curve = read_learning_curve(log)
    if curve["epoch"]:
        _write_curve(curve, folder / "learning_curve.csv")
        figure = Figure(figsize=(5, 3.4), layout="constrained")
        plot_learning_curve(figure.add_subplot(), curve)
        figure.savefig(folder / "learning_curve.png", dpi=120)


def read_learning_curve(log: Path) -> dict[str, list[float]]:
    """Epochs with their losses from the CSV logs of a run, continued ones joined.

    Where a continued run repeats an epoch the later record counts.
    """
    rows: dict[int, dict[str, float]] = {}
    for path in sorted(log.glob("version_*/metrics.csv"), key=lambda p: int(p.parent.name[8:])):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("epoch"):
                    values = {
                        k: float(v) for k, v in row.items() if v and k not in ("epoch", "step")
                    }
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


def plot_labels(frames: Sequence[LabeledFrame], path: Path) -> None:
    """Write histograms of every label as one PNG."""
    from matplotlib.figure import Figure

    from painn_ase.training.checks import label_table

    names = [row.quantity for row in label_table(frames)]
    units = {row.quantity: row.unit for row in label_table(frames)}
    figure = Figure(figsize=(3.2 * max(len(names), 1), 2.8), layout="constrained")
    for k, label in enumerate(names):
        ax = figure.add_subplot(1, len(names), k + 1)
        values = [v.reshape(-1) for f in frames if (v := f.label(label)) is not None]
        ax.hist(np.concatenate(values), bins=60, log=True)
        ax.set_xlabel(f"{label} ({units[label]})")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
