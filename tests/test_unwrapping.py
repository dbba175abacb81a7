"""Wrapped positions are followed to the atoms' paths, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.errors import DataError
from painn_ase.unwrapping import find_jumps, unwrapped_positions


@st.composite
def cells(draw: st.DrawFn) -> np.ndarray:
    """Lattice vectors as rows, 8 to 30 Å, skewed and turned."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = rng.uniform(8.0, 30.0, 3)
    cell = np.diag(lengths) + np.tril(rng.uniform(-0.3, 0.3, (3, 3)), -1) * lengths.min()
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return cell @ turn


def test_steps_that_stand_still_or_grow_evenly_are_no_jumps() -> None:
    assert not len(find_jumps(np.zeros(50)))
    assert not len(find_jumps(np.exp(-np.arange(400) / 20.0)))
    assert list(find_jumps(np.r_[np.ones(30), 50.0, np.ones(30)])) == [30]


@given(cell=cells(), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_wrapped_positions_are_followed_to_the_paths(cell: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 0.25, (400, 6, 3))
    path = rng.uniform(0.0, 8.0, (6, 3)) + np.cumsum(steps, axis=0)
    share = path @ np.linalg.inv(cell)
    wrapped = (share - np.floor(share)) @ cell
    found, crossings = unwrapped_positions(wrapped, cell)
    np.testing.assert_allclose(found - found[0], path - path[0], atol=1e-8)
    assert (crossings > 0) == bool(np.any(np.diff(np.floor(share), axis=0)))
    if crossings:
        with pytest.raises(DataError, match=r"wrapped positions. Give the cell"):
            unwrapped_positions(wrapped)


def test_a_slab_is_followed_along_its_two_vectors_alone() -> None:
    rng = np.random.default_rng(5)
    path = np.cumsum(rng.normal(0.0, 0.3, (500, 4, 3)), axis=0)
    cell = np.array([[9.0, 1.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 0.0]])
    share = path @ np.linalg.inv(cell + np.diag([0.0, 0.0, 1.0]))
    share[..., 2] = 0.0
    found, crossings = unwrapped_positions(path - np.floor(share) @ cell, cell)
    np.testing.assert_allclose(found - found[0], path - path[0], atol=1e-9)
    assert crossings > 0


def test_positions_too_far_apart_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="of a lattice vector between frames"):
        unwrapped_positions(rng.uniform(0.0, 5.0, (20, 4, 3)), 5.0 * np.eye(3))
    with pytest.raises(DataError, match="positions have shape"):
        unwrapped_positions(np.zeros((5, 4)))
    still, count = unwrapped_positions(np.zeros((5, 4, 3)))
    assert count == 0
    assert still.shape == (5, 4, 3)
