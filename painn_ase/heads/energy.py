"""Energy head: atomic energies from the scalars, reference energies, sum in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from painn_ase.nn.blocks import build_mlp
from painn_ase.spec import EnergySpec

__all__ = ["ElementTable", "EnergyHead", "head_widths"]


def head_widths(n_features: int, n_hidden: tuple[int, ...] | None) -> tuple[int, ...]:
    """Widths of a scalar head's MLP: F → hidden → 1, one hidden layer of F/2 by default."""
    hidden = (max(n_features // 2, 1),) if n_hidden is None else n_hidden
    return (n_features, *hidden, 1)


class ElementTable(nn.Module):
    """One float64 number per element, which stays float64 when the model is cast.

    Reference energies are thousands of eV: rounded to float32 they would cost meV.
    """

    values: Tensor

    def __init__(self, values: tuple[float, ...], n_elements: int) -> None:
        super().__init__()
        table = torch.tensor(values or (0.0,) * n_elements, dtype=torch.float64)
        self.register_buffer("values", table, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ElementTable:
        exact = self.values
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.values = exact.to(self.values.device)
        return self

    def forward(self, element_idx: Tensor) -> Tensor:
        """The number of each atom's element (n_atoms,), float64."""
        return self.values.index_select(0, element_idx)


class EnergyHead(nn.Module):
    """E = Σ_i scale · ε(q_i) + E_ref(Z_i), ε a small MLP (arXiv 2102.03150, 'energies').

    Parameters
    ----------
    spec : EnergySpec
    n_features, n_elements : int
    """

    def __init__(self, spec: EnergySpec, n_features: int, n_elements: int) -> None:
        super().__init__()
        self.scale = spec.scale
        self.mlp = build_mlp(head_widths(n_features, spec.n_hidden))
        self.references = ElementTable(spec.reference_energies, n_elements)

    def forward(self, scalars: Tensor, element_idx: Tensor) -> Tensor:
        """Atomic energies (n_atoms,) in eV, float64."""
        raw = self.mlp(scalars).squeeze(-1).double()
        energies: Tensor = raw * self.scale + self.references(element_idx)
        return energies
