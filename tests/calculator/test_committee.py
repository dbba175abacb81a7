"""Committees: mean and spread of several models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from painn_ase.calculator import PaiNNCalculator, to_ase
from painn_ase.errors import SpecError
from painn_ase.evaluation import evaluate
from painn_ase.graph import from_ase
from painn_ase.potential import mean_and_spread
from painn_ase.testing import check_equivariance, random_atoms, random_potential

HEADS = ("energy", "dipole:local")


def members(n: int = 3, **options) -> list:
    options = {"heads": HEADS, "dtype": torch.float64, **options}
    return [random_potential(8, 2, 6, 4.0, seed=seed, **options) for seed in range(n)]


def test_a_committee_gives_the_mean_and_the_sample_standard_deviation() -> None:
    potentials, atoms = members(), random_atoms(5, pbc=True)
    committee = PaiNNCalculator(potentials, device="cpu")
    alone = [PaiNNCalculator(p, device="cpu") for p in potentials]
    for name in ("energy", "energies", "forces", "stress", "dipole", "born_effective_charges"):
        each = np.array([c.get_property(name, atoms) for c in alone])
        given = committee.get_property(name, atoms)
        np.testing.assert_allclose(given, each.mean(axis=0), atol=1e-11, err_msg=name)
        if name in ("energy", "forces", "dipole"):
            spread = committee.results[f"{name}_std"]
            np.testing.assert_allclose(spread, each.std(axis=0, ddof=1), atol=1e-11, err_msg=name)


def test_a_committee_of_one_is_that_model_without_a_spread() -> None:
    (potential,), atoms = members(1), random_atoms(4)
    calc = PaiNNCalculator([potential], device="cpu")
    expected = PaiNNCalculator(potential, device="cpu").get_forces(atoms)
    np.testing.assert_array_equal(calc.get_forces(atoms), expected)
    assert not [name for name in calc.results if name.endswith("_std")]


@pytest.mark.parametrize("names", [("energy", "forces"), ("energy", "forces", "stress")])
def test_the_lean_step_of_a_committee_is_the_mean_of_its_predictions(names) -> None:
    atoms = random_atoms(5, pbc=True)
    committee = PaiNNCalculator(members(), device="cpu", dtype="float64")
    if not all(set(names) <= b.step_properties for b in committee.backends):
        pytest.skip("no backend has a lean step here")
    committee.calculate(atoms, names)
    lean = dict(committee.results)
    whole = to_ase(committee.predict(from_ase(atoms, 4.0), names), atoms)
    assert set(whole) <= set(lean)
    for name, values in whole.items():
        np.testing.assert_allclose(lean[name], values, atol=1e-12, err_msg=name)


def test_identical_members_have_no_spread() -> None:
    (potential,), atoms = members(1), random_atoms(4)
    calc = PaiNNCalculator([potential, potential], device="cpu")
    calc.get_forces(atoms)
    np.testing.assert_array_equal(calc.results["forces_std"], 0.0)
    assert calc.results["energy_std"] == 0.0


def test_a_committee_is_equivariant() -> None:
    check_equivariance(PaiNNCalculator(members(2), device="cpu"), random_atoms(4))


def test_spreads_do_not_disturb_what_ase_exports() -> None:
    atoms = random_atoms(4)
    atoms.calc = PaiNNCalculator(members(2), device="cpu")
    given = atoms.get_properties(["energy", "forces", "dipole"])
    np.testing.assert_array_equal(given["forces"], atoms.get_forces())


def test_evaluate_gives_spreads_of_what_was_asked() -> None:
    frames = [random_atoms(n, seed=n) for n in (3, 5)]
    results = evaluate(members(2), frames, ["forces"], device="cpu")
    for atoms, result in zip(frames, results, strict=True):
        assert set(result) == {"forces", "forces_std"}
        assert result["forces_std"].shape == (len(atoms), 3)


@pytest.mark.parametrize(
    ("other", "what"),
    [({"elements": (1, 6)}, "elements"), ({"heads": ("energy",)}, "properties")],
)
def test_members_must_agree(other: dict, what: str) -> None:
    with pytest.raises(SpecError, match=f"must agree in {what}: member 1 has"):
        PaiNNCalculator(members(1) + members(1, **other))


def test_a_mean_of_one_prediction_is_itself() -> None:
    from painn_ase.graph import from_ase

    prediction = members(1)[0](from_ase(random_atoms(3), 4.0), {"energy"})
    mean, spread = mean_and_spread([prediction])
    assert mean is prediction
    assert spread == {}
