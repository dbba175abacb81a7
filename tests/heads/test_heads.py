"""Heads: what is conserved, what adds up, what stays exact."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from painn_ase.calculator import PaiNNCalculator
from painn_ase.graph import from_ase
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import EnergySpec, PolarizabilitySpec
from painn_ase.testing import random_atoms, random_potential


def with_head(potential: AtomisticPotential, **heads) -> AtomisticPotential:
    """The same weights under another description of a head."""
    spec = dataclasses.replace(
        potential.spec, heads=dataclasses.replace(potential.spec.heads, **heads)
    )
    other = AtomisticPotential(spec).to(potential.dtype)
    other.load_state_dict(potential.state_dict())
    return other.eval().requires_grad_(False)


@pytest.mark.parametrize("heads", [("charges",), ("dipole",)], ids=["own head", "latent"])
@pytest.mark.parametrize("charge", [0.0, 1.0, -2.0])
def test_charges_sum_to_the_total_charge(heads: tuple[str, ...], charge: float) -> None:
    potential = random_potential(8, 2, 6, heads=heads)
    charges = PaiNNCalculator(potential, charge=charge).get_charges(random_atoms(7))
    assert charges.sum() == pytest.approx(charge, abs=1e-12)
    assert np.ptp(charges) > 1e-3


def test_charges_of_each_structure_in_a_batch_sum_to_its_own_total_charge() -> None:
    from painn_ase.graph import collate

    potential = random_potential(8, 2, 6, heads=("charges",))
    graphs = [from_ase(random_atoms(n), 5.0, charge=q) for n, q in ((3, 1.0), (6, 0.0), (1, -1.0))]
    charges = potential(collate(graphs), {"charges"}).charges
    sums = [c.sum().item() for c in charges.split([3, 6, 1])]
    assert sums == pytest.approx([1.0, 0.0, -1.0], abs=1e-12)


def test_reference_energies_are_added_exactly_also_in_float32() -> None:
    potential = random_potential(8, 2, 6, elements=(1, 8))
    references = (-13.603451234567, -2043.812345678901)
    shifted = with_head(potential, energy=EnergySpec(reference_energies=references))
    atoms = molecule("H2O")
    plain = PaiNNCalculator(potential).get_potential_energy(atoms)
    energy = PaiNNCalculator(shifted).get_potential_energy(atoms)
    assert energy - plain == pytest.approx(2 * references[0] + references[1], abs=1e-12)


def test_reference_energies_survive_casts_between_precisions() -> None:
    potential = with_head(
        random_potential(8, 1, 4, elements=(1,)), energy=EnergySpec(reference_energies=(1 / 3,))
    )
    there_and_back = potential.to(torch.float32).to(torch.float64).float()
    assert there_and_back.heads["energy"].references.values.item() == 1 / 3


def test_the_scale_multiplies_what_the_network_says() -> None:
    potential = random_potential(8, 2, 6, dtype=torch.float64)
    scaled = with_head(potential, energy=EnergySpec(scale=2.5))
    atoms = random_atoms(5)
    a, b = (PaiNNCalculator(p) for p in (potential, scaled))
    np.testing.assert_allclose(b.get_forces(atoms), 2.5 * a.get_forces(atoms), atol=1e-12)


def test_isotropic_atomic_polarizabilities_stand_on_the_diagonal() -> None:
    for kind in ("latent_position", "local"):
        name = "polarizability" if kind == "latent_position" else "polarizability:local"
        potential = random_potential(8, 1, 4, heads=(name,), elements=(1, 8))
        head = PolarizabilitySpec(kind=kind, isotropic=(0.5, 2.0))
        shifted = with_head(potential, polarizability=head)
        atoms = molecule("H2O")
        change = PaiNNCalculator(shifted).get_polarizability(atoms) - PaiNNCalculator(
            potential
        ).get_polarizability(atoms)
        np.testing.assert_allclose(change, 3.0 * np.eye(3), atol=1e-12)


@pytest.mark.parametrize("name", ["polarizability", "polarizability:local"])
@pytest.mark.parametrize("seed", range(3))
def test_a_polarizability_is_symmetric(name: str, seed: int) -> None:
    potential = random_potential(8, 2, 6, heads=(name,), seed=seed)
    alpha = PaiNNCalculator(potential).get_polarizability(random_atoms(6, seed=seed))
    np.testing.assert_allclose(alpha, alpha.T, rtol=0, atol=1e-7 * np.abs(alpha).max())


def test_a_polarizability_from_the_coordinates_origin_depends_on_where_the_molecule_is() -> None:
    """The form of the paper; kept to reproduce models trained with it, and only for that."""
    potential = random_potential(8, 2, 6, heads=("polarizability",), dtype=torch.float64)
    raw = with_head(potential, polarizability=PolarizabilitySpec(origin="coordinates"))
    atoms = random_atoms(6)
    masses = atoms.get_masses()
    centered = atoms.copy()
    centered.positions -= masses @ atoms.positions / masses.sum()
    here = PaiNNCalculator(raw).get_polarizability(centered)
    np.testing.assert_allclose(
        here, PaiNNCalculator(potential).get_polarizability(atoms), atol=1e-10
    )
    centered.positions += 10.0
    assert np.abs(PaiNNCalculator(raw).get_polarizability(centered) - here).max() > 1e-3


def test_a_neutral_atom_has_no_dipole_and_an_isotropic_polarizability() -> None:
    potential = random_potential(8, 2, 6, heads=("dipole", "polarizability:local"))
    calc = PaiNNCalculator(potential)
    atom = Atoms("O")
    np.testing.assert_allclose(calc.get_dipole_moment(atom), 0.0, atol=1e-12)
    alpha = calc.get_polarizability(atom)
    np.testing.assert_allclose(alpha, alpha[0, 0] * np.eye(3), atol=1e-12)
