"""Every output turns, reflects, stays and permutes with the structure."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from painn_ase.calculator import PaiNNCalculator
from painn_ase.testing import check_equivariance, random_atoms, random_potential

MOLECULAR = ("energy", "dipole", "polarizability", "charges")
LOCAL = ("energy", "dipole:local", "polarizability:local", "charges")
PBC = [
    (False, False, False),
    (True, False, False),
    (False, True, True),
    (True, True, True),
]


@pytest.mark.parametrize("charge", [0.0, 1.0])
def test_every_output_of_a_molecule_is_equivariant(place, charge: float) -> None:
    potential = place.potential(8, 2, 6, 4.0, heads=MOLECULAR)
    check_equivariance(place.calculator(potential, charge=charge), random_atoms(6))


@pytest.mark.parametrize("pbc", PBC)
def test_every_output_is_equivariant_whatever_is_periodic(place, pbc: tuple[bool, ...]) -> None:
    potential = place.potential(8, 2, 6, 4.0, heads=LOCAL)
    atoms = random_atoms(4, pbc=pbc, left_handed=True)
    check_equivariance(place.calculator(potential), atoms)


@pytest.mark.parametrize(
    "option",
    [
        {"radial_basis": "gaussian"},
        {"cutoff_function": "polynomial"},
        {"shared_filters": True},
        {"filter_hidden": (7,)},
        {"shared_interactions": True},
    ],
    ids=lambda option: next(iter(option)),
)
def test_every_architecture_is_equivariant(place, option: dict) -> None:
    potential = place.potential(8, 2, 6, 4.0, heads=MOLECULAR, **option)
    check_equivariance(place.calculator(potential), random_atoms(5))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    n_atoms=st.integers(1, 9),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 10**6),
)
def test_equivariance_holds_for_any_size_cell_and_periodicity(
    n_atoms: int, pbc: tuple[bool, ...], seed: int
) -> None:
    potential = _potential()
    atoms = random_atoms(n_atoms, pbc=pbc, seed=seed)
    names = ["energy", "energies", "forces", "dipole", "polarizability", "dipole_flux"]
    names += ["stress"] if all(pbc) else []
    check_equivariance(PaiNNCalculator(potential), atoms, names, seed=seed)


def _potential():
    import torch

    return random_potential(8, 2, 6, 3.0, heads=LOCAL, dtype=torch.float64)


def test_a_check_fails_where_a_symmetry_is_broken() -> None:
    """The checks themselves: a calculator that adds a fixed field is caught."""

    class InField(PaiNNCalculator):
        def get_property(self, name, atoms=None, allow_calculation=True):
            value = super().get_property(name, atoms, allow_calculation)
            return value + np.array([0.0, 0.0, 0.1]) if name == "forces" else value

    with pytest.raises(AssertionError, match="forces under rotation: differs by"):
        check_equivariance(InField(_potential()), molecule("H2O"), ["energy", "forces"])
