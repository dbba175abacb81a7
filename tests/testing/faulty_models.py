"""PaiNN variants that look right and are not: three that have been published, built here anew."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from painn_ase.calculator import PaiNNCalculator
from painn_ase.nn import painn as network
from painn_ase.testing import random_potential

HEADS = ("energy", "dipole", "polarizability")


def calculator(potential: Any) -> PaiNNCalculator:
    return PaiNNCalculator(potential, device="cpu", backend="eager")


def sound() -> Any:
    return random_potential(8, 2, 6, 3.0, heads=HEADS, dtype=torch.float64)


def with_biases_on_vectors() -> Any:
    """The linear layer that mixes vectors has a bias: a fixed direction in space."""
    potential = sound()
    for block in potential.representation.mixings:
        plain = block.vector_mix
        block.vector_mix = nn.Linear(plain.in_features, plain.out_features).double()
        block.vector_mix.weight.data = plain.weight.data
        nn.init.uniform_(block.vector_mix.bias, 0.05, 0.1)
        block.vector_mix.requires_grad_(False)
    return potential


class _Squashed(nn.Module):
    """An activation on every Cartesian component of the vectors."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, vectors: Tensor) -> Tensor:
        return nn.functional.silu(self.linear(vectors))


def with_activations_on_components() -> Any:
    potential = sound()
    for block in potential.representation.mixings:
        block.vector_mix = _Squashed(block.vector_mix)
    return potential


def filter_with_bias_after_the_cutoff(net: nn.Sequential, basis: Tensor, cutoff: Tensor) -> Tensor:
    """W φ(d) f(d) + b for every pair in sight: what a neighbour says does not fade first."""
    last = net[-1]
    assert isinstance(last, nn.Linear)
    return net[:-1](basis) * cutoff @ last.weight.T + last.bias * (cutoff > 0)


def with_filter_bias_after_the_cutoff(monkeypatch: Any) -> Any:
    monkeypatch.setattr(network, "_filter", filter_with_bias_after_the_cutoff)
    return sound()
