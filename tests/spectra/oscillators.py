"""Model potentials whose exact levels and moments are had by diagonalisation."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from painn_ase.spectra import PropertySurface, QuarticField

__all__ = ["coupled", "exact", "morse"]

Array = NDArray[np.float64]


def morse(frequency: float, anharmonicity: float) -> QuarticField:
    """V = D(1 - exp(-aq))² to fourth order: c = -3ωa, d = 7ωa²."""
    a = math.sqrt(2.0 * anharmonicity / frequency)
    cubic = np.full((1, 1, 1), -3.0 * frequency * a)
    return QuarticField(np.array([frequency]), cubic, np.full((1, 1, 1), 7.0 * frequency * a * a))


def coupled(
    frequencies: tuple[float, ...],
    scale: float,
    seed: int = 5,
    fixed: dict[tuple[int, ...], float] | None = None,
) -> QuarticField:
    """Every cubic and semi-diagonal quartic constant; they go with scale and its square."""
    n = len(frequencies)
    rng = np.random.default_rng(seed)
    cubic, quartic = np.zeros((n, n, n)), np.zeros((n, n, n))
    for t in itertools.combinations_with_replacement(range(n), 3):
        value = (fixed or {}).get(t, 250.0 * scale * rng.uniform(-1.0, 1.0))
        for p in itertools.permutations(t):
            cubic[p] = value
    for i, j in itertools.combinations_with_replacement(range(n), 2):
        value = (100.0 if i == j else 50.0) * scale**2 * rng.uniform(0.5, 1.0)
        quartic[i, j, j] = quartic[j, i, i] = value
    for i, j in itertools.permutations(range(n), 2):
        quartic[i, i, j] = quartic[i, j, i] = 25.0 * scale**2 * rng.uniform(-1.0, 1.0)
    return QuarticField(np.array(frequencies), cubic, quartic)


def exact(
    field: QuarticField,
    n_basis: int,
    surface: PropertySurface | None = None,
    most_quanta: int | None = None,
) -> tuple[Array, Array]:
    """Levels of a field in a product basis, and its moments from the lowest (n_levels, k).

    Each mode has fewer than ``n_basis`` quanta, all together no more than ``most_quanta``. Coriolis
    terms are there where the field has a rotor, without the constant of Watson's.
    """
    n = len(field.frequencies)
    q = np.zeros((n_basis + 6, n_basis + 6))
    up = np.arange(n_basis + 5)
    q[up, up + 1] = q[up + 1, up] = np.sqrt((up + 1) / 2)
    power = [np.linalg.matrix_power(q, k)[:n_basis, :n_basis] for k in range(5)]
    step = (np.tril(q) - np.triu(q))[:n_basis, :n_basis]  # p = i (a* - a)/√2
    states = np.array(list(itertools.product(range(n_basis), repeat=n)))
    if most_quanta is not None:
        states = states[states.sum(axis=1) <= most_quanta]

    def product(factors: dict[int, Array]) -> Array:
        out = np.ones((len(states), len(states)))
        for k in range(n):
            v = states[:, k]
            out *= factors[k][np.ix_(v, v)] if k in factors else v[:, None] == v
        return out

    def powers(modes: tuple[int, ...]) -> Array:
        counts = {k: modes.count(k) for k in set(modes)}
        scale = math.prod(math.factorial(c) for c in counts.values())
        return product({k: power[c] for k, c in counts.items()}) / scale

    h = np.diag((states + 0.5) @ field.frequencies)
    for t in itertools.combinations_with_replacement(range(n), 3):
        h += field.cubic[t] * powers(t)
    for t in itertools.combinations_with_replacement(range(n), 4):
        doubled = [k for k in set(t) if t.count(k) > 1]
        if doubled:
            rest = list(t)
            rest.remove(doubled[0])
            rest.remove(doubled[0])
            h += field.quartic[doubled[0], rest[0], rest[1]] * powers(t)
    if field.rotor is not None:
        roots = np.sqrt(field.frequencies)
        for b, zeta in zip(field.rotor.constants, field.rotor.coriolis, strict=True):
            x = np.zeros_like(h)
            for r, s in itertools.permutations(range(n), 2):
                x += zeta[r, s] * roots[s] / roots[r] * product({r: power[1], s: step})
            h += b * x.T @ x
    values, vectors = np.linalg.eigh(h)
    if surface is None:
        return values, np.zeros((len(values), 3))
    slopes, curvatures, thirds = surface.flat()
    moments = np.zeros((len(values), slopes.shape[1]))
    left = vectors[:, 0]
    for i in range(n):
        moments += np.outer(left @ powers((i,)) @ vectors, slopes[i])
        for j in range(n):
            if i <= j:
                moments += np.outer(left @ powers((i, j)) @ vectors, curvatures[i, j])
            moments += np.outer(left @ powers((i, i, j)) @ vectors, thirds[i, j])
    return values, moments
