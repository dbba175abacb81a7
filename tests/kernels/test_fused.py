"""The fused CPU kernel against eager float64, finite differences and itself."""

from __future__ import annotations

import copy
import os
import pickle
import threading

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_comparison import DTYPES, ELEMENTS, USABLE, agrees_with_eager, close, structures
from kernel_structures import ethanol, shaken_lattice, water_box

from painn_ase.errors import (
    DeviceError,
    GeometryError,
    UnknownElementError,
    UnsupportedPropertyError,
)
from painn_ase.graph import VerletList, collate, from_ase, neighbor_pairs
from painn_ase.kernels import FusedBackend, FusedKernel
from painn_ase.kernels.library import why_unavailable
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import (
    DipoleSpec,
    EnergySpec,
    HeadsSpec,
    ModelSpec,
    PaiNNSpec,
    PolarizabilitySpec,
)
from painn_ase.testing import random_potential

pytestmark = pytest.mark.skipif(
    why_unavailable() is not None, reason=f"compiled kernel: {why_unavailable()}"
)


@st.composite
def potentials(draw: st.DrawFn) -> AtomisticPotential:
    """Random potentials of all the kinds the kernel knows."""
    spec = ModelSpec(
        elements=ELEMENTS,
        representation=PaiNNSpec(
            n_features=draw(st.sampled_from([8, 10, 16, 24, 32, 40, 72, 128, 256])),
            n_interactions=draw(st.integers(1, 4)),
            n_rbf=draw(st.sampled_from([1, 5, 15, 16, 20, 33])),
            cutoff=draw(st.sampled_from([2.0, 3.5, 5.0])),
            radial_basis=draw(st.sampled_from(["bessel", "gaussian"])),
            cutoff_function=draw(st.sampled_from(["cosine", "polynomial"])),
            shared_filters=draw(st.booleans()),
            shared_interactions=draw(st.booleans()),
            epsilon=draw(st.sampled_from([1e-8, 1e-4])),
        ),
        heads=HeadsSpec(
            energy=EnergySpec(
                n_hidden=draw(st.sampled_from([None, (), (7,), (32, 16), (5, 9, 3)])),
                scale=draw(st.sampled_from([1.0, 0.37])),
                reference_energies=draw(st.sampled_from([(), (-13.6, -1030.1, -2042.3)])),
            )
        ),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw(st.integers(0, 10_000)))
        potential = AtomisticPotential(spec)
    dtype = draw(st.sampled_from(DTYPES))
    return potential.to(dtype).eval().requires_grad_(False)


@st.composite
def response_potentials(draw: st.DrawFn) -> AtomisticPotential:
    """Random potentials with energy, dipole and polarizability heads of both kinds."""
    n_hidden = draw(st.sampled_from([None, 5, 24]))
    epsilon = draw(st.sampled_from([1e-4, 1e-2]))
    local = draw(st.booleans())
    isotropic = draw(st.sampled_from([(), (0.1, 0.2, 0.3)]))
    dipole = DipoleSpec(
        kind="local" if local else "latent_charge",
        n_hidden=n_hidden,
        rank=draw(st.integers(1, 3)),
        scale=draw(st.sampled_from([1.0, 0.3])),
        gate_epsilon=epsilon,
    )
    polarizability = PolarizabilitySpec(
        kind="local" if local else "latent_position",
        n_hidden=n_hidden,
        rank=draw(st.integers(1, 5)),
        scale=draw(st.sampled_from([1.0, 0.3])),
        isotropic=isotropic,
        gate_epsilon=epsilon,
        origin=draw(st.sampled_from(["center_of_mass", "coordinates"])),
    )
    spec = ModelSpec(
        elements=ELEMENTS,
        representation=PaiNNSpec(
            n_features=draw(st.sampled_from([8, 24, 40])),
            n_interactions=draw(st.integers(1, 3)),
            n_rbf=draw(st.sampled_from([5, 20])),
            cutoff=4.0,
            epsilon=1e-4,
        ),
        heads=HeadsSpec(energy=EnergySpec(), dipole=dipole, polarizability=polarizability),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw(st.integers(0, 10_000)))
        potential = AtomisticPotential(spec)
    return potential.to(draw(st.sampled_from(DTYPES))).eval().requires_grad_(False)


@settings(deadline=None, max_examples=40)
@given(potential=potentials(), atoms=structures(), isa=st.sampled_from(USABLE or ["portable"]))
def test_energy_forces_and_stress_of_any_model_and_geometry_equal_eager(
    potential: AtomisticPotential, atoms: Atoms, isa: str
) -> None:
    fused = FusedKernel(potential, instruction_set=isa)
    agrees_with_eager(fused, potential, from_ase(atoms, potential.cutoff))


