"""Numbers as short text: rounded for JSON, or packed into base64."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["digits", "packed", "rounded"]


def digits(values: ArrayLike, significant: int = 5) -> list[float]:
    """Numbers with as many significant digits."""
    return [float(f"{v:.{significant}g}") for v in np.asarray(values, dtype=np.float64).ravel()]


def rounded(rows: ArrayLike, places: int) -> list[list[float]]:
    """Rows of numbers (n, m) with as many decimals."""
    return [[round(float(v), places) for v in row] for row in np.asarray(rows, dtype=np.float64)]


def packed(values: ArrayLike, n_bytes: int = 2) -> dict[str, Any]:
    """Rows (n, m) as little-endian integers times a scale a row, in base64: 1.3 characters a byte.

    ``n_bytes`` is 1 or 2: of each row's largest value a hundredth or some 1/30,000 is kept.
    """
    rows = np.asarray(values, dtype=np.float64)
    largest = np.abs(rows).max(axis=1, initial=0.0)
    scale = np.where(largest > 0.0, largest, 1.0) / (256**n_bytes / 2 - 1)
    data = np.rint(rows / scale[:, None]).astype(f"<i{n_bytes}").tobytes()
    return {
        "shape": list(rows.shape),
        "scale": digits(scale, 6),
        "bytes": n_bytes,
        "data": base64.b64encode(data).decode("ascii"),
    }
