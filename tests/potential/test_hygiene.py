"""A call leaves nothing behind: no graph, no memory, no changed settings."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from painn_ase.calculator import PaiNNCalculator
from painn_ase.evaluation import evaluate
from painn_ase.graph import from_ase
from painn_ase.testing import random_atoms, random_potential

MOLECULAR = ("energy", "dipole", "polarizability", "charges")


def settings() -> dict[str, object]:
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch random": torch.get_rng_state().tolist(),
        "numpy random": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "numpy errors": np.geterr(),
    }


def use_everything() -> None:
    potential = random_potential(8, 2, 4, heads=MOLECULAR)
    calc, atoms = PaiNNCalculator(potential, dtype="float64"), random_atoms(4)
    for name in calc.implemented_properties:
        if name != "stress":
            calc.get_property(name, atoms)
    calc.get_fluxes(atoms)
    evaluate(calc, [atoms, atoms], ["forces"])


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_setting_of_the_process_is_changed_nor_matters(grad: bool, dtype: torch.dtype) -> None:
    expected = PaiNNCalculator(random_potential(8, 2, 4)).get_forces(random_atoms(4))
    torch.set_default_dtype(dtype)
    try:
        with torch.set_grad_enabled(grad):
            before = settings()
            use_everything()
            assert settings() == before
            forces = PaiNNCalculator(random_potential(8, 2, 4)).get_forces(random_atoms(4))
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(forces, expected, atol=1e-6)


def test_derivatives_are_given_inside_inference_mode_too() -> None:
    atoms = random_atoms(4)
    expected = PaiNNCalculator(random_potential(8, 2, 4)).get_forces(atoms)
    calc = PaiNNCalculator(random_potential(8, 2, 4))
    with torch.inference_mode():
        given = calc.get_forces(atoms)
        (batch,) = evaluate(calc, [atoms])
    np.testing.assert_array_equal(given, expected)
    np.testing.assert_allclose(batch["forces"], expected, atol=1e-6)


def test_a_prediction_is_not_attached_to_a_graph_unless_training_asks() -> None:
    potential = random_potential(8, 2, 4, heads=MOLECULAR).requires_grad_(True)
    graph = from_ase(random_atoms(4), 5.0)
    names = set(potential.properties) - {"stress"}
    velocities = torch.ones(4, 3)
    for value in potential(graph, names, velocities).present().values():
        assert not value.requires_grad
        assert value.grad_fn is None
    for value in (
        potential(graph, names - {"hessian"}, velocities, create_graph=True).present().values()
    ):
        assert value.requires_grad
    assert all(p.grad is None for p in potential.parameters())
    assert not graph.positions.requires_grad


def test_no_tensor_survives_a_call() -> None:
    potential = random_potential(8, 2, 4, heads=MOLECULAR)
    graph = from_ase(random_atoms(5), 5.0)
    names = set(potential.properties) - {"stress"}
    velocities = torch.ones(5, 3)
    alive = []

    def remember(module, inputs, output) -> None:
        tensors = output if isinstance(output, tuple) else (output,)
        alive.extend(weakref.ref(t) for t in tensors if isinstance(t, torch.Tensor))

    for module in potential.modules():
        module.register_forward_hook(remember)
    potential(graph, names, velocities)
    assert len(alive) > 20
    assert not [ref for ref in alive if ref() is not None]


def test_the_number_of_tensors_does_not_grow_with_the_steps() -> None:
    calc = PaiNNCalculator(random_potential(8, 2, 4, heads=MOLECULAR), backend="eager")
    atoms = random_atoms(5)
    counts = []
    for step in range(12):
        atoms.positions[0, 0] += 0.01
        calc.get_forces(atoms), calc.get_born_charges(atoms), calc.get_hessian(atoms)
        if step in (3, 11):
            gc.collect()
            counts.append(sum(type(o) is torch.Tensor for o in gc.get_objects()))
    assert counts[1] <= counts[0]
