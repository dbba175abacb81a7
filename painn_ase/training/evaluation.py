"""Errors of a model on labelled frames: MAE and RMSE per quantity, with its unit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from painn_ase.errors import DataError
from painn_ase.potential.potential import AtomisticPotential
from painn_ase.replacing import write_text
from painn_ase.training.batches import FrameTensors
from painn_ase.training.frames import LABELS, FloatArray, LabeledFrame
from painn_ase.units import e2_angstrom2_per_ev_to_angstrom3

__all__ = ["Comparison", "Errors", "compare", "errors_by_group", "errors_of", "write_errors"]

#: Unit of each quantity in reports, and what a value in the package's unit is multiplied with.
_REPORTED = {
    "energy": ("eV", 1.0),
    "energy_per_atom": ("eV", 1.0),
    "forces": ("eV/Å", 1.0),
    "stress": ("eV/Å^3", 1.0),
    "dipole": ("e·Å", 1.0),
    "polarizability": ("Å^3", e2_angstrom2_per_ev_to_angstrom3),
    "dipole_magnitude": ("e·Å", 1.0),
}


@dataclass(frozen=True)
class Errors:
    """Errors of one quantity over all its components.

    Attributes
    ----------
    unit : str
    mae, rmse, largest : float
        Mean absolute, root mean square and largest absolute error.
    spread : float
        Standard deviation of the reference values, for scale.
    n_values : int
        Number of components compared.
    """

    unit: str
    mae: float
    rmse: float
    largest: float
    spread: float
    n_values: int


@dataclass(frozen=True)
class Comparison:
    """Reference and predicted values of one quantity, in its reported unit, flat.

    Attributes
    ----------
    unit : str
    reference, predicted : ndarray (n_values,)
    """

    unit: str
    reference: FloatArray
    predicted: FloatArray

    @property
    def errors(self) -> Errors:
        """Errors over all values."""
        difference = self.predicted - self.reference
        return Errors(
            unit=self.unit,
            mae=float(np.mean(np.abs(difference))),
            rmse=float(np.sqrt(np.mean(difference**2))),
            largest=float(np.max(np.abs(difference))),
            spread=float(np.std(self.reference)),
            n_values=int(difference.size),
        )


def compare(
    potential: AtomisticPotential,
    frames: Sequence[LabeledFrame],
    labels: Sequence[str] | None = None,
    batch_size: int = 50,
) -> dict[str, Comparison]:
    """Predictions beside the labels of `frames`, by quantity.

    Parameters
    ----------
    potential : AtomisticPotential
    frames : sequence of LabeledFrame
    labels : sequence of str, optional
        Those the model can give and some frame has, if not given.
    batch_size : int
        Structures at a time.

    Raises
    ------
    DataError
        If there is nothing to compare.
    """
    if labels is None:
        able = [name for name in LABELS if name in potential.properties]
        labels = [n for n in able if any(getattr(f, n) is not None for f in frames)]
    if not frames or not labels:
        raise DataError("there are no labelled frames this model could be compared with.")
    tensors = FrameTensors(frames, potential.cutoff, labels)
    pairs: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {name: [] for name in labels}
    counts = []
    for start in range(0, len(frames), batch_size):
        batch = tensors.batch(range(start, min(start + batch_size, len(frames))))
        batch = batch.to(potential.device)
        prediction = potential(batch.graph, labels)
        counts.append(batch.graph.atom_counts())
        for name, label in batch.labels.present().items():
            pairs[name].append((label, getattr(prediction, name)))
    result = {}
    for name, chunks in pairs.items():
        reference = torch.cat([r for r, _ in chunks]).cpu().numpy()
        predicted = torch.cat([p for _, p in chunks]).cpu().numpy()
        if name == "energy":
            n_atoms = torch.cat(counts).cpu().numpy()
            result["energy_per_atom"] = _comparison(
                "energy_per_atom", reference / n_atoms, predicted / n_atoms
            )
        result[name] = _comparison(name, reference, predicted)
    return result


def _comparison(name: str, reference: FloatArray, predicted: FloatArray) -> Comparison:
    unit, factor = _REPORTED[name]
    known = ~np.isnan(reference)
    return Comparison(unit, reference[known] * factor, predicted[known] * factor)


def errors_of(comparisons: dict[str, Comparison]) -> dict[str, Errors]:
    """Errors by quantity, without those no frame had."""
    return {name: c.errors for name, c in comparisons.items() if c.reference.size}


def errors_by_group(
    potential: AtomisticPotential, frames: Sequence[LabeledFrame], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Mean absolute errors of each molecule or set, and its ``n_frames``; the worst forces first.

    Parameters
    ----------
    potential : AtomisticPotential
    frames : sequence of LabeledFrame
        Their ``group`` says where they belong.
    labels : sequence of str
        To compare.
    """
    members: dict[str, list[LabeledFrame]] = {}
    for frame in frames:
        members.setdefault(frame.group, []).append(frame)
    found = {}
    for group, own in members.items():
        able = [name for name in labels if any(getattr(f, name) is not None for f in own)]
        if able:
            errors = errors_of(compare(potential, own, able))
            found[group] = {
                "n_frames": float(len(own)),
                **{name: e.mae for name, e in errors.items()},
            }
    first = "forces" if "forces" in labels else labels[0]
    return dict(sorted(found.items(), key=lambda item: -item[1].get(first, 0.0)))


def write_errors(
    errors: dict[str, Errors], path: str | Path, about: dict[str, object] | None = None
) -> None:
    """Write errors as JSON, with what they are `about` in front."""
    data = {**(about or {}), "errors": {name: asdict(e) for name, e in errors.items()}}
    write_text(Path(path), json.dumps(data, indent=2, ensure_ascii=False) + "\n")
