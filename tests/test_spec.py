"""Descriptions of models: typed, complete, and refused with the place where they are wrong."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from painn_ase.errors import SpecError
from painn_ase.spec import (
    ChargesSpec,
    DipoleSpec,
    EnergySpec,
    HeadsSpec,
    ModelSpec,
    PaiNNSpec,
    PolarizabilitySpec,
    from_dict,
    to_dict,
)

widths = st.one_of(st.none(), st.lists(st.integers(1, 99), max_size=3).map(tuple))
width = st.one_of(st.none(), st.integers(1, 99))
reals = st.floats(-1e6, 1e6)
elements = st.sets(st.integers(1, 118), min_size=1, max_size=6).map(lambda z: tuple(sorted(z)))


@st.composite
def model_specs(draw) -> ModelSpec:
    z = draw(elements)
    per_element = st.one_of(st.just(()), st.tuples(*[reals] * len(z)))
    epsilon = st.floats(0, 1)
    energy = st.builds(EnergySpec, widths, reals, per_element)
    kinds = st.sampled_from(["latent_charge", "local"])
    dipole = st.builds(DipoleSpec, kinds, width, st.integers(1, 9), reals, epsilon)
    alpha = st.builds(PolarizabilitySpec, n_hidden=width, isotropic=per_element)
    heads = HeadsSpec(
        draw(energy),
        draw(st.one_of(st.none(), dipole)),
        draw(st.one_of(st.none(), alpha)),
        draw(st.one_of(st.none(), st.builds(ChargesSpec, widths, reals))),
    )
    sizes = st.integers(2, 300)
    net = st.builds(
        PaiNNSpec,
        sizes,
        st.integers(1, 100),
        sizes,
        st.floats(0.1, 20),
        st.sampled_from(["bessel", "gaussian"]),
        st.sampled_from(["cosine", "polynomial"]),
        st.booleans(),
        st.lists(st.integers(1, 50), max_size=3).map(tuple),
        st.booleans(),
        epsilon,
    )
    return ModelSpec(z, heads, draw(net), draw(reals), name=draw(st.text(max_size=9)))


@given(spec=model_specs())
def test_a_spec_survives_json(spec: ModelSpec) -> None:
    assert from_dict(ModelSpec, json.loads(json.dumps(to_dict(spec)))) == spec


def test_defaults_are_those_of_the_paper() -> None:
    spec = PaiNNSpec()
    assert (spec.n_features, spec.n_interactions, spec.n_rbf, spec.cutoff) == (128, 3, 20, 5.0)
    assert (spec.radial_basis, spec.cutoff_function, spec.epsilon) == ("bessel", "cosine", 1e-8)


def test_a_spec_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PaiNNSpec().cutoff = 6.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_features": 1}, "n_features must be at least 2; got 1"),
        ({"n_interactions": 0}, "n_interactions must be at least 1; got 0"),
        ({"n_interactions": 101}, "n_interactions must be at most 100; got 101"),
        ({"n_rbf": -3}, "n_rbf must be at least 1"),
        ({"n_features": 8.5}, r"PaiNNSpec\.n_features: 8\.5 is not of type int"),
        ({"n_features": True}, "True is not of type int"),
        ({"n_features": "8"}, "'8' is not of type int"),
        ({"cutoff": 0.0}, "cutoff must be a positive length in Å; got 0"),
        ({"cutoff": math.inf}, "inf is not a finite number"),
        ({"cutoff": 10**400}, "is not a finite number"),
        ({"cutoff": None}, "None is not of type float"),
        ({"epsilon": -1e-9}, "epsilon must not be negative"),
        ({"radial_basis": "fourier"}, "'fourier' is not one of 'bessel', 'gaussian'"),
        ({"cutoff_function": "step"}, "'step' is not one of 'cosine', 'polynomial'"),
        ({"filter_hidden": (4, 0)}, "filter_hidden needs widths"),
        ({"filter_hidden": 4}, "filter_hidden: 4 is not of type"),
        ({"shared_filters": 1}, "1 is not of type bool"),
    ],
)
def test_impossible_architectures_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        PaiNNSpec(**arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EnergySpec(n_hidden=(0,)), "n_hidden needs widths"),
        (lambda: EnergySpec(scale=math.nan), "nan is not a finite number"),
        (lambda: DipoleSpec(kind="point"), "'point' is not one of 'latent_charge', 'local'"),
        (lambda: DipoleSpec(rank=0), "rank must be at least 1; got 0"),
        (lambda: DipoleSpec(n_hidden=0), "n_hidden must be at least 1"),
        (lambda: DipoleSpec(gate_epsilon=-1.0), "gate_epsilon must not be negative"),
        (lambda: PolarizabilitySpec(origin="here"), "'here' is not one of 'center_of_mass'"),
        (lambda: HeadsSpec(), "a model needs at least one head"),
        (lambda: HeadsSpec(energy=3), "expected an object with keys, got int"),
    ],
)
def test_impossible_heads_are_refused(make, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"elements": ()}, "elements must name at least one atomic number"),
        ({"elements": (1, 119)}, r"atomic numbers 1\.\.118"),
        ({"elements": (6, 1)}, "ascend without repeats"),
        ({"elements": (1, 1)}, "ascend without repeats"),
        ({"elements": ("H",)}, r"elements\[0\]: 'H' is not of type int"),
        ({"heads": HeadsSpec(EnergySpec(reference_energies=(1.0,)))}, "one number per element"),
        ({"heads": HeadsSpec(polarizability=PolarizabilitySpec(isotropic=(1.0,)))}, "isotropic"),
        ({"total_charge": math.nan}, "nan is not a finite number"),
    ],
)
def test_impossible_models_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ModelSpec(**{"elements": (1, 8), "heads": HeadsSpec(EnergySpec()), **arguments})


def test_numbers_of_numpy_become_plain_ones_that_json_can_write() -> None:
    energy = EnergySpec(scale=np.float32(0.5), reference_energies=[np.float64(1), np.int64(2)])
    spec = ModelSpec(elements=list(np.array([1, 8])), heads=HeadsSpec(energy))
    assert spec.elements == (1, 8)
    assert type(spec.elements[0]) is int
    assert json.loads(json.dumps(to_dict(spec)))["heads"]["energy"]["scale"] == 0.5


def test_missing_and_unknown_keys_name_the_place_and_what_is_allowed() -> None:
    with pytest.raises(SpecError, match=r"ModelSpec: missing key\(s\) elements, heads"):
        from_dict(ModelSpec, {})
    data = {"elements": [1], "heads": {"energy": {"scales": 1.0}}}
    with pytest.raises(SpecError, match=r"ModelSpec\.heads\.energy: unknown key.* 'scales'; all"):
        from_dict(ModelSpec, data)


def test_the_heads_present_are_listed_in_a_fixed_order() -> None:
    heads = HeadsSpec(charges=ChargesSpec(), energy=EnergySpec(), dipole=DipoleSpec())
    assert heads.names == ("energy", "dipole", "charges")
