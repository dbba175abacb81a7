"""The core: plain tensors, shares of a divided system, and programs made of it by tracing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from ase import Atoms
from torch.fx.experimental.proxy_tensor import make_fx

from painn_ase.graph import AtomGraph, collate, from_ase
from painn_ase.nn.exchange import GhostExchange, GlobalSum
from painn_ase.potential import AtomisticPotential, CoreInput, core_input
from painn_ase.quantities import QUANTITIES
from painn_ase.spec import NetworkSpec
from painn_ase.testing import random_atoms, random_potential

KINDS = sorted(NetworkSpec.KINDS)
#: Tracing takes seconds a network: the first at once, the others with the slow tests.
TRACED = ["painn", *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k != "painn")]


def potential_of(
    kind: str, form: str, dtype: torch.dtype = torch.float64, n_interactions: int = 3
) -> AtomisticPotential:
    """A small potential with all heads its network can carry, in local form or with lever arms."""
    heads = ["energy", "charges"]
    if NetworkSpec.KINDS[kind].gives_vectors:
        suffix = ":local" if form == "local" else ""
        heads += [f"dipole{suffix}", f"polarizability{suffix}"]
    elif form != "local":
        heads += ["dipole:point_charge"]
    return random_potential(8, n_interactions, 6, 3.0, heads=heads, kind=kind, dtype=dtype)


def input_of(potential: AtomisticPotential, graph: AtomGraph) -> CoreInput:
    return core_input(graph, potential.element_rows, periodic=bool(graph.pbc.any()))


def moving(atoms: Atoms) -> torch.Tensor:
    return torch.from_numpy(atoms.get_velocities())


# -- a system divided among processes --------------------------------------------------------------


class Team:
    """Processes that are threads: what they put on the table all can read after a barrier."""

    def __init__(self, n: int) -> None:
        self.table: list[torch.Tensor | None] = [None] * n
        self.barrier = threading.Barrier(n, timeout=20)
        self.n_calls = 0

    def gather(self, rank: int, values: torch.Tensor) -> list[torch.Tensor]:
        self.table[rank] = values.detach().clone()
        self.barrier.wait()
        everyones = list(self.table)
        self.n_calls += rank == 0
        self.barrier.wait()
        return everyones


@dataclass
class Domain:
    """One process's share of a structure: which atoms it owns, and whose copies its ghosts are."""

    rank: int
    team: Team
    given: CoreInput
    velocities: torch.Tensor
    owned: torch.Tensor
    owners: list[tuple[int, int]]  # rank and row there, of each ghost

    def exchange(self) -> GhostExchange:
        return GhostExchange(self.fill, self.add)

    def total(self) -> GlobalSum:
        return GlobalSum(lambda x: torch.stack(self.team.gather(self.rank, x)).sum(dim=0))

    def fill(self, buffer: torch.Tensor) -> torch.Tensor:
        everyones = self.team.gather(self.rank, buffer)
        copies = [everyones[rank][row] for rank, row in self.owners]
        return torch.cat([buffer[: len(self.owned)], *(c[None] for c in copies)])

    def add(self, buffer: torch.Tensor) -> torch.Tensor:
        everyones = self.team.gather(self.rank, buffer)
        out = torch.zeros_like(buffer)
        out[: len(self.owned)] = buffer[: len(self.owned)]
        for domain in self.team.domains:
            ghosts = everyones[domain.rank][len(domain.owned) :]
            for (rank, row), value in zip(domain.owners, ghosts, strict=True):
                if rank == self.rank:
                    out[row] += value
        return out


