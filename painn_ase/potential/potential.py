"""A potential: network and heads behind one call, graph in, prediction out.

What is asked for decides what is computed: no head runs and no derivative is taken unless a
requested quantity needs it, and no autograd graph outlives the call unless training asks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn

from painn_ase.elements import ATOMIC_MASSES, format_elements
from painn_ase.errors import UnknownElementError, UnsupportedPropertyError
from painn_ase.graph.record import AtomGraph
from painn_ase.heads import (
    ChargesHead,
    EnergyHead,
    Frame,
    build_dipole_head,
    build_polarizability_head,
)
from painn_ase.heads.energy import ElementTable
from painn_ase.nn.network import Exchange, Features, build_network
from painn_ase.nn.scatter import ScatterBackend, check_scatter_backend
from painn_ase.potential.derivatives import (
    edge_vectors,
    forces_from_edges,
    hessian_from_forces,
    jacobian,
    pushforward,
    stress_from_edges,
)
from painn_ase.potential.prediction import Prediction
from painn_ase.quantities import QUANTITIES
from painn_ase.spec import ModelSpec

__all__ = ["AtomisticPotential"]

#: Unique entries of a symmetric matrix, and where each entry of the matrix finds its own.
_TRIANGLE = ((0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2))
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
_NEEDS_EDGES = frozenset({"forces", "stress", "hessian"})
_NEEDS_VELOCITIES = frozenset({"dipole_flux", "polarizability_flux"})


class AtomisticPotential(nn.Module):
    """A network with its heads.

    Parameters
    ----------
    spec : ModelSpec
        What to build; weights start random.
    """

    element_rows: Tensor
    masses: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.exchange: Exchange | None = None
        n, n_elements = spec.representation.n_features, len(spec.elements)
        row_of = {z: row for row, z in enumerate(spec.elements)}
        rows = torch.tensor([row_of.get(z, -1) for z in range(len(ATOMIC_MASSES))])
        self.register_buffer("element_rows", rows, persistent=False)
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

    # -- what this potential is ------------------------------------------------------------------

    @property
    def cutoff(self) -> float:
        """Distance beyond which atoms do not see each other, Å."""
        return self.spec.representation.cutoff

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers the model knows."""
        return self.spec.elements

    @property
    def dtype(self) -> torch.dtype:
        """The network's floating-point type; positions and sums over atoms are float64 always."""
        return self.representation.embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.representation.embedding.weight.device

    @property
    def scatter_backend(self) -> ScatterBackend:
        """Which package sums messages: "torch" or "torch_scatter"."""
        return self.representation.scatter_backend

    def use_scatter(self, backend: str) -> AtomisticPotential:
        """The same potential, now summing with `backend`; see :mod:`painn_ase.nn.scatter`."""
        self.representation.scatter_backend = check_scatter_backend(backend)
        return self

    @property
    def has_latent_charges(self) -> bool:
        """Whether the dipole head gives the charges, so that they come with a dipole at no cost."""
        dipole, charges = self.spec.heads.dipole, self.spec.heads.charges
        return charges is None and dipole is not None and dipole.kind != "local"

    @property
    def dipole_has_origin(self) -> bool:
        """Whether the dipole counts positions from an origin, the centre of mass."""
        return "dipole" in self.heads and bool(self.heads["dipole"].needs_origin)

    @property
    def properties(self) -> tuple[str, ...]:
        """Names of the quantities this potential can give."""
        heads = set(self.spec.heads.names)
        if self.has_latent_charges:
            heads.add("charges")
        return tuple(
            name
            for name, quantity in QUANTITIES.items()
            if quantity.requires in heads and name != "free_energy"
        )

    def check_elements(self, numbers: Iterable[int]) -> None:
        """Raise :class:`UnknownElementError` unless the model knows all these atomic numbers."""
        if unknown := sorted(set(numbers) - set(self.elements)):
            raise UnknownElementError(
                f"the structure holds {format_elements(unknown)}, but this model was trained on "
                f"{format_elements(self.elements)} only. Use a model trained on all its elements."
            )

    def check_properties(self, properties: Collection[str], pbc: Tensor, n_systems: int) -> None:
        """Raise :class:`UnsupportedPropertyError` for what model or structure cannot have."""
        for name in properties:
            if name not in QUANTITIES or name == "free_energy":
                known = ", ".join(q for q in QUANTITIES if q != "free_energy")
                raise UnsupportedPropertyError(f"unknown property {name!r}; known are {known}.")
            if name not in self.properties:
                raise UnsupportedPropertyError(
                    f"this model cannot give {name!r}: it needs a head "
                    f"{QUANTITIES[name].requires!r}, and the model has "
                    f"{', '.join(self.spec.heads.names)}. Train a model with that head."
                )
            head = self.heads[name] if name in ("dipole", "polarizability") else None
            if QUANTITIES[name].requires in self.heads:
                head = self.heads[QUANTITIES[name].requires]
            if getattr(head, "needs_origin", False) and bool(pbc.any()):
                raise UnsupportedPropertyError(
                    f"{name!r} of this model uses atomic positions as lever arms, which have no "
                    "meaning in a periodic cell (pbc "
                    f"{pbc.tolist()}). Use a model whose {QUANTITIES[name].requires} head is "
                    "'local', or set atoms.pbc = False for an isolated molecule."
                )
        if "stress" in properties and not bool(pbc.all()):
            raise UnsupportedPropertyError(
                f"stress needs a volume and so a structure that is periodic in all three "
                f"directions; got pbc {pbc.tolist()}. Set atoms.pbc = True with a full cell."
            )
        if "hessian" in properties and n_systems != 1:
            raise UnsupportedPropertyError(
                f"a Hessian is computed for one structure at a time; got {n_systems}."
            )

    # -- evaluation ------------------------------------------------------------------------------

    def forward(
        self,
        graph: AtomGraph,
        properties: Collection[str],
        velocities: Tensor | None = None,
        *,
        create_graph: bool = False,
    ) -> Prediction:
        """The requested quantities of every structure in `graph`.

        Parameters
        ----------
        graph : AtomGraph
        properties : collection of str
            Names from :data:`painn_ase.quantities.QUANTITIES`.
        velocities : Tensor (n_atoms, 3), optional
            Needed by the fluxes, in ASE's unit (Å per Å·√(amu/eV)).
        create_graph : bool
            Keep the results differentiable (for training).

        Raises
        ------
        UnsupportedPropertyError
            For a property this model or structure cannot have.
        UnknownElementError
            For elements the model was not trained on (on the CPU; on a GPU the caller checks, as
            a look would wait for the device).
        """
        wanted = frozenset(properties)
        self.check_properties(wanted, graph.pbc, graph.n_systems)
        if wanted & _NEEDS_VELOCITIES and velocities is None:
            raise UnsupportedPropertyError(
                f"{', '.join(sorted(wanted & _NEEDS_VELOCITIES))} needs velocities (n_atoms, 3)."
            )
        differentiates = bool(wanted & (_NEEDS_POSITIONS | _NEEDS_EDGES))
        context = torch.enable_grad() if differentiates or create_graph else torch.no_grad()
        with contextlib.ExitStack() as stack:
            stack.enter_context(context)
            prediction = self._evaluate(graph, wanted, velocities, create_graph)
        return prediction if create_graph else prediction.detached()

    def _evaluate(
        self,
        graph: AtomGraph,
        wanted: frozenset[str],
        velocities: Tensor | None,
        create_graph: bool,
    ) -> Prediction:
        positions = graph.positions
        if wanted & _NEEDS_POSITIONS:
            positions = positions.detach().requires_grad_(True)
        vectors = edge_vectors(graph, positions)
        if wanted & _NEEDS_EDGES and not vectors.requires_grad:
            vectors.requires_grad_(True)
        element_idx = self._element_idx(graph.numbers)
        features: Features = self.representation(
            element_idx, vectors.to(self.dtype), graph.idx_i, graph.idx_j, self.exchange
        )
        standard = self.masses_by_element(element_idx)
        frame = Frame(
            element_idx=element_idx,
            system_idx=graph.system_idx,
            n_systems=graph.n_systems,
            positions=positions,
            masses=standard if graph.masses is None else graph.masses,
            standard_masses=standard,
            charge=graph.charge,
            scatter_backend=self.scatter_backend,
        )
        out: dict[str, Tensor] = {}
        self._add_energy(out, wanted, features, frame, graph, vectors, positions, create_graph)
        self._add_response(out, wanted, features, frame, positions, velocities, create_graph)
        return Prediction(**{name: value for name, value in out.items() if name in wanted})

    def _add_energy(
        self,
        out: dict[str, Tensor],
        wanted: frozenset[str],
        features: Features,
        frame: Frame,
        graph: AtomGraph,
        vectors: Tensor,
        positions: Tensor,
        create_graph: bool,
    ) -> None:
        """Energy and its derivatives, as far as wanted."""
        if not wanted & {"energy", "energies", "forces", "stress", "hessian"}:
            return
        out["energies"] = self.heads["energy"](features.scalars, frame.element_idx)
        out["energy"] = frame.sum_over_atoms(out["energies"])
        if not wanted & _NEEDS_EDGES:
            return
        second = create_graph or "hessian" in wanted
        gradient = torch.zeros_like(vectors)
        if vectors.shape[0] > 0:
            (gradient,) = torch.autograd.grad(
                out["energy"].sum(),
                vectors,
                create_graph=second,
                retain_graph=second or not wanted <= {"energy", "energies", *_NEEDS_EDGES},
            )
        backend = self.scatter_backend
        if wanted & {"forces", "hessian"}:
            out["forces"] = forces_from_edges(gradient, graph, backend)
        if "stress" in wanted:
            out["stress"] = stress_from_edges(gradient, vectors, graph, backend)
        if "hessian" in wanted:
            out["hessian"] = hessian_from_forces(out["forces"], positions)

    def _add_response(
        self,
        out: dict[str, Tensor],
        wanted: frozenset[str],
        features: Features,
        frame: Frame,
        positions: Tensor,
        velocities: Tensor | None,
        create_graph: bool,
    ) -> None:
        """Charges, dipole, polarizability and their derivatives, as far as wanted."""
        if wanted & {"dipole", "born_effective_charges", "dipole_flux"} or (
            "charges" in wanted and "charges" not in self.heads
        ):
            out["dipole"], latent = self.heads["dipole"](features, frame)
            if latent is not None:
                out["charges"] = latent
        if "charges" in wanted and "charges" in self.heads:
            out["charges"] = self.heads["charges"](features, frame)
        if wanted & {"polarizability", "polarizability_derivatives", "polarizability_flux"}:
            out["polarizability"] = self.heads["polarizability"](features, frame)

        if "born_effective_charges" in wanted:
            gradient = jacobian(out["dipole"], positions, create_graph=create_graph)
            out["born_effective_charges"] = gradient.transpose(1, 2)
        if "polarizability_derivatives" in wanted:
            triangle = out["polarizability"][:, _TRIANGLE[0], _TRIANGLE[1]]
            unique = jacobian(triangle, positions, create_graph=create_graph)
            out["polarizability_derivatives"] = unique[..., _UNFOLD].unflatten(-1, (3, 3))
        fluxes = wanted & _NEEDS_VELOCITIES
        if fluxes and velocities is not None:
            names = sorted(fluxes)
            values = [out[name.removesuffix("_flux")] for name in names]
            velocities = velocities.to(positions.dtype)
            rates = pushforward(values, positions, velocities, create_graph=create_graph)
            out.update(zip(names, rates, strict=True))
        if "dipole_flux" in fluxes and velocities is not None and self.dipole_has_origin:
            # The head holds the centre of mass fixed; an ion's dipole moves with it by −Q·v_com.
            drift = frame.sum_over_atoms(frame.mass_fractions.unsqueeze(-1) * velocities)
            out["dipole_flux"] = out["dipole_flux"] - frame.charge.unsqueeze(-1) * drift

    def _element_idx(self, numbers: Tensor) -> Tensor:
        rows = self.element_rows
        if numbers.device.type == "cpu":
            known = (numbers >= 0) & (numbers < rows.shape[0])
            if not bool(known.all()) or not bool((rows[numbers] >= 0).all()):
                self.check_elements(numbers.tolist())
        return rows.index_select(0, numbers)
