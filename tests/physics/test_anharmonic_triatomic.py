"""Perturbation theory of a bent molecule against the exact levels of the same surface.

The exact levels come from a discrete variable representation in Radau coordinates, where the
kinetic energy has no cross terms (Choi & Light, J. Chem. Phys. 97, 7031 (1992)).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from painn_ase.errors import DataError, GeometryError, UnsupportedPropertyError
from painn_ase.quartic import quartic_field
from painn_ase.spectra import anharmonic, harmonic, harmonic_from_arrays
from painn_ase.spectra.anharmonic_field import rotational_invcm_amu_angstrom2 as hbar2_2
from painn_ase.spectra.anharmonic_field import unit_lengths
from painn_ase.units import ev_to_invcm

Array = NDArray[np.float64]
H, O = 1.00782503223, 15.99491461957  # noqa: E741


def energy(x: torch.Tensor) -> torch.Tensor:
    """Two Morse bonds, a bend and couplings: eV (n,) of positions (n, 3, 3), Å."""
    a, b = x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]
    ra, rb = a.norm(dim=1), b.norm(dim=1)
    bend = torch.arccos((a * b).sum(dim=1) / (ra * rb)) - np.deg2rad(104.5)
    ya, yb = 1.0 - torch.exp(-2.2 * (ra - 0.958)), 1.0 - torch.exp(-2.2 * (rb - 0.958))
    stretch = 5.4 * (ya**2 + yb**2) - 0.15 * ya * yb
    return stretch + bend**2 * (2.15 - 0.6 * bend - 0.5 * (ya + yb)) + 0.35 * bend * (ya + yb)


class Triatomic(Calculator):  # type: ignore[misc]
    """The surface as an ASE calculator with a Hessian and a dipole of two bond charges."""

    implemented_properties = ("energy", "forces", "dipole")  # type: ignore[assignment]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        x = torch.tensor(self.atoms.positions[None], requires_grad=True)
        value = energy(x)
        (slope,) = torch.autograd.grad(value.sum(), x)
        bonds = self.atoms.positions[1:] - self.atoms.positions[0]
        self.results = {
            "energy": value.item(),
            "forces": -slope[0].numpy(),
            "dipole": 0.33 * bonds.sum(axis=0),
        }

    def get_hessian(self, atoms: Atoms) -> Array:
        def one(flat: torch.Tensor) -> torch.Tensor:
            return energy(flat.reshape(1, 3, 3))[0]

        flat = torch.tensor(atoms.positions.reshape(-1))
        hessian: Array = torch.autograd.functional.hessian(one, flat).numpy()
        return hessian.reshape(3, 3, 3, 3)


@lru_cache
def minimum() -> Array:
    """Positions (3, 3) of the minimum, by Newton's method."""
    calculator = Triatomic()
    atoms = Atoms("OH2", [[0, 0, 0], [0.958, 0, 0], [-0.24, 0.927, 0]], calculator=calculator)
    for _ in range(12):
        hessian = calculator.get_hessian(atoms).reshape(9, 9)
        step = np.linalg.pinv(hessian, rcond=1e-6) @ atoms.get_forces().ravel()
        atoms.positions += step.reshape(3, 3)
    assert np.abs(atoms.get_forces()).max() < 1e-9
    return np.asarray(atoms.positions)


def molecule(factor: float = 1.0) -> Atoms:
    """At the minimum, with masses times a factor."""
    return Atoms("OH2", minimum(), masses=factor * np.array([O, H, H]), calculator=Triatomic())


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


def exact_levels(factor: float, n_r: int, n_angle: int) -> Array:
    """The lowest levels without rotation above the potential's minimum, cm⁻¹."""
    heavy, light = factor * O, factor * H
    atoms = molecule(factor)
    bonds = atoms.positions[1:] - atoms.positions[0]
    # bond vectors to Radau vectors: d_1 = R_1 + β(R_1 + R_2)
    half = 0.5 * (np.sqrt((heavy + 2.0 * light) / heavy) - 1.0)
    radau = bonds - half / (1.0 + 2.0 * half) * bonds.sum(axis=0)
    r_eq = float(np.linalg.norm(radau[0]))
    angle_eq = float(np.arccos(radau[0] @ radau[1] / r_eq**2))
    lowest = atoms.get_potential_energy()

    def potential(r1: Array, r2: Array, angle: Array) -> Array:
        values = energy(torch.tensor(_frames(r1, r2, angle, heavy, light))).numpy()
        return (values - lowest) * ev_to_invcm

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
    values = eigsh(operator, k=20, which="SA", ncv=120, tol=1e-9, return_eigenvectors=False)
    return np.sort(values)