def divided(
    potential: AtomisticPotential, atoms: Atoms, n: int, origin: torch.Tensor | None
) -> list[Domain]:
    """The shares of `n` processes, the last but of one without atoms; every image is a ghost."""
    graph = from_ase(atoms, potential.cutoff)
    whole, velocities = input_of(potential, graph), moving(atoms)
    rank_of = np.argsort(np.argsort(atoms.positions[:, 0])) * max(n - 1, 1) // len(atoms)
    owned = [torch.from_numpy(np.flatnonzero(rank_of == r)) for r in range(n)]
    row_of = {int(i): (r, k) for r, mine in enumerate(owned) for k, i in enumerate(mine)}
    team = Team(n)
    shifts = graph.shifts.long().tolist()
    domains = []
    for rank, mine in enumerate(owned):
        edges = [e for e, i in enumerate(graph.idx_i.tolist()) if row_of[i][0] == rank]
        local = {(int(i), (0, 0, 0)): k for k, i in enumerate(mine)}
        for e in edges:
            local.setdefault((int(graph.idx_j[e]), tuple(shifts[e])), len(local))
        if not len(mine):  # a process may have ghosts and nothing else
            local = {(0, (0, 0, 0)): 0, (1, (0, 0, 0)): 1}
        atom = torch.tensor([i for i, _ in local])
        away = torch.tensor([s for _, s in local], dtype=torch.float64) @ graph.cell[0]
        given = CoreInput(
            element_idx=whole.element_idx[atom],
            edge_vectors=whole.edge_vectors[edges],
            idx_i=torch.tensor([row_of[int(graph.idx_i[e])][1] for e in edges], dtype=torch.int64),
            idx_j=torch.tensor(
                [local[int(graph.idx_j[e]), tuple(shifts[e])] for e in edges], dtype=torch.int64
            ),
            system_idx=torch.zeros_like(atom),
            charge=whole.charge,
            positions=whole.positions[atom] + away,
            masses=whole.masses[atom],
            cell=whole.cell,
            origin=origin,
            n_owned=len(mine),
        )
        ghosts = [row_of[i] for i in atom[len(mine) :].tolist()]
        domains.append(Domain(rank, team, given, velocities[atom], mine, ghosts))
    team.domains = domains
    return domains


#: What belongs to a structure is summed over processes; rows of ghosts are added to their owners'.
OF_OWNED = ("energies", "charges")
#: Not asked for of parts.
OF_WHOLES = {"hessian", "dipole_magnitude"}


def joined(name: str, answers: list[dict], domains: list[Domain], n_atoms: int) -> torch.Tensor:
    """What the processes' shares amount to."""
    if not QUANTITIES[name].per_atom:
        return sum(answer[name] for answer in answers)
    out = torch.zeros((n_atoms, *answers[0][name].shape[1:]), dtype=torch.float64)
    for domain, answer in zip(domains, answers, strict=True):
        own = len(domain.owned)
        out[domain.owned] += answer[name][:own]
        assert len(answer[name]) == (own if name in OF_OWNED else own + len(domain.owners))
        for (rank, row), value in zip(domain.owners, answer[name][own:], strict=False):
            out[domains[rank].owned[row]] += value
    return out


