"""Whether six numbers of a symmetric tensor were read in the order they were written in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from painn_ase.graph.neighbors import neighbor_pairs
from painn_ase.training.file_spec import ORDERS
from painn_ase.training.findings import Finding
from painn_ase.training.frames import FloatArray, LabeledFrame

__all__ = ["check_orders"]

#: Frames of one composition: at least, at most; atoms of a frame at most.
_LEAST, _MOST, _LARGEST = 20, 80, 200
#: Reach of the pairs that tensors are made of, Å, and the lengths with which they decay.
_REACH, _DECAYS = 5.0, (1.0, 2.5)
#: Another order counts where it leaves less than this share of the off-diagonal elements that ours
#: leaves unexplained, and not more than this share of them.
_BETTER, _UNEXPLAINED = 0.65, 0.7
#: Rows and columns of xx, yy, zz, yz, xz, xy.
_ROWS, _COLUMNS = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)


def check_orders(frames: Sequence[LabeledFrame]) -> Iterable[Finding]:
    """Stress and polarizability against tensors of the geometry, in each order of six numbers.

    A tensor turns with the structure. Sums of r̂ ⊗ r̂ over pairs do too, and a combination of them
    fits the off-diagonal elements only where each stands in its own place.
    """
    for label in ("stress", "polarizability"):
        groups: dict[bytes, list[LabeledFrame]] = {}
        for frame in frames:
            if getattr(frame, label) is not None and 1 < frame.n_atoms <= _LARGEST:
                groups.setdefault(frame.numbers.tobytes(), []).append(frame)
        group = max(groups.values(), key=len, default=[])
        if len(group) < _LEAST:
            continue
        some = group[:: max(len(group) // _MOST, 1)]
        found = _best_order(some, label)
        if found is not None:
            yield Finding(
                "warning",
                f"order of {label}",
                f"its off-diagonal elements follow the geometry if six numbers are read in the "
                f"order {found!r} rather than xx yy zz yz xz xy; set [data.units] order",
            )


def _best_order(frames: Sequence[LabeledFrame], label: str) -> str | None:
    """The order that explains the tensors much better than the one they were read in, if any."""
    tensors = np.stack([v for f in frames if (v := f.label(label)) is not None])
    if label == "stress":
        tensors = tensors * np.array([abs(np.linalg.det(f.cell)) for f in frames])[:, None, None]
    six = tensors[:, _ROWS, _COLUMNS]
    design = np.stack([_pair_tensors(f)[:, _ROWS, _COLUMNS] for f in frames])
    left = {name: _unexplained(six[:, list(order)], design) for name, order in ORDERS.items()}
    best = min(left, key=lambda name: left[name])
    is_better = left[best] < min(_BETTER * left["voigt"], _UNEXPLAINED)
    return best if best != "voigt" and is_better else None


def _unexplained(six: FloatArray, design: FloatArray) -> float:
    """Share of the off-diagonal elements, squared, that no combination of the design explains."""
    n_frames, n_tensors, _ = design.shape
    # The isotropic part has its own constant.
    isotropic = np.broadcast_to(np.array([1.0, 1, 1, 0, 0, 0])[None, :, None], (n_frames, 6, 1))
    matrix = np.concatenate([design.transpose(0, 2, 1), isotropic], axis=2)
    matrix = matrix.reshape(6 * n_frames, n_tensors + 1)
    fitted = matrix @ np.linalg.lstsq(matrix, six.reshape(-1), rcond=1e-8)[0]
    rest = (six.reshape(-1) - fitted).reshape(n_frames, 6)
    off = float(np.sum(six[:, 3:] ** 2)) or 1.0
    return float(np.sum(rest[:, 3:] ** 2)) / off


def _pair_tensors(frame: LabeledFrame) -> FloatArray:
    """Sums of r̂ ⊗ r̂ over pairs (k, 3, 3), by elements and decay with distance."""
    found = neighbor_pairs(frame.positions, frame.cell, frame.pbc, _REACH)
    i, j = found.idx_i, found.idx_j
    vectors = frame.positions[j] - frame.positions[i] + found.shifts @ frame.cell
    apart = np.linalg.norm(vectors, axis=1)
    unit = vectors / apart[:, None]
    kinds = np.stack([frame.numbers[i], frame.numbers[j]])
    low, high = kinds.min(axis=0), kinds.max(axis=0)
    elements = np.unique(frame.numbers).tolist()
    sums = [
        np.einsum("p,pa,pb->ab", np.exp(-apart[mine] / decay), unit[mine], unit[mine])
        for k, a in enumerate(elements)
        for b in elements[k:]
        for mine in [(low == a) & (high == b)]
        for decay in _DECAYS
    ]
    return np.stack(sums)
