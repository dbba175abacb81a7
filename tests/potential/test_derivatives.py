"""Derivatives by autograd against finite differences, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from painn_ase.calculator import PaiNNCalculator
from painn_ase.graph import from_ase
from painn_ase.testing import (
    Tolerance,
    check_finite_differences,
    compute_properties,
    random_atoms,
    random_potential,
)

MOLECULAR = ("energy", "dipole", "polarizability", "charges")
LOCAL = ("energy", "dipole:local", "polarizability:local")
OPTIONS = {
    "gaussian": {"radial_basis": "gaussian"},
    "polynomial": {"cutoff_function": "polynomial"},
    "shared filters": {"shared_filters": True},
    "hidden filters": {"filter_hidden": (7,)},
    "shared interactions": {"shared_interactions": True},
}


def calculator(heads=LOCAL, cutoff: float = 4.0, charge: float | None = None, **options):
    potential = random_potential(8, 2, 6, cutoff, heads=heads, dtype=torch.float64, **options)
    return PaiNNCalculator(potential, device="cpu", charge=charge)


@pytest.mark.parametrize("charge", [0.0, 1.0])
def test_derivatives_of_a_molecule_are_those_of_its_energy_dipole_and_polarizability(
    charge: float,
) -> None:
    check_finite_differences(calculator(MOLECULAR, charge=charge), random_atoms(5))


@pytest.mark.parametrize(
    "pbc", [(True, False, False), (False, True, False), (True, False, True), (True, True, True)]
)
def test_derivatives_hold_whatever_is_periodic(pbc: tuple[bool, ...]) -> None:
    check_finite_differences(calculator(), random_atoms(4, pbc=pbc))


@pytest.mark.parametrize("left_handed", [False, True])
def test_stress_is_the_derivative_by_strain_in_a_tilted_cell(left_handed: bool) -> None:
    atoms = random_atoms(6, pbc=True, left_handed=left_handed, seed=2)
    assert (np.linalg.det(atoms.cell) < 0) == left_handed
    check_finite_differences(calculator(("energy",)), atoms, ["stress"])


def test_stress_holds_in_a_cell_smaller_than_the_cutoff() -> None:
    """One atom among many images of itself: forces vanish, the stress does not."""
    atoms = random_atoms(1, pbc=True, spacing=1.5, seed=4)
    calc = calculator(("energy",), cutoff=5.0)
    assert atoms.cell.lengths().max() < 3.0
    check_finite_differences(calc, atoms, ["stress"])
    np.testing.assert_allclose(calc.get_forces(atoms), 0.0, atol=1e-12)
    assert np.abs(calc.get_stress(atoms)).max() > 1e-3


@pytest.mark.parametrize("option", OPTIONS)
def test_derivatives_hold_for_every_architecture(option: str) -> None:
    calc = calculator(MOLECULAR, **OPTIONS[option])
    check_finite_differences(calc, random_atoms(4, seed=1), tolerance=Tolerance(3e-7, 1e-8))


def test_fluxes_are_the_derivatives_contracted_with_the_velocities(place) -> None:
    calc = place.calculator(place.potential(8, 2, 6, 4.0, heads=MOLECULAR))
    atoms = random_atoms(6)
    v = compute_properties(calc, atoms)
    velocities = atoms.get_velocities()
    dipole = np.einsum("iab,ib->a", v["born_effective_charges"], velocities)
    alpha = np.einsum("icab,ic->ab", v["polarizability_derivatives"], velocities)
    bound = {"rtol": 0, "atol": place.tolerance.atol}
    np.testing.assert_allclose(v["dipole_flux"], dipole, **bound)
    np.testing.assert_allclose(v["polarizability_flux"], alpha, **bound)


def test_fluxes_are_linear_in_the_velocities_and_follow_those_given() -> None:
    calc, atoms = calculator(MOLECULAR), random_atoms(5)
    v = atoms.get_velocities()
    one = calc.get_dipole_flux(atoms)
    np.testing.assert_allclose(calc.get_dipole_flux(atoms, -3.0 * v), -3.0 * one, atol=1e-12)
    atoms.set_velocities(2.0 * v)
    np.testing.assert_allclose(calc.get_dipole_flux(atoms), 2.0 * one, atol=1e-12)
    both = calc.get_fluxes(atoms)
    np.testing.assert_allclose(both["dipole_flux"], 2.0 * one, atol=1e-12)
    assert set(both) >= {"dipole", "polarizability", "dipole_flux", "polarizability_flux"}


def test_a_hessian_is_symmetric() -> None:
    hessian = calculator(("energy",)).get_hessian(random_atoms(5)).reshape(15, 15)
    np.testing.assert_array_equal(hessian, hessian.T)


@pytest.mark.parametrize("name", ["forces", "stress", "born_effective_charges"])
def test_the_gradient_of_a_loss_on_derivatives_agrees_with_finite_differences(name: str) -> None:
    """Training on forces is a second derivative through the whole network."""
    potential = random_potential(6, 2, 4, 3.0, heads=LOCAL, dtype=torch.float64)
    graph = from_ase(random_atoms(4, pbc=True), 3.0)

    def loss(create_graph: bool) -> torch.Tensor:
        value = getattr(potential(graph, {name}, create_graph=create_graph), name)
        return (value**2).sum()

    potential.requires_grad_(True)
    weights = {n: p for n, p in potential.named_parameters() if not n.startswith("heads.pol")}
    gradients = torch.autograd.grad(loss(True), list(weights.values()), allow_unused=True)
    potential.requires_grad_(False)
    rng = np.random.default_rng(0)
    for (label, weight), gradient in zip(weights.items(), gradients, strict=True):
        direction = torch.tensor(rng.normal(size=weight.shape))
        slope = 0.0
        for k, factor in ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12)):
            weight.add_(direction, alpha=k * 1e-4)
            slope += factor / 1e-4 * loss(False).item()
            weight.sub_(direction, alpha=k * 1e-4)
        expected = 0.0 if gradient is None else (gradient * direction).sum().item()
        assert slope == pytest.approx(expected, rel=1e-6, abs=1e-8), label


@pytest.mark.parametrize("heads", [MOLECULAR, LOCAL], ids=["latent", "local"])
def test_a_differentiable_prediction_has_the_numbers_of_a_plain_one(heads) -> None:
    potential = random_potential(8, 2, 6, 4.0, heads=heads, dtype=torch.float64)
    graph = from_ase(random_atoms(4), 4.0)
    velocities = torch.tensor(random_atoms(4).get_velocities())
    names = set(potential.properties) - {"stress"}
    plain = potential(graph, names, velocities).present()
    for name, value in potential(graph, names, velocities, create_graph=True).present().items():
        torch.testing.assert_close(value.detach(), plain[name], rtol=1e-11, atol=1e-12)
