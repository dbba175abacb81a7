"""The typed description of a model: what a model file's header says, as frozen dataclasses.

Pure Python, no torch: networks and heads are built *from* these records, files hold them as JSON.
Unknown keys, wrong types and impossible values are :class:`~painn_ase.errors.SpecError`.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from painn_ase.errors import SpecError

__all__ = [
    "SCHEMA_VERSION",
    "ChargesSpec",
    "DipoleSpec",
    "EnergySpec",
    "HeadsSpec",
    "ModelSpec",
    "PaiNNSpec",
    "PolarizabilitySpec",
    "from_dict",
    "to_dict",
]

#: Version of the header's layout. Raise it with every change and add a migration in models/file.py.
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class PaiNNSpec:
    """Architecture of the network (Schütt, Unke, Gastegger 2021, arXiv 2102.03150).

    Attributes
    ----------
    n_features : int
        Width F of scalar and vector features.
    n_interactions : int
        Number L of interaction + mixing blocks.
    n_rbf : int
        Number B of radial basis functions.
    cutoff : float
        Radius beyond which atoms do not see each other, Å.
    radial_basis : {"bessel", "gaussian"}
        ``sin(nπd/d_cut)/d``, or Gaussians centred on 0..cutoff with the spacing as width.
    cutoff_function : {"cosine", "polynomial"}
        ``½(cos(πd/d_cut)+1)``, or the C² polynomial 1 − 10x³ + 15x⁴ − 6x⁵.
    shared_filters : bool
        One filter network for all blocks instead of one each.
    filter_hidden : tuple of int
        Widths of hidden filter layers; empty for the linear filter of the paper.
    shared_interactions : bool
        The same interaction and mixing weights in every block.
    epsilon : float
        Å-free constant inside the root of the vector norm ``√(ΣV² + ε)``.
    """

    n_features: int = 128
    n_interactions: int = 3
    n_rbf: int = 20
    cutoff: float = 5.0
    radial_basis: Literal["bessel", "gaussian"] = "bessel"
    cutoff_function: Literal["cosine", "polynomial"] = "cosine"
    shared_filters: bool = False
    filter_hidden: tuple[int, ...] = ()
    shared_interactions: bool = False
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_types(self)
        for name in ("n_features", "n_interactions", "n_rbf"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1", getattr(self, name))
        _require(self.n_features >= 2, "n_features must be at least 2", self.n_features)
        # With shared weights a file could ask for any number of blocks, and never come back.
        _require(
            self.n_interactions <= 100, "n_interactions must be at most 100", self.n_interactions
        )
        _require(0 < self.cutoff < math.inf, "cutoff must be a positive length in Å", self.cutoff)
        _require(self.epsilon >= 0, "epsilon must not be negative", self.epsilon)
        _require(
            all(n >= 1 for n in self.filter_hidden),
            "filter_hidden needs widths",
            self.filter_hidden,
        )


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

    n_hidden: tuple[int, ...] | None = None
    scale: float = 1.0
    reference_energies: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_types(self)
        _require_widths(self.n_hidden)


@dataclass(frozen=True)
class DipoleSpec:
    """Dipole head.

    Attributes
    ----------
    kind : {"latent_charge", "local"}
        ``latent_charge``: Σ μ_i + q_i r_i with the charges corrected to the total charge and r
        from the centre of mass (molecules only). ``local``: Σ_i Σ_k λ_k(q_i) ν_{k}, no charges,
        no origin: the one for periodic systems.
    n_hidden : int or None
        Features between the gated equivariant blocks; None for F/2.
    rank : int
        Number of terms k of the local form.
    scale : float
        Factor on the network's output.
    gate_epsilon : float
        ε in the norm of the gated blocks; 0 for the plain norm that SchNetPack uses.
    """

    kind: Literal["latent_charge", "local"] = "latent_charge"
    n_hidden: int | None = None
    rank: int = 1
    scale: float = 1.0
    gate_epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_types(self)
        _require_gated_stack(self.n_hidden, self.rank, self.gate_epsilon)


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

    kind: Literal["latent_position", "local"] = "latent_position"
    n_hidden: int | None = None
    rank: int = 4
    scale: float = 1.0
    isotropic: tuple[float, ...] = ()
    origin: Literal["center_of_mass", "coordinates"] = "center_of_mass"
    gate_epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_types(self)
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

    n_hidden: tuple[int, ...] | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_types(self)
        _require_widths(self.n_hidden)


@dataclass(frozen=True)
class HeadsSpec:
    """Which heads a model has; None for those it has not."""

    energy: EnergySpec | None = None
    dipole: DipoleSpec | None = None
    polarizability: PolarizabilitySpec | None = None
    charges: ChargesSpec | None = None

    def __post_init__(self) -> None:
        _check_types(self)
        _require(bool(self.names), "a model needs at least one head", self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the heads present."""
        return tuple(f.name for f in dataclasses.fields(self) if getattr(self, f.name) is not None)


