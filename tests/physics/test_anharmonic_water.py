"""Bundled water: perturbation theory beside what the model's surface says itself.

The truths are a diagonalisation of the model's own quartic field, and a discrete variable
representation (``radau``) of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.optimize import BFGS
from numpy.typing import NDArray
from oscillators import exact
from radau import absorption, activity, radau_moments

from painn_ase.calculator import PaiNNCalculator
from painn_ase.evaluation import evaluate
from painn_ase.models import bundled_models
from painn_ase.quartic import quartic_field
from painn_ase.spectra import AnharmonicResult, QuarticField, anharmonic
from painn_ase.units import e2_angstrom2_per_ev_to_angstrom3

Array = NDArray[np.float64]
pytestmark = pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model")


@lru_cache
def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.set_masses("most_common")
    atoms.calc = PaiNNCalculator("water", dtype="float64", device="cpu")
    BFGS(atoms, logfile=None).run(fmax=1e-5, steps=500)
    return atoms


@lru_cache
def theory() -> tuple[QuarticField, AnharmonicResult]:
    field = quartic_field(water())
    return field, anharmonic(field)


def properties(positions: Array, name: str, elsewhere: Array) -> Array:
    """The model where it has data, up to 3 eV; beyond, where no level reaches, something else."""
    bonds = positions[:, 1:] - positions[:, :1]
    lengths = np.linalg.norm(bonds, axis=2)
    cosine = np.einsum("na,na->n", bonds[:, 0], bonds[:, 1]) / lengths.prod(axis=1)
    angle = np.degrees(np.arccos(cosine))
    known = ((lengths > 0.70) & (lengths < 1.42)).all(axis=1) & (angle > 55) & (angle < 170)
    frames = [Atoms("OH2", x) for x in positions[known]]
    found = np.repeat(np.asarray(elsewhere, dtype=np.float64)[None], len(positions), axis=0)
    found[known] = [one[name] for one in evaluate(water().calc, frames, [name])]
    return found


@lru_cache
def true_levels(name: str) -> tuple[Array, Array]:
    """Exact levels of the model, and moments of its dipole or polarizability."""
    wall = np.array(water().get_potential_energy() + 4.3)
    shape = {"dipole": (3,), "polarizability": (3, 3)}[name]
    return radau_moments(
        lambda x: properties(x, "energy", wall),
        lambda x: properties(x, name, np.zeros(shape)),
        water().positions,
        water().get_masses(),
        14,
        22,
    )


def nearest(levels: Array, wavenumbers: Array) -> list[int]:
    return [int(np.argmin(np.abs(levels - levels[0] - value))) for value in wavenumbers]


def test_the_exact_levels_of_bundled_water_are_those_of_the_surface_it_learnt() -> None:
    """Of Partridge and Schwenke's surface: 1594.4, 3656.1 and 3755.0 cm⁻¹."""
    learnt = np.array([1594.4, 3656.1, 3755.0])
    levels, _ = true_levels("dipole")
    assert levels[0] == pytest.approx(4638.0, abs=3.0)
    above = levels[nearest(levels, learnt)] - levels[0]
    np.testing.assert_allclose(above, learnt, atol=2.0)


def test_intensities_are_those_of_the_models_quartic_field_diagonalised() -> None:
    """Coriolis terms and all; 3 % of the weak symmetric stretch, below 1 % of strong lines."""
    field, result = theory()
    ours = result.levels
    for surface, strengths, strength, shape in (
        (field.dipole, ours.infrared, absorption, (3,)),
        (field.polarizability, ours.raman, activity, (3, 3)),
    ):
        assert strengths is not None
        levels, moments = exact(field, 16, surface, 15)
        rows = nearest(levels, ours.wavenumbers[:3])
        true = strength(levels[rows] - levels[0], moments[rows].reshape(-1, *shape))
        strong = true > 0.2 * true.max()
        np.testing.assert_allclose(strengths[:3], true, rtol=0.05)
        np.testing.assert_allclose(strengths[:3][strong], true[strong], rtol=0.01)


@pytest.mark.parametrize(
    ("name", "kind", "strength", "scale"),
    [
        ("dipole", "infrared", absorption, 1.0),
        ("polarizability", "raman", activity, e2_angstrom2_per_ev_to_angstrom3),
    ],
)
def test_intensities_are_those_of_the_models_exact_states(
    name: str, kind: str, strength: Callable[[Array, Array], Array], scale: float
) -> None:
    """73.6, 2.8 and 55.3 km/mol, which harmonic modes give as 72.8, 4.5 and 62.2."""
    _, result = theory()
    levels, moments = true_levels(name)
    rows = nearest(levels, result.levels.wavenumbers)
    true = strength(levels[rows] - levels[0], scale * moments[rows])
    ours, bare = getattr(result.levels, kind), getattr(result, f"harmonic_{kind}")
    np.testing.assert_allclose(ours[:3], true[:3], rtol=0.03)
    assert np.linalg.norm(bare / true[:3] - 1.0) > 5.0 * np.linalg.norm(ours[:3] / true[:3] - 1.0)
    # two quanta are to first order, and what is weak is a difference of what is not
    others = true[3:] > 0.2 * np.median(np.sort(true[3:])[-4:])
    assert others.sum() >= 4
    np.testing.assert_allclose(ours[3:][others], true[3:][others], rtol=0.3)
