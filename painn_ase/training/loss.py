"""The loss: weighted mean squared (or Huber) errors in units of each label's spread."""

from __future__ import annotations

import copy
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
    Energies are compared per atom. Where frames have weights, their penalties are multiplied by
    them.

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
        self.spread: dict[str, float | Tensor] = {name: spread[name] for name in labels}
        self.huber_delta = spec.huber_delta

    def with_spread(self, spread: Mapping[str, Tensor]) -> WeightedLoss:
        """The same loss with its units as tensors, which a traced function can take."""
        other = copy.copy(self)
        other.spread = dict(spread)
        return other

    def __call__(
        self, prediction: Prediction, labels: Labels, n_atoms: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its unweighted terms by label."""
        errors = self._errors(prediction, labels, n_atoms)
        terms = {
            name: _mean(self._penalty(error) * _weights(name, labels, error), known)
            for name, (error, known) in errors.items()
        }
        loss = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return loss, terms

    def absolute(
        self, prediction: Prediction, labels: Labels, n_atoms: Tensor
    ) -> dict[str, Tensor]:
        """Mean absolute errors by label, in spreads: what models are compared by.

        One frame far outside the rest would rule a mean of squares.
        """
        errors = self._errors(prediction, labels, n_atoms)
        return {name: _mean(error.abs(), known) for name, (error, known) in errors.items()}

    def _errors(
        self, prediction: Prediction, labels: Labels, n_atoms: Tensor
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Errors in spreads, and where there is a label: a prediction that is NaN must show."""
        errors = {}
        for name, label in labels.present().items():
            if name in self.weights:
                known = ~torch.isnan(label)
                error = getattr(prediction, name) - torch.where(known, label, 0.0)
                error = error / n_atoms if name == "energy" else error
                errors[name] = (error / self.spread[name], known)
        return errors

    def _penalty(self, error: Tensor) -> Tensor:
        if self.huber_delta is None:
            return error * error
        size, delta = error.abs(), self.huber_delta
        return torch.where(size < delta, error * error, delta * (2.0 * size - delta))


def _weights(name: str, labels: Labels, error: Tensor) -> Tensor | float:
    """Weights of the frames in the shape of a label's errors."""
    weight = labels.atom_weight if name == "forces" else labels.weight
    return 1.0 if weight is None else weight.reshape(-1, *[1] * (error.ndim - 1))


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean of `values` where there is a label; 0 if that is nowhere."""
    kept = torch.where(known, values, torch.zeros_like(values))
    return kept.sum() / known.sum().clamp(min=1)
