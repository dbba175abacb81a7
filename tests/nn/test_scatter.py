"""Aggregation: both back ends sum alike, also in second derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import MissingDependencyError, PaiNNError
from painn_ase.nn.scatter import check_scatter_backend, scatter_sum
from painn_ase.testing import random_atoms, random_potential


def installed() -> bool:
    try:
        import torch_scatter  # noqa: F401
    except ImportError:
        return False
    return True


BACKENDS = [
    "torch",
    pytest.param(
        "torch_scatter",
        marks=pytest.mark.skipif(not installed(), reason="torch-scatter is not installed"),
    ),
]
needs_torch_scatter = pytest.mark.skipif(not installed(), reason="torch-scatter is not installed")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0,), (0, 3, 2), (7,), (7, 4), (7, 3, 2)])
def test_rows_of_one_index_are_summed(backend: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    values, index = rng.normal(size=shape), rng.integers(0, 4, shape[0])
    expected = np.zeros((5, *shape[1:]))
    np.add.at(expected, index, values)
    given = scatter_sum(torch.tensor(values), torch.tensor(index), 5, backend)
    np.testing.assert_allclose(given.numpy(), expected, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_first_and_second_derivatives_agree_with_finite_differences(backend: str) -> None:
    torch.manual_seed(0)
    values = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 2, 2, 1, 0, 2])

    def energy(x: torch.Tensor) -> torch.Tensor:
        return scatter_sum(x**2, index, 3, backend).sin()

    assert torch.autograd.gradcheck(energy, values)
    assert torch.autograd.gradgradcheck(energy, values)


@needs_torch_scatter
@pytest.mark.parametrize("pbc", [False, True])
def test_torch_scatter_gives_the_same_results_through_the_whole_model(pbc: bool) -> None:
    heads = ("energy", "dipole:local", "polarizability:local")
    potential = random_potential(8, 2, 6, 3.0, heads=heads, dtype=torch.float64)
    atoms = random_atoms(6, pbc=pbc)
    one = PaiNNCalculator(potential, device="cpu")
    two = PaiNNCalculator(potential, device="cpu", scatter="torch_scatter")
    assert potential.scatter_backend == "torch"
    assert two.potential.scatter_backend == "torch_scatter"
    for name in one.implemented_properties:
        if name != "stress" or pbc:
            a, b = one.get_property(name, atoms), two.get_property(name, atoms)
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12, err_msg=name)
    a, b = one.get_dipole_flux(atoms), two.get_dipole_flux(atoms)
    np.testing.assert_allclose(a, b, atol=1e-12)


@needs_torch_scatter
def test_torch_scatter_gives_the_same_gradient_of_a_loss_on_forces() -> None:
    from painn_ase.graph import from_ase

    gradients = []
    for backend in ("torch", "torch_scatter"):
        potential = random_potential(8, 2, 6, 3.0, dtype=torch.float64).use_scatter(backend)
        potential.requires_grad_(True)
        forces = potential(from_ase(random_atoms(6), 3.0), {"forces"}, create_graph=True).forces
        (forces**2).sum().backward()
        given = [p.grad.flatten() for p in potential.parameters() if p.grad is not None]
        gradients.append(torch.cat(given))
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)


def test_an_unknown_back_end_is_refused_by_name() -> None:
    with pytest.raises(PaiNNError, match="'segment_csr'; allowed: 'torch', 'torch_scatter'"):
        check_scatter_backend("segment_csr")
    with pytest.raises(PaiNNError, match="segment_csr"):
        PaiNNCalculator(random_potential(8, 1, 4), scatter="segment_csr")


@pytest.mark.skipif(installed(), reason="torch-scatter is installed")
def test_a_missing_torch_scatter_names_the_command_that_installs_it() -> None:
    with pytest.raises(MissingDependencyError, match="pip install --no-build-isolation"):
        PaiNNCalculator(random_potential(8, 1, 4), scatter="torch_scatter")
