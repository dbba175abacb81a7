"""A whole model as its file describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from painn_ase.errors import SpecError
from painn_ase.spec.fields import check_types, require
from painn_ase.spec.heads import HeadsSpec
from painn_ase.spec.networks import NetworkSpec, PaiNNSpec

__all__ = ["SCHEMA_VERSION", "ModelSpec"]

#: Version of the header's layout. Raise it with every change and add a migration in models/file.py.
SCHEMA_VERSION = 2

#: What to do about a head that finds no vectors.
_WITHOUT_VECTORS = {
    "dipole": "Take the kind 'point_charge', or a network with vectors: 'painn', 'so3net'.",
    "polarizability": "Take a network with vectors: 'painn', 'so3net'.",
}


@dataclass(frozen=True)
class ModelSpec:
    """Everything a model file says about its model besides the weights.

    Attributes
    ----------
    elements : tuple of int
        Atomic numbers the model knows, ascending.
    representation : NetworkSpec
        The network, of any kind.
    heads : HeadsSpec
        The heads.
    total_charge : float
        Charge of the structures it was trained on, the default of a calculation, e.
    name, description, licence, citation : str
        For the reader of the file.
    code_version : str
        The painn_ase that wrote the file; filled in on saving.
    provenance : dict
        Training data, split, configuration, errors: free JSON, shown by ``painn-ase info``.
    """

    elements: tuple[int, ...]
    heads: HeadsSpec
    representation: NetworkSpec = field(default_factory=PaiNNSpec)
    total_charge: float = 0.0
    name: str = ""
    description: str = ""
    licence: str = ""
    citation: str = ""
    code_version: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_types(self)
        z = self.elements
        require(bool(z), "elements must name at least one atomic number", z)
        require(all(1 <= n <= 118 for n in z), "elements must be atomic numbers 1..118", z)
        require(list(z) == sorted(set(z)), "elements must ascend without repeats", z)
        self._check_needs()
        energy, alpha = self.heads.energy, self.heads.polarizability
        for what, values in (
            ("reference_energies", energy.reference_energies if energy else ()),
            ("isotropic", alpha.isotropic if alpha else ()),
        ):
            require(len(values) in (0, len(z)), f"{what} needs one number per element {z}", values)

    def _check_needs(self) -> None:
        """Raise unless the network gives what every head reads."""
        network = self.representation
        for name in self.heads.names:
            head = getattr(self.heads, name)
            if head.needs_vectors and not network.gives_vectors:
                kind = f" of kind {head.kind!r}" if hasattr(head, "kind") else ""
                raise SpecError(
                    f"a {name} head{kind} reads vectors, and a network of kind {network.kind!r} "
                    f"has scalars only. {_WITHOUT_VECTORS[name]}"
                )
