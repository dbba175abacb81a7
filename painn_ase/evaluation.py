"""Many structures in few calls: batches sized by atoms and edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms

from painn_ase.calculator import Model, PaiNNCalculator, to_ase
from painn_ase.graph import AtomGraph, collate, from_ase
from painn_ase.quantities import QUANTITIES

__all__ = ["evaluate"]


def evaluate(
    model: Model | Sequence[Model] | PaiNNCalculator,
    structures: Iterable[Atoms],
    properties: Iterable[str] = ("energy", "forces"),
    *,
    batch_atoms: int = 1024,
    batch_edges: int = 32768,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> list[dict[str, Any]]:
    """Properties of many structures, of any sizes, cells and periodicity.

    Parameters
    ----------
    model : str, Path, AtomisticPotential, a list of these, or PaiNNCalculator
    structures : iterable of Atoms
        Fluxes are taken for the structures' own velocities.
    properties : sequence of str, or str
        Names from :data:`painn_ase.quantities.QUANTITIES`.
    batch_atoms, batch_edges : int
        A batch is closed before it would exceed either; one structure may exceed them alone. The
        defaults keep a batch of a 128-wide model near 1 GB.
    device, dtype
        As for :class:`PaiNNCalculator`; only used if `model` is not a calculator.

    Returns
    -------
    list of dict
        For each structure name → float or float64 array, in ASE's shapes and units, in the order
        given.

    Raises
    ------
    PropertyUnavailableError, GeometryError, UnknownElementError, NonFiniteError
    """
    calculator = (
        model
        if isinstance(model, PaiNNCalculator)
        else PaiNNCalculator(model, device=device, dtype=dtype)
    )
    asked = frozenset([properties] if isinstance(properties, str) else properties)
    names = frozenset("energy" if name == "free_energy" else name for name in asked)
    moving = bool(names & {"dipole_flux", "polarizability_flux"})
    limits = (1, 1) if "hessian" in names else (batch_atoms, batch_edges)
    results: list[dict[str, Any]] = []
    with torch.inference_mode(False):  # derivatives need autograd
        for frames, graph in _batches(calculator, structures, *limits):
            velocities = _velocities_of(frames, calculator) if moving else None
            members = calculator.predict(graph, names, velocities)
            counts = [len(atoms) for atoms in frames]
            split = [prediction.split(counts) for prediction in members]
            for n, atoms in enumerate(frames):
                results.append(to_ase([parts[n] for parts in split], atoms))
    return [{k: v for k, v in r.items() if _asked(k, asked)} for r in results]


def _asked(key: str, names: frozenset[str]) -> bool:
    return key in names or (key.removesuffix("_std") in names and key not in QUANTITIES)


def _velocities_of(frames: Sequence[Atoms], calculator: PaiNNCalculator) -> torch.Tensor:
    """The structures' own velocities (n_atoms, 3), on the calculator's device."""
    stacked = np.concatenate([atoms.get_velocities() for atoms in frames])
    return torch.tensor(stacked, dtype=torch.float64, device=calculator.device)


def _batches(
    calculator: PaiNNCalculator,
    structures: Iterable[Atoms],
    batch_atoms: int,
    batch_edges: int,
) -> Iterator[tuple[list[Atoms], AtomGraph]]:
    """Groups of structures with their joint graph, on the calculator's device."""
    frames: list[Atoms] = []
    graphs: list[AtomGraph] = []
    for atoms in structures:
        calculator.potential.check_elements(atoms.numbers.tolist())
        charge = calculator.total_charge(atoms)
        graph = from_ase(atoms, calculator.potential.cutoff, charge=charge)
        n_atoms = sum(g.n_atoms for g in graphs) + graph.n_atoms
        n_edges = sum(g.n_edges for g in graphs) + graph.n_edges
        if graphs and (n_atoms > batch_atoms or n_edges > batch_edges):
            yield frames, collate(graphs).to(calculator.device)
            frames, graphs = [], []
        frames.append(atoms)
        graphs.append(graph)
    if graphs:
        yield frames, collate(graphs).to(calculator.device)
