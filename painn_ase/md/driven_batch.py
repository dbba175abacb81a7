"""Many copies moved by another program one by one, while a model responds for all at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from painn_ase.calculator import PaiNNCalculator
from painn_ase.driven import DrivenCalculator
from painn_ase.errors import NonFiniteError
from painn_ase.graph import AtomGraph
from painn_ase.md.batched import BatchedPotential, model_of
from painn_ase.md.committee import driving
from painn_ase.md.identity import describe_identity
from painn_ase.potential import AtomisticPotential, Prediction

__all__ = ["DrivenBatch", "batched"]


class DrivenBatch:
    """A driver that moves a batch copy by copy, and a model that responds for all at once.

    Parameters
    ----------
    calculator : DrivenCalculator
        With a model.

    Attributes
    ----------
    potential : AtomisticPotential
        The response model.
    name : str
        What evaluates the response.
    """

    def __init__(self, calculator: DrivenCalculator) -> None:
        self.calculator = calculator
        self.response: BatchedPotential = driving(calculator.model.backends)
        self.potential: AtomisticPotential = model_of(self.response)
        self.name = str(getattr(self.response, "name", "eager"))

    def __call__(
        self, graph: AtomGraph, properties: Collection[str], velocities: Tensor | None = None
    ) -> Prediction:
        """Quantities of the response; energies and forces are the driver's alone."""
        return self.response(graph, properties, velocities)

    def identity_record(self) -> dict[str, Any]:
        """What a restart compares."""
        return describe_identity(self.calculator)

    def forces_of(self, template: Atoms, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Energies [n_copies] and forces [n_copies * n_atoms, 3] of the driver.

        Raises
        ------
        NonFiniteError
            When the driver gives NaN; names the copy.
        """
        frames = positions.detach().cpu().numpy().reshape(-1, len(template), 3)
        atoms = template.copy()
        atoms.set_constraint()
        energies, forces = np.empty(len(frames)), np.empty_like(frames)
        for n, frame in enumerate(frames):
            atoms.positions[:] = frame
            forces[n] = self.calculator.driver.get_property("forces", atoms)
            energies[n] = self.calculator.driver.get_property("energy", atoms)
            if not (np.isfinite(energies[n]) and np.isfinite(forces[n]).all()):
                raise NonFiniteError(
                    f"{self.calculator.name_of_driver} gives energies or forces that are no "
                    f"numbers for copy {n}. Use a shorter time step, or look at that structure."
                )
        made = [torch.tensor(a, device=positions.device) for a in (energies, forces)]
        return made[0], made[1].reshape(-1, 3)


def batched(calculator: PaiNNCalculator | DrivenCalculator) -> Any:
    """What moves a batch of replicas for a calculator: its backends, or a driver copy by copy."""
    if isinstance(calculator, DrivenCalculator):
        return DrivenBatch(calculator)
    return driving(calculator.backends)
