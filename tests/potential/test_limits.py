"""Cutoff, isolated atoms, far-apart pairs, sum rules."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from ase import Atoms

from painn_ase.calculator import PaiNNCalculator
from painn_ase.potential import AtomisticPotential
from painn_ase.testing import compute_properties, random_atoms, random_potential

MOLECULAR = ("energy", "dipole", "polarizability", "charges")
LOCAL = ("energy", "dipole:local", "polarizability:local")


def potential(heads=MOLECULAR, cutoff: float = 4.0, gate_epsilon: float | None = None, **options):
    made = random_potential(8, 2, 6, cutoff, heads=heads, dtype=torch.float64, **options)
    if gate_epsilon is None:
        return made
    given = made.spec.heads
    changed = {
        name: dataclasses.replace(getattr(given, name), gate_epsilon=gate_epsilon)
        for name in ("dipole", "polarizability")
    }
    spec = dataclasses.replace(made.spec, heads=dataclasses.replace(given, **changed))
    other = AtomisticPotential(spec).double()
    other.load_state_dict(made.state_dict())
    return other.eval().requires_grad_(False)


@pytest.mark.parametrize("cutoff_function", ["cosine", "polynomial"])
@pytest.mark.parametrize("basis", ["bessel", "gaussian"])
def test_energy_and_force_are_continuous_where_a_neighbour_crosses_the_cutoff(
    place, cutoff_function: str, basis: str
) -> None:
    calc = place.calculator(
        place.potential(8, 2, 6, 4.0, cutoff_function=cutoff_function, radial_basis=basis)
    )
    energies, forces = [], []
    offsets = np.array([-1e-4, -1e-7, 0.0, 1e-7, 1e-4])
    for offset in offsets:
        atoms = Atoms("COH", positions=[[0, 0, 0], [0, 0.3, 1.1], [4.0 + offset, 0, 0]])
        energies.append(calc.get_potential_energy(atoms))
        forces.append(calc.get_forces(atoms))
    size = place.tolerance.atol
    assert np.ptp(energies[1:4]) < 1e-6 * 1e-7 + size * 0.2
    assert np.abs(forces[3] - forces[1]).max() < 1e-5
    assert np.abs(forces[4] - forces[0]).max() < 1e-3


@pytest.mark.parametrize("cutoff_function", ["cosine", "polynomial"])
def test_the_force_stays_the_slope_of_the_energy_all_the_way_through_the_cutoff(
    cutoff_function: str,
) -> None:
    calc = PaiNNCalculator(potential(("energy",), cutoff_function=cutoff_function), device="cpu")
    distances = np.linspace(3.8, 4.2, 401)
    frames = [Atoms("CO", positions=[[0, 0, 0], [d, 0, 0]]) for d in distances]
    energies = np.array([calc.get_potential_energy(a) for a in frames])
    forces = np.array([calc.get_forces(a)[1, 0] for a in frames])
    steps = np.diff(distances)
    work = np.concatenate(([0.0], np.cumsum(-0.5 * (forces[1:] + forces[:-1]) * steps)))
    np.testing.assert_allclose(energies - energies[0], work, atol=1e-6)
    assert np.ptp(energies[distances >= 4.0]) < 1e-12
    assert np.abs(forces[distances >= 4.0]).max() < 1e-12


@pytest.mark.parametrize("gate_epsilon", [0.0, 1e-8])
@pytest.mark.parametrize(
    "atoms",
    [
        Atoms("H"),
        Atoms("O", positions=[[50, -3, 1e4]]),
        Atoms("OH", positions=[[0, 0, 0], [30, 0, 0]]),
        Atoms("HH", positions=[[0, 0, 0], [4.3, 0, 0]]),
        Atoms("CO", positions=[[0, 0, 0], [3.999, 0, 0]]),
    ],
    ids=["atom", "shifted atom", "far pair", "pair inside the skin", "pair at the cutoff"],
)
def test_isolated_atoms_and_far_pairs_have_finite_outputs(
    atoms: Atoms, gate_epsilon: float
) -> None:
    calc = PaiNNCalculator(potential(gate_epsilon=gate_epsilon), device="cpu")
    atoms = atoms.copy()
    atoms.set_velocities(np.full((len(atoms), 3), 0.1))
    values = compute_properties(calc, atoms)
    assert {"hessian", "polarizability_flux", "born_effective_charges"} <= set(values)
    for name, value in values.items():
        assert np.isfinite(value).all(), name


@pytest.mark.parametrize("gate_epsilon", [0.0, 1e-8])
def test_a_loss_on_derivatives_of_an_isolated_atom_has_finite_gradients(
    gate_epsilon: float,
) -> None:
    from painn_ase.graph import from_ase

    model = potential(gate_epsilon=gate_epsilon).requires_grad_(True)
    for atoms in (
        Atoms("H"),
        Atoms("OH", positions=[[0, 0, 0], [30, 0, 0]]),
        Atoms("H2", [[0, 0, 0], [0, 0, 1]]),
    ):
        model.zero_grad()
        names = {"forces", "born_effective_charges", "polarizability_derivatives", "dipole"}
        said = model(from_ase(atoms, 4.0), names, create_graph=True)
        sum((v**2).sum() for v in said.present().values()).backward()
        for name, weight in model.named_parameters():
            assert weight.grad is None or torch.isfinite(weight.grad).all(), name


def test_the_energy_of_atoms_far_apart_is_the_sum_of_isolated_atoms(place) -> None:
    calc = place.calculator(place.potential(8, 3, 6, 4.0))
    atoms = Atoms("HCNO", positions=100.0 * np.arange(12).reshape(4, 3))
    alone = sum(calc.get_potential_energy(Atoms(s)) for s in "HCNO")
    assert calc.get_potential_energy(atoms) == pytest.approx(alone, abs=place.tolerance.atol)
    np.testing.assert_array_equal(calc.get_forces(atoms), 0.0)


def test_two_molecules_far_apart_do_not_feel_each_other() -> None:
    calc = PaiNNCalculator(potential(LOCAL), device="cpu")
    one, two = random_atoms(4, seed=1), random_atoms(5, seed=2)
    far = two.copy()
    far.positions += 500.0
    both = one + far
    for name in ("energy", "dipole", "polarizability"):
        a, b, ab = (np.asarray(calc.get_property(name, x)) for x in (one, two, both))
        np.testing.assert_allclose(ab, a + b, atol=1e-11)
    forces = np.vstack((calc.get_forces(one), calc.get_forces(two)))
    np.testing.assert_allclose(calc.get_forces(both), forces, atol=1e-11)


def test_a_crystal_and_its_supercell_agree_per_atom() -> None:
    calc = PaiNNCalculator(potential(LOCAL), device="cpu")
    atoms = random_atoms(3, pbc=True)
    double = atoms.repeat((2, 1, 1))
    assert calc.get_potential_energy(double) == pytest.approx(
        2 * calc.get_potential_energy(atoms), abs=1e-10
    )
    np.testing.assert_allclose(
        calc.get_forces(double), np.tile(calc.get_forces(atoms), (2, 1)), atol=1e-10
    )
    np.testing.assert_allclose(calc.get_stress(double), calc.get_stress(atoms), atol=1e-11)


# -- acoustic sum rules: nothing inside a molecule changes when all of it is moved or turned -------


@pytest.mark.parametrize("charge", [0.0, 1.0, -2.0])
def test_born_charges_sum_to_the_total_charge(charge: float) -> None:
    calc = PaiNNCalculator(potential(), device="cpu", charge=charge)
    born = calc.get_born_charges(random_atoms(6))
    np.testing.assert_allclose(born.sum(axis=0), charge * np.eye(3), atol=1e-10)


def test_local_born_charges_sum_to_zero_in_a_crystal() -> None:
    born = PaiNNCalculator(potential(LOCAL), device="cpu").get_born_charges(
        random_atoms(6, pbc=True)
    )
    np.testing.assert_allclose(born.sum(axis=0), 0.0, atol=1e-11)


@pytest.mark.parametrize("pbc", [False, True])
def test_forces_sum_to_zero_and_so_do_the_rows_of_the_hessian(pbc: bool) -> None:
    calc, atoms = PaiNNCalculator(potential(LOCAL), device="cpu"), random_atoms(6, pbc=pbc)
    np.testing.assert_allclose(calc.get_forces(atoms).sum(axis=0), 0.0, atol=1e-11)
    np.testing.assert_allclose(calc.get_hessian(atoms).sum(axis=2), 0.0, atol=1e-9)
    rows = calc.get_polarizability_derivatives(atoms).sum(axis=0)
    np.testing.assert_allclose(rows, 0.0, atol=1e-11)


def test_a_molecule_exerts_no_torque_on_itself() -> None:
    calc, atoms = PaiNNCalculator(potential(), device="cpu"), random_atoms(6)
    torque = np.cross(atoms.positions, calc.get_forces(atoms)).sum(axis=0)
    np.testing.assert_allclose(torque, 0.0, atol=1e-11)


def test_atomic_energies_sum_to_the_energy(place) -> None:
    calc, atoms = place.calculator(place.potential(8, 2, 6)), random_atoms(6)
    energies = calc.get_potential_energies(atoms)
    assert energies.sum() == pytest.approx(calc.get_potential_energy(atoms), abs=1e-12)


# -- charged molecules: origin and flux as LatentChargeDipole states them --------------------------


def test_the_dipole_of_an_ion_counts_from_its_centre_of_mass() -> None:
    calc = PaiNNCalculator(potential(), device="cpu", charge=1.0)
    atoms = random_atoms(6)
    moved = atoms.copy()
    moved.positions += [3.0, -7.0, 20.0]
    np.testing.assert_allclose(
        calc.get_dipole_moment(moved), calc.get_dipole_moment(atoms), atol=1e-10
    )


def test_an_ion_moving_as_a_whole_has_no_dipole_flux() -> None:
    calc = PaiNNCalculator(potential(), device="cpu", charge=1.0)
    atoms = random_atoms(6)
    atoms.set_velocities(np.tile([0.1, 0.2, -0.3], (6, 1)))
    np.testing.assert_allclose(calc.get_dipole_flux(atoms), 0.0, atol=1e-11)


def test_the_flux_of_an_ion_is_that_of_its_born_charges_less_the_drift_of_its_charge() -> None:
    calc = PaiNNCalculator(potential(), device="cpu", charge=2.0)
    atoms = random_atoms(6)
    v, m = atoms.get_velocities(), atoms.get_masses()
    expected = np.einsum("iab,ib->a", calc.get_born_charges(atoms), v) - 2.0 * m @ v / m.sum()
    np.testing.assert_allclose(calc.get_dipole_flux(atoms), expected, atol=1e-11)
