"""Bad input: a clear error that names the given, the allowed and the remedy; nothing is lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import (
    DeviceError,
    GeometryError,
    ModelFileError,
    NonFiniteError,
    PaiNNError,
    SpecError,
    UnknownElementError,
)
from painn_ase.testing import random_atoms, random_potential

MOLECULAR = ("energy", "dipole", "polarizability", "charges")
LOCAL = ("energy", "dipole:local", "polarizability:local")
BACKENDS = ["auto", "eager"]


@pytest.fixture(params=BACKENDS)
def calc(request) -> PaiNNCalculator:
    potential = random_potential(8, 2, 6, 4.0, heads=MOLECULAR)
    return PaiNNCalculator(potential, device="cpu", backend=request.param)


def with_position(value: float) -> Atoms:
    atoms = molecule("CH3OH")
    atoms.positions[2, 1] = value
    return atoms


def with_cell(value: float) -> Atoms:
    atoms = random_atoms(4, pbc=True)
    cell = atoms.cell.array.copy()
    cell[1, 1] = value
    atoms.cell.array[:] = cell
    return atoms


def coincident(pbc: bool = False) -> Atoms:
    atoms = random_atoms(5, pbc=pbc)
    atoms.positions[3] = atoms.positions[1]
    return atoms


BAD = {
    "unknown element": (Atoms("HF", [[0, 0, 0], [0, 0, 1]]), UnknownElementError, "F.*H, C, N, O"),
    "placeholder element": (Atoms("XH", [[0, 0, 0], [0, 0, 1]]), UnknownElementError, "H, C, N, O"),
    "NaN position": (with_position(np.nan), GeometryError, "atom 2 at .*nan"),
    "infinite position": (with_position(np.inf), GeometryError, "atom 2 at .*inf"),
    "NaN cell": (with_cell(np.nan), GeometryError, "(?i)cell holds NaN"),
    "infinite cell": (with_cell(np.inf), GeometryError, "(?i)cell holds NaN, infinity"),
    "no atoms": (Atoms(), GeometryError, "no atoms; at least one"),
    "coincident atoms": (coincident(), GeometryError, "Atoms 1 and 3 are at the same place"),
    "coincident in a crystal": (coincident(True), GeometryError, "Atoms 1 and 3"),
    "periodic without a vector": (
        Atoms("H2", [[0, 0, 0], [0, 0, 1]], pbc=[True, False, False]),
        GeometryError,
        "Direction a is periodic .*set_cell",
    ),
    "flat cell": (
        Atoms("H", cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True),
        GeometryError,
        "linearly dependent",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("property_", ["energy", "forces", "born_effective_charges"])
def test_a_structure_without_meaning_is_refused(calc, name: str, property_: str) -> None:
    atoms, error, message = BAD[name]
    if atoms.pbc.any() and property_ == "born_effective_charges":
        error, message = (PaiNNError, None)
    with pytest.raises(error, match=message):
        calc.get_property(property_, atoms)


@pytest.mark.parametrize("name", BAD)
def test_after_an_error_the_calculator_works_as_before(calc, name: str) -> None:
    good = random_atoms(4)
    expected = calc.get_forces(good)
    with pytest.raises(PaiNNError):
        calc.get_forces(BAD[name][0])
    assert calc.results == {}
    assert calc.atoms is None
    np.testing.assert_array_equal(calc.get_forces(good), expected)


@pytest.mark.parametrize("name", ["positions", "element", "coincident"])
def test_a_structure_that_turns_bad_during_a_run_is_noticed(calc, name: str) -> None:
    """Also while the pair list of an earlier step is still in use."""
    atoms = molecule("CH3OH")
    atoms.calc = calc
    atoms.get_forces()
    if name == "positions":
        atoms.positions[0, 0] = np.nan
    elif name == "element":
        atoms.numbers[0] = 9
    else:
        atoms.positions[5] = atoms.positions[4]
    with pytest.raises((GeometryError, UnknownElementError)):
        atoms.get_forces()


def test_fused_and_eager_refuse_the_same_elements() -> None:
    potential = random_potential(8, 2, 6, 4.0, elements=(1, 6, 8))
    for backend in BACKENDS:
        with pytest.raises(UnknownElementError, match=r"N.*H, C, O only"):
            PaiNNCalculator(potential, backend=backend).get_potential_energy(molecule("NH3"))


@pytest.mark.parametrize("charge", [np.nan, np.inf, "one", None, [1, 2]])
def test_a_charge_that_is_no_number_is_refused(calc, charge) -> None:
    atoms = random_atoms(4)
    calc.get_charges(atoms)
    atoms.info["charge"] = charge
    with pytest.raises(GeometryError, match="must be a finite number in e"):
        calc.get_charges(atoms)
    if charge is not None:
        with pytest.raises(GeometryError, match="must be a finite number in e"):
            PaiNNCalculator(calc.potential, charge=charge)


# -- what a model or a structure cannot have -------------------------------------------------------


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 1, 1)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_stress_of_what_is_not_a_crystal_is_refused_with_the_reason(pbc, backend: str) -> None:
    calc = PaiNNCalculator(random_potential(8, 2, 6, 4.0), backend=backend)
    atoms = random_atoms(4, pbc=pbc)
    atoms.calc = calc
    with pytest.raises(PropertyNotImplementedError, match=r"volume .* periodic in all three dir"):
        atoms.get_stress()
    assert atoms.get_forces().shape == (4, 3)


@pytest.mark.parametrize(
    "name",
    ["dipole", "polarizability", "born_effective_charges", "polarizability_derivatives"],
)
def test_lever_arms_in_a_periodic_cell_are_refused_with_the_remedy(calc, name: str) -> None:
    for pbc in (True, (False, False, True)):
        with pytest.raises(PropertyNotImplementedError, match=r"'local', or set atoms\.pbc"):
            calc.get_property(name, random_atoms(4, pbc=pbc))


def test_fluxes_with_lever_arms_in_a_periodic_cell_are_refused_too(calc) -> None:
    atoms = random_atoms(4, pbc=True)
    for method in (calc.get_dipole_flux, calc.get_polarizability_flux, calc.get_fluxes):
        with pytest.raises(PropertyNotImplementedError, match="'local'"):
            method(atoms)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dipole", "'dipole' is not among what this model gives: energy, .*forces"),
        ("polarizability", "is not among"),
        ("magmom", "'magmom' is not among"),
        ("dipole_flux", r"depends on velocities: call calc\.get_dipole_flux"),
    ],
)
def test_a_missing_head_is_named_with_what_there_is(name: str, message: str) -> None:
    calc = PaiNNCalculator(random_potential(8, 1, 4))
    with pytest.raises(PropertyNotImplementedError, match=message):
        calc.get_property(name, random_atoms(3))


def test_a_flux_without_its_head_is_refused() -> None:
    calc = PaiNNCalculator(random_potential(8, 1, 4))
    with pytest.raises(PropertyNotImplementedError, match="head 'dipole', and the model has"):
        calc.get_dipole_flux(random_atoms(3))


@pytest.mark.parametrize("velocities", [np.zeros((2, 3)), np.full((4, 3), np.nan)])
def test_velocities_of_wrong_shape_or_without_value_are_refused(calc, velocities) -> None:
    with pytest.raises(GeometryError, match=r"velocities must be finite numbers of shape \(4, 3\)"):
        calc.get_dipole_flux(random_atoms(4), velocities)


# -- devices, dtypes, models -----------------------------------------------------------------------


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x", "meta", 3.5])
def test_an_unknown_device_is_refused_with_those_there_are(device) -> None:
    with pytest.raises(DeviceError, match="cpu"):
        PaiNNCalculator(random_potential(8, 1, 4), device=device)


@pytest.mark.parametrize("dtype", ["float16", torch.bfloat16, "double", np.float64, "int", 64])
def test_an_unknown_dtype_is_refused_with_those_there_are(dtype) -> None:
    with pytest.raises(DeviceError, match=r"'float32' .fast. and 'float64' .exact."):
        PaiNNCalculator(random_potential(8, 1, 4), dtype=dtype)


@pytest.mark.parametrize("model", [None, 3.5, torch.nn.Linear(1, 1), [None], {"a": 1}])
def test_what_is_no_model_is_refused(model) -> None:
    with pytest.raises(ModelFileError, match="a model is a path, the name of a bundled model"):
        PaiNNCalculator(model)


def test_a_missing_file_names_the_bundled_models() -> None:
    with pytest.raises(ModelFileError, match=r"no model file 'etanol'.*Bundled"):
        PaiNNCalculator("etanol")


def test_a_negative_skin_is_refused() -> None:
    with pytest.raises(GeometryError, match="skin is -1"):
        PaiNNCalculator(random_potential(8, 1, 4), skin=-1)


def test_an_empty_committee_is_refused() -> None:
    with pytest.raises(SpecError, match="at least one model"):
        PaiNNCalculator([])


@pytest.mark.parametrize("name", ["energy", "forces", "hessian"])
def test_a_result_that_is_not_finite_is_an_error_and_not_a_result(name: str) -> None:
    potential = random_potential(8, 2, 6, 4.0)
    potential.heads["energy"].mlp[0].weight[0, 0] = 1e38
    potential.heads["energy"].mlp[0].weight[1, 0] = -1e38
    potential.heads["energy"].mlp[2].weight.fill_(1e38)
    calc = PaiNNCalculator(potential, device="cpu", backend="eager")
    with pytest.raises(NonFiniteError, match=r"came out NaN or infinite for CH4O.*go back"):
        calc.get_property(name, molecule("CH3OH"))
    assert calc.results == {}


# -- whatever comes: a number or an error of ours --------------------------------------------------

numbers_ = st.one_of(
    st.floats(-20, 20), st.sampled_from([0.0, math.nan, math.inf, -math.inf, 1e-300, 1e9, 1e300])
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    positions=st.lists(st.tuples(numbers_, numbers_, numbers_), max_size=4),
    cell=st.lists(numbers_, min_size=9, max_size=9),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    z=st.sampled_from([1, 6, 8, 9, 0]),
)
def test_any_structure_gives_finite_numbers_or_an_error_of_ours(positions, cell, pbc, z) -> None:
    atoms = Atoms([z] * len(positions), positions=np.reshape(positions, (-1, 3)), pbc=pbc)
    atoms.cell.array[:] = np.reshape(cell, (3, 3))
    names = ["energy", "forces", "dipole"] + (["stress"] if all(pbc) else [])
    calc = _calculator()
    for name in names:
        try:
            value = calc.get_property(name, atoms)
        except PaiNNError as error:
            message = str(error)
            break
        assert np.isfinite(value).all()
    else:
        return
    assert len(message) > 30


def _calculator(made: list = []) -> PaiNNCalculator:  # noqa: B006
    if not made:
        made.append(PaiNNCalculator(random_potential(6, 1, 4, 2.5, heads=LOCAL), device="cpu"))
    return made[0]
