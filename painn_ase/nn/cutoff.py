"""Cutoff functions: 1 at zero distance, smoothly 0 at the cutoff and exactly 0 beyond."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from painn_ase.spec import NetworkSpec

__all__ = ["build_cutoff_function", "cosine_cutoff", "polynomial_cutoff"]


def cosine_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """½(cos(πd/d_cut) + 1) inside, 0 outside (Behler 2011; arXiv 2102.03150)."""
    value = 0.5 * (torch.cos(distances * (math.pi / cutoff)) + 1.0)
    return value * (distances < cutoff)


def polynomial_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """1 − 10x³ + 15x⁴ − 6x⁵ with x = d/d_cut: value, slope and curvature vanish at the cutoff."""
    x = distances / cutoff
    value = 1.0 - x * x * x * (10.0 - x * (15.0 - 6.0 * x))
    return value * (distances < cutoff)


def build_cutoff_function(spec: NetworkSpec) -> Callable[[Tensor, float], Tensor]:
    """The cutoff function that `spec` names."""
    return {"cosine": cosine_cutoff, "polynomial": polynomial_cutoff}[spec.cutoff_function]
