"""Cartesian tensors of any order and rank from atomic features."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.heads import AtomicTensors
from painn_ase.nn import Features


def features(seed: int = 0, n_atoms: int = 4, width: int = 8) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features(
        torch.randn(n_atoms, width, generator=generator, dtype=torch.float64),
        torch.randn(n_atoms, 3, width, generator=generator, dtype=torch.float64),
    )


def tensors(order: int, rank: int, **options) -> AtomicTensors:
    torch.manual_seed(order * 10 + rank)
    return AtomicTensors(8, order=order, rank=rank, **options).double()


def turned(tensor: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    for axis in range(1, tensor.ndim):
        tensor = torch.tensordot(tensor, matrix, dims=([axis], [1])).movedim(-1, axis)
    return tensor


@settings(max_examples=30, deadline=None)
@given(
    order=st.integers(0, 3),
    rank=st.integers(1, 5),
    symmetric=st.booleans(),
    seed=st.integers(0, 100),
    reflect=st.booleans(),
)
def test_a_tensor_of_any_order_and_rank_turns_with_the_frame(
    order: int, rank: int, symmetric: bool, seed: int, reflect: bool
) -> None:
    head, given_features = tensors(order, rank, symmetric=symmetric), features(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    matrix, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    if (torch.linalg.det(matrix) < 0) != reflect:
        matrix = -matrix
    before, _ = head(given_features)
    after, _ = head(Features(given_features.scalars, matrix @ given_features.vectors))
    assert before.shape == (4, *(3,) * order)
    torch.testing.assert_close(after, turned(before, matrix), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("order", [2, 3])
def test_the_symmetric_form_is_symmetric_and_the_general_one_is_not(order: int) -> None:
    symmetric, _ = tensors(order, 3, symmetric=True)(features())
    general, _ = tensors(order, 3)(features())
    for axes in itertools.permutations(range(1, order + 1)):
        torch.testing.assert_close(symmetric, symmetric.permute(0, *axes), rtol=0, atol=1e-14)
    assert (general - general.transpose(1, 2)).abs().max() > 1e-6


@pytest.mark.parametrize(("order", "rank"), [(1, 1), (2, 1), (2, 3), (3, 2)])
def test_a_tensor_is_the_sum_of_outer_products_of_its_factors(order: int, rank: int) -> None:
    head = tensors(order, rank)
    scalars, vectors = head.stack(features())
    expected = torch.zeros(4, *(3,) * order, dtype=torch.float64)
    letters = "abc"[:order]
    for i, k in itertools.product(range(4), range(rank)):
        factors = [vectors[i, :, m * rank + k] for m in range(order)]
        outer = torch.einsum(",".join(letters) + "->" + letters, *factors)
        expected[i] += scalars[i, k] * outer
    torch.testing.assert_close(head(features())[0], expected, rtol=1e-12, atol=1e-14)


def test_a_matrix_of_rank_one_has_rank_one() -> None:
    matrix, _ = tensors(2, 1, symmetric=True)(features())
    eigenvalues = torch.linalg.eigvalsh(matrix).abs().sort(dim=-1).values
    assert (eigenvalues[:, :2] < 1e-12 * eigenvalues[:, 2:]).all()


def test_further_invariants_come_from_the_same_features() -> None:
    _, invariants = tensors(2, 3, n_invariants=2)(features())
    assert invariants.shape == (4, 2)


@pytest.mark.parametrize(("order", "rank"), [(-1, 1), (1, 0)])
def test_impossible_orders_and_ranks_are_refused(order: int, rank: int) -> None:
    with pytest.raises(ValueError, match=r"order must be >= 0 and rank >= 1"):
        AtomicTensors(8, order=order, rank=rank)
