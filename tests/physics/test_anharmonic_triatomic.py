"""Perturbation theory of a bent molecule against the exact levels of the same surface.

The exact levels come from a discrete variable representation (``radau``).
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
from radau import absorption, activity, radau_levels, radau_moments

from painn_ase.errors import DataError, GeometryError, UnsupportedPropertyError
from painn_ase.quartic import quartic_field
from painn_ase.spectra import anharmonic, harmonic, harmonic_from_arrays
from painn_ase.spectra.anharmonic_field import unit_lengths, unit_moves
from painn_ase.units import e2_angstrom2_per_ev_to_angstrom3, ev_to_invcm

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


def dipole(x: Array) -> Array:
    """Of two bond charges that fall with the bond's length, e Å (n, 3)."""
    bonds = x[:, 1:] - x[:, :1]
    lengths = np.linalg.norm(bonds, axis=2, keepdims=True)
    found: Array = np.sum(0.33 * np.exp(-0.9 * (lengths - 0.958)) * bonds, axis=1)
    return found


def polarizability(x: Array) -> Array:
    """Of two bonds that polarise along themselves, more so when stretched, e²Å²/eV (n, 3, 3)."""
    bonds = x[:, 1:] - x[:, :1]
    lengths = np.linalg.norm(bonds, axis=2)
    along = np.einsum("nk,nka,nkb->nab", 0.03 * lengths**1.5, bonds, bonds)
    across = 0.04 * np.sum(lengths**2, axis=1)
    found: Array = along + across[:, None, None] * np.eye(3)
    return found


class Triatomic(Calculator):  # type: ignore[misc]
    """The surface as an ASE calculator with a Hessian and responses."""

    implemented_properties = ("energy", "forces", "dipole", "polarizability")  # type: ignore[assignment]

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
        at = self.atoms.positions[None]
        self.results = {
            "energy": value.item(),
            "forces": -slope[0].numpy(),
            "dipole": dipole(at)[0],
            "polarizability": polarizability(at)[0],
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


def exact_levels(factor: float, n_r: int, n_angle: int) -> Array:
    """The lowest levels without rotation above the potential's minimum, cm⁻¹."""
    masses = factor * np.array([O, H, H])
    return radau_levels(lambda x: energy(torch.tensor(x)).numpy(), minimum(), masses, n_r, n_angle)


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


def test_slopes_of_the_surfaces_are_those_of_the_harmonic_analysis() -> None:
    """By finite differences along Cartesian axes: charges and slopes of the polarizability."""
    atoms = molecule()
    step = 1e-4
    moved = np.repeat(atoms.positions[None], 18, axis=0).reshape(3, 3, 2, 3, 3)
    for i, c in np.ndindex(3, 3):
        moved[i, c, 0, i, c] += step
        moved[i, c, 1, i, c] -= step

    def slopes(values: Array) -> Array:
        both = values.reshape(3, 3, 2, *values.shape[1:])
        found: Array = (both[:, :, 0] - both[:, :, 1]) / (2.0 * step)
        return found

    flat = moved.reshape(18, 3, 3)
    modes = harmonic_from_arrays(
        atoms.get_masses(),
        atoms.positions,
        atoms.calc.get_hessian(atoms),
        born_charges=slopes(dipole(flat)).transpose(0, 2, 1),
        polarizability_derivatives=slopes(polarizability(flat)) * e2_angstrom2_per_ev_to_angstrom3,
    )
    result = anharmonic(quartic_field(atoms, radii=(0.1, 0.2), check=(0.05, 0.1)))
    for ours, theirs in (
        (result.harmonic_infrared, modes.infrared),
        (result.harmonic_raman, modes.raman),
    ):
        assert ours is not None
        assert theirs is not None
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_curvatures_and_thirds_are_derivatives_along_the_modes() -> None:
    atoms = molecule()
    moves = unit_moves(harmonic(atoms))
    field = quartic_field(atoms, radii=(0.1, 0.2), check=(0.05, 0.1))
    t = 0.1
    for surface, response in ((field.dipole, dipole), (field.polarizability, polarizability)):
        assert surface is not None
        assert surface.curvatures is not None
        assert surface.thirds is not None
        scale = 1.0 if response is dipole else e2_angstrom2_per_ev_to_angstrom3

        def at(q: Array, response: Any = response, scale: float = scale) -> Array:
            found: Array = scale * response(atoms.positions + np.tensordot(q, moves, 1)[None])[0]
            return found

        unit = t * np.eye(3)
        for i, j in np.ndindex(3, 3):
            a, b = unit[i], unit[j]
            mixed = at(a + b) - at(a - b) - at(b - a) + at(-a - b)
            second = mixed / (4.0 * t**2)
            # ∂²/∂i² at ±j, and where i = j the third difference
            third = at(a + b) - 2.0 * at(b) + at(b - a) - at(a - b) + 2.0 * at(-b) - at(-a - b)
            third = third / (2.0 * t**3)
            size = 1e-3 * np.abs(surface.slopes).max()
            np.testing.assert_allclose(surface.curvatures[i, j], second, atol=size)
            np.testing.assert_allclose(surface.thirds[i, j], third, atol=size)


def test_intensities_of_a_triatomic_are_those_of_the_exact_solution() -> None:
    """Relative errors of second order go with ħ²: nine times the mass leaves a ninth."""
    cases = (
        ("infrared", dipole, absorption, 1.0),
        ("raman", polarizability, activity, e2_angstrom2_per_ev_to_angstrom3),
    )
    for name, response, strength, scale in cases:
        errors, plain = [], []
        for factor, n_r, n_angle in ((1.0, 14, 22), (9.0, 18, 28)):
            result = anharmonic(quartic_field(molecule(factor), radii=(0.2, 0.4), check=(0.1, 0.2)))
            levels, moments = radau_moments(
                lambda x: energy(torch.tensor(x)).numpy(),
                response,
                minimum(),
                factor * np.array([O, H, H]),
                n_r,
                n_angle,
            )
            above = levels - levels[0]
            rows = [int(np.argmin(np.abs(above - v))) for v in result.fundamentals]
            exact = strength(above[rows], scale * moments[rows])
            errors.append(getattr(result, name) / exact - 1.0)
            plain.append(getattr(result, f"harmonic_{name}") / exact - 1.0)
        assert np.abs(errors[0]).max() < 0.01
        np.testing.assert_array_less(np.abs(errors[1]), np.abs(errors[0]) / 8.0)
        # the harmonic ones err in first order of ħ
        assert np.linalg.norm(plain[0]) > 10.0 * np.linalg.norm(errors[0])
        assert np.linalg.norm(plain[1]) > 30.0 * np.linalg.norm(errors[1])


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