@settings(deadline=None, max_examples=15)
@given(
    potential=potentials(),
    batch=st.lists(structures(), min_size=1, max_size=4),
    n_threads=st.sampled_from([1, 2, 3]),
)
def test_a_batch_on_any_number_of_threads_equals_eager(
    potential: AtomisticPotential, batch: list[Atoms], n_threads: int
) -> None:
    graph = collate([from_ase(atoms, potential.cutoff) for atoms in batch])
    agrees_with_eager(FusedKernel(potential, n_threads=n_threads), potential, graph)


@settings(deadline=None, max_examples=15)
@given(
    potential=response_potentials(),
    batch=st.lists(structures(), min_size=1, max_size=3),
    n_threads=st.sampled_from([1, 2]),
    seed=st.integers(0, 10_000),
)
def test_dipole_polarizability_and_their_fluxes_equal_eager(
    potential: AtomisticPotential, batch: list[Atoms], n_threads: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for atoms in batch:
        atoms.pbc = atoms.pbc & (potential.spec.heads.dipole.kind == "local")
        atoms.set_masses(rng.uniform(1, 40, len(atoms)))
    graph = collate(
        [from_ase(a, potential.cutoff, charge=float(rng.integers(-1, 2))) for a in batch]
    )
    velocities = torch.from_numpy(rng.normal(size=(graph.n_atoms, 3)))
    names = ("energy", "forces", "dipole", "dipole_flux", "polarizability", "polarizability_flux")
    truth = copy.deepcopy(potential).double()(graph, names, velocities)
    answer = FusedBackend(potential, n_threads=n_threads)(graph, names, velocities)
    for name in names:
        given, expected = getattr(answer, name).numpy(), getattr(truth, name).numpy()
        assert close(given, expected, potential.dtype), name
    if potential.spec.heads.dipole.kind == "latent_charge":
        charges = FusedBackend(potential)(graph, ("charges",)).charges
        expected = copy.deepcopy(potential).double()(graph, ("charges",)).charges
        assert close(charges.numpy(), expected.numpy(), potential.dtype)


def test_fluxes_are_time_derivatives() -> None:
    potential = random_potential(
        24, 3, cutoff=4.0, heads=("energy", "dipole", "polarizability"), dtype=torch.float64
    )
    backend, atoms = FusedBackend(potential), ethanol()
    velocities = np.random.default_rng(0).normal(size=(9, 3))
    names = ("dipole", "polarizability", "dipole_flux", "polarizability_flux")
    rates = backend(from_ase(atoms, 4.0), names, torch.from_numpy(velocities))
    step = 1e-5
    ends = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * step * velocities
        ends.append(backend(from_ase(moved, 4.0), names[:2]))
    for name in names[:2]:
        slope = (getattr(ends[0], name) - getattr(ends[1], name)) / (2 * step)
        torch.testing.assert_close(slope, getattr(rates, f"{name}_flux"), rtol=1e-6, atol=1e-7)


def test_a_model_without_an_energy_gives_its_dipole() -> None:
    potential = random_potential(16, 2, heads=("dipole",), dtype=torch.float64)
    graph = from_ase(ethanol(), 5.0)
    dipole = FusedBackend(potential)(graph, ("dipole",)).dipole
    torch.testing.assert_close(dipole, potential(graph, ("dipole",)).dipole, rtol=1e-10, atol=1e-11)


def test_asking_for_a_response_leaves_the_next_plain_step_as_it_was() -> None:
    potential = random_potential(16, 3, heads=("energy", "dipole"))
    backend, graph = FusedBackend(potential), from_ase(ethanol(), 5.0)
    velocities = torch.ones((9, 3), dtype=torch.float64)
    before = backend(graph, ("forces",)).forces
    backend(graph, ("forces", "dipole", "dipole_flux"), velocities)
    assert torch.equal(backend(graph, ("forces",)).forces, before)


@pytest.mark.parametrize("isa", USABLE)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_box_of_water_equals_eager(dtype: torch.dtype, isa: str) -> None:
    potential = random_potential(64, 3, dtype=dtype)
    fused = FusedKernel(potential, instruction_set=isa, n_threads=2)
    agrees_with_eager(fused, potential, from_ase(water_box(3), potential.cutoff))


def test_forces_and_virial_are_derivatives_of_the_energy() -> None:
    potential = random_potential(24, 3, cutoff=4.0, dtype=torch.float64)
    fused = FusedKernel(potential)
    atoms = shaken_lattice(np.random.default_rng(3), [1, 6, 8, 1, 1], 1.9, (True, True, True))
    step = 1e-5

    def energy(moved: Atoms) -> float:
        pairs = neighbor_pairs(moved.positions, moved.cell.array, moved.pbc, 4.0)
        answer = fused.compute(
            moved.positions, moved.numbers, moved.cell.array, pairs, derivatives=False
        )
        assert answer.forces is None
        return float(answer.energy[0])

    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 4.0)
    answer = fused.compute(atoms.positions, atoms.numbers, atoms.cell.array, pairs)
    assert answer.forces is not None
    assert answer.virial is not None
    for i, a in ((0, 0), (3, 2)):
        values = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, a] += sign * step
            values.append(energy(moved))
        assert -(values[0] - values[1]) / (2 * step) == pytest.approx(
            answer.forces[i, a], rel=1e-6, abs=1e-7
        )
    for a, b in ((0, 0), (1, 2)):
        values = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            moved = atoms.copy()
            moved.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            values.append(energy(moved))
        symmetric = 0.5 * (answer.virial[0, a, b] + answer.virial[0, b, a])
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(symmetric, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "atoms",
    [
        Atoms("O"),
        Atoms("H2", positions=[[0, 0, 0], [0, 0, 40.0]]),
        Atoms("C", cell=[1.6, 1.7, 1.8], pbc=True),
        Atoms("C", cell=[1.6, 0, 0], pbc=(True, False, False)),
        Atoms("OH", positions=[[0, 0, 0], [0, 0, 1.0]], cell=[9, 9, 1.8], pbc=True),
    ],
    ids=["single atom", "no pairs", "own images", "own images in a wire", "neighbour and image"],
)
def test_unusual_structures_equal_eager(atoms: Atoms, dtype: torch.dtype) -> None:
    potential = random_potential(16, 2, dtype=dtype)
    agrees_with_eager(FusedKernel(potential), potential, from_ase(atoms, potential.cutoff))


