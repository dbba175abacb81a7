"""Graphs from ``Atoms``, batches of them, their parts, and padding to static shapes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from painn_ase.errors import GeometryError
from painn_ase.graph import (
    AtomGraph,
    collate,
    from_ase,
    neighbor_pairs,
    pad_graph,
    split,
    stated_charge,
    total_charge,
)
from painn_ase.testing import random_potential

CUTOFF = 4.0


def structures() -> list[Atoms]:
    """Molecule, crystal, slab with a zero vector, single atom, molecule in a box, no neighbours."""
    boxed = molecule("H2O", vacuum=4.0)
    boxed.info["charge"] = -1
    far = Atoms("Ar2", [[0, 0, 0], [0, 0, 90.0]])
    return [
        molecule("CH3CH2OH"),
        bulk("Cu"),
        fcc111("Al", (1, 1, 3)),
        Atoms("He"),
        boxed,
        far,
    ]


def assert_equal(a: AtomGraph, b: AtomGraph) -> None:
    for field in dataclasses.fields(AtomGraph):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert x.dtype == y.dtype
        assert torch.equal(x, y), field.name


def vectors(graph: AtomGraph) -> Tensor:
    cell = graph.cell[graph.system_idx[graph.idx_i]]
    steps = torch.einsum("ea,eab->eb", graph.shifts, cell)
    return graph.positions[graph.idx_j] - graph.positions[graph.idx_i] + steps


@pytest.mark.parametrize("atoms", structures(), ids=lambda a: str(a.symbols))
def test_graph_holds_the_structure_as_it_is(atoms: Atoms) -> None:
    graph = from_ase(atoms, CUTOFF)
    assert graph.n_atoms == len(atoms)
    assert graph.n_systems == 1
    np.testing.assert_array_equal(graph.numbers, atoms.numbers)
    np.testing.assert_array_equal(graph.positions, atoms.positions)
    np.testing.assert_array_equal(graph.cell[0], atoms.cell.array)
    np.testing.assert_array_equal(graph.pbc[0], atoms.pbc)
    assert graph.positions.dtype == graph.cell.dtype == graph.shifts.dtype == torch.float64
    assert graph.numbers.dtype == graph.idx_i.dtype == graph.idx_j.dtype == torch.int64
    assert graph.pbc.dtype == torch.bool
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF)
    assert graph.n_edges == pairs.n_edges
    assert (vectors(graph).norm(dim=1) < CUTOFF).all()


def test_a_graph_shares_no_memory_with_its_atoms() -> None:
    atoms = molecule("H2O")
    graph = from_ase(atoms, CUTOFF)
    before = graph.positions.clone()
    atoms.positions += 1.0
    assert torch.equal(graph.positions, before)


def test_charge_is_the_given_one_then_that_of_the_structure_then_the_models() -> None:
    atoms = molecule("H2O")
    assert from_ase(atoms, CUTOFF).charge.tolist() == [0.0]
    assert from_ase(atoms, CUTOFF, model_charge=-1.0).charge.tolist() == [-1.0]
    atoms.info["charge"] = 1
    assert from_ase(atoms, CUTOFF, model_charge=-1.0).charge.tolist() == [1.0]
    assert from_ase(atoms, CUTOFF, charge=-2).charge.tolist() == [-2.0]
    assert from_ase(atoms, CUTOFF, charge=0, model_charge=-1.0).charge.tolist() == [0.0]


def test_total_charge_in_info_counts_too_and_is_told_once(caplog) -> None:
    atoms = molecule("H2O")
    atoms.info["total_charge"] = -3.25  # a value of this test alone: what is said, is said once
    with caplog.at_level("INFO", logger="painn_ase"):
        assert total_charge(atoms) == stated_charge(atoms) == -3.25
    assert caplog.messages == ['the total charge -3.25 e is taken from atoms.info["total_charge"].']
    atoms.info["charge"] = -3.25
    assert total_charge(atoms, model=1.0) == -3.25


def test_two_different_charges_of_one_structure_are_refused_unless_one_is_given() -> None:
    atoms = molecule("H2O")
    atoms.info.update(charge=1, total_charge=0)
    with pytest.raises(GeometryError, match='says "charge" 1 and "total_charge" 0'):
        total_charge(atoms)
    assert total_charge(atoms, 2.0) == 2.0


@pytest.mark.parametrize("charge", [float("nan"), "plus", None, True])
def test_error_for_a_charge_that_is_no_number(charge: object) -> None:
    atoms = molecule("H2O")
    atoms.info["charge"] = charge
    with pytest.raises(GeometryError, match="total charge"):
        from_ase(atoms, CUTOFF)


def test_error_for_an_empty_structure() -> None:
    with pytest.raises(GeometryError, match="no atoms"):
        from_ase(Atoms(), CUTOFF)


def test_the_masses_are_those_of_the_atoms_through_collate_and_split() -> None:
    heavy, plain = molecule("H2O"), from_ase(molecule("CH4"), CUTOFF).replace(masses=None)
    heavy.set_masses([15.999, 2.014, 1.008])
    graph = collate([from_ase(heavy, CUTOFF), plain])
    standard = molecule("CH4").get_masses().tolist()
    assert graph.masses is not None
    assert graph.masses.tolist() == [15.999, 2.014, 1.008, *standard]
    assert [g.masses.tolist() for g in split(graph)] == [[15.999, 2.014, 1.008], standard]
    padded = pad_graph(graph, graph.n_atoms + 2, graph.n_edges)
    assert padded.masses.tolist()[:8] == graph.masses.tolist()
    assert collate([plain, plain]).masses is None
    assert pad_graph(plain, 7, plain.n_edges).to("cpu").masses is None
    assert split(collate([plain, plain]))[1].masses is None


@pytest.mark.parametrize("masses", [[1.0, float("nan"), 1.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
def test_error_for_masses_that_are_none(masses: list[float]) -> None:
    atoms = molecule("H2O")
    atoms.arrays["masses"] = np.array(masses)
    with pytest.raises(GeometryError, match="masses of H2O must be finite"):
        from_ase(atoms, CUTOFF)


def test_known_pairs_are_taken_instead_of_a_search() -> None:
    atoms = bulk("Cu")
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 6.0)
    assert from_ase(atoms, CUTOFF, pairs=pairs).n_edges == pairs.n_edges


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=7))
def test_split_gives_back_what_was_collated(picks: list[int]) -> None:
    graphs = [from_ase(structures()[k], CUTOFF) for k in picks]
    batch = collate(graphs)
    assert batch.n_systems == len(graphs)
    assert batch.atom_counts().tolist() == [g.n_atoms for g in graphs]
    assert (batch.system_idx.diff() >= 0).all()
    parts = split(batch)
    assert len(parts) == len(graphs)
    for part, graph in zip(parts, graphs, strict=True):
        assert_equal(part, graph)


def test_batches_collate_like_the_structures_in_them() -> None:
    graphs = [from_ase(atoms, CUTOFF) for atoms in structures()]
    assert_equal(collate([collate(graphs[:2]), collate(graphs[2:])]), collate(graphs))


def test_no_edge_of_a_batch_joins_two_structures_and_vectors_stay() -> None:
    graphs = [from_ase(atoms, CUTOFF) for atoms in structures()]
    batch = collate(graphs)
    assert torch.equal(batch.system_idx[batch.idx_i], batch.system_idx[batch.idx_j])
    assert torch.equal(vectors(batch), torch.cat([vectors(g) for g in graphs]))


def test_split_sorts_edges_that_are_not_grouped_by_structure() -> None:
    graphs = [from_ase(atoms, CUTOFF) for atoms in structures()[:2]]
    batch = collate(graphs)
    mixed = torch.arange(batch.n_edges).flip(0)
    shuffled = batch.replace(
        idx_i=batch.idx_i[mixed], idx_j=batch.idx_j[mixed], shifts=batch.shifts[mixed]
    )
    for part, graph in zip(split(shuffled), graphs, strict=True):
        assert torch.equal(part.idx_i, graph.idx_i.flip(0))
        assert torch.equal(part.idx_j, graph.idx_j.flip(0))


def test_gradients_pass_through_a_batch_and_its_parts() -> None:
    graphs = [from_ase(atoms, CUTOFF) for atoms in structures()[:3]]
    positions = [g.positions.requires_grad_() for g in graphs]
    parts = split(collate(graphs))
    parts[1].positions.sum().backward()
    assert positions[1].grad is not None
    assert torch.equal(positions[1].grad, torch.ones_like(positions[1]))


def test_error_for_a_batch_of_nothing() -> None:
    with pytest.raises(GeometryError, match="at least one"):
        collate([])


def test_padding_leaves_the_real_structures_untouched() -> None:
    graphs = [from_ase(atoms, CUTOFF) for atoms in structures()]
    batch = collate(graphs)
    padded = pad_graph(batch, batch.n_atoms + 5, batch.n_edges + 17)
    assert (padded.n_atoms, padded.n_edges) == (batch.n_atoms + 5, batch.n_edges + 17)
    assert padded.n_systems == batch.n_systems + 1
    for part, graph in zip(split(padded)[:-1], graphs, strict=True):
        assert_equal(part, graph)


@pytest.mark.parametrize(("n_ghosts", "n_edges"), [(2, 0), (2, 1), (3, 64), (500, 7)])
def test_padding_edges_are_longer_than_any_cutoff_and_touch_ghosts_only(
    n_ghosts: int, n_edges: int
) -> None:
    water = from_ase(molecule("H2O"), CUTOFF)
    ghosts = split(pad_graph(water, 3 + n_ghosts, water.n_edges + n_edges))[-1]
    assert (ghosts.n_atoms, ghosts.n_edges) == (n_ghosts, n_edges)
    assert set(ghosts.numbers.tolist()) <= set(water.numbers.tolist())
    assert (vectors(ghosts).norm(dim=1) >= 1000.0).all()
    assert torch.pdist(ghosts.positions).min() >= 1000.0
    assert not ghosts.pbc.any()
    assert not ghosts.charge.any()


def test_a_network_sees_no_difference_through_padding() -> None:
    potential = random_potential(n_features=16, heads=("energy",)).to(torch.float64)
    molecules = [molecule("CH3CH2OH"), molecule("H2O")]
    batch = collate([from_ase(atoms, potential.cutoff) for atoms in molecules])
    padded = pad_graph(batch, batch.n_atoms + 4, batch.n_edges + 30)
    plain = potential(batch, ["energy", "forces"])
    more = potential(padded, ["energy", "forces"])
    torch.testing.assert_close(more.energy[:2], plain.energy, rtol=0, atol=1e-11)
    torch.testing.assert_close(more.forces[: batch.n_atoms], plain.forces, rtol=0, atol=1e-11)
    assert not more.forces[batch.n_atoms :].any()


def test_padded_edges_stay_sorted_by_centre() -> None:
    water = from_ase(molecule("H2O"), CUTOFF)
    assert (pad_graph(water, 8, 40).idx_i.diff() >= 0).all()


@pytest.mark.parametrize(("n_atoms", "n_edges"), [(4, 60), (3, 6), (2, 60), (9, 5)])
def test_error_for_a_padding_that_does_not_fit(n_atoms: int, n_edges: int) -> None:
    water = from_ase(molecule("H2O"), CUTOFF)
    with pytest.raises(GeometryError, match="does not fit"):
        pad_graph(water, n_atoms, n_edges)