@dataclass(frozen=True)
class ModelSpec:
    """Everything a model file says about its model besides the weights.

    Attributes
    ----------
    elements : tuple of int
        Atomic numbers the model knows, ascending.
    representation : PaiNNSpec
        The network.
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
    representation: PaiNNSpec = field(default_factory=PaiNNSpec)
    total_charge: float = 0.0
    name: str = ""
    description: str = ""
    licence: str = ""
    citation: str = ""
    code_version: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_types(self)
        z = self.elements
        _require(bool(z), "elements must name at least one atomic number", z)
        _require(all(1 <= n <= 118 for n in z), "elements must be atomic numbers 1..118", z)
        _require(list(z) == sorted(set(z)), "elements must ascend without repeats", z)
        energy, alpha = self.heads.energy, self.heads.polarizability
        for what, values in (
            ("reference_energies", energy.reference_energies if energy else ()),
            ("isotropic", alpha.isotropic if alpha else ()),
        ):
            _require(len(values) in (0, len(z)), f"{what} needs one number per element {z}", values)


def to_dict(spec: Any) -> dict[str, Any]:
    """Plain JSON-ready dictionary of a spec record."""
    return dataclasses.asdict(spec)


def from_dict(cls: type[Any], data: Mapping[str, Any], where: str = "") -> Any:
    """Spec record of type `cls` from a plain dictionary.

    Raises
    ------
    SpecError
        For unknown or missing keys and for values of the wrong type; names the key's full path.
    """
    where = where or cls.__name__
    if not isinstance(data, Mapping):
        raise SpecError(f"{where}: expected an object with keys, got {type(data).__name__}.")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if unknown := sorted(set(data) - set(fields)):
        raise SpecError(
            f"{where}: unknown key(s) {', '.join(map(repr, unknown))}; allowed are "
            f"{', '.join(fields)}. Correct the spelling or use the painn_ase that wrote this."
        )
    hints = typing.get_type_hints(cls)
    missing = [
        n
        for n, f in fields.items()
        if n not in data
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise SpecError(f"{where}: missing key(s) {', '.join(missing)}.")
    return cls(**{k: _convert(hints[k], v, f"{where}.{k}") for k, v in data.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type `hint`, or a SpecError that names the place."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        (inner,) = (a for a in args if a is not type(None))
        return _convert(inner, value, where)
    if origin is Literal:
        if value not in args:
            raise SpecError(f"{where}: {value!r} is not one of {', '.join(map(repr, args))}.")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(args[0], v, f"{where}[{n}]") for n, v in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else from_dict(hint, value, where)
    if hint in (int, float) and type(value) is bool:
        raise SpecError(f"{where}: {value!r} is not of type {hint.__name__}.")
    if hint is float and isinstance(value, numbers.Real):
        return _finite(value, where)
    if hint is int and isinstance(value, numbers.Integral):
        return int(value)
    if hint in (str, bool) and type(value) is hint:
        return value
    raise SpecError(f"{where}: {value!r} is not of type {getattr(hint, '__name__', hint)}.")


def _finite(value: numbers.Real, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise SpecError(f"{where}: {value} is not a finite number.")
    return number


def _check_types(record: Any) -> None:
    """Give every field of a spec record its declared type, or raise a SpecError that names it."""
    hints = typing.get_type_hints(type(record))
    for field_ in dataclasses.fields(record):
        where = f"{type(record).__name__}.{field_.name}"
        value = _convert(hints[field_.name], getattr(record, field_.name), where)
        object.__setattr__(record, field_.name, value)


def _require_widths(n_hidden: tuple[int, ...] | None) -> None:
    _require(n_hidden is None or all(n >= 1 for n in n_hidden), "n_hidden needs widths", n_hidden)


def _require_gated_stack(n_hidden: int | None, rank: int, epsilon: float) -> None:
    _require(n_hidden is None or n_hidden >= 1, "n_hidden must be at least 1", n_hidden)
    _require(rank >= 1, "rank must be at least 1", rank)
    _require(epsilon >= 0, "gate_epsilon must not be negative", epsilon)


def _require(condition: bool, rule: str, given: object) -> None:
    if not condition:
        raise SpecError(f"{rule}; got {given!r}.")