def test_a_batch_gives_what_each_structure_gives_alone() -> None:
    potential = random_potential(32, 3, dtype=torch.float64)
    fused = FusedKernel(potential)
    graphs = [from_ase(a, 5.0) for a in (ethanol(), Atoms("O"), water_box(2))]
    together = fused.compute_graph(collate(graphs))
    alone = [fused.compute_graph(g) for g in graphs]
    assert together.forces is not None
    np.testing.assert_allclose(together.energy, [a.energy[0] for a in alone], rtol=1e-13)
    np.testing.assert_allclose(
        together.forces,
        np.concatenate([a.forces for a in alone if a.forces is not None]),
        atol=1e-12,
    )


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_results_are_the_same_bits_from_run_to_run(n_threads: int) -> None:
    potential = random_potential(32, 3)
    graph = from_ase(water_box(3), 5.0)
    answers = [FusedKernel(potential, n_threads=n_threads).compute_graph(graph) for _ in range(2)]
    again = FusedKernel(potential, n_threads=n_threads)
    answers += [again.compute_graph(graph) for _ in range(3)]
    for answer in answers[1:]:
        assert np.array_equal(answer.forces, answers[0].forces)
        assert np.array_equal(answer.energy, answers[0].energy)


def test_pairs_of_the_skin_change_nothing() -> None:
    potential = random_potential(32, 2, dtype=torch.float64)
    atoms = water_box(2)
    fused = FusedKernel(potential)
    cell = atoms.cell.array
    exact = neighbor_pairs(atoms.positions, cell, atoms.pbc, 5.0)
    wide = neighbor_pairs(atoms.positions, cell, atoms.pbc, 5.7)
    a = fused.compute(atoms.positions, atoms.numbers, cell, exact)
    b = fused.compute(atoms.positions, atoms.numbers, cell, wide)
    assert wide.n_edges > exact.n_edges
    np.testing.assert_allclose(a.forces, b.forces, atol=1e-12)


def test_a_kept_list_serves_moving_atoms_and_changing_cells() -> None:
    potential = random_potential(32, 2, dtype=torch.float64)
    atoms, fused, verlet = water_box(2), FusedKernel(potential), VerletList(5.0, 0.8)
    rng = np.random.default_rng(0)
    for step in range(6):
        atoms.positions += rng.normal(scale=0.05, size=(24, 3))
        if step == 4:
            atoms.set_cell(atoms.cell.array * 1.01)
        cell = atoms.cell.array
        pairs = verlet.update(atoms.numbers, atoms.positions, cell, atoms.pbc)
        answer = fused.compute(atoms.positions, atoms.numbers, cell, pairs)
        truth = potential(from_ase(atoms, 5.0), ("forces",)).forces.numpy()
        assert close(answer.forces, truth, torch.float64)
    strained = cell @ (np.eye(3) + 0.01)
    answer = fused.compute(atoms.positions, atoms.numbers, strained, pairs)
    atoms.set_cell(strained)
    truth = potential(from_ase(atoms, 5.0, pairs=pairs), ("forces",)).forces.numpy()
    assert close(answer.forces, truth, torch.float64)


