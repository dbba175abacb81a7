"""Heads as a model file describes them, and what each needs of the network below it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

from painn_ase.spec.fields import check_types, require

__all__ = ["ChargesSpec", "DipoleSpec", "EnergySpec", "HeadsSpec", "PolarizabilitySpec"]


@dataclass(frozen=True)
class EnergySpec:
    """Energy head: E = Σ_i (scale · ε(q_i) + reference_energies[Z_i]), summed in float64.

    Attributes
    ----------
    n_hidden : tuple of int or None
        Hidden widths of the MLP; None for one hidden layer of F/2.
    scale : float
        Factor on the network's output, eV.
    reference_energies : tuple of float
        One per element of the model, in its order, eV; empty for zeros.
    """

    #: Whether it reads the network's vectors.
    needs_vectors: ClassVar[bool] = False

    n_hidden: tuple[int, ...] | None = None
    scale: float = 1.0
    reference_energies: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        _require_widths(self.n_hidden)


@dataclass(frozen=True)
class DipoleSpec:
    """Dipole head.

    Attributes
    ----------
    kind : {"latent_charge", "local", "point_charge"}
        ``latent_charge``: Σ μ_i + q_i r_i with the charges corrected to the total charge and r
        from the centre of mass (molecules only). ``local``: Σ_i Σ_k λ_k(q_i) ν_{k}, no charges,
        no origin: the one for periodic systems. ``point_charge``: Σ q_i r_i alone, for networks
        without vectors (molecules only).
    n_hidden : int or None
        Features between the gated equivariant blocks, or in the hidden layer of point charges;
        None for F/2.
    rank : int
        Number of terms k of the local form.
    scale : float
        Factor on the network's output.
    gate_epsilon : float
        ε in the norm of the gated blocks; 0 for the plain norm that SchNetPack uses.
    magnitude : bool
        Only the length |μ| was learnt: sign and direction of what is summed mean nothing, so that
        the model gives ``dipole_magnitude`` alone.
    """

    kind: Literal["latent_charge", "local", "point_charge"] = "latent_charge"
    n_hidden: int | None = None
    rank: int = 1
    scale: float = 1.0
    gate_epsilon: float = 1e-8
    magnitude: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        _require_gated_stack(self.n_hidden, self.rank, self.gate_epsilon)

    @property
    def needs_vectors(self) -> bool:
        """Whether it reads the network's vectors."""
        return self.kind != "point_charge"


@dataclass(frozen=True)
class PolarizabilitySpec:
    """Polarizability head; its unit is e²Å²/eV.

    Attributes
    ----------
    kind : {"latent_position", "local"}
        ``latent_position``: Σ α0_i 1 + ν_i⊗r_i + r_i⊗ν_i (arXiv 2102.03150, 'tensorial
        properties'), molecules only. ``local``: Σ_i [α0_i 1 + Σ_k λ_k(q_i) ν_k⊗ν_k],
        the one for periodic systems.
    n_hidden : int or None
        Features between the gated equivariant blocks; None for F/2.
    rank : int
        Number of terms k of the local form.
    scale : float
        Factor on the network's output, e²Å²/eV.
    isotropic : tuple of float
        Atomic contributions added to α0_i, one per element of the model, e²Å²/eV; empty for zeros.
    origin : {"center_of_mass", "coordinates"}
        Where r_i starts. ``coordinates`` is not translation invariant and exists only to reproduce
        models trained that way.
    gate_epsilon : float
        ε in the norm of the gated blocks; 0 for the plain norm that SchNetPack uses.
    """

    #: Whether it reads the network's vectors.
    needs_vectors: ClassVar[bool] = True

    kind: Literal["latent_position", "local"] = "latent_position"
    n_hidden: int | None = None
    rank: int = 4
    scale: float = 1.0
    isotropic: tuple[float, ...] = ()
    origin: Literal["center_of_mass", "coordinates"] = "center_of_mass"
    gate_epsilon: float = 1e-8

    def __post_init__(self) -> None:
        check_types(self)
        _require_gated_stack(self.n_hidden, self.rank, self.gate_epsilon)


@dataclass(frozen=True)
class ChargesSpec:
    """Atomic partial charges q(q_i), corrected to the total charge, in e.

    Attributes
    ----------
    n_hidden : tuple of int or None
        Hidden widths of the MLP; None for one hidden layer of F/2.
    scale : float
        Factor on the network's output.
    """

    #: Whether it reads the network's vectors.
    needs_vectors: ClassVar[bool] = False

    n_hidden: tuple[int, ...] | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_types(self)
        _require_widths(self.n_hidden)


@dataclass(frozen=True)
class HeadsSpec:
    """Which heads a model has; None for those it has not."""

    energy: EnergySpec | None = None
    dipole: DipoleSpec | None = None
    polarizability: PolarizabilitySpec | None = None
    charges: ChargesSpec | None = None

    def __post_init__(self) -> None:
        check_types(self)
        require(bool(self.names), "a model needs at least one head", self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the heads present."""
        return tuple(f.name for f in dataclasses.fields(self) if getattr(self, f.name) is not None)


def _require_widths(n_hidden: tuple[int, ...] | None) -> None:
    require(n_hidden is None or all(n >= 1 for n in n_hidden), "n_hidden needs widths", n_hidden)


def _require_gated_stack(n_hidden: int | None, rank: int, epsilon: float) -> None:
    require(n_hidden is None or n_hidden >= 1, "n_hidden must be at least 1", n_hidden)
    require(rank >= 1, "rank must be at least 1", rank)
    require(epsilon >= 0, "gate_epsilon must not be negative", epsilon)
