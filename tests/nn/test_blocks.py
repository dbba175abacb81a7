"""Cutoffs, radial bases, norms and gated blocks by themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from painn_ase.nn.blocks import GatedEquivariantBlock, build_mlp, vector_norm
from painn_ase.nn.cutoff import cosine_cutoff, polynomial_cutoff
from painn_ase.nn.painn import PaiNN
from painn_ase.nn.radial import BesselBasis, GaussianBasis
from painn_ase.spec import PaiNNSpec

CUTOFFS = [cosine_cutoff, polynomial_cutoff]


@pytest.mark.parametrize("function", CUTOFFS)
@given(cutoff=st.floats(0.5, 20.0))
def test_a_cutoff_function_falls_from_one_to_exactly_zero(function, cutoff: float) -> None:
    d = torch.linspace(0, 1.5, 301, dtype=torch.float64) * cutoff
    f = function(d, cutoff)
    assert f[0] == 1
    assert (f[d >= cutoff] == 0).all()
    assert (f.diff() <= 1e-15).all()


@pytest.mark.parametrize("function", CUTOFFS)
def test_slope_of_a_cutoff_function_vanishes_at_the_cutoff(function) -> None:
    d = torch.tensor([5.0 - 1e-7, 5.0, 5.0 + 1e-7, 1e6], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(function(d, 5.0).sum(), d)
    assert slope.abs().max() < 1e-6


def test_curvature_of_the_polynomial_cutoff_vanishes_at_the_cutoff() -> None:
    d = torch.tensor([5.0 - 1e-7], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(polynomial_cutoff(d, 5.0).sum(), d, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), d)
    assert curvature.abs().max() < 1e-5


def test_bessel_functions_vanish_at_the_cutoff_and_are_orthogonal_in_the_ball() -> None:
    basis = BesselBasis(4, 5.0).double()
    assert basis(torch.tensor([5.0], dtype=torch.float64)).abs().max() < 1e-6
    r = torch.linspace(1e-6, 5.0, 20001, dtype=torch.float64)
    values = basis(r) * r[:, None]
    overlap = torch.trapezoid(values[:, :, None] * values[:, None, :], r, dim=0)
    np.testing.assert_allclose(overlap.numpy(), 2.5 * np.eye(4), atol=1e-5)


def test_gaussians_stand_from_zero_to_the_cutoff_a_width_apart() -> None:
    basis = GaussianBasis(6, 5.0)
    values = basis(torch.linspace(0, 5, 6))
    np.testing.assert_allclose(torch.diagonal(values), np.ones(6), atol=1e-6)
    np.testing.assert_allclose(torch.diagonal(values, 1), np.exp(-0.5) * np.ones(5), atol=1e-6)
    assert torch.isfinite(GaussianBasis(1, 5.0)(torch.tensor([2.0]))).all()


def test_constants_of_the_bases_follow_the_model_to_another_precision_and_into_its_state() -> None:
    for basis in (BesselBasis(4, 5.0), GaussianBasis(4, 5.0)):
        assert basis.state_dict()
        assert all(b.dtype == torch.float64 for b in basis.double().buffers())


@pytest.mark.parametrize("epsilon", [0.0, 1e-8])
def test_derivatives_of_a_norm_are_finite_at_the_origin(epsilon: float) -> None:
    v = torch.zeros(2, 3, 4, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(vector_norm(v, epsilon).sum(), v, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), v, allow_unused=True)
    assert (first == 0).all()
    assert second is None or torch.isfinite(second).all()


def test_the_plain_norm_is_the_euclidean_one() -> None:
    v = torch.randn(5, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(vector_norm(v, 0.0), torch.linalg.vector_norm(v, dim=1))


@given(seed=st.integers(0, 1000))
def test_a_gated_block_leaves_scalars_and_turns_vectors_with_the_frame(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    block = GatedEquivariantBlock((5, 4), (2, 3), 1e-8).double()
    s = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    v = torch.randn(6, 3, 4, generator=generator, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    s0, v0 = block(s, v)
    s1, v1 = block(s, turn @ v)
    torch.testing.assert_close(s1, s0, rtol=0, atol=1e-12)
    torch.testing.assert_close(v1, turn @ v0, rtol=0, atol=1e-12)


def test_an_mlp_has_no_activation_at_its_end() -> None:
    mlp = build_mlp((3, 4, 5, 2))
    assert [type(m).__name__ for m in mlp] == ["Linear", "SiLU", "Linear", "SiLU", "Linear"]


def test_the_exchange_hook_is_called_between_blocks_and_sees_every_atom() -> None:
    net = PaiNN(PaiNNSpec(8, 3, 4, 3.0), n_elements=2)
    seen = []

    def exchange(scalars, vectors):
        seen.append((scalars.shape, vectors.shape))
        return scalars, vectors

    rows, edges = torch.tensor([0, 1, 0]), (torch.tensor([0, 1]), torch.tensor([1, 0]))
    vectors = torch.tensor([[1.0, 0.2, 0], [-1.0, -0.2, 0]])
    with_hook = net(rows, vectors, *edges, exchange)
    assert seen == [((3, 8), (3, 3, 8))] * 2
    without = net(rows, vectors, *edges)
    assert torch.equal(with_hook.scalars, without.scalars)


@pytest.mark.parametrize("n_atoms", [0, 3])
def test_a_process_without_atoms_or_without_edges_is_ordinary_input(n_atoms: int) -> None:
    net = PaiNN(PaiNNSpec(8, 2, 4, 3.0), n_elements=2)
    nobody = torch.zeros(0, dtype=torch.int64)
    rows = torch.zeros(n_atoms, dtype=torch.int64)
    features = net(rows, torch.zeros(0, 3), nobody, nobody)
    assert features.scalars.shape == (n_atoms, 8)
    assert (features.vectors == 0).all()
