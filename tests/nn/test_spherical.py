"""Spherical harmonics and their coupling against SciPy and the rotation group itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from painn_ase.nn.spherical import allowed_paths, clebsch_gordan, harmonic_tensor, rows_of

DEGREES = range(7)


def harmonics(degree: int, directions: np.ndarray) -> np.ndarray:
    """Y_lm (n, 2l + 1) of unit vectors (n, 3)."""
    u = torch.tensor(directions)
    power = torch.ones((len(u), 1), dtype=torch.float64)
    for _ in range(degree):
        power = (power.unsqueeze(-1) * u.unsqueeze(-2)).flatten(1)
    return (power @ harmonic_tensor(degree)).numpy()


def scipy_harmonic(degree: int, order: int, theta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """SciPy's complex harmonic of polar angle and azimuth, by its old name before 1.15."""
    if hasattr(scipy.special, "sph_harm_y"):
        return scipy.special.sph_harm_y(degree, order, theta, phi)
    return scipy.special.sph_harm(order, degree, phi, theta)


def some_directions(n: int = 40, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, 3))
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def rotation_matrix(degree: int, rotation: np.ndarray) -> np.ndarray:
    """D with Y(Ru) = D Y(u), found from the harmonics of many directions."""
    u = some_directions(60, seed=1)
    before, after = harmonics(degree, u), harmonics(degree, u @ rotation.T)
    return np.linalg.lstsq(before, after, rcond=None)[0].T


@pytest.mark.parametrize("degree", DEGREES)
def test_harmonics_are_those_of_scipy_made_real(degree: int) -> None:
    u = some_directions()
    theta, phi = np.arccos(u[:, 2]), np.arctan2(u[:, 1], u[:, 0])
    expected = []
    for m in range(-degree, degree + 1):
        value = (-1.0) ** m * scipy_harmonic(degree, abs(m), theta, phi)
        part = value.imag if m < 0 else value.real
        expected.append(part * (math.sqrt(2.0) if m else 1.0))
    np.testing.assert_allclose(harmonics(degree, u), np.transpose(expected), atol=1e-13)


def test_degree_one_is_y_z_x() -> None:
    u = some_directions()
    np.testing.assert_allclose(
        harmonics(1, u), math.sqrt(3.0 / (4.0 * math.pi)) * u[:, [1, 2, 0]], atol=1e-15
    )


@settings(max_examples=25, deadline=None)
@given(
    degrees=st.tuples(*[st.integers(0, 4)] * 3).filter(
        lambda d: abs(d[0] - d[1]) <= d[2] <= d[0] + d[1] and sum(d) % 2 == 0
    ),
    seed=st.integers(0, 10**6),
)
def test_a_coupling_turns_as_its_degree(degrees: tuple[int, int, int], seed: int) -> None:
    rotation = Rotation.random(random_state=seed).as_matrix()
    d1, d2, d3 = (rotation_matrix(degree, rotation) for degree in degrees)
    c = clebsch_gordan(*degrees).numpy()
    turned = np.einsum("abc,ai,bj->ijc", c, d1, d2)
    np.testing.assert_allclose(turned, np.einsum("ijc,kc->ijk", c, d3), atol=1e-10)


@pytest.mark.parametrize("degree", DEGREES)
def test_couplings_are_orthonormal_and_those_of_a_scalar_are_one(degree: int) -> None:
    for l1, l2 in allowed_paths(degree, 6):
        c = clebsch_gordan(l1, l2, degree).flatten(0, 1)
        torch.testing.assert_close(
            c.T @ c, torch.eye(2 * degree + 1, dtype=torch.float64), rtol=0, atol=1e-13
        )
    exact = torch.eye(2 * degree + 1, dtype=torch.float64)
    scalar = clebsch_gordan(degree, 0, degree)[:, 0]
    torch.testing.assert_close(scalar, exact, rtol=0, atol=1e-15)


def test_two_vectors_couple_to_a_scalar_by_their_product() -> None:
    c = clebsch_gordan(1, 1, 0)[..., 0].numpy()
    np.testing.assert_allclose(np.abs(c), np.eye(3) / math.sqrt(3.0), atol=1e-16)
    assert len(set(np.sign(np.diag(c)))) == 1


def test_pseudo_vectors_have_no_path_and_no_coefficient() -> None:
    assert (1, 1) not in allowed_paths(1, 3)
    assert len([p for degree in range(3) for p in allowed_paths(degree, 2)]) == 11
    with pytest.raises(ValueError, match="even sum"):
        clebsch_gordan(1, 1, 1)


def test_rows_follow_one_another() -> None:
    rows = [n for degree in range(4) for n in range(16)[rows_of(degree)]]
    assert rows == list(range(16))
