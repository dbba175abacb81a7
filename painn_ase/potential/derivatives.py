"""Derivatives of a prediction by autograd: nothing here is computed unless somebody asked.

All take tensors that are still attached to the graph and return float64 tensors. Sums over edges
are float64 because the edge vectors are, whatever the network's dtype.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from painn_ase.graph.record import AtomGraph
from painn_ase.nn.scatter import ScatterBackend, scatter_sum

__all__ = [
    "edge_vectors",
    "forces_from_edges",
    "gradient",
    "hessian_from_forces",
    "jacobian",
    "pushforward",
    "stress_from_virial",
    "virial_from_edges",
]


def edge_vectors(graph: AtomGraph, *, periodic: bool) -> Tensor:
    """r_ij = r_j − r_i + S·cell of every edge (n_edges, 3), Å, float64.

    Where nothing is `periodic`, there are no shifts to look at.
    """
    positions = graph.positions
    offsets = positions.index_select(0, graph.idx_j) - positions.index_select(0, graph.idx_i)
    if not periodic:
        return offsets
    if graph.n_systems == 1:
        return offsets + graph.shifts @ graph.cell[0]
    cells = graph.cell.index_select(0, graph.system_idx.index_select(0, graph.idx_i))
    return offsets + (graph.shifts.unsqueeze(1) @ cells).squeeze(1)


def forces_from_edges(
    edge_gradient: Tensor,
    idx_i: Tensor,
    idx_j: Tensor,
    n_atoms: int,
    backend: ScatterBackend = "torch",
) -> Tensor:
    """F_i = Σ_{ij} ∂E/∂r_ij − Σ_{ki} ∂E/∂r_ki from ∂E/∂r_ij (n_edges, 3), eV/Å."""
    received = scatter_sum(edge_gradient, idx_i, n_atoms, backend)
    return received - scatter_sum(edge_gradient, idx_j, n_atoms, backend)


def virial_from_edges(
    edge_gradient: Tensor,
    vectors: Tensor,
    edge_system: Tensor,
    n_systems: int,
    backend: ScatterBackend = "torch",
) -> Tensor:
    """Σ_ij ∂E/∂r_ij ⊗ r_ij (n_systems, 3, 3), eV: ∂E/∂ε, because E depends on edges alone."""
    outer = edge_gradient.unsqueeze(2) * vectors.unsqueeze(1)
    return scatter_sum(outer, edge_system, n_systems, backend)


def stress_from_virial(virial: Tensor, cell: Tensor) -> Tensor:
    """σ = sym(∂E/∂ε)/V (n_systems, 3, 3), eV/Å³, from virial and cell, both (n_systems, 3, 3).

    Equal to (1/V) ∂E/∂ε for a symmetric strain r → r(1 + ε). V is the volume of the true cell,
    positive for left-handed cells too.
    """
    # Not linalg.det, whose solver a CUDA graph cannot capture.
    normal = torch.linalg.cross(cell[:, 1], cell[:, 2])
    volume: Tensor = (cell[:, 0] * normal).sum(dim=-1).abs()
    stress: Tensor = 0.5 * (virial + virial.mT) / volume.reshape(-1, 1, 1)
    return stress


def jacobian(values: Tensor, positions: Tensor, *, create_graph: bool = False) -> Tensor:
    """∂(Σ_systems values)/∂r: (n_atoms, 3, c) for values (n_systems, c).

    Atoms of one structure do not move the values of another, so the sum loses nothing.
    """
    n = values.shape[-1]
    columns = [
        gradient(values[:, k].sum(), positions, create_graph=create_graph, retain_graph=True)
        for k in range(n)
    ]
    return torch.stack(columns, dim=-1)


def pushforward(
    values: Sequence[Tensor], positions: Tensor, velocities: Tensor, *, create_graph: bool = False
) -> list[Tensor]:
    """Time derivatives Σ_i (∂y/∂r_i)·v_i of several quantities y from one double backward pass.

    The vector–Jacobian product wᵀJ is linear in w; its derivative with respect to w along v is
    Jv. That costs two backward passes for all quantities together.

    Parameters
    ----------
    values : sequence of Tensor (n_systems, ...)
    positions : Tensor (n_atoms, 3)
        Leaf the values were computed from.
    velocities : Tensor (n_atoms, 3)

    Returns
    -------
    list of Tensor, shaped like `values`
    """
    weights = [torch.zeros_like(v, requires_grad=True) for v in values]
    attached = [v.requires_grad for v in values]
    if not any(attached):
        return [torch.zeros_like(v) for v in values]
    (pulled,) = torch.autograd.grad(
        [v for v, a in zip(values, attached, strict=True) if a],
        positions,
        [w for w, a in zip(weights, attached, strict=True) if a],
        create_graph=True,
        allow_unused=True,
    )
    if pulled is None or not pulled.requires_grad:
        return [torch.zeros_like(v) for v in values]
    fluxes = torch.autograd.grad(
        (pulled * velocities).sum(),
        weights,
        create_graph=create_graph,
        retain_graph=True,
        allow_unused=True,
    )
    return [torch.zeros_like(v) if f is None else f for v, f in zip(values, fluxes, strict=True)]


def hessian_from_forces(forces: Tensor, positions: Tensor) -> Tensor:
    """∂²E/∂r∂r (n_atoms, 3, n_atoms, 3) of one structure, eV/Å², made exactly symmetric."""
    n = forces.numel()
    rows = [
        gradient(-f, positions, create_graph=False, retain_graph=True) for f in forces.reshape(n)
    ]
    matrix = torch.stack(rows).reshape(n, n)
    return (0.5 * (matrix + matrix.mT)).reshape(*forces.shape, *forces.shape)


def gradient(scalar: Tensor, variable: Tensor, *, create_graph: bool, retain_graph: bool) -> Tensor:
    """∂scalar/∂variable; zeros where the scalar does not depend on it (a single atom)."""
    if not scalar.requires_grad:
        return torch.zeros_like(variable)
    (pulled,) = torch.autograd.grad(
        scalar,
        variable,
        create_graph=create_graph,
        retain_graph=retain_graph,
        allow_unused=True,
    )
    return torch.zeros_like(variable) if pulled is None else pulled
