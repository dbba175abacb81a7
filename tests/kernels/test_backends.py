"""The choice among backends: what is taken, what is said, what is refused."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest
import torch
from kernel_structures import ethanol, water_box

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import (
    BackendError,
    MissingDependencyError,
    SpecError,
    UnsupportedPropertyError,
)
from painn_ase.graph import from_ase
from painn_ase.kernels import (
    Backend,
    EagerBackend,
    EnergyForces,
    FusedBackend,
    FusedKernel,
    available_backends,
    interface,
    register_backend,
    select_backend,
)
from painn_ase.kernels import library as library_module
from painn_ase.kernels.library import why_unavailable
from painn_ase.testing import random_potential

needs_kernel = pytest.mark.skipif(
    why_unavailable() is not None, reason=f"compiled kernel: {why_unavailable()}"
)


@pytest.fixture
def nothing_said_yet() -> None:
    interface._say_once.cache_clear()


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch, nothing_said_yet: None) -> None:
    """An installation without the compiled kernel."""
    library_module._open.cache_clear()
    monkeypatch.setattr(library_module, "library_path", lambda: None)
    yield
    library_module._open.cache_clear()


@needs_kernel
def test_auto_takes_the_fused_kernel_and_says_so_once(
    caplog: pytest.LogCaptureFixture, nothing_said_yet: None
) -> None:
    potential = random_potential(16, 2)
    with caplog.at_level(logging.INFO, "painn_ase"):
        assert select_backend(potential).name == "fused"
        assert select_backend(potential).name == "fused"
    assert len(caplog.records) == 1
    assert "fused" in caplog.text


def test_eager_is_taken_when_asked_for() -> None:
    assert isinstance(select_backend(random_potential(16, 2), "eager"), EagerBackend)


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match="'auto', 'fused', 'eager'"):
        select_backend(random_potential(16, 2), "warp")


@needs_kernel
def test_what_the_kernel_cannot_evaluate_goes_to_eager_with_the_reason(
    caplog: pytest.LogCaptureFixture, nothing_said_yet: None
) -> None:
    potential = random_potential(16, 2, filter_hidden=(8,))
    with caplog.at_level(logging.INFO, "painn_ase"):
        assert select_backend(potential).name == "eager"
    assert "hidden layers" in caplog.text
    with pytest.raises(UnsupportedPropertyError, match="hidden layers"):
        select_backend(potential, "fused")


def test_without_a_compiled_kernel_everything_works_on_eager(
    caplog: pytest.LogCaptureFixture, no_kernel: None
) -> None:
    potential = random_potential(16, 2)
    with caplog.at_level(logging.INFO, "painn_ase"):
        backend = select_backend(potential)
    assert backend.name == "eager"
    assert "compiler" in caplog.text
    graph = from_ase(ethanol(), 5.0)
    assert torch.equal(backend(graph, ("forces",)).forces, potential(graph, ("forces",)).forces)
    with pytest.raises(MissingDependencyError, match="compiler"):
        select_backend(potential, "fused")
    fused = next(status for status in available_backends() if status.name == "fused")
    assert not fused.available
    assert "compiler" in fused.remark


@needs_kernel
def test_a_wrong_kernel_is_found_out_before_its_first_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = FusedBackend(random_potential(16, 2))
    right = FusedKernel.compute_graph

    def wrong(self: FusedKernel, *args: object, **options: object) -> EnergyForces:
        answer = right(self, *args, **options)  # type: ignore[arg-type]
        assert answer.forces is not None
        return EnergyForces(answer.energy, answer.energies, 1.01 * answer.forces, answer.virial)

    monkeypatch.setattr(FusedKernel, "compute_graph", wrong)
    with pytest.raises(BackendError, match=r"forces differ by .* where .* is allowed"):
        backend(from_ase(ethanol(), 5.0), ("forces",))


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_quantity_of_the_model_is_served(dtype: torch.dtype) -> None:
    heads = ("energy", "dipole:local", "polarizability:local", "charges")
    potential = random_potential(16, 2, heads=heads, dtype=dtype)
    graph = from_ase(water_box(1), 5.0)
    velocities = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 3)))
    backend = select_backend(potential, "fused")
    answer = backend(graph, potential.properties, velocities).present()
    expected = potential(graph, potential.properties, velocities).present()
    assert set(answer) == set(expected)
    for name, value in answer.items():
        assert value.shape == expected[name].shape
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


@needs_kernel
def test_what_a_structure_cannot_have_is_refused_as_eager_does() -> None:
    backend = select_backend(random_potential(16, 2), "fused")
    with pytest.raises(UnsupportedPropertyError, match="stress"):
        backend(from_ase(ethanol(), 5.0), ("stress",))
    with pytest.raises(UnsupportedPropertyError, match="dipole"):
        backend(from_ase(ethanol(), 5.0), ("dipole",))


# -- backends of others ----------------------------------------------------------------------------


class Doubled(Backend):
    """Eager with energies and forces doubled, and a lean step that says so by its sums."""

    name = "doubled"
    speed = 99
    step_properties = frozenset({"energy", "energies", "forces"})

    @classmethod
    def why_not(cls, potential, properties=(), graph=None):
        return None if len(potential.elements) > 1 else "it wants more than one element."

    @classmethod
    def describe(cls) -> str:
        return "twice the truth"

    def __call__(self, graph, properties, velocities=None):
        return self.potential(graph, properties, velocities)

    def step(self, positions, numbers, cell, pairs, properties):
        atoms = ethanol()
        atoms.positions = positions
        answer = self(from_ase(atoms, self.potential.cutoff, pairs=pairs), {"energies", "forces"})
        energies = 2 * answer.energies.numpy()
        energy = energies.sum(keepdims=True)
        return {"energy": energy, "energies": energies, "forces": 2 * answer.forces.numpy()}


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch, nothing_said_yet: None) -> None:
    monkeypatch.setattr(interface, "_REGISTERED", dict(interface._REGISTERED))
    register_backend(Doubled)


def test_a_registered_backend_is_asked_by_the_calculator_for_its_lean_step(doubled: None) -> None:
    potential = random_potential(16, 2, dtype=torch.float64)
    assert select_backend(potential).name == "doubled"
    atoms = ethanol()
    atoms.calc = PaiNNCalculator(potential, device="cpu", backend="doubled")
    truth = PaiNNCalculator(potential, device="cpu", backend="eager")
    np.testing.assert_allclose(atoms.get_forces(), 2 * truth.get_forces(atoms), rtol=1e-10)
    assert atoms.get_potential_energy() == pytest.approx(2 * truth.get_potential_energy(atoms))


def test_a_registered_backend_is_listed_and_its_reasons_are_given(doubled: None) -> None:
    first = available_backends()[0]
    assert (first.name, first.available, first.remark) == ("doubled", True, "twice the truth")
    few = random_potential(16, 2, elements=(1,))
    assert select_backend(few).name != "doubled"
    with pytest.raises(UnsupportedPropertyError, match="'doubled' .* more than one element"):
        select_backend(few, "doubled")
    with pytest.raises(SpecError, match="'auto', 'doubled', 'fused', 'eager'"):
        select_backend(few, "warp")


def test_a_backend_says_what_it_leaves_to_eager() -> None:
    potential = random_potential(16, 2, heads=("energy", "charges"))
    if why_unavailable() is None:
        assert FusedBackend.why_not(potential, {"energy", "forces"}) is None
        assert "no charges, hessian" in FusedBackend.why_not(potential, {"charges", "hessian"})
        graph = from_ase(ethanol(), 5.0).to("meta")
        assert "structures are on meta" in FusedBackend.why_not(potential, {"energy"}, graph)
    assert EagerBackend.why_not(potential, {"hessian"}) is None
    eager = select_backend(potential, "eager")
    assert not eager.step_properties
    with pytest.raises(UnsupportedPropertyError, match="eager backend has no lean step"):
        eager.step(np.zeros((0, 3)), np.zeros(0), np.zeros((3, 3)), None, ())


@needs_kernel
def test_the_kernel_says_which_compiler_built_it() -> None:
    (status,) = (b for b in available_backends() if b.name == "fused")
    assert re.search(r"built by (GCC|.*[Cc]lang|Microsoft)", status.remark), status.remark
