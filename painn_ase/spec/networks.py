"""Networks as a model file describes them: one record a kind, told apart by its ``kind``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeVar

from painn_ase.spec.fields import check_types, require

__all__ = ["NetworkSpec", "PaiNNSpec", "SO3netSpec", "SchNetSpec", "network_kind"]


_Spec = TypeVar("_Spec", bound="NetworkSpec")


@dataclass(frozen=True)
class NetworkSpec:
    """What every network has; each kind adds its own.

    Attributes
    ----------
    n_features : int
        Width F of the features.
    n_interactions : int
        Number L of blocks, each of which carries information one cutoff further.
    n_rbf : int
        Number B of radial basis functions.
    cutoff : float
        Radius beyond which atoms do not see each other, Å.
    radial_basis : {"bessel", "gaussian"}
        ``sin(nπd/d_cut)/d``, or Gaussians centred on 0..cutoff with the spacing as width.
    cutoff_function : {"cosine", "polynomial"}
        ``½(cos(πd/d_cut)+1)``, or the C² polynomial 1 − 10x³ + 15x⁴ − 6x⁵.
    kind : str
        Name of the architecture, the key by which a file says which of the records it holds.
    """

    #: Name → record of every known architecture; :func:`network_kind` adds to it.
    KINDS: ClassVar[dict[str, type[NetworkSpec]]] = {}
    #: Whether the network gives equivariant vectors beside its scalars.
    gives_vectors: ClassVar[bool] = False

    n_features: int = 128
    n_interactions: int = 3
    n_rbf: int = 20
    cutoff: float = 5.0
    radial_basis: Literal["bessel", "gaussian"] = "bessel"
    cutoff_function: Literal["cosine", "polynomial"] = "cosine"
    kind: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("n_features", "n_interactions", "n_rbf"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1", getattr(self, name))
        require(self.n_features >= 2, "n_features must be at least 2", self.n_features)
        # With shared weights a file could ask for any number of blocks, and never come back.
        require(
            self.n_interactions <= 100, "n_interactions must be at most 100", self.n_interactions
        )
        require(0 < self.cutoff < math.inf, "cutoff must be a positive length in Å", self.cutoff)

    @property
    def least_arrays(self) -> int:
        """A lower bound of the number of weight arrays, known before a layer is built."""
        return 1


def network_kind(spec: type[_Spec]) -> type[_Spec]:
    """Class decorator: files and configurations may name this kind of network from now on."""
    kind = spec.__dataclass_fields__["kind"].default
    if not isinstance(kind, str) or not kind:
        raise TypeError(f"{spec.__name__} needs a default for its field 'kind', its name.")
    NetworkSpec.KINDS[kind] = spec
    return spec


@network_kind
@dataclass(frozen=True)
class PaiNNSpec(NetworkSpec):
    """PaiNN (Schütt, Unke, Gastegger 2021, arXiv 2102.03150): scalars and vectors.

    Attributes
    ----------
    n_features, n_interactions, n_rbf, cutoff, radial_basis, cutoff_function
        As in :class:`NetworkSpec`; a block is interaction and mixing.
    shared_filters : bool
        One filter network for all blocks instead of one each.
    filter_hidden : tuple of int
        Widths of hidden filter layers; empty for the linear filter of the paper.
    shared_interactions : bool
        The same interaction and mixing weights in every block.
    epsilon : float
        Å-free constant inside the root of the vector norm ``√(ΣV² + ε)``.
    """

    gives_vectors: ClassVar[bool] = True

    shared_filters: bool = False
    filter_hidden: tuple[int, ...] = ()
    shared_interactions: bool = False
    epsilon: float = 1e-8
    kind: Literal["painn"] = field(default="painn", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.epsilon >= 0, "epsilon must not be negative", self.epsilon)
        require(
            all(n >= 1 for n in self.filter_hidden),
            "filter_hidden needs widths",
            self.filter_hidden,
        )

    @property
    def least_arrays(self) -> int:
        """A lower bound of the number of weight arrays, known before a layer is built."""
        filters = 1 if self.shared_filters else self.n_interactions
        interactions = 1 if self.shared_interactions else self.n_interactions
        return filters * (1 + len(self.filter_hidden)) + interactions


@network_kind
@dataclass(frozen=True)
class SchNetSpec(NetworkSpec):
    """SchNet (Schütt et al., NIPS 2017; J. Chem. Phys. 148, 241722 (2018)): scalars alone.

    Attributes
    ----------
    n_features, n_interactions, n_rbf, cutoff, radial_basis, cutoff_function
        As in :class:`NetworkSpec`, but for Gaussians as radial basis where none is named.
    n_filters : int or None
        Width of the convolution; None for F.
    shared_interactions : bool
        The same weights in every block.
    """

    radial_basis: Literal["bessel", "gaussian"] = "gaussian"
    n_filters: int | None = None
    shared_interactions: bool = False
    kind: Literal["schnet"] = field(default="schnet", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.n_filters is None or self.n_filters >= 1,
            "n_filters must be at least 1",
            self.n_filters,
        )

    @property
    def least_arrays(self) -> int:
        """A lower bound of the number of weight arrays, known before a layer is built."""
        return 1 if self.shared_interactions else self.n_interactions


@network_kind
@dataclass(frozen=True)
class SO3netSpec(NetworkSpec):
    """SO3net, SchNetPack 2's spherical network (J. Chem. Phys. 158, 144801 (2023)).

    Attributes
    ----------
    n_features, n_interactions, n_rbf, cutoff, radial_basis, cutoff_function
        As in :class:`NetworkSpec`.
    lmax : int
        Highest degree of the spherical features, 1 to 6.
    shared_interactions : bool
        The same weights in every block.
    """

    gives_vectors: ClassVar[bool] = True

    lmax: int = 2
    shared_interactions: bool = False
    kind: Literal["so3net"] = field(default="so3net", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1 <= self.lmax <= 6, "lmax must lie between 1 and 6", self.lmax)

    @property
    def least_arrays(self) -> int:
        """A lower bound of the number of weight arrays, known before a layer is built."""
        return 1 if self.shared_interactions else self.n_interactions
