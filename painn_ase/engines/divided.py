"""A model on one process's share of a system: what engines that divide atoms among ranks need."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from painn_ase.calculator.members import placed
from painn_ase.devices import resolve_device, resolve_dtype
from painn_ase.elements import ATOMIC_MASSES, SYMBOLS
from painn_ase.errors import NonFiniteError, SpecError, UnsupportedPropertyError
from painn_ase.graph import finite_charge
from painn_ase.models import load_model
from painn_ase.models.catalog import find_model
from painn_ase.nn.exchange import GhostExchange, GlobalSum
from painn_ase.potential import AtomisticPotential, CoreInput

__all__ = ["RESPONSES", "SharedModel"]

#: Quantities beside the energy that engines take over, where a model has them.
RESPONSES = ("dipole", "polarizability")
#: How near a mass must be to that of another element to be taken for it.
_MASS_TOLERANCE = 0.05


class SharedModel:
    """A model whose atoms are divided among processes, each of which has one of these.

    Parameters
    ----------
    model : str, Path or AtomisticPotential
        Model file, name of a bundled model, or a potential.
    symbols : sequence of str
        Element of each of the engine's atom types.
    device, dtype : str, optional
        As of the calculator; on a machine with several GPUs "cuda" is the one of `rank_here`.
    charge : float, optional
        Total charge, e; the model's own if not given.
    responses : bool
        Whether dipole and polarizability are wanted.
    rank_here : int
        Number of this process among those of the machine.

    Raises
    ------
    ModelFileError, DeviceError, UnknownElementError, SpecError, GeometryError
        Each message names the remedy.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | AtomisticPotential,
        symbols: Sequence[str],
        *,
        device: str | None = None,
        dtype: str | None = None,
        charge: float | None = None,
        responses: bool = True,
        rank_here: int = 0,
    ) -> None:
        if isinstance(model, AtomisticPotential):
            potential = model
        else:
            potential = load_model(find_model(os.fspath(model)))
        if unknown := [s for s in symbols if s not in SYMBOLS[1:]]:
            raise SpecError(
                f"{', '.join(unknown)}: no chemical symbols. Give an element for each atom type, "
                "in their order, such as H O."
            )
        numbers = [SYMBOLS.index(s) for s in symbols]
        potential.check_elements(numbers)
        place = resolve_device(device)
        if str(place) == "cuda":
            place = torch.device("cuda", rank_here % torch.cuda.device_count())
        kind = potential.dtype if dtype is None else resolve_dtype(dtype)
        self.potential = placed(potential, place, kind, None)
        self.symbols = tuple(symbols)
        given = potential.spec.total_charge if charge is None else charge
        self.charge = torch.tensor([finite_charge(given)], dtype=torch.float64, device=place)
        self.rows = potential.element_rows.cpu()[torch.tensor(numbers, dtype=torch.int64)].to(place)
        self.responses = tuple(n for n in RESPONSES if responses and n in potential.properties)

    @property
    def device(self) -> torch.device:
        """Where the model is evaluated."""
        return self.potential.device

    @property
    def cutoff(self) -> float:
        """Å."""
        return self.potential.cutoff

    def check(self, periodic: Sequence[bool], masses: Sequence[float], remedy: str) -> None:
        """Refuse what has no meaning, before the first step.

        Parameters
        ----------
        periodic : sequence of bool
            Of the three directions.
        masses : sequence of float
            Of the atom types, amu; 0 where the engine does not know them.
        remedy : str
            How the engine is told to do without dipole and polarizability.

        Raises
        ------
        SpecError
            When masses say that the elements are in another order.
        UnsupportedPropertyError
            For lever arms in a cell.
        """
        standard = [ATOMIC_MASSES[SYMBOLS.index(s)] for s in self.symbols]
        for k, mass in enumerate(masses):
            fits = [abs(mass / m - 1) < _MASS_TOLERANCE for m in standard]
            if any(fits) and not fits[k]:
                raise SpecError(
                    f"atom type {k + 1} is said to be {self.symbols[k]} and has the mass "
                    f"{mass:g} of {self.symbols[fits.index(True)]}. Give the elements in the "
                    "order of the atom types, or the types their masses."
                )
        levers = [n for n in self.responses if self.potential.heads[n].needs_origin]
        if levers and any(periodic):
            raise UnsupportedPropertyError(
                f"{' and '.join(levers)} of this model use atomic positions as lever arms, which "
                f"have no meaning in a periodic cell. Use a model whose heads are 'local', or do "
                f"without: {remedy}."
            )

    def exchange_width(self) -> int:
        """Most numbers per atom that one exchange carries."""
        widths = [0]

        def noted(buffer: Tensor) -> Tensor:
            widths.append(buffer.shape[1])
            return buffer

        no = torch.zeros(0, dtype=torch.int64, device=self.device)
        none = torch.zeros((0, 3), dtype=torch.float64, device=self.device)
        masses = torch.zeros(0, dtype=torch.float64, device=self.device)
        self.evaluate(0, no, none, no, no, fill=noted, add=noted, masses=masses, positions=none)
        return max(widths)

    def evaluate(
        self,
        n_owned: int,
        types: Tensor,
        edge_vectors: Tensor,
        idx_i: Tensor,
        idx_j: Tensor,
        *,
        fill: Callable[[Tensor], Tensor],
        add: Callable[[Tensor], Tensor],
        total: Callable[[Tensor], Tensor] | None = None,
        masses: Tensor | None = None,
        positions: Tensor | None = None,
        responses: bool = False,
    ) -> dict[str, Tensor]:
        """Numbers of a process's share. All processes call it alike, also those without atoms.

        Parameters
        ----------
        n_owned : int
            The first atoms are this process's own, those after them ghosts.
        types : Tensor (n_atoms,), int64
            From 0, in the order of the symbols.
        edge_vectors : Tensor (n_edges, 3), float64
            r_j − r_i, Å.
        idx_i, idx_j : Tensor (n_edges,), int64
            Every neighbour of each owned atom i.
        fill, add : callable
            See :class:`~painn_ase.nn.exchange.GhostExchange`.
        total : callable, optional
            See :class:`~painn_ase.nn.exchange.GlobalSum`.
        masses, positions : Tensor, optional
            amu, Å; needed by heads with lever arms.
        responses : bool
            Dipole and polarizability, too.

        Returns
        -------
        dict
            ``energies`` (n_owned,) and ``edge_gradient`` ∂E/∂r_ij (n_edges, 3), eV and eV/Å; shares
            of ``dipole`` (3,) and ``polarizability`` (3, 3), e·Å and e²Å²/eV.

        Raises
        ------
        NonFiniteError
            If a number is none.
        """
        n_atoms, device = len(types), self.device
        if positions is None:
            positions = torch.zeros((n_atoms, 3), dtype=torch.float64, device=device)
        given = CoreInput(
            element_idx=self.rows[types],
            edge_vectors=edge_vectors,
            idx_i=idx_i,
            idx_j=idx_j,
            system_idx=torch.zeros(n_atoms, dtype=torch.int64, device=device),
            charge=self.charge,
            positions=positions,
            masses=masses,
            n_owned=n_owned,
        )
        wanted = {"energies", "edge_gradient", *(self.responses if responses else ())}
        answer: dict[str, Tensor] = self.potential.core(
            given,
            wanted,
            exchange=GhostExchange(fill, add),
            total=None if total is None else GlobalSum(total),
        )
        for name in RESPONSES:
            if name in answer:
                answer[name] = answer[name][0]
        for name, value in answer.items():
            if not bool(torch.isfinite(value).all()):
                raise NonFiniteError(
                    f"{name} is not a number. Two atoms may lie on each other, or the run has "
                    "exploded: look at the last frames, and take a shorter time step."
                )
        return answer
