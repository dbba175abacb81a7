"""Aggregation: all back ends sum alike, also in second derivatives; one in a fixed order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import MissingDependencyError, PaiNNError
from painn_ase.nn.scatter import check_scatter_backend, gather_rows, scatter_sum
from painn_ase.testing import random_atoms, random_potential


def installed() -> bool:
    try:
        import torch_scatter  # noqa: F401
    except ImportError:
        return False
    return True


BACKENDS = [
    "torch",
    "sorted",
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


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gather_is_the_transpose_of_the_sum(backend: str) -> None:
    torch.manual_seed(0)
    values = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 2, 2, 1, 0, 2])
    assert torch.equal(gather_rows(values, index, backend), values[index])
    assert torch.autograd.gradcheck(lambda x: gather_rows(x**2, index, backend), values)
    assert torch.autograd.gradgradcheck(lambda x: gather_rows(x**2, index, backend).sin(), values)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_sorted_sum_depends_on_the_order_within_an_index_alone(device: str) -> None:
    """Rows of other indices may stand anywhere between: not a bit changes, in the gradient too."""
    rng = np.random.default_rng(0)
    index = rng.integers(0, 7, 5000)
    values = torch.tensor(rng.normal(size=(5000, 3)), dtype=torch.float32, device=device)
    by_index = torch.from_numpy(np.argsort(index, kind="stable")).to(device)
    index = torch.tensor(index, device=device)
    one = scatter_sum(values, index, 7, "sorted")
    other = scatter_sum(values[by_index], index[by_index], 7, "sorted")
    assert torch.equal(one, other)
    pulled = []
    for order in (torch.arange(5000, device=device), by_index):
        leaf = torch.ones(7, 3, device=device, requires_grad=True)
        (gather_rows(leaf, index[order], "sorted") * values[order]).sum().backward()
        pulled.append(leaf.grad)
    assert torch.equal(*pulled)
    assert torch.equal(pulled[0], one)


@pytest.mark.gpu
def test_sorted_sums_make_a_step_on_a_gpu_the_same_to_the_last_bit() -> None:
    heads = ("energy", "dipole:local", "polarizability:local")
    atoms = random_atoms(200, pbc=True)
    potential = random_potential(32, 3, 20, 5.0, heads=heads)
    calculators = [PaiNNCalculator(potential, device="cuda", scatter="sorted") for _ in range(4)]
    wanted = set(potential.properties) - {"hessian", "polarizability_derivatives"}
    for name in sorted(wanted - {"dipole_flux", "polarizability_flux"}):
        first, *others = (calc.get_property(name, atoms) for calc in calculators)
        assert all(np.array_equal(first, other) for other in others), name
    first, *others = (calc.get_fluxes(atoms) for calc in calculators)
    assert all(np.array_equal(first[n], other[n]) for other in others for n in first)


@pytest.mark.parametrize(
    "backend", ["sorted", pytest.param("torch_scatter", marks=needs_torch_scatter)]
)
@pytest.mark.parametrize("pbc", [False, True])
def test_other_back_ends_give_the_same_results_through_the_whole_model(
    backend: str, pbc: bool
) -> None:
    heads = ("energy", "dipole:local", "polarizability:local")
    potential = random_potential(8, 2, 6, 3.0, heads=heads, dtype=torch.float64)
    atoms = random_atoms(6, pbc=pbc)
    one = PaiNNCalculator(potential, device="cpu")
    two = PaiNNCalculator(potential, device="cpu", scatter=backend)
    assert potential.scatter_backend == "torch"
    assert two.potential.scatter_backend == backend
    for name in one.implemented_properties:
        if name != "stress" or pbc:
            a, b = one.get_property(name, atoms), two.get_property(name, atoms)
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12, err_msg=name)
    a, b = one.get_dipole_flux(atoms), two.get_dipole_flux(atoms)
    np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(
    "other", ["sorted", pytest.param("torch_scatter", marks=needs_torch_scatter)]
)
def test_other_back_ends_give_the_same_gradient_of_a_loss_on_forces(other: str) -> None:
    from painn_ase.graph import from_ase

    gradients = []
    for backend in ("torch", other):
        potential = random_potential(8, 2, 6, 3.0, dtype=torch.float64).use_scatter(backend)
        potential.requires_grad_(True)
        forces = potential(from_ase(random_atoms(6), 3.0), {"forces"}, create_graph=True).forces
        (forces**2).sum().backward()
        given = [p.grad.flatten() for p in potential.parameters() if p.grad is not None]
        gradients.append(torch.cat(given))
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)


def test_an_unknown_back_end_is_refused_by_name() -> None:
    with pytest.raises(PaiNNError, match="'segment_csr'; allowed: 'torch', .*'sorted'"):
        check_scatter_backend("segment_csr")
    with pytest.raises(PaiNNError, match="segment_csr"):
        PaiNNCalculator(random_potential(8, 1, 4), scatter="segment_csr")


@pytest.mark.skipif(installed(), reason="torch-scatter is installed")
def test_a_missing_torch_scatter_names_the_command_that_installs_it() -> None:
    with pytest.raises(MissingDependencyError, match="pip install --no-build-isolation"):
        PaiNNCalculator(random_potential(8, 1, 4), scatter="torch_scatter")
