"""The core of a potential: plain tensors in, plain tensors out, on edge vectors and with ghosts.

Nothing here looks at a value: no checks, no ``.item()``, no Python that depends on data. So a call
can be traced by ``make_fx`` or ``torch.export``, captured in a CUDA graph, and run on the meta
device, which has shapes only. Atoms or edges may be none, lists one-sided, and atoms beyond
``n_owned`` ghosts of another process. What a user may get wrong is checked by
:class:`~painn_ase.potential.AtomisticPotential`, which calls this.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from painn_ase.elements import ATOMIC_MASSES
from painn_ase.graph.record import AtomGraph
from painn_ase.heads import (
    ChargesHead,
    EnergyHead,
    Placement,
    build_dipole_head,
    build_polarizability_head,
)
from painn_ase.heads.energy import ElementTable
from painn_ase.nn.network import Exchange, Features, build_network
from painn_ase.nn.scatter import ScatterBackend, gather_rows
from painn_ase.potential.derivatives import (
    edge_vectors,
    forces_from_edges,
    gradient,
    hessian_from_forces,
    jacobian,
    pushforward,
    stress_from_virial,
    virial_from_edges,
)
from painn_ase.spec import ModelSpec

__all__ = ["NEEDS_VELOCITIES", "AtomisticCore", "CoreInput", "core_input"]

#: Unique entries of a symmetric matrix, and where each entry of the matrix finds its own. Picked
#: one by one: indexing by a list would make a tensor on the host and wait for its copy.
_TRIANGLE = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_UNFOLD = (0, 1, 2, 1, 3, 4, 2, 4, 5)

_NEEDS_POSITIONS = frozenset(
    {
        "hessian",
        "born_effective_charges",
        "dipole_flux",
        "polarizability_derivatives",
        "polarizability_flux",
    }
)
_FROM_DIPOLE = frozenset({"dipole", "dipole_magnitude", "born_effective_charges", "dipole_flux"})
_NEEDS_EDGES = frozenset({"edge_gradient", "forces", "stress", "hessian"})
#: Quantities that are rates of change.
NEEDS_VELOCITIES = frozenset({"dipole_flux", "polarizability_flux"})


class CoreInput(NamedTuple):
    """What the core reads; where atoms are divided among processes, those of one of them.

    Attributes
    ----------
    element_idx : Tensor (n_atoms,), int64
        Row of each atom's element in the model's list.
    edge_vectors : Tensor (n_edges, 3), float64
        r_ij = r_j − r_i + S·cell in Å; edges beyond the cutoff contribute exactly nothing.
    idx_i, idx_j : Tensor (n_edges,), int64
        Receiving centre and sending neighbour. Each owned atom needs the edges towards it, as
        centre; nothing is expected of the others.
    system_idx : Tensor (n_atoms,), int64
        Structure of each atom.
    charge : Tensor (n_systems,), float64
        Total charges, e.
    positions : Tensor (n_atoms, 3), float64
        Å; only heads that use them as lever arms look at them.
    masses : Tensor (n_atoms,), float64, or None
        Of the atoms as they move, amu; None for the elements' standard masses.
    cell : Tensor (n_systems, 3, 3), float64, or None
        Row vectors, Å; only the stress looks at it.
    origin : Tensor (n_systems, 3), float64, or None
        Where lever arms begin, Å; None for the centre of mass.
    n_owned : int or None
        So many atoms, the first, are this process's own, and only they count in energies and
        readouts; those after them are ghosts. None if all are.
    """

    element_idx: Tensor
    edge_vectors: Tensor
    idx_i: Tensor
    idx_j: Tensor
    system_idx: Tensor
    charge: Tensor
    positions: Tensor
    masses: Tensor | None = None
    cell: Tensor | None = None
    origin: Tensor | None = None
    n_owned: int | None = None


def core_input(graph: AtomGraph, element_rows: Tensor, *, periodic: bool) -> CoreInput:
    """What the core reads of a graph, all of whose atoms it owns.

    Parameters
    ----------
    graph : AtomGraph
    element_rows : Tensor (119,), int64
        Atomic number → row, ``potential.element_rows``.
    periodic : bool
        Whether any structure is periodic in any direction, so that edges may have shifts.
    """
    return CoreInput(
        element_idx=element_rows.index_select(0, graph.numbers),
        edge_vectors=edge_vectors(graph, periodic=periodic),
        idx_i=graph.idx_i,
        idx_j=graph.idx_j,
        system_idx=graph.system_idx,
        charge=graph.charge,
        positions=graph.positions,
        masses=graph.masses,
        cell=graph.cell,
    )


class AtomisticCore(nn.Module):
    """A network with its heads and their derivatives, as a function of tensors.

    Parameters
    ----------
    spec : ModelSpec
        What to build; weights start random.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        n, n_elements = spec.representation.n_features, len(spec.elements)
        self.masses_by_element = ElementTable(
            tuple(ATOMIC_MASSES[z] for z in spec.elements), n_elements
        )
        self.representation = build_network(spec.representation, n_elements)
        self.heads = nn.ModuleDict()
        if spec.heads.energy is not None:
            self.heads["energy"] = EnergyHead(spec.heads.energy, n, n_elements)
        if spec.heads.dipole is not None:
            self.heads["dipole"] = build_dipole_head(spec.heads.dipole, n)
        if spec.heads.polarizability is not None:
            self.heads["polarizability"] = build_polarizability_head(
                spec.heads.polarizability, n, n_elements
            )
        if spec.heads.charges is not None:
            self.heads["charges"] = ChargesHead(spec.heads.charges, n)

    @property
    def dtype(self) -> torch.dtype:
        """The network's floating-point type; sums and positions are float64 whatever it is."""
        return self.representation.embedding.weight.dtype

    @property
    def scatter_backend(self) -> ScatterBackend:
        """How messages are summed, see :mod:`painn_ase.nn.scatter`."""
        return self.representation.scatter_backend

    @property
    def dipole_has_origin(self) -> bool:
        """Whether the dipole counts positions from an origin, the centre of mass."""
        return "dipole" in self.heads and bool(self.heads["dipole"].needs_origin)

    def forward(
        self,
        given: CoreInput,
        properties: Collection[str],
        velocities: Tensor | None = None,
        *,
        create_graph: bool = False,
        exchange: Exchange | None = None,
        total: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """The quantities asked for, float64.

        With ghosts every process gets its share: what belongs to a structure is a sum over its
        own atoms or edges, to be added up over the processes, as are the rows of ghosts in
        ``forces``, ``born_effective_charges`` and ``polarizability_derivatives``, to be added to
        their owners'. ``energies`` and ``charges`` have rows for owned atoms only. A Hessian and
        the length of a dipole are of whole structures.

        Parameters
        ----------
        given : CoreInput
        properties : collection of str
            Names from :data:`painn_ase.quantities.QUANTITIES`, and ``edge_gradient``, ∂E/∂r_ij
            (n_edges, 3) in eV/Å.
        velocities : Tensor (n_atoms, 3), optional
            Needed by the fluxes, ghosts' too, in ASE's unit.
        create_graph : bool
            Keep the results differentiable.
        exchange : Exchange, optional
            Fetches the features of ghosts, see :class:`painn_ase.nn.exchange.GhostExchange`.
        total : callable, optional
            Sum over all processes, see :class:`painn_ase.nn.exchange.GlobalSum`; only heads with
            lever arms and charges that are corrected to the total charge call it.
        """
        wanted = frozenset(properties)
        with torch.set_grad_enabled(
            create_graph or bool(wanted & (_NEEDS_POSITIONS | _NEEDS_EDGES))
        ):
            return self._evaluate(given, wanted, velocities, create_graph, exchange, total)

    def _evaluate(
        self,
        given: CoreInput,
        wanted: frozenset[str],
        velocities: Tensor | None,
        create_graph: bool,
        exchange: Exchange | None,
        total: Callable[[Tensor], Tensor] | None,
    ) -> dict[str, Tensor]:
        moved = torch.zeros_like(given.positions)
        if wanted & _NEEDS_POSITIONS:
            # Derivatives by positions are taken with respect to a displacement of zero.
            moved = moved.requires_grad_(True)
            given = _displaced(given, moved, self.scatter_backend)
        elif wanted & _NEEDS_EDGES and not given.edge_vectors.requires_grad:
            leaf = given.edge_vectors.detach().requires_grad_(True)
            given = given._replace(edge_vectors=leaf)
        features: Features = self.representation(
            given.element_idx,
            given.edge_vectors.to(self.dtype),
            given.idx_i,
            given.idx_j,
            exchange,
        )
        n_owned = given.n_owned
        features = features.first(n_owned)
        placement = self._placement(given, total)
        out: dict[str, Tensor] = {}
        self._add_energy(out, wanted, features, placement, given, moved, create_graph)
        if velocities is not None:
            velocities = velocities.to(torch.float64)
        self._add_response(out, wanted, features, placement, moved, velocities, create_graph)
        chosen = {name: value for name, value in out.items() if name in wanted}
        return chosen if create_graph else {n: value.detach() for n, value in chosen.items()}

    def _placement(self, given: CoreInput, total: Callable[[Tensor], Tensor] | None) -> Placement:
        """What the heads may know of the atoms that count."""
        n = given.n_owned
        element_idx = given.element_idx[:n]
        standard = self.masses_by_element(element_idx)
        return Placement(
            element_idx=element_idx,
            system_idx=given.system_idx[:n],
            n_systems=given.charge.shape[0],
            positions=given.positions[:n],
            masses=standard if given.masses is None else given.masses[:n],
            standard_masses=standard,
            charge=given.charge,
            scatter_backend=self.scatter_backend,
            origin=given.origin,
            total=total,
        )

    def _add_energy(
        self,
        out: dict[str, Tensor],
        wanted: frozenset[str],
        features: Features,
        placement: Placement,
        given: CoreInput,
        moved: Tensor,
        create_graph: bool,
    ) -> None:
        """Energy and its derivatives, as far as wanted."""
        if not wanted & {"energy", "energies", *_NEEDS_EDGES}:
            return
        out["energies"] = self.heads["energy"](features.scalars, placement.element_idx)
        out["energy"] = placement.sum_over_atoms(out["energies"])
        if not wanted & _NEEDS_EDGES:
            return
        second = create_graph or "hessian" in wanted
        # Also where there are no edges: the backward pass has a part in every exchange.
        pull = gradient(
            out["energy"].sum(),
            given.edge_vectors,
            create_graph=second,
            retain_graph=second or not wanted <= {"energy", "energies", *_NEEDS_EDGES},
        )
        out["edge_gradient"] = pull
        backend = self.scatter_backend
        if wanted & {"forces", "hessian"}:
            n_atoms = given.element_idx.shape[0]
            out["forces"] = forces_from_edges(pull, given.idx_i, given.idx_j, n_atoms, backend)
        if "stress" in wanted and given.cell is not None:
            edge_system = given.system_idx.index_select(0, given.idx_i)
            virial = virial_from_edges(
                pull, given.edge_vectors, edge_system, placement.n_systems, backend
            )
            out["stress"] = stress_from_virial(virial, given.cell)
        if "hessian" in wanted:
            out["hessian"] = hessian_from_forces(out["forces"], moved)

    def _add_response(
        self,
        out: dict[str, Tensor],
        wanted: frozenset[str],
        features: Features,
        placement: Placement,
        moved: Tensor,
        velocities: Tensor | None,
        create_graph: bool,
    ) -> None:
        """Charges, dipole, polarizability and their derivatives, as far as wanted."""
        if wanted & _FROM_DIPOLE or ("charges" in wanted and "charges" not in self.heads):
            out["dipole"], latent = self.heads["dipole"](features, placement)
            if latent is not None:
                out["charges"] = latent
            if "dipole_magnitude" in wanted:
                out["dipole_magnitude"] = torch.linalg.vector_norm(out["dipole"], dim=-1)
        if "charges" in wanted and "charges" in self.heads:
            out["charges"] = self.heads["charges"](features, placement)
        if wanted & {"polarizability", "polarizability_derivatives", "polarizability_flux"}:
            out["polarizability"] = self.heads["polarizability"](features, placement)

        if "born_effective_charges" in wanted:
            born = jacobian(out["dipole"], moved, create_graph=create_graph)
            out["born_effective_charges"] = born.transpose(1, 2)
        if "polarizability_derivatives" in wanted:
            triangle = torch.stack([out["polarizability"][:, a, b] for a, b in _TRIANGLE], dim=-1)
            unique = jacobian(triangle, moved, create_graph=create_graph)
            entries = torch.stack([unique[..., k] for k in _UNFOLD], dim=-1)
            out["polarizability_derivatives"] = entries.unflatten(-1, (3, 3))
        fluxes = wanted & NEEDS_VELOCITIES
        if not fluxes or velocities is None:
            return
        names = sorted(fluxes)
        values = [out[name.removesuffix("_flux")] for name in names]
        rates = pushforward(values, moved, velocities, create_graph=create_graph)
        out.update(zip(names, rates, strict=True))
        if "dipole_flux" in fluxes and self.dipole_has_origin and placement.origin is None:
            # The head holds the centre of mass fixed; an ion's dipole moves with it by −Q·v_com.
            own = velocities[: placement.element_idx.shape[0]]
            drift = placement.sum_over_atoms(placement.mass_fractions.unsqueeze(-1) * own)
            out["dipole_flux"] = out["dipole_flux"] - placement.charge.unsqueeze(-1) * drift


def _displaced(given: CoreInput, moved: Tensor, backend: ScatterBackend) -> CoreInput:
    """The same atoms and edges as functions of a displacement (n_atoms, 3)."""
    along = gather_rows(moved, given.idx_j, backend) - gather_rows(moved, given.idx_i, backend)
    return given._replace(
        edge_vectors=given.edge_vectors + along, positions=given.positions + moved
    )
