"""Fixtures every test may use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from painn_ase.calculator import PaiNNCalculator
from painn_ase.potential import AtomisticPotential
from painn_ase.testing import TOLERANCES, Tolerance, random_potential

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small systems run fastest, and identically everywhere, on one thread."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of committed reference values."""
    return REFERENCE


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of larger data beside the checkout; tests that need it skip where it is absent."""
    path = Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip("the larger reference data is not beside this checkout")
    return path


@dataclass(frozen=True)
class Place:
    """Where and in which precision a numeric test runs."""

    dtype: torch.dtype
    device: str

    @property
    def tolerance(self) -> Tolerance:
        return TOLERANCES[self.dtype]

    def potential(self, *args: Any, **kwargs: Any) -> AtomisticPotential:
        """A random potential here."""
        return random_potential(*args, dtype=self.dtype, **kwargs).to(self.device)

    def calculator(self, potential: AtomisticPotential, **kwargs: Any) -> PaiNNCalculator:
        return PaiNNCalculator(potential, device=self.device, dtype=self.dtype, **kwargs)


#: The one list of dtype × device that drives every numeric test.
PLACES = [
    pytest.param(Place(torch.float64, "cpu"), id="cpu-float64"),
    pytest.param(Place(torch.float32, "cpu"), id="cpu-float32"),
    pytest.param(Place(torch.float64, "cuda"), id="cuda-float64", marks=pytest.mark.gpu),
    pytest.param(Place(torch.float32, "cuda"), id="cuda-float32", marks=pytest.mark.gpu),
]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    """Each dtype on each device."""
    if request.param.device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return request.param