@pytest.mark.parametrize(("factor", "n_r", "n_angle"), [(1.0, 14, 22), (9.0, 18, 28)])
def test_the_levels_of_a_triatomic_are_those_of_the_exact_solution(
    factor: float, n_r: int, n_angle: int
) -> None:
    """Errors of second order go with ħ³: nine times the mass leaves a 27th."""
    result = anharmonic(quartic_field(molecule(factor), radii=(0.2, 0.4), check=(0.1, 0.2)))
    levels = exact_levels(factor, n_r, n_angle)
    above = levels - levels[0]
    off = [np.min(np.abs(above - value)) for value in result.fundamentals]
    allowed = 1.2 / factor**1.5
    np.testing.assert_allclose(off, 0.0, atol=allowed)
    np.testing.assert_allclose(result.zero_point, levels[0], atol=allowed / 2.0)
    assert np.min(result.harmonic - result.fundamentals) > 10.0 / factor
    assert result.undetermined == ()
    overtones = [np.min(np.abs(above - value)) for value in result.levels.wavenumbers[3:]]
    # without their second-order coupling 2ν₂ and 2ν₃ are 30 off
    np.testing.assert_allclose(overtones, 0.0, atol=3.0 / factor**1.5)


def test_constants_from_forces_are_the_derivatives_of_the_hessian() -> None:
    atoms = molecule()
    field = quartic_field(atoms, radii=(0.1, 0.2), check=(0.2, 0.3))
    modes = harmonic(atoms)
    lengths = unit_lengths(modes.frequencies)[:, None, None]
    moves = modes.modes / np.sqrt(modes.masses)[:, None] * lengths
    flat = moves.reshape(3, 9)

    def curvature(k: int, q: float) -> Array:
        moved = atoms.copy()
        moved.positions += q * moves[k]
        hessian = Triatomic().get_hessian(moved).reshape(9, 9)
        matrix: Array = flat @ hessian @ flat.T * ev_to_invcm
        return matrix

    for k in range(3):
        plus, minus, middle = curvature(k, 0.02), curvature(k, -0.02), curvature(k, 0.0)
        np.testing.assert_allclose(field.cubic[k], (plus - minus) / 0.04, atol=0.5)
        np.testing.assert_allclose(
            field.quartic[k], (plus + minus - 2.0 * middle) / 0.02**2, atol=1.5
        )


def test_first_order_intensities_of_a_linear_dipole_are_the_harmonic_ones() -> None:
    atoms = molecule()
    charges = 0.33 * np.stack([-2.0 * np.eye(3), np.eye(3), np.eye(3)])
    modes = harmonic_from_arrays(
        atoms.get_masses(), atoms.positions, atoms.calc.get_hessian(atoms), born_charges=charges
    )
    result = anharmonic(quartic_field(atoms))
    assert modes.infrared is not None
    assert result.infrared is not None
    # km/mol go with the wavenumber of the line
    ratio = result.fundamentals / result.harmonic
    np.testing.assert_allclose(result.infrared, modes.infrared * ratio, rtol=1e-3)


def test_the_ground_state_of_water_has_its_rotational_constants_lowered_and_raised() -> None:
    """Zero-point motion opens the bond lengths: B and C fall; A, about the bend's axis, rises."""
    result = anharmonic(quartic_field(molecule()))
    assert result.rotation is not None
    assert result.ground_rotation is not None
    change = result.ground_rotation / result.rotation - 1.0
    assert 0.0 < change[0] < 0.05
    assert -0.02 < change[1] < 0.0
    assert -0.05 < change[2] < 0.0


def test_structures_outside_the_theory_are_refused_by_name() -> None:
    moved = molecule()
    moved.positions[1] *= 1.01
    with pytest.raises(GeometryError, match="not relaxed"):
        quartic_field(moved)
    held = molecule()
    held.set_constraint(FixAtoms([0]))
    with pytest.raises(DataError, match="held by constraints"):
        quartic_field(held)
    boxed = molecule()
    boxed.cell, boxed.pbc = np.eye(3) * 10.0, True
    with pytest.raises(GeometryError, match="periodic"):
        quartic_field(boxed)
    pair = Atoms("OH", [[0, 0, 0], [0, 0, 0.958]])
    with pytest.raises(DataError, match="linear"):
        quartic_field(pair, calculator=Triatomic())
    with pytest.raises(DataError, match="same displacements"):
        quartic_field(molecule(), radii=(0.3, 0.6), check=(0.6, 0.3))
    with pytest.raises(DataError, match="two or more"):
        quartic_field(molecule(), radii=(0.3,))

    class Bare:
        """Without a Hessian."""

        def get_forces(self, atoms: Atoms) -> Array:
            return np.zeros((len(atoms), 3))

    with pytest.raises(UnsupportedPropertyError, match="get_hessian"):
        quartic_field(molecule(), calculator=Bare())


def test_a_saddle_point_is_refused() -> None:
    class Upside(Triatomic):
        """Forces vanish at the minimum, and the bend's curvature is turned over."""

        def get_hessian(self, atoms: Atoms) -> Array:
            return -super().get_hessian(atoms)

    with pytest.raises(DataError, match="saddle point"):
        quartic_field(molecule(), calculator=Upside())