def test_structures_of_changing_size_share_one_kernel() -> None:
    potential = random_potential(32, 2)
    fused = FusedKernel(potential, n_threads=2)
    for atoms in (ethanol(), water_box(3), Atoms("O"), water_box(2), ethanol()):
        agrees_with_eager(fused, potential, from_ase(atoms, 5.0))


def test_results_are_copies_that_the_next_step_leaves_alone() -> None:
    fused = FusedKernel(random_potential(16, 2))
    atoms = ethanol()
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 5.0)
    first = fused.compute(atoms.positions, atoms.numbers, atoms.cell.array, pairs)
    assert first.forces is not None
    kept = first.forces.copy()
    fused.compute(1.05 * atoms.positions, atoms.numbers, atoms.cell.array, pairs)
    assert np.array_equal(first.forces, kept)


def test_threads_that_share_a_kernel_get_their_own_answers() -> None:
    potential = random_potential(32, 2)
    fused = FusedKernel(potential)
    graphs = [from_ase(a, 5.0) for a in (ethanol(), water_box(2))]
    expected = [fused.compute_graph(g).forces for g in graphs]
    wrong: list[int] = []

    def work(n: int) -> None:
        for _ in range(20):
            if not np.array_equal(fused.compute_graph(graphs[n]).forces, expected[n]):
                wrong.append(n)

    workers = [threading.Thread(target=work, args=(n % 2,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_coincident_atoms_give_nan_and_not_a_number_from_nowhere() -> None:
    fused = FusedKernel(random_potential(16, 2))
    atoms = Atoms("OH2", positions=[[0, 0, 0], [0, 0, 0], [0, 0, 1.0]])
    i, j = (np.array(x) for x in ([0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]))
    structure = fused.prepare(atoms.numbers, i, j, np.zeros((6, 3)), atoms.cell.array)
    structure.positions[:] = atoms.positions
    fused.run(structure)
    assert not np.isfinite(structure.answer(True).forces).all()


def test_nan_positions_reach_the_result() -> None:
    fused = FusedKernel(random_potential(16, 2))
    atoms = ethanol()
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 5.0)
    atoms.positions[2] = np.nan
    answer = fused.compute(atoms.positions, atoms.numbers, atoms.cell.array, pairs)
    assert not np.isfinite(answer.energy).all()


def test_an_unknown_element_is_named() -> None:
    fused = FusedKernel(random_potential(16, 2, elements=(1, 8)))
    with pytest.raises(UnknownElementError, match="Au"):
        fused.compute_graph(from_ase(Atoms("Au"), 5.0))


def test_an_instruction_set_this_cpu_lacks_is_refused() -> None:
    with pytest.raises(DeviceError, match="not available"):
        FusedKernel(random_potential(16, 2), instruction_set="sve")


def test_weights_that_may_still_change_are_refused() -> None:
    potential = random_potential(16, 2)
    potential.requires_grad_(True)
    with pytest.raises(UnsupportedPropertyError, match="trained"):
        FusedKernel(potential)


def test_a_backend_travels_through_pickle_and_deepcopy() -> None:
    backend = FusedBackend(random_potential(16, 2))
    graph = from_ase(ethanol(), 5.0)
    expected = backend(graph, ("forces",)).forces
    for other in (pickle.loads(pickle.dumps(backend)), copy.deepcopy(backend)):
        assert torch.equal(other(graph, ("forces",)).forces, expected)


@pytest.mark.slow
def test_memory_stays_flat_over_many_steps() -> None:
    resource = pytest.importorskip("resource")
    fused = FusedKernel(random_potential(16, 2))
    atoms = ethanol()
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 5.0)

    def steps(n: int) -> int:
        for _ in range(n):
            fused.compute(atoms.positions, atoms.numbers, atoms.cell.array, pairs)
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    before = steps(1000)
    assert steps(100_000) - before < 4096  # kilobytes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_makes_its_own_threads() -> None:
    fused = FusedKernel(random_potential(16, 2), n_threads=2)
    graph = from_ase(water_box(2), 5.0)
    expected = fused.compute_graph(graph).forces
    child = os.fork()
    if child == 0:
        same = np.array_equal(fused.compute_graph(graph).forces, expected)
        os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert np.array_equal(fused.compute_graph(graph).forces, expected)


def test_a_one_sided_pair_list_is_refused() -> None:
    fused = FusedKernel(random_potential(16, 2))
    with pytest.raises(GeometryError, match="both directions"):
        fused.prepare(
            np.array([1, 1]), np.array([0]), np.array([1]), np.zeros((1, 3)), np.zeros((3, 3))
        )
