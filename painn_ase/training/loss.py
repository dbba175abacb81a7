"""The loss: weighted mean squared (or Huber) errors in units of each label's spread."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from painn_ase.potential.prediction import Prediction
from painn_ase.training.batches import Labels
from painn_ase.training.config import LossSpec

__all__ = ["WeightedLoss"]


class WeightedLoss:
    """L = Σ_k w_k ⟨ρ((prediction − label)/spread_k)⟩, ρ the square or Huber's function.

    The mean runs over all components whose label is present, so a frame trains what it has.
    Energies are compared per atom.

    Parameters
    ----------
    spec : LossSpec
    labels : sequence of str
        Which terms there are.
    spread : mapping
        Unit of each term's errors, from the training part.
    """

    def __init__(self, spec: LossSpec, labels: tuple[str, ...], spread: Mapping[str, float]):
        self.labels = labels
        self.weights = {name: float(getattr(spec, name)) for name in labels}
        self.spread = {name: spread[name] for name in labels}
        self.huber_delta = spec.huber_delta

    def __call__(
        self, prediction: Prediction, labels: Labels, n_atoms: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its unweighted terms by label."""
        terms = {}
        for name, label in labels.present().items():
            if name not in self.weights:
                continue
            error = getattr(prediction, name) - label
            if name == "energy":
                error = error / n_atoms
            terms[name] = self._mean(error / self.spread[name])
        loss = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return loss, terms

    def _mean(self, error: Tensor) -> Tensor:
        """Mean of ρ over the components that are not NaN; 0 if none is left."""
        known = ~torch.isnan(error)
        error = torch.where(known, error, torch.zeros_like(error))
        if self.huber_delta is None:
            value = error * error
        else:
            size, delta = error.abs(), self.huber_delta
            value = torch.where(size < delta, error * error, delta * (2.0 * size - delta))
        return value.sum() / known.sum().clamp(min=1)
