"""Velocities of the Maxwell–Boltzmann distribution, and the motions that are taken out of them."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.rigid import LINEAR_TOLERANCE, turning_axes
from painn_ase.units import boltzmann_constant

__all__ = [
    "angular_velocity",
    "count_degrees_of_freedom",
    "count_rotations",
    "draw_velocities",
    "remove_rotation",
    "remove_translation",
    "temperature_of",
]

Array = NDArray[np.float64]


def draw_velocities(
    masses: Array, temperature: float, rng: np.random.Generator, shape: tuple[int, ...] = ()
) -> Array:
    """Maxwell–Boltzmann velocities [*shape, n_atoms, 3] in ASE's units.

    Parameters
    ----------
    masses : ndarray [n_atoms]
        amu.
    temperature : float
        K.
    rng : numpy.random.Generator
        Source of the random numbers.
    shape : tuple of int
        Leading axes, for replicas.
    """
    width = np.sqrt(boltzmann_constant * temperature / masses)
    noise: Array = rng.standard_normal((*shape, len(masses), 3))
    return noise * width[:, None]


def remove_translation(velocities: Array, masses: Array) -> Array:
    """Velocities [..., n_atoms, 3] without the motion of the centre of mass."""
    drift = np.einsum("i,...ia->...a", masses, velocities) / masses.sum()
    rest: Array = velocities - drift[..., None, :]
    return rest


def remove_rotation(velocities: Array, positions: Array, masses: Array) -> Array:
    """Velocities [..., n_atoms, 3] without rigid rotation about the centre of mass.

    Nothing is rescaled: taking a motion out of a Maxwell–Boltzmann distribution leaves one of the
    remaining degrees of freedom at the same temperature.
    """
    center = np.einsum("i,...ia->...a", masses, positions) / masses.sum()
    arms = positions - center[..., None, :]
    omega = angular_velocity(velocities, arms, masses)
    rest: Array = velocities - np.cross(omega[..., None, :], arms)
    return rest


def angular_velocity(velocities: Array, arms: Array, masses: Array) -> Array:
    """ω [..., 3] of the rigid rotation with the same angular momentum.

    Arms are positions from the centre of mass.
    The inertia tensor of a linear molecule is singular along its axis; the pseudo-inverse leaves
    that component zero.
    """
    momentum = np.einsum("i,...ia->...a", masses, np.cross(arms, velocities))
    squares = np.einsum("i,...ia,...ia->...", masses, arms, arms)
    inertia = squares[..., None, None] * np.eye(3) - np.einsum(
        "i,...ia,...ib->...ab", masses, arms, arms
    )
    inverse = np.linalg.pinv(inertia, rcond=LINEAR_TOLERANCE, hermitian=True)
    omega: Array = np.einsum("...ab,...b->...a", inverse, momentum)
    return omega


def count_degrees_of_freedom(atoms: Atoms, *, rotation_removed: bool) -> int:
    """Degrees of freedom that carry kinetic energy, constraints and removed rotation taken off."""
    n: int = atoms.get_number_of_degrees_of_freedom()
    if rotation_removed and len(atoms) > 1:
        n -= count_rotations(atoms)
    return max(n, 0)


def count_rotations(atoms: Atoms) -> int:
    """Axes about which an isolated molecule can turn: three, or two of a linear one."""
    return int(turning_axes(atoms.get_moments_of_inertia()).sum())


def temperature_of(kinetic_energy: float, degrees_of_freedom: int) -> float:
    """Temperature in K of a kinetic energy in eV."""
    if not degrees_of_freedom:
        return 0.0
    return 2.0 * kinetic_energy / (degrees_of_freedom * boltzmann_constant)
