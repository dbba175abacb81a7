"""The fused kernel of SchNet against eager float64, finite differences and itself."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_comparison import DTYPES, ELEMENTS, USABLE, agrees_with_eager, close, structures
from kernel_structures import ethanol, shaken_lattice, water_box

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import UnsupportedPropertyError
from painn_ase.graph import collate, from_ase, neighbor_pairs
from painn_ase.kernels import (
    FusedBackend,
    FusedKernel,
    KernelNetwork,
    packing,
    select_backend,
    why_not_fused,
)
from painn_ase.kernels.library import why_unavailable
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import EnergySpec, HeadsSpec, ModelSpec, SchNetSpec, SO3netSpec
from painn_ase.testing import random_potential

pytestmark = pytest.mark.skipif(
    why_unavailable() is not None, reason=f"compiled kernel: {why_unavailable()}"
)


@st.composite
def potentials(draw: st.DrawFn) -> AtomisticPotential:
    """Random SchNets of all widths and forms."""
    spec = ModelSpec(
        elements=ELEMENTS,
        representation=SchNetSpec(
            n_features=draw(st.sampled_from([2, 10, 16, 40, 128])),
            n_filters=draw(st.sampled_from([None, 1, 9, 16, 31, 72])),
            n_interactions=draw(st.integers(1, 4)),
            n_rbf=draw(st.sampled_from([1, 5, 15, 16, 20, 33])),
            cutoff=draw(st.sampled_from([2.0, 3.5, 5.0])),
            radial_basis=draw(st.sampled_from(["bessel", "gaussian"])),
            cutoff_function=draw(st.sampled_from(["cosine", "polynomial"])),
            shared_interactions=draw(st.booleans()),
        ),
        heads=HeadsSpec(
            energy=EnergySpec(
                n_hidden=draw(st.sampled_from([None, (), (7,), (32, 16)])),
                scale=draw(st.sampled_from([1.0, 0.37])),
                reference_energies=draw(st.sampled_from([(), (-13.6, -1030.1, -2042.3)])),
            )
        ),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw(st.integers(0, 10_000)))
        potential = AtomisticPotential(spec)
    return potential.to(draw(st.sampled_from(DTYPES))).eval().requires_grad_(False)


@settings(deadline=None, max_examples=40)
@given(potential=potentials(), atoms=structures(), isa=st.sampled_from(USABLE or ["portable"]))
def test_energy_forces_and_stress_of_any_schnet_and_geometry_equal_eager(
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


@pytest.mark.parametrize("isa", USABLE)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_box_of_water_equals_eager(dtype: torch.dtype, isa: str) -> None:
    potential = random_potential(64, 3, kind="schnet", dtype=dtype)
    fused = FusedKernel(potential, instruction_set=isa, n_threads=2)
    agrees_with_eager(fused, potential, from_ase(water_box(3), potential.cutoff))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "atoms",
    [
        Atoms("O"),
        Atoms("H2", positions=[[0, 0, 0], [0, 0, 40.0]]),
        Atoms("C", cell=[1.6, 1.7, 1.8], pbc=True),
        Atoms("OH", positions=[[0, 0, 0], [0, 0, 1.0]], cell=[9, 9, 1.8], pbc=True),
    ],
    ids=["single atom", "no pairs", "own images", "neighbour and image"],
)
def test_unusual_structures_equal_eager(atoms: Atoms, dtype: torch.dtype) -> None:
    potential = random_potential(16, 2, kind="schnet", dtype=dtype)
    agrees_with_eager(FusedKernel(potential), potential, from_ase(atoms, potential.cutoff))


def test_filters_that_are_steep_or_saturated_equal_eager() -> None:
    potential = random_potential(24, 3, kind="schnet", dtype=torch.float64)
    for block in potential.representation.interactions:
        block.filter[0].weight.mul_(40.0)  # arguments of the activation far from zero
    agrees_with_eager(FusedKernel(potential), potential, from_ase(ethanol(), 5.0))


def test_forces_and_virial_are_derivatives_of_the_energy() -> None:
    potential = random_potential(24, 3, cutoff=4.0, kind="schnet", dtype=torch.float64)
    fused = FusedKernel(potential)
    atoms = shaken_lattice(np.random.default_rng(3), [1, 6, 8, 1, 1], 1.9, (True, True, True))
    rng, step = np.random.default_rng(0), 1e-5

    def answer(positions: np.ndarray, cell: np.ndarray, derivatives: bool):
        pairs = neighbor_pairs(positions, cell, atoms.pbc, 4.0)
        return fused.compute(positions, atoms.numbers, cell, pairs, derivatives=derivatives)

    cell = atoms.cell.array
    full = answer(atoms.positions, cell, True)
    along = rng.normal(size=atoms.positions.shape)
    ends = [answer(atoms.positions + s * step * along, cell, False) for s in (1, -1)]
    assert ends[0].forces is None
    slope = (ends[0].energy[0] - ends[1].energy[0]) / (2 * step)
    assert slope == pytest.approx(-(full.forces * along).sum(), rel=1e-6, abs=1e-7)
    strain = rng.normal(size=(3, 3))
    strain = strain + strain.T
    turns = [np.eye(3) + s * step * strain for s in (1, -1)]
    ends = [answer(atoms.positions @ turn, cell @ turn, False) for turn in turns]
    slope = (ends[0].energy[0] - ends[1].energy[0]) / (2 * step)
    assert slope == pytest.approx((full.virial[0] * strain).sum(), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_results_are_the_same_bits_from_run_to_run(n_threads: int) -> None:
    potential = random_potential(32, 3, kind="schnet")
    graph = from_ase(water_box(3), 5.0)
    kernel = FusedKernel(potential, n_threads=n_threads)
    answers = [kernel.compute_graph(graph) for _ in range(3)]
    answers.append(FusedKernel(potential, n_threads=n_threads).compute_graph(graph))
    for answer in answers[1:]:
        assert np.array_equal(answer.forces, answers[0].forces)
        assert np.array_equal(answer.energy, answers[0].energy)


def test_structures_of_changing_size_share_one_kernel() -> None:
    potential = random_potential(32, 2, kind="schnet")
    fused = FusedKernel(potential, n_threads=2)
    for atoms in (ethanol(), water_box(3), Atoms("O"), water_box(2), ethanol()):
        agrees_with_eager(fused, potential, from_ase(atoms, 5.0))


def test_nan_positions_reach_the_result() -> None:
    fused = FusedKernel(random_potential(16, 2, kind="schnet"))
    atoms = ethanol()
    pairs = neighbor_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 5.0)
    atoms.positions[2] = np.nan
    answer = fused.compute(atoms.positions, atoms.numbers, atoms.cell.array, pairs)
    assert not np.isfinite(answer.energy).all()


# -- as a backend ----------------------------------------------------------------------------------


def test_auto_takes_the_kernel_and_a_calculator_gives_what_eager_gives() -> None:
    potential = random_potential(16, 2, kind="schnet", dtype=torch.float64)
    assert select_backend(potential).name == "fused"
    atoms = water_box(2)
    calculators = [
        PaiNNCalculator(potential, device="cpu", backend=name) for name in ("auto", "eager")
    ]
    assert [c.backends[0].name for c in calculators] == ["fused", "eager"]
    for quantity in ("energy", "forces", "stress"):
        given, truth = (np.array(c.get_property(quantity, atoms)) for c in calculators)
        assert close(given, truth, torch.float64), quantity


def test_heads_that_the_kernel_lacks_are_eagers() -> None:
    heads = ("energy", "dipole:point_charge", "charges")
    potential = random_potential(16, 2, heads=heads, kind="schnet", dtype=torch.float64)
    backend = select_backend(potential)
    assert isinstance(backend, FusedBackend)
    assert FusedBackend.why_not(potential, {"energy", "forces", "stress"}) is None
    assert "has no dipole" in FusedBackend.why_not(potential, {"forces", "dipole"})
    graph = from_ase(ethanol(), 5.0)
    velocities = torch.from_numpy(np.random.default_rng(0).normal(size=(9, 3)))
    names = {"energy", "forces", "dipole", "dipole_flux", "charges", "born_effective_charges"}
    answer = backend(graph, names, velocities).present()
    truth = potential(graph, names, velocities).present()
    assert set(answer) == set(truth) == names
    for name, value in answer.items():
        torch.testing.assert_close(value, truth[name], rtol=1e-10, atol=1e-11)


def test_a_wrong_kernel_is_found_out_before_its_first_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    potential = random_potential(16, 2, kind="schnet")
    right = packing.kernel_network(potential)

    class Swapped(right):
        @classmethod
        def tensors(cls, potential: AtomisticPotential) -> list[np.ndarray]:
            arrays = right.tensors(potential)
            arrays[1] = 1.01 * arrays[1]
            return arrays

    monkeypatch.setitem(packing._PACKED, SchNetSpec, Swapped)
    with pytest.raises(Exception, match=r"forces differ by .* where .* is allowed"):
        FusedBackend(potential)(from_ase(ethanol(), 5.0), ("forces",))


def test_a_backend_travels_through_pickle_and_deepcopy() -> None:
    backend = FusedBackend(random_potential(16, 2, kind="schnet"))
    graph = from_ase(ethanol(), 5.0)
    expected = backend(graph, ("forces",)).forces
    for other in (pickle.loads(pickle.dumps(backend)), copy.deepcopy(backend)):
        assert torch.equal(other(graph, ("forces",)).forces, expected)


def test_what_the_kernel_cannot_evaluate_is_said() -> None:
    assert why_not_fused(random_potential(16, 2, kind="schnet")) is None
    spherical = random_potential(8, 2, kind="so3net")
    assert "knows painn and schnet, this network is of kind 'so3net'" in why_not_fused(spherical)
    potential = random_potential(16, 2, kind="schnet", radial_basis="bessel")
    potential.representation.radial_basis.frequencies.mul_(1.01)
    assert "Bessel frequencies" in why_not_fused(potential)
    trained = random_potential(16, 2, kind="schnet").requires_grad_(True)
    with pytest.raises(UnsupportedPropertyError, match="trained"):
        FusedKernel(trained)


def test_a_network_that_the_library_does_not_know_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Unknown(KernelNetwork):
        number = 77

        @classmethod
        def tensors(cls, potential: AtomisticPotential) -> list[np.ndarray]:
            return [np.zeros(1)]

    monkeypatch.setitem(packing._PACKED, SO3netSpec, Unknown)
    with pytest.raises(Exception, match="could not take this model"):
        FusedKernel(random_potential(8, 1, kind="so3net"))
