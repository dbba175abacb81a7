"""Fixtures every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

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