@pytest.mark.parametrize("n_domains", [1, 2, 3, 4])
@pytest.mark.parametrize("form", ["molecule", "molecule, stated origin", "periodic"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_divided_system_gives_what_the_whole_gives(kind: str, form: str, n_domains: int) -> None:
    periodic = form == "periodic"
    potential = potential_of(kind, "local" if periodic else "lever arms")
    atoms = random_atoms(10, pbc=periodic, seed=3)
    wanted = set(potential.properties) - OF_WHOLES - (set() if periodic else {"stress"})
    graph = from_ase(atoms, potential.cutoff)
    origin = torch.tensor([[0.3, -0.2, 0.5]]).double() if "stated" in form else None
    whole = input_of(potential, graph)._replace(origin=origin)
    truth = potential.core(whole, wanted, moving(atoms))
    domains = divided(potential, atoms, n_domains, origin)

    def share(domain: Domain) -> dict[str, torch.Tensor]:
        return potential.core(
            domain.given,
            wanted,
            domain.velocities,
            exchange=domain.exchange(),
            total=domain.total(),
        )

    with ThreadPoolExecutor(n_domains) as pool:
        answers = list(pool.map(share, domains))
    for name in wanted:
        given = joined(name, answers, domains, len(atoms))
        torch.testing.assert_close(
            given, truth[name], rtol=1e-12, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}"
        )
    assert domains[0].team.n_calls > 4
    assert n_domains == 1 or len(domains[-1].owned) == 0


def test_without_the_exchange_the_shares_are_wrong() -> None:
    """So that the test above could fail."""
    potential, atoms = potential_of("painn", "local"), random_atoms(10, seed=3)
    truth = potential(from_ase(atoms, potential.cutoff), {"energy"}).energy
    domains = divided(potential, atoms, 3, None)
    alone = sum(potential.core(d.given, {"energy"})["energy"] for d in domains)
    assert abs(float(alone - truth)) > 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_only_owned_atoms_count(kind: str) -> None:
    """Five of nine: their own energies, with the neighbours they have."""
    potential, atoms = potential_of(kind, "local"), random_atoms(9)
    given = input_of(potential, from_ase(atoms, potential.cutoff))
    whole = potential.core(given, {"energies", "energy"})
    part = potential.core(given._replace(n_owned=5), {"energies", "energy", "forces"})
    torch.testing.assert_close(part["energies"], whole["energies"][:5], rtol=0, atol=1e-13)
    torch.testing.assert_close(part["energy"], whole["energies"][:5].sum()[None])
    assert abs(float(part["energy"] - whole["energy"])) > 1e-3
    assert part["forces"].shape == (9, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_one_sided_lists_and_nothing_at_all_are_ordinary_input(kind: str) -> None:
    potential = potential_of(kind, "local")
    given = input_of(potential, from_ase(random_atoms(6), potential.cutoff))
    forward = given.idx_i < given.idx_j
    half = given._replace(
        edge_vectors=given.edge_vectors[forward],
        idx_i=given.idx_i[forward],
        idx_j=given.idx_j[forward],
    )
    answer = potential.core(half, {"energy", "forces", "edge_gradient"})
    assert answer["edge_gradient"].shape == half.edge_vectors.shape
    torch.testing.assert_close(answer["forces"].sum(dim=0), torch.zeros(3).double())
    no = torch.zeros(0, dtype=torch.int64)
    empty = CoreInput(no, torch.zeros(0, 3).double(), no, no, no, given.charge, torch.zeros(0, 3))
    nothing = potential.core(empty, {"energy", "forces", "edge_gradient"})
    assert nothing["energy"].tolist() == [0.0]
    assert nothing["forces"].shape == nothing["edge_gradient"].shape == (0, 3)


# -- no look at a value ----------------------------------------------------------------------------


@pytest.mark.parametrize("n_replicas", [1, 3])
@pytest.mark.parametrize("form", ["lever arms", "local"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_step_runs_on_shapes_alone(kind: str, form: str, n_replicas: int) -> None:
    """On the meta device a look at a value, or a tensor from another device, is an error."""
    potential = potential_of(kind, form, torch.float32, n_interactions=2)
    atoms = random_atoms(4, pbc=form == "local")
    graph = collate([from_ase(atoms, potential.cutoff)] * n_replicas)
    truth = input_of(potential, graph)
    wanted = set(potential.properties) - (set() if form == "local" else {"stress"})
    if n_replicas > 1:
        wanted -= {"hessian"}
    potential.to("meta")
    given = core_input(graph.to("meta"), potential.element_rows, periodic=form == "local")
    velocities = torch.empty((graph.n_atoms, 3), dtype=torch.float64, device="meta")
    answer = potential.core(given, wanted, velocities)
    assert set(answer) == wanted
    for name, value in answer.items():
        assert value.device.type == "meta"
        assert value.dtype == torch.float64
        per_atom = QUANTITIES[name].per_atom
        assert value.shape[0] == (graph.n_atoms if per_atom else n_replicas), name
    assert given.edge_vectors.shape == truth.edge_vectors.shape


# -- programs made by tracing ----------------------------------------------------------------------


def molecule_and_other(potential: AtomisticPotential) -> tuple[CoreInput, CoreInput]:
    """Inputs of two structures of different size."""
    first, other = random_atoms(6), random_atoms(9, seed=1)
    return tuple(input_of(potential, from_ase(a, potential.cutoff)) for a in (first, other))


#: Each row of a Jacobian is a backward pass more to trace.
MANY_PASSES = {"hessian", "born_effective_charges", "polarizability_derivatives"}
ONE_FLUX = {"polarizability_flux"}


@pytest.mark.parametrize("quantities", ["few", pytest.param("all", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", TRACED)
@pytest.mark.parametrize("form", ["lever arms", "local"])
def test_the_step_is_traced_with_its_derivatives(kind: str, form: str, quantities: str) -> None:
    potential = potential_of(kind, form, n_interactions=2)
    wanted = set(potential.properties) - {"stress"}
    wanted = sorted(wanted - MANY_PASSES - ONE_FLUX if quantities == "few" else wanted)
    given, velocities = molecule_and_other(potential)[0], moving(random_atoms(6))

    def step(given: CoreInput, velocities: torch.Tensor) -> dict[str, torch.Tensor]:
        return potential.core(given, wanted, velocities)

    traced = make_fx(step)(given, velocities)
    fresh = given._replace(edge_vectors=given.edge_vectors * 1.05, positions=given.positions * 1.05)
    truth, answer = step(fresh, velocities), traced(fresh, velocities)
    for name in wanted:
        torch.testing.assert_close(answer[name], truth[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", TRACED)
def test_the_core_is_exported_for_any_number_of_atoms_and_edges(kind: str) -> None:
    potential = potential_of(kind, "lever arms", n_interactions=2)
    wanted = [n for n in ("energy", "dipole", "polarizability") if n in potential.properties]
    first, other = molecule_and_other(potential)

    class Readout(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.core = potential.core

        def forward(self, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return self.core(CoreInput(**given), wanted)

    def tensors(given: CoreInput) -> dict[str, torch.Tensor]:
        return {k: v for k, v in given._asdict().items() if v is not None}

    atoms, edges = torch.export.Dim("atoms", min=2), torch.export.Dim("edges", min=2)
    per_edge = {"edge_vectors", "idx_i", "idx_j"}
    fixed = {"charge", "cell"}
    shapes = {
        k: None if k in fixed else {0: edges if k in per_edge else atoms} for k in tensors(first)
    }
    program = torch.export.export(Readout(), (tensors(first),), dynamic_shapes=(shapes,))
    answer, truth = program.module()(tensors(other)), potential.core(other, wanted)
    for name in wanted:
        torch.testing.assert_close(answer[name], truth[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", TRACED)
def test_a_traced_step_is_exported(kind: str) -> None:
    """Energy and forces with the backward pass in the program, for any size."""
    potential = potential_of(kind, "local", n_interactions=2)
    first, other = molecule_and_other(potential)

    def step(rows, vectors, i, j, system, charge, positions):
        given = CoreInput(rows, vectors, i, j, system, charge, positions)
        answer = potential.core(given, ("energy", "forces"))
        return answer["energy"], answer["forces"]

    traced = make_fx(step, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*first[:7])
    for given in (first, other):
        torch.testing.assert_close(traced(*given[:7]), step(*given[:7]), rtol=1e-11, atol=1e-12)
    atoms, edges = torch.export.Dim("atoms", min=2), torch.export.Dim("edges", min=2)
    shapes = ({0: atoms}, {0: edges}, {0: edges}, {0: edges}, {0: atoms}, None, {0: atoms})
    program = torch.export.export(traced, tuple(first[:7]), dynamic_shapes=shapes)
    answer = program.module()(*other[:7])
    torch.testing.assert_close(answer, step(*other[:7]), rtol=1e-11, atol=1e-12)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_cuda_graph_replays_the_step(kind: str) -> None:
    potential = potential_of(kind, "local", torch.float32)
    wanted = sorted(set(potential.properties) - OF_WHOLES)
    atoms = random_atoms(8, pbc=True)
    graph = collate([from_ase(atoms, potential.cutoff)] * 4)
    truth_input = input_of(potential, graph)
    velocities = moving(atoms).repeat(4, 1)
    potential = potential.to("cuda")
    given = core_input(graph.to("cuda"), potential.element_rows, periodic=True)
    moved = velocities.cuda()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            potential.core(given, wanted, moved)
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        answer = potential.core(given, wanted, moved)
    given.edge_vectors.mul_(1.03)
    captured.replay()
    truth = potential.core(given, wanted, moved)
    for name in wanted:
        torch.testing.assert_close(answer[name], truth[name], rtol=1e-4, atol=1e-5)
    double = potential.to("cpu").double()
    fresh = truth_input._replace(edge_vectors=truth_input.edge_vectors * 1.03)
    expected = double.core(fresh, wanted, velocities)
    for name in wanted:
        torch.testing.assert_close(answer[name].cpu(), expected[name], rtol=1e-3, atol=1e-3)
