"""Every network beside PaiNN: the same physics, whatever it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import SpecError
from painn_ase.evaluation import evaluate
from painn_ase.graph import from_ase
from painn_ase.models import load_model, save_model
from painn_ase.spec import (
    DipoleSpec,
    EnergySpec,
    HeadsSpec,
    ModelSpec,
    PolarizabilitySpec,
    SchNetSpec,
    SO3netSpec,
)
from painn_ase.testing import (
    check_equivariance,
    check_finite_differences,
    check_smoothness,
    random_atoms,
    random_potential,
)

#: Kind, its options, heads for molecules, heads for crystals.
NETWORKS: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "schnet": (
        {"kind": "schnet", "n_filters": 10},
        ("energy", "dipole:point_charge"),
        ("energy", "charges"),
    ),
    "schnet shared": (
        {"kind": "schnet", "shared_interactions": True, "radial_basis": "bessel"},
        ("energy", "dipole:point_charge", "charges"),
        ("energy",),
    ),
    "so3net": (
        {"kind": "so3net"},
        ("energy", "dipole", "polarizability"),
        ("energy", "dipole:local", "polarizability:local"),
    ),
    "so3net l=3": (
        {"kind": "so3net", "lmax": 3, "radial_basis": "gaussian"},
        ("energy", "dipole"),
        ("energy", "polarizability:local"),
    ),
    "so3net l=1 shared": (
        {"kind": "so3net", "lmax": 1, "shared_interactions": True},
        ("energy", "polarizability"),
        ("energy", "dipole:local"),
    ),
}


def potential(name: str, crystal: bool = False, **changes: Any):
    options, molecular, periodic = NETWORKS[name]
    heads = periodic if crystal else molecular
    given = {"dtype": torch.float64, **options, **changes}
    return random_potential(6, 2, 5, 4.0, heads=heads, **given)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_output_is_equivariant(name: str) -> None:
    check_equivariance(PaiNNCalculator(potential(name), device="cpu"), random_atoms(3))
    atoms = random_atoms(3, pbc=(True, True, False))
    check_equivariance(PaiNNCalculator(potential(name, crystal=True), device="cpu"), atoms)


@pytest.mark.parametrize("name", NETWORKS)
def test_derivatives_are_those_of_what_they_differentiate(name: str) -> None:
    check_finite_differences(PaiNNCalculator(potential(name), device="cpu"), random_atoms(3))
    calc = PaiNNCalculator(potential(name, crystal=True), device="cpu")
    check_finite_differences(calc, random_atoms(3, pbc=True), ["forces", "stress"])


@pytest.mark.parametrize("name", NETWORKS)
def test_energy_and_forces_are_smooth_at_the_cutoff(name: str) -> None:
    check_smoothness(PaiNNCalculator(potential(name), device="cpu"), molecule("H2CO"))


@pytest.mark.parametrize("name", NETWORKS)
def test_single_atoms_and_atoms_out_of_sight_are_ordinary_input(name: str) -> None:
    calc = PaiNNCalculator(potential(name), device="cpu")
    alone = [calc.get_potential_energy(Atoms(symbol)) for symbol in "CO"]
    apart = Atoms("CO", [[0, 0, 0], [0, 0, 9.0]])
    assert calc.get_potential_energy(apart) == pytest.approx(sum(alone), abs=1e-12)
    np.testing.assert_array_equal(calc.get_forces(apart), 0.0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_gives_back_the_same_numbers(name: str, tmp_path) -> None:
    before = potential(name, dtype=torch.float32)
    after = load_model(save_model(before, tmp_path / "model.safetensors"))
    graph = from_ase(molecule("H2CO"), 4.0)
    assert after.spec.representation == before.spec.representation
    given, expected = (p(graph, {"energy", "forces"}) for p in (after, before))
    assert torch.equal(given.energy, expected.energy)
    assert torch.equal(given.forces, expected.forces)


def test_coupling_coefficients_are_exact_after_a_cast_there_and_back() -> None:
    exact = potential("so3net")
    cast = potential("so3net").float().double()
    for (name, buffer), (_, again) in zip(exact.named_buffers(), cast.named_buffers(), strict=True):
        if "constant" in name:
            assert torch.equal(buffer, again), name
    assert not [name for name in exact.state_dict() if "constant" in name]


@pytest.mark.parametrize("name", ["schnet", "so3net"])
def test_batches_of_structures_are_the_structures_one_by_one(name: str) -> None:
    calc = PaiNNCalculator(potential(name), device="cpu")
    structures = [molecule("H2O"), molecule("CH3OH"), Atoms("N")]
    together = evaluate(calc, structures, ["energy", "forces"])
    for atoms, result in zip(structures, together, strict=True):
        assert result["energy"] == pytest.approx(calc.get_potential_energy(atoms), abs=1e-12)
        np.testing.assert_allclose(result["forces"], calc.get_forces(atoms), atol=1e-12)


def test_a_committee_of_networks_of_different_kinds_is_their_mean() -> None:
    members = [random_potential(8, 2, 6, 4.0, kind=kind) for kind in ("painn", "schnet", "so3net")]
    atoms = bulk("C", cubic=True)
    single = [PaiNNCalculator(p, device="cpu").get_potential_energy(atoms) for p in members]
    calc = PaiNNCalculator(members, device="cpu")
    assert calc.get_potential_energy(atoms) == pytest.approx(np.mean(single), rel=1e-6)
    assert calc.results["energy_std"] == pytest.approx(np.std(single, ddof=1), rel=1e-4)


def test_a_head_that_reads_vectors_is_refused_on_schnet_with_the_reason() -> None:
    for heads in (
        HeadsSpec(polarizability=PolarizabilitySpec()),
        HeadsSpec(polarizability=PolarizabilitySpec(kind="local")),
        HeadsSpec(dipole=DipoleSpec()),
    ):
        with pytest.raises(SpecError, match=r"reads vectors.*'schnet' has scalars only.*'so3net'"):
            ModelSpec(elements=(1,), heads=heads, representation=SchNetSpec())
        ModelSpec(elements=(1,), heads=heads, representation=SO3netSpec())


def test_impossible_networks_are_refused() -> None:
    with pytest.raises(SpecError, match="lmax must lie between 1 and 6"):
        SO3netSpec(lmax=0)
    with pytest.raises(SpecError, match="n_filters must be at least 1"):
        SchNetSpec(n_filters=0)
    ModelSpec(elements=(1,), heads=HeadsSpec(energy=EnergySpec()), representation=SchNetSpec())


def test_the_fast_kernel_says_why_it_cannot_run_another_network() -> None:
    model = random_potential(8, 2, 6, 4.0, kind="so3net")
    with pytest.raises(Exception, match=r"knows painn and schnet, .*so3net|kernel is not there"):
        PaiNNCalculator(model, device="cpu", backend="fused").get_potential_energy(molecule("H2O"))
    assert PaiNNCalculator(model, device="cpu").get_potential_energy(molecule("H2O"))
