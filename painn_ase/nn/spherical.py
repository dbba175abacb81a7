"""Real spherical harmonics and their Clebsch-Gordan coefficients, computed exactly.

Components (l, m) stand in the order l = 0, 1, …, m = −l … l: for l = 1 they are y, z, x. All is
computed in float64 from closed formulas, in Python's own integers where they have some.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import torch
from torch import Tensor

__all__ = ["allowed_paths", "clebsch_gordan", "harmonic_tensor", "rows_of"]

#: A polynomial in x, y, z: exponents → coefficient.
_Polynomial = dict[tuple[int, int, int], float]
_X: _Polynomial = {(1, 0, 0): 1.0}
_Y: _Polynomial = {(0, 1, 0): 1.0}
_Z: _Polynomial = {(0, 0, 1): 1.0}
_RADIUS_2: _Polynomial = {(2, 0, 0): 1.0, (0, 2, 0): 1.0, (0, 0, 2): 1.0}


def rows_of(degree: int) -> slice:
    """Where the components of degree l stand among all: l² … (l+1)² − 1."""
    return slice(degree * degree, (degree + 1) * (degree + 1))


def allowed_paths(degree: int, lmax: int) -> list[tuple[int, int]]:
    """Degrees (l1, l2) that couple to `degree` l: |l1 − l2| ≤ l ≤ l1 + l2 and l1 + l2 + l even.

    The odd ones would give pseudo-vectors, which a reflection shows.
    """
    return [
        (l1, l2)
        for l1, l2 in itertools.product(range(lmax + 1), repeat=2)
        if abs(l1 - l2) <= degree <= l1 + l2 and (l1 + l2 + degree) % 2 == 0
    ]


# -- spherical harmonics ---------------------------------------------------------------------------


@cache
def harmonic_tensor(degree: int) -> Tensor:
    """Matrix (3ˡ, 2l + 1), float64, by which u⊗…⊗u (l factors) gives the Y_lm of a unit vector u.

    Orthonormal on the sphere, without the Condon-Shortley phase.
    """
    matrix = torch.zeros((3,) * degree + (2 * degree + 1,), dtype=torch.float64, device="cpu")
    for m in range(-degree, degree + 1):
        for (n_x, n_y, n_z), value in _harmonic(degree, m).items():
            # any order of the factors has the same product; this one is taken
            where = (0,) * n_x + (1,) * n_y + (2,) * n_z
            matrix[where][m + degree] = value
    return matrix.reshape(3**degree, 2 * degree + 1)


def _harmonic(degree: int, m: int) -> _Polynomial:
    """Y_lm as a homogeneous polynomial of degree l."""
    order = abs(m)
    ratio = math.factorial(degree - order) / math.factorial(degree + order)
    norm = math.sqrt((2 * degree + 1) / (4.0 * math.pi) * ratio * (2.0 if m else 1.0))
    polar = _polar(degree, order)
    real, imaginary = {(0, 0, 0): 1.0}, _Polynomial()
    for _ in range(order):  # (x + iy)^|m|
        real, imaginary = (
            _sum(_product(real, _X), _product(imaginary, _Y), -1.0),
            _sum(_product(real, _Y), _product(imaginary, _X)),
        )
    return {e: norm * c for e, c in _product(polar, imaginary if m < 0 else real).items()}


def _polar(degree: int, order: int) -> _Polynomial:
    """P_l^m(z/r) r^(l−m) / (1 − z²/r²)^(m/2), by the recursion of the Legendre functions."""
    before, now = _Polynomial(), {(0, 0, 0): float(math.prod(range(1, 2 * order, 2)))}
    for n in range(order + 1, degree + 1):
        up = {e: (2 * n - 1) / (n - order) * c for e, c in _product(now, _Z).items()}
        down = _product(before, _RADIUS_2)
        before, now = now, _sum(up, down, -(n + order - 1) / (n - order))
    return now


def _product(a: _Polynomial, b: _Polynomial) -> _Polynomial:
    out = _Polynomial()
    for (e, c), (f, d) in itertools.product(a.items(), b.items()):
        key = e[0] + f[0], e[1] + f[1], e[2] + f[2]
        out[key] = out.get(key, 0.0) + c * d
    return out


def _sum(a: _Polynomial, b: _Polynomial, factor: float = 1.0) -> _Polynomial:
    out = dict(a)
    for e, c in b.items():
        out[e] = out.get(e, 0.0) + factor * c
    return out


# -- Clebsch-Gordan coefficients -------------------------------------------------------------------


@cache
def clebsch_gordan(l1: int, l2: int, l3: int) -> Tensor:
    """Coefficients C (2l1 + 1, 2l2 + 1, 2l3 + 1) that couple real harmonics, float64.

    Σ C_{m1 m2 m3} a_{m1} b_{m2} turns as degree l3 where a and b turn as l1 and l2. For even
    l1 + l2 + l3, where they are real.
    """
    if (l1 + l2 + l3) % 2:
        raise ValueError(f"real coefficients need an even sum of degrees; got {l1}, {l2}, {l3}.")
    shape = (2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1)
    complex_ones = torch.zeros(shape, dtype=torch.complex128, device="cpu")
    for m1, m2 in itertools.product(range(-l1, l1 + 1), range(-l2, l2 + 1)):
        if abs(m1 + m2) <= l3:
            complex_ones[l1 + m1, l2 + m2, l3 + m1 + m2] = _coefficient(l1, m1, l2, m2, l3)
    real = torch.einsum(
        "abc,ia,jb,kc->ijk",
        complex_ones,
        _to_real(l1).conj(),
        _to_real(l2).conj(),
        _to_real(l3),
    )
    return real.real.contiguous()


def _to_real(degree: int) -> Tensor:
    """Unitary matrix from complex harmonics (Condon-Shortley phase) to real ones."""
    n = 2 * degree + 1
    matrix = torch.zeros((n, n), dtype=torch.complex128, device="cpu")
    matrix[degree, degree] = 1.0
    for m in range(1, degree + 1):
        sign = (-1.0) ** m
        matrix.real[degree + m, degree + m] = sign * math.sqrt(0.5)
        matrix.real[degree + m, degree - m] = math.sqrt(0.5)
        matrix.imag[degree - m, degree - m] = math.sqrt(0.5)
        matrix.imag[degree - m, degree + m] = -sign * math.sqrt(0.5)
    return matrix


def _coefficient(l1: int, m1: int, l2: int, m2: int, l3: int) -> float:
    """⟨l1 m1 l2 m2 | l3 m1+m2⟩ by Racah's formula."""
    f = math.factorial
    m3 = m1 + m2
    lengths = f(l3 + l1 - l2) * f(l3 - l1 + l2) * f(l1 + l2 - l3)
    orders = f(l3 + m3) * f(l3 - m3) * f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2)
    root = math.sqrt((2 * l3 + 1) * lengths * orders / f(l1 + l2 + l3 + 1))
    total = 0.0
    for k in range(l1 + l2 - l3 + 1):
        parts = (l1 + l2 - l3 - k, l1 - m1 - k, l2 + m2 - k, l3 - l2 + m1 + k, l3 - l1 - m2 + k)
        if min(parts) >= 0:
            total += (-1) ** k / (f(k) * math.prod(f(n) for n in parts))
    return root * total
