"""A potential: the core behind one checked call, graph in, prediction out.

What is asked for decides what is computed: no head runs and no derivative is taken unless a
requested quantity needs it, and no autograd graph outlives the call unless training asks.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn

from painn_ase.elements import ATOMIC_MASSES, format_elements
from painn_ase.errors import UnknownElementError, UnsupportedPropertyError
from painn_ase.graph.record import AtomGraph
from painn_ase.nn.scatter import ScatterBackend, check_scatter_backend
from painn_ase.potential.core import NEEDS_VELOCITIES, AtomisticCore, core_input
from painn_ase.potential.prediction import Prediction
from painn_ase.quantities import QUANTITIES
from painn_ase.spec import HeadsSpec, ModelSpec

__all__ = ["AtomisticPotential", "quantities_of"]


def quantities_of(heads: HeadsSpec) -> frozenset[str]:
    """Names of the quantities that come from these heads, latent charges not among them."""
    names = {name for name, quantity in QUANTITIES.items() if quantity.requires in heads.names}
    if heads.dipole is not None and heads.dipole.magnitude:
        of_vectors = {n for n in names if QUANTITIES[n].requires == "dipole"}
        names -= of_vectors - {"dipole_magnitude"}
    return frozenset(names)


class AtomisticPotential(nn.Module):
    """A network with its heads.

    Parameters
    ----------
    spec : ModelSpec
        What to build; weights start random.

    Attributes
    ----------
    core : AtomisticCore
        The same weights as a function of tensors, unchecked and traceable: for programs that
        bring edges and ghosts of their own.
    """

    element_rows: Tensor
    core: AtomisticCore

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        core = AtomisticCore(spec)
        # Past Module's registration: the core's parts have their names in files from here.
        self.__dict__["core"] = core
        self.representation, self.heads = core.representation, core.heads
        self.masses_by_element = core.masses_by_element
        row_of = {z: row for row, z in enumerate(spec.elements)}
        rows = torch.tensor([row_of.get(z, -1) for z in range(len(ATOMIC_MASSES))])
        self.register_buffer("element_rows", rows, persistent=False)

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
        """How messages are summed: "torch", "torch_scatter" or "sorted"."""
        return self.representation.scatter_backend

    def use_scatter(self, backend: str) -> AtomisticPotential:
        """The same potential, now summing with `backend`; see :mod:`painn_ase.nn.scatter`."""
        self.representation.scatter_backend = check_scatter_backend(backend)
        return self

    @property
    def has_latent_charges(self) -> bool:
        """Whether the dipole head gives the charges, so that they come with a dipole at no cost."""
        dipole, charges = self.spec.heads.dipole, self.spec.heads.charges
        if charges is not None or dipole is None or dipole.magnitude:
            return False
        return dipole.kind != "local"

    @property
    def dipole_has_origin(self) -> bool:
        """Whether the dipole counts positions from an origin, the centre of mass."""
        return self.core.dipole_has_origin

    @functools.cached_property  # asked for in every call, and the heads stay what they are
    def properties(self) -> tuple[str, ...]:
        """Names of the quantities this potential can give."""
        names = quantities_of(self.spec.heads)
        return tuple(
            name
            for name in QUANTITIES
            if name != "free_energy"
            and (name in names or (name == "charges" and self.has_latent_charges))
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
            if name not in self.properties and QUANTITIES[name].requires in self.heads:
                raise UnsupportedPropertyError(
                    f"this model cannot give {name!r}: its dipole was trained on lengths alone, so "
                    "that sign and direction mean nothing. It gives 'dipole_magnitude'; train on "
                    "dipole vectors for the rest."
                )
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
        if wanted & NEEDS_VELOCITIES and velocities is None:
            raise UnsupportedPropertyError(
                f"{', '.join(sorted(wanted & NEEDS_VELOCITIES))} needs velocities (n_atoms, 3)."
            )
        self._check_known(graph.numbers)
        given = core_input(graph, self.element_rows, periodic=bool(graph.pbc.any()))
        return Prediction(**self.core(given, wanted, velocities, create_graph=create_graph))

    def _check_known(self, numbers: Tensor) -> None:
        rows = self.element_rows
        if numbers.device.type == "cpu":
            known = (numbers >= 0) & (numbers < rows.shape[0])
            if not bool(known.all()) or not bool((rows[numbers] >= 0).all()):
                self.check_elements(numbers.tolist())
