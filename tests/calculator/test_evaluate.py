"""evaluate() says of many structures what the calculator says of each."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from painn_ase.calculator import PaiNNCalculator, PropertyUnavailableError
from painn_ase.errors import GeometryError, UnknownElementError
from painn_ase.evaluation import evaluate
from painn_ase.testing import assert_close, random_atoms, random_potential

LOCAL = ("energy", "dipole:local", "polarizability:local", "charges")
MIXED = [False, True, (True, True, False), (False, False, True), True, False]


def frames() -> list[Atoms]:
    made = [random_atoms(n, pbc=p, seed=n) for n, p in zip((4, 2, 6, 3, 1, 1), MIXED, strict=True)]
    made[0].info["charge"] = 1
    return made


@pytest.mark.parametrize("limits", [(1024, 32768), (7, 32768), (1024, 60), (1, 1)])
def test_mixed_structures_agree_with_each_alone_however_they_are_batched(place, limits) -> None:
    potential = place.potential(8, 2, 6, 4.0, heads=LOCAL)
    calc = place.calculator(potential, backend="eager")
    names = ["energy", "free_energy", "energies", "forces", "dipole", "polarizability", "charges"]
    names += ["born_effective_charges", "polarizability_derivatives", "hessian"]
    names += ["dipole_flux", "polarizability_flux"]
    results = evaluate(calc, frames(), names, batch_atoms=limits[0], batch_edges=limits[1])
    for atoms, result in zip(frames(), results, strict=True):
        assert set(result) == set(names)
        for name in names:
            flux = name.endswith("flux")
            value = getattr(calc, f"get_{name}")(atoms) if flux else calc.get_property(name, atoms)
            given, expected = np.asarray(result[name]), np.asarray(value)
            assert given.shape == expected.shape, name
            assert_close(name, given, expected, place.tolerance, "in a batch")


def test_stress_of_crystals_is_in_voigt_order_as_the_calculators() -> None:
    calc = PaiNNCalculator(random_potential(8, 2, 6, 4.0), device="cpu")
    crystals = [random_atoms(n, pbc=True, seed=n) for n in (2, 5)]
    for atoms, result in zip(crystals, evaluate(calc, crystals, ["stress"]), strict=True):
        np.testing.assert_allclose(result["stress"], calc.get_stress(atoms), atol=1e-5)


def test_a_generator_is_consumed_in_order_and_nothing_gives_nothing() -> None:
    potential = random_potential(8, 1, 4)
    sizes = (3, 1, 4)
    results = evaluate(potential, (random_atoms(n) for n in sizes), "energies")
    assert [len(r["energies"]) for r in results] == list(sizes)
    assert evaluate(potential, []) == []


def test_the_total_charges_of_the_structures_count() -> None:
    charged = [random_atoms(4), random_atoms(4), random_atoms(4)]
    charged[1].info["charge"] = 2
    results = evaluate(random_potential(8, 1, 4, heads=("charges",)), charged, ["charges"])
    assert [round(r["charges"].sum(), 6) for r in results] == [0, 2, 0]


@pytest.mark.parametrize(
    ("bad", "names", "error"),
    [
        (Atoms("HF", [[0, 0, 0], [0, 0, 1]]), ["energy"], UnknownElementError),
        (Atoms("H2"), ["energy"], GeometryError),
        (Atoms(), ["energy"], GeometryError),
        (Atoms("H"), ["stress"], PropertyUnavailableError),
        (Atoms("H"), ["dipole"], PropertyUnavailableError),
        (Atoms("H"), ["nonsense"], PropertyUnavailableError),
    ],
)
def test_one_bad_structure_or_name_is_refused(bad: Atoms, names, error) -> None:
    with pytest.raises(error):
        evaluate(random_potential(8, 1, 4), [random_atoms(3, pbc=True), bad], names)
