"""Many structures in one call say what each says alone; padding changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.errors import UnknownElementError, UnsupportedPropertyError
from painn_ase.graph import collate, from_ase, pad_graph
from painn_ase.testing import random_atoms, random_potential

MOLECULAR = ("energy", "dipole", "polarizability", "charges")
LOCAL = ("energy", "dipole:local", "polarizability:local", "charges")


def close(place, a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=place.tolerance.rtol, atol=place.tolerance.atol)


def mixed(pbc_of_each) -> list:
    sizes = (5, 1, 7, 2)
    return [random_atoms(n, pbc=p, seed=n) for n, p in zip(sizes, pbc_of_each, strict=True)]


@pytest.mark.parametrize(
    ("heads", "pbc"),
    [
        (MOLECULAR, (False,) * 4),
        (LOCAL, (True,) * 4),
        (LOCAL, (False, True, (True, False, True), (False, False, True))),
    ],
    ids=["molecules", "crystals", "mixed"],
)
def test_structures_of_different_size_cell_pbc_and_charge_agree_with_each_alone(
    place, heads: tuple[str, ...], pbc
) -> None:
    potential = place.potential(8, 2, 6, 4.0, heads=heads)
    frames = mixed(pbc)
    names = set(potential.properties) - {"hessian"} - (set() if all(pbc) else {"stress"})
    names = names if all(p is True for p in pbc) else names - {"stress"}
    graphs = [
        from_ase(a, 4.0, charge=q).to(place.device)
        for a, q in zip(frames, (0.0, 1.0, -1.0, 0.5), strict=True)
    ]
    velocities = [torch.tensor(a.get_velocities(), device=place.device) for a in frames]
    together = potential(collate(graphs), names, torch.cat(velocities))
    parts = together.split([len(a) for a in frames])
    for graph, v, part in zip(graphs, velocities, parts, strict=True):
        alone = potential(graph, names, v).present()
        assert set(alone) == names
        for name, value in alone.items():
            close(place, part.present()[name], value)


def test_padding_leaves_the_real_structures_as_they_were(place) -> None:
    potential = place.potential(8, 2, 6, 4.0, heads=LOCAL)
    graph = from_ase(random_atoms(5, pbc=True), 4.0).to(place.device)
    padded = pad_graph(graph, 12, graph.n_edges + 50)
    names = {"energy", "energies", "forces", "dipole", "polarizability", "charges"}
    names |= {"born_effective_charges", "polarizability_derivatives"}
    plain, more = potential(graph, names).present(), potential(padded, names).present()
    for name, value in plain.items():
        close(place, more[name][: len(value)], value)
        assert torch.isfinite(more[name]).all(), name


def test_order_of_the_edges_does_not_matter() -> None:
    potential = random_potential(8, 2, 6, 4.0, dtype=torch.float64)
    graph = from_ase(random_atoms(6, pbc=True), 4.0)
    order = torch.randperm(graph.n_edges, generator=torch.Generator().manual_seed(0))
    shuffled = graph.replace(
        idx_i=graph.idx_i[order], idx_j=graph.idx_j[order], shifts=graph.shifts[order]
    )
    names = {"energy", "forces", "stress"}
    for name, value in potential(graph, names).present().items():
        other = potential(shuffled, names).present()[name]
        torch.testing.assert_close(other, value, rtol=1e-10, atol=1e-11)


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    periodic=st.lists(
        st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=5, max_size=5
    ),
)
def test_any_batch_agrees_with_its_structures(sizes, periodic) -> None:
    potential = random_potential(8, 1, 4, 3.0, heads=LOCAL, dtype=torch.float64)
    frames = [
        random_atoms(n, pbc=p, seed=k)
        for k, (n, p) in enumerate(zip(sizes, periodic, strict=False))
    ]
    graphs = [from_ase(a, 3.0) for a in frames]
    together = potential(collate(graphs), {"energy", "forces"}).split([len(a) for a in frames])
    for graph, part in zip(graphs, together, strict=True):
        alone = potential(graph, {"energy", "forces"})
        torch.testing.assert_close(part.energy, alone.energy, rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(part.forces, alone.forces, rtol=1e-10, atol=1e-11)


def test_float32_agrees_with_float64_within_its_stated_tolerance() -> None:
    from painn_ase.testing import TOLERANCES

    potential = random_potential(16, 3, 10, 4.0, heads=LOCAL)
    exact = random_potential(16, 3, 10, 4.0, heads=LOCAL).double()
    graph = from_ase(random_atoms(8, pbc=True), 4.0)
    names = set(potential.properties) - {"dipole_flux", "polarizability_flux"}
    said, truth = potential(graph, names).present(), exact(graph, names).present()
    bound = TOLERANCES[torch.float32]
    for name, value in said.items():
        assert value.dtype == torch.float64
        allowed = bound.atol + bound.rtol * truth[name].abs().max()
        assert (value - truth[name]).abs().max() < allowed, name


def test_only_what_is_asked_for_is_given() -> None:
    potential = random_potential(8, 1, 4, heads=MOLECULAR)
    graph = from_ase(random_atoms(4), 5.0)
    for name in set(potential.properties) - {"stress", "dipole_flux", "polarizability_flux"}:
        assert set(potential(graph, {name}).present()) == {name}


def test_a_head_that_nobody_asked_for_does_not_run() -> None:
    potential = random_potential(8, 1, 4, heads=MOLECULAR)
    ran = []
    for name, head in potential.heads.items():
        head.register_forward_hook(lambda *_, name=name: ran.append(name))
    graph = from_ase(random_atoms(4), 5.0)
    potential(graph, {"forces", "energy"})
    assert ran == ["energy"]
    potential(graph, {"charges"})
    assert ran == ["energy", "charges"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"magmom"}, "unknown property 'magmom'; known are energy"),
        ({"polarizability"}, "needs a head 'polarizability', and the model has energy, dipole"),
        ({"stress"}, r"periodic in all three directions; got pbc .*Set atoms.pbc = True"),
        ({"dipole_flux"}, r"dipole_flux needs velocities \(n_atoms, 3\)"),
    ],
)
def test_what_cannot_be_given_is_refused_with_the_remedy(names, message: str) -> None:
    potential = random_potential(8, 1, 4, heads=("energy", "dipole"))
    with pytest.raises(UnsupportedPropertyError, match=message):
        potential(from_ase(random_atoms(4), 5.0), names)


def test_a_hessian_of_a_batch_is_refused() -> None:
    potential = random_potential(8, 1, 4)
    graphs = [from_ase(random_atoms(3), 5.0)] * 2
    with pytest.raises(UnsupportedPropertyError, match="one structure at a time; got 2"):
        potential(collate(graphs), {"hessian"})


@pytest.mark.parametrize("z", [0, 9, 118])
def test_an_element_the_model_does_not_know_is_named(z: int) -> None:
    atoms = random_atoms(3)
    atoms.numbers[1] = z
    with pytest.raises(UnknownElementError, match=r"trained on H, C, N, O only"):
        random_potential(8, 1, 4)(from_ase(atoms, 5.0), {"energy"})


def test_numbers_beyond_the_periodic_table_are_refused_too() -> None:
    graph = from_ase(random_atoms(3), 5.0)
    for z in (-1, 500):
        with pytest.raises(UnknownElementError, match=f"Z={z}"):
            random_potential(8, 1, 4)(graph.replace(numbers=graph.numbers * 0 + z), {"energy"})


def test_masses_and_elements_follow_the_model(place) -> None:
    potential = place.potential(8, 1, 4, heads=("energy", "dipole"))
    assert potential.elements == (1, 6, 7, 8)
    assert potential.dtype == place.dtype
    np.testing.assert_allclose(
        potential.masses_by_element.values.cpu().numpy(), [1.008, 12.011, 14.007, 15.999], atol=1e-3
    )
