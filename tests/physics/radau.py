"""Exact levels and moments of a bent molecule AX₂ by a discrete variable representation.

In Radau coordinates the kinetic energy has no cross terms (Choi & Light, J. Chem. Phys. 97, 7031
(1992)).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from painn_ase.spectra.anharmonic_field import rotational_invcm_amu_angstrom2 as hbar2_2
from painn_ase.units import e2_per_amu_to_km_per_mol, ev_to_invcm

__all__ = ["absorption", "activity", "radau_levels", "radau_moments"]

Array = NDArray[np.float64]


def absorption(wavenumbers: Array, moments: Array) -> Array:
    """km/mol of lines (n,), cm⁻¹, by their transition dipoles (n, 3), e Å."""
    found: Array = wavenumbers * np.sum(moments**2, axis=1) * e2_per_amu_to_km_per_mol / hbar2_2
    return found


def activity(wavenumbers: Array, moments: Array) -> Array:
    """Raman activity 45a² + 7γ², Å⁴/amu, of lines (n,) by their polarizabilities (n, 3, 3), Å³."""
    x, y, z = np.einsum("naa->an", moments)
    sides = moments[:, 0, 1] ** 2 + moments[:, 1, 2] ** 2 + moments[:, 2, 0] ** 2
    gamma2 = ((x - y) ** 2 + (y - z) ** 2 + (z - x) ** 2) / 2.0 + 3.0 * sides
    found: Array = wavenumbers / hbar2_2 * (5.0 * (x + y + z) ** 2 + 7.0 * gamma2)
    return found


def _points(kinetic: Array, potential: Array, x: Array, n: int) -> tuple[Array, Array]:
    """Points and kinetic energy in the lowest n states of a one-dimensional cut."""
    _, states = np.linalg.eigh(kinetic + np.diag(np.minimum(potential, 60_000.0)))
    states = states[:, :n]
    points, turn = np.linalg.eigh(states.T @ (x[:, None] * states))
    return points, turn.T @ (states.T @ kinetic @ states) @ turn


def _frames(r1: Array, r2: Array, angle: Array, heavy: float, light: float) -> Array:
    """Positions (n, 3, 3) of Radau coordinates."""
    half = 0.5 * (np.sqrt((heavy + 2.0 * light) / heavy) - 1.0)
    a = np.stack([r1 * np.cos(angle / 2), r1 * np.sin(angle / 2), 0.0 * r1], axis=-1)
    b = np.stack([r2 * np.cos(angle / 2), -r2 * np.sin(angle / 2), 0.0 * r2], axis=-1)
    return np.stack([0.0 * a, a + half * (a + b), b + half * (a + b)], axis=1)


def radau_levels(
    surface: Callable[[Array], Array], minimum: Array, masses: Array, n_r: int, n_angle: int
) -> Array:
    """The lowest 20 levels without rotation above the potential's minimum, cm⁻¹.

    `surface` takes positions (n, 3, 3), Å, and gives energies (n,), eV; the heavy atom comes first
    in `minimum` (3, 3), and the other two are alike. `n_r` and `n_angle` points are taken.
    """
    return _solved(surface, minimum, masses, n_r, n_angle)[0]


def radau_moments(
    surface: Callable[[Array], Array],
    response: Callable[[Array], Array],
    minimum: Array,
    masses: Array,
    n_r: int,
    n_angle: int,
) -> tuple[Array, Array]:
    """Levels as of ``radau_levels``, and moments from the lowest (20, …).

    `response` takes positions (n, 3, 3), Å, and gives vectors (n, 3) or tensors (n, 3, 3), which
    are turned into Eckart's frame of the minimum.
    """
    levels, states, frames, reference = _solved(surface, minimum, masses, n_r, n_angle)
    found = response(frames)
    turn = _eckart(frames, reference, masses)
    found = np.einsum("nab,nb...->na...", turn, found)
    if found.ndim == 3:
        found = np.einsum("nab,ncb->nca", turn, found)
    moments: Array = np.tensordot((states * states[:, :1]).T, found, 1)
    return levels, moments


def _eckart(frames: Array, reference: Array, masses: Array) -> Array:
    """Rotations (n, 3, 3) about z that take planar structures (n, 3, 3) into Eckart's frame."""
    x = frames - np.einsum("i,nia->na", masses, frames)[:, None] / masses.sum()
    y = reference - masses @ reference / masses.sum()
    sine = np.einsum("i,ni->n", masses, y[:, 0] * x[:, :, 1] - y[:, 1] * x[:, :, 0])
    cosine = np.einsum("i,ia,nia->n", masses, y, x)
    angle = np.arctan2(sine, cosine)
    turn = np.zeros((len(x), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0] = np.sin(angle), -np.sin(angle)
    turn[:, 2, 2] = 1.0
    return turn


def _solved(
    surface: Callable[[Array], Array], minimum: Array, masses: Array, n_r: int, n_angle: int
) -> tuple[Array, Array, Array, Array]:
    """Levels (20,), states (n, 20) at points, their positions (n, 3, 3), and the minimum's."""
    heavy, light = float(masses[0]), float(masses[1])
    bonds = minimum[1:] - minimum[0]
    # bond vectors to Radau vectors: d_1 = R_1 + β(R_1 + R_2)
    half = 0.5 * (np.sqrt((heavy + 2.0 * light) / heavy) - 1.0)
    radau = bonds - half / (1.0 + 2.0 * half) * bonds.sum(axis=0)
    r_eq = float(np.linalg.norm(radau[0]))
    angle_eq = float(np.arccos(radau[0] @ radau[1] / r_eq**2))
    lowest = float(surface(minimum[None])[0])

    def potential(r1: Array, r2: Array, angle: Array) -> Array:
        found: Array = (surface(_frames(r1, r2, angle, heavy, light)) - lowest) * ev_to_invcm
        return found

    x = np.linspace(0.55, 1.75, 200)
    d = np.subtract.outer(np.arange(200), np.arange(200))
    sinc = np.where(d == 0, np.pi**2 / 3.0, 2.0 * (-1.0) ** d / np.where(d == 0, 1, d) ** 2)
    kinetic = sinc * hbar2_2 / light / (x[1] - x[0]) ** 2
    r, t_r = _points(kinetic, potential(x, 0 * x + r_eq, 0 * x + angle_eq), x, n_r)
    z, weight = np.polynomial.legendre.leggauss(60)
    basis = np.array(
        [
            np.sqrt(k + 0.5) * np.polynomial.legendre.Legendre.basis(k)(z) * np.sqrt(weight)
            for k in range(60)
        ]
    )
    k = np.arange(60)
    j2 = basis.T @ np.diag(k * (k + 1.0)) @ basis
    bend = potential(0 * z + r_eq, 0 * z + r_eq, np.arccos(z))
    inverse = 2.0 * hbar2_2 / light / r_eq**2
    cosine, j2 = _points(inverse * j2, bend, z, n_angle)
    j2 = j2 / inverse
    a, b, c = np.meshgrid(r, r, np.arccos(cosine), indexing="ij")
    v = np.minimum(potential(a.ravel(), b.ravel(), c.ravel()), 35_000.0).reshape(a.shape)
    turn = hbar2_2 / light * (1.0 / a**2 + 1.0 / b**2)

    def apply(vector: Array) -> Array:
        psi = vector.reshape(v.shape)
        out = np.einsum("ij,jkl->ikl", t_r, psi) + np.einsum("ij,kjl->kil", t_r, psi)
        total: Array = (out + turn * (psi @ j2.T) + v * psi).ravel()
        return total

    operator = LinearOperator((v.size, v.size), matvec=apply, dtype=np.float64)
    values, states = eigsh(operator, k=20, which="SA", ncv=120, tol=1e-9)
    order = np.argsort(values)
    frames = _frames(a.ravel(), b.ravel(), c.ravel(), heavy, light)
    one = np.ones(1)
    reference = _frames(r_eq * one, r_eq * one, angle_eq * one, heavy, light)[0]
    return values[order], states[:, order], frames, reference
