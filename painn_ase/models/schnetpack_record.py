"""What a SchNetPack 2.x model file describes, checked piece by piece.

Takes the inert records of :mod:`painn_ase.models.foreign_pickle` and gives one plain record,
:class:`SchNetPackModel`. Whatever in the file would change the numbers and has no counterpart here
is refused with the reason; nothing is dropped in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from painn_ase.errors import ModelFileError
from painn_ase.models.foreign_records import ForeignObject, ForeignTensor, describe

__all__ = ["EnergyOutput", "SchNetPackModel", "TensorOutput", "read_model"]

_MAX_NUMBERS = 1 << 27
_MAX_PARTS = 256

_SILU = ("torch.nn.functional.silu", "torch.nn.modules.activation.SiLU")
_IDENTITY = "torch.nn.modules.linear.Identity"
_RADIAL_BASES: dict[str, tuple[Literal["gaussian", "bessel"], tuple[str, ...]]] = {
    "schnetpack.nn.radial.GaussianRBF": ("gaussian", ("offsets", "widths")),
    "schnetpack.nn.radial.GaussianRBFCentered": ("gaussian", ("offsets", "widths")),
    "schnetpack.nn.radial.BesselRBF": ("bessel", ("freqs",)),
}
_NEUTRAL_INPUTS = (
    "schnetpack.atomistic.distances.PairwiseDistances",
    "schnetpack.atomistic.response.Strain",
)
_CASTS = tuple(
    f"schnetpack.transform.casting.{name}" for name in ("CastMap", "CastTo32", "CastTo64")
)
_DERIVATIVES = frozenset({"forces", "stress", "hessian"})


@dataclass(frozen=True)
class EnergyOutput:
    """SchNetPack's energy: E = Σ_i [scale · ε(q_i) + offset + atomrefs[Z_i]], in the file's unit.

    Attributes
    ----------
    prefix : str
        Where its MLP stands in the state dict, for example ``output_modules.0.outnet``.
    scale, offset : float
    atomrefs : tuple of float
        Indexed by atomic number; empty if the model adds none.
    """

    prefix: str
    scale: float = 1.0
    offset: float = 0.0
    atomrefs: tuple[float, ...] = ()


@dataclass(frozen=True)
class TensorOutput:
    """A dipole or polarizability made by two gated equivariant blocks.

    Attributes
    ----------
    prefix : str
        Where its blocks stand in the state dict, for example ``output_modules.2.outnet``.
    """

    prefix: str


@dataclass(frozen=True)
class SchNetPackModel:
    """A SchNetPack PaiNN model, in its own units and under its own names.

    Attributes
    ----------
    weights : dict of Tensor
        Under SchNetPack's state-dict names.
    n_interactions : int
    radial_basis : {"gaussian", "bessel"}
    epsilon : float
        ε of the mixing blocks.
    shared_interactions : bool
        All blocks are the same object.
    energy, dipole, polarizability
        The outputs; None for those it has not.
    version : str
        SchNetPack that wrote it, as far as it says so.
    """

    weights: dict[str, Tensor]
    n_interactions: int
    radial_basis: Literal["gaussian", "bessel"]
    epsilon: float = 1e-8
    shared_interactions: bool = False
    energy: EnergyOutput | None = None
    dipole: TensorOutput | None = None
    polarizability: TensorOutput | None = None
    version: str = ""


def read_model(content: object, energy_key: str | None = None) -> SchNetPackModel:
    """The model in a file's content.

    Parameters
    ----------
    content : object
        What :func:`painn_ase.models.torch_archive.read_torch_file` found.
    energy_key : str, optional
        Name of the energy among the outputs, needed where the file does not show which it is.

    Raises
    ------
    ModelFileError
        For what is no PaiNN model of SchNetPack 2.x or cannot be carried over exactly.
    """
    if isinstance(content, dict):
        raise ModelFileError(_why_no_dictionary(content))
    model = _expect(content, "schnetpack.model.base.NeuralNetworkPotential", "the model")
    weights = _Weights()
    for name, part in _parts(model, "input_modules"):
        _expect(part, _NEUTRAL_INPUTS, f"input module {name}")
    representation = _read_representation(model.get("representation"), weights)
    outputs = _Outputs(weights, energy_key)
    for name, part in _parts(model, "output_modules"):
        outputs.add(f"output_modules.{name}", part)
    energy = outputs.finished_energy()
    if model.get("do_postprocessing", True) is not False:
        for name, part in _parts(model, "postprocessors"):
            energy = _postprocess(energy, outputs, part, f"postprocessor {name}")
        outputs.check_scales(energy)
    version = model.get("spk_version")
    return replace(
        representation,
        weights=weights.tensors,
        energy=energy,
        dipole=outputs.dipole,
        polarizability=outputs.polarizability,
        version=version if isinstance(version, str) else "",
    )


class _Weights:
    """Tensors collected under SchNetPack's names, finite and not too many."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._room = _MAX_NUMBERS

    def add(self, name: str, value: object) -> Tensor:
        """Tensor `name`, checked."""
        if not isinstance(value, ForeignTensor) or not value.dtype.is_floating_point:
            raise ModelFileError(f"weight '{name}' is {describe(value)}, not real numbers.")
        self._room -= math.prod(value.shape)
        if self._room < 0:
            raise ModelFileError(f"the model has more than {_MAX_NUMBERS} weights.")
        tensor = value.to_torch()
        if not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"weight '{name}' holds NaN or infinity. The model is unusable.")
        self.tensors[name] = tensor
        return tensor

    def add_dense(self, prefix: str, part: object, active: bool, bias: bool = True) -> None:
        """A ``Dense`` layer with SiLU after it (`active`) or nothing."""
        dense = _expect(part, "schnetpack.nn.base.Dense", prefix)
        activation = dense.get("activation")
        name = _IDENTITY if activation is None else describe(activation)
        if name not in (_SILU if active else (_IDENTITY,)):
            wanted = "SiLU" if active else "no activation"
            raise ModelFileError(
                f"layer '{prefix}' has the activation {name}; only {wanted} can stand there in "
                "this package's PaiNN. The model cannot be carried over exactly."
            )
        self.add(f"{prefix}.weight", dense.get("weight"))
        if (dense.get("bias") is not None) != bias:
            raise ModelFileError(f"layer '{prefix}' {'lacks' if bias else 'has'} a bias.")
        if bias:
            self.add(f"{prefix}.bias", dense.get("bias"))

    def add_mlp(self, prefix: str, part: object) -> None:
        """A Sequential of ``Dense`` layers, SiLU after all but the last."""
        layers = _members(part, "torch.nn.modules.container.Sequential", prefix)
        for k, layer in enumerate(layers):
            self.add_dense(f"{prefix}.{k}", layer, active=k < len(layers) - 1)


# -- representation --------------------------------------------------------------------------------


def _read_representation(part: object, weights: _Weights) -> SchNetPackModel:
    """The network; its outputs are filled in later."""
    where = "representation"
    painn = _expect(part, "schnetpack.representation.painn.PaiNN", "the representation")
    embeddings = painn.get("electronic_embeddings") or []  # absent before SchNetPack 2.1
    at = f"{where}.electronic_embeddings"
    if embeddings != [] and _members(embeddings, _MODULE_LIST, at):
        raise _cannot_carry("electronic embeddings (charge or spin as input)")
    _read_embedding(painn.get("embedding"), weights)
    cutoff = _expect(
        painn.get("cutoff_fn"), "schnetpack.nn.cutoff.CosineCutoff", "the cutoff function"
    )
    if weights.add(f"{where}.cutoff_fn.cutoff", cutoff.get("cutoff")).numel() != 1:
        raise ModelFileError("the cutoff is not one number.")
    basis = _expect(painn.get("radial_basis"), tuple(_RADIAL_BASES), "the radial basis")
    kind, names = _RADIAL_BASES[basis.type_name]
    for name in names:
        weights.add(f"{where}.radial_basis.{name}", basis.get(name))
    weights.add_dense(f"{where}.filter_net", painn.get("filter_net"), active=False)

    interactions = _members(painn.get("interactions"), _MODULE_LIST, f"{where}.interactions")
    mixings = _members(painn.get("mixing"), _MODULE_LIST, f"{where}.mixing")
    if not interactions or len(interactions) != len(mixings):
        raise ModelFileError(
            f"it has {len(interactions)} interaction and {len(mixings)} mixing blocks."
        )
    epsilons = [
        _read_block(k, interaction, mixing, weights)
        for k, (interaction, mixing) in enumerate(zip(interactions, mixings, strict=True))
    ]
    if len(set(epsilons)) != 1:
        raise _cannot_carry(f"mixing blocks with different ε ({sorted(set(epsilons))})")
    shared = all(i is interactions[0] for i in interactions)
    shared = shared and all(m is mixings[0] for m in mixings)
    return SchNetPackModel({}, len(interactions), kind, epsilons[0], shared)


def _read_embedding(part: object, weights: _Weights) -> None:
    embedding = _expect(part, "torch.nn.modules.sparse.Embedding", "the embedding")
    if embedding.get("max_norm") is not None:
        raise _cannot_carry("an embedding with a maximum norm")
    rows = weights.add("representation.embedding.weight", embedding.get("weight"))
    if rows.ndim != 2 or rows.shape[0] < 2:
        raise ModelFileError(f"the embedding has the shape {tuple(rows.shape)}.")


def _read_block(k: int, interaction: object, mixing: object, weights: _Weights) -> float:
    """Weights of one interaction and one mixing block; its ε."""
    at = f"representation.interactions.{k}"
    block = _expect(interaction, "schnetpack.representation.painn.PaiNNInteraction", at)
    weights.add_mlp(f"{at}.interatomic_context_net", block.get("interatomic_context_net"))
    at = f"representation.mixing.{k}"
    block = _expect(mixing, "schnetpack.representation.painn.PaiNNMixing", at)
    weights.add_mlp(f"{at}.intraatomic_context_net", block.get("intraatomic_context_net"))
    mix = block.get("mu_channel_mix")
    weights.add_dense(f"{at}.mu_channel_mix", mix, active=False, bias=False)
    epsilon = block.get("epsilon")
    if not isinstance(epsilon, int | float) or not 0 <= epsilon < 1:
        raise ModelFileError(f"'{at}.epsilon' is {describe(epsilon)}, not a small number.")
    return float(epsilon)


# -- outputs ---------------------------------------------------------------------------------------


class _Outputs:
    """The output modules seen so far, each carried or refused."""

    def __init__(self, weights: _Weights, energy_key: str | None) -> None:
        self.dipole: TensorOutput | None = None
        self.polarizability: TensorOutput | None = None
        self.energy_key = energy_key
        self.scales: dict[str, float] = {}
        self._weights = weights
        self._scalars: dict[str, str] = {}
        self._derivatives: set[str] = set()

    def add(self, at: str, part: object) -> None:
        """Take in one output module."""
        readers = {
            "schnetpack.atomistic.atomwise.Atomwise": self._add_atomwise,
            "schnetpack.atomistic.response.Forces": self._add_forces,
            "schnetpack.atomistic.response.Response": self._add_response,
            "schnetpack.atomistic.atomwise.DipoleMoment": self._add_dipole,
            "schnetpack.atomistic.atomwise.Polarizability": self._add_polarizability,
        }
        module = _expect(part, tuple(readers), f"output module '{at}'")
        readers[module.type_name](at, module)

    def finished_energy(self) -> EnergyOutput | None:
        """The energy among the scalar outputs; refuses scalars that are none."""
        key = self.energy_key
        if key is None and "energy" in self._scalars:
            key = self.energy_key = "energy"
        if others := sorted(set(self._scalars) - {key}):
            raise ModelFileError(
                f"it predicts the scalar(s) {', '.join(map(describe, others))}, and nothing in it "
                "says that this is an energy. If one is, name it: energy_key=...; other scalars "
                "cannot be carried over."
            )
        if key is not None and key not in self._scalars:
            raise ModelFileError(
                f"it has no output {describe(key)} to be the energy; its scalar outputs are "
                f"{', '.join(map(describe, sorted(self._scalars))) or 'none'}."
            )
        if key is None and self.dipole is None and self.polarizability is None:
            raise ModelFileError("it predicts nothing that this package knows.")
        return None if key is None else EnergyOutput(self._scalars[key])

    def check_scales(self, energy: EnergyOutput | None) -> None:
        """Refuse factors that make forces something else than the energy's gradient."""
        scale = 1.0 if energy is None else energy.scale
        for name in sorted(self._derivatives | set(self.scales)):
            factor = self.scales.get(name, 1.0)
            if name not in self._derivatives:
                raise _cannot_carry(f"a factor on the output {describe(name)}")
            if factor != scale:
                raise _cannot_carry(
                    f"{describe(name)} scaled by {factor} beside an energy scaled by {scale}: "
                    "these are not derivatives of that energy"
                )

    def _add_atomwise(self, at: str, module: ForeignObject) -> None:
        key = _text(module.get("output_key"), f"{at}.output_key")
        if module.get("aggregation_mode") != "sum":
            raise _cannot_carry(
                f"the output {describe(key)} with aggregation "
                f"{describe(module.get('aggregation_mode'))} (only sums over atoms are extensive)"
            )
        if module.get("n_out") != 1 or key in self._scalars:
            raise _cannot_carry(f"the output {describe(key)}, which is not one scalar")
        self._weights.add_mlp(f"{at}.outnet", module.get("outnet"))
        self._scalars[key] = f"{at}.outnet"

    def _add_forces(self, at: str, module: ForeignObject) -> None:
        self._derive_from(_text(module.get("energy_key"), f"{at}.energy_key"))
        for flag, key in (("calc_forces", "force_key"), ("calc_stress", "stress_key")):
            if module.get(flag):
                self._derivatives.add(_text(module.get(key), f"{at}.{key}"))

    def _add_response(self, at: str, module: ForeignObject) -> None:
        wanted = module.get("response_properties")
        names = [_text(name, at) for name in wanted] if isinstance(wanted, list) else [""]
        if not set(names) <= _DERIVATIVES:
            raise _cannot_carry("responses to external fields")
        self._derive_from(_text(module.get("energy_key"), f"{at}.energy_key"))
        self._derivatives.update(names)

    def _derive_from(self, key: str) -> None:
        if key not in self._scalars:
            raise ModelFileError(f"its forces come from the output {describe(key)}, which is none.")
        if self.energy_key not in (None, key):
            raise ModelFileError(
                f"its forces are derivatives of {describe(key)}, not of the energy "
                f"{describe(self.energy_key)}. Leave energy_key out."
            )
        self.energy_key = key

    def _add_dipole(self, at: str, module: ForeignObject) -> None:
        reasons = {
            "a dipole without vector features (use_vector_representation=False)": not module.get(
                "use_vector_representation"
            ),
            "the magnitude of a dipole (predict_magnitude=True)": module.get("predict_magnitude"),
            "a dipole from uncorrected charges (correct_charges=False), whose value depends on "
            "where the molecule is put": not module.get("correct_charges"),
            "a second dipole": self.dipole is not None,
        }
        for reason, holds in reasons.items():
            if holds:
                raise _cannot_carry(reason)
        self._add_gated(f"{at}.outnet", module.get("outnet"))
        self.dipole = TensorOutput(f"{at}.outnet")

    def _add_polarizability(self, at: str, module: ForeignObject) -> None:
        if self.polarizability is not None:
            raise _cannot_carry("a second polarizability")
        self._add_gated(f"{at}.outnet", module.get("outnet"))
        self.polarizability = TensorOutput(f"{at}.outnet")

    def _add_gated(self, prefix: str, part: object) -> None:
        """Two gated equivariant blocks with SiLU on the scalars between them."""
        blocks = _members(part, "torch.nn.modules.container.Sequential", prefix)
        if len(blocks) != 2:
            raise _cannot_carry(f"{len(blocks)} gated blocks in '{prefix}' (two are)")
        for k, block in enumerate(blocks):
            at = f"{prefix}.{k}"
            gated = _expect(block, "schnetpack.nn.equivariant.GatedEquivariantBlock", at)
            activation = gated.get("sactivation")
            fits = describe(activation) in _SILU if k == 0 else activation is None
            if not fits:
                raise _cannot_carry(f"the activation {describe(activation)} after '{at}'")
            mix = gated.get("mix_vectors")
            self._weights.add_dense(f"{at}.mix_vectors", mix, active=False, bias=False)
            self._weights.add_mlp(f"{at}.scalar_net", gated.get("scalar_net"))


def _postprocess(
    energy: EnergyOutput | None, outputs: _Outputs, part: object, where: str
) -> EnergyOutput | None:
    """The energy after one postprocessor."""
    scale_type, offset_type = (
        f"schnetpack.transform.atomistic.{name}" for name in ("ScaleProperty", "AddOffsets")
    )
    module = _expect(part, (*_CASTS, scale_type, offset_type), where)
    if module.type_name == scale_type:
        return _scaled(energy, outputs, module, where)
    if module.type_name == offset_type:
        return _with_offsets(energy, outputs, module, where)
    return energy  # casts change the precision of the output, not its value


def _scaled(
    energy: EnergyOutput | None, outputs: _Outputs, module: ForeignObject, where: str
) -> EnergyOutput | None:
    key = _text(module.get("input_key"), where)
    if module.get("output_key") != key:
        raise _cannot_carry(f"a factor that makes a new output of {describe(key)}")
    factor = _number(module.get("scale"), where)
    if energy is None or key != outputs.energy_key:
        outputs.scales[key] = outputs.scales.get(key, 1.0) * factor
        return energy
    return replace(
        energy,
        scale=energy.scale * factor,
        offset=energy.offset * factor,
        atomrefs=tuple(e * factor for e in energy.atomrefs),
    )


def _with_offsets(
    energy: EnergyOutput | None, outputs: _Outputs, module: ForeignObject, where: str
) -> EnergyOutput:
    key = module.get("_property")
    if energy is None or key != outputs.energy_key:
        raise _cannot_carry(f"offsets on {describe(key)}, which is not the energy")
    if module.get("is_extensive") is not True:
        raise _cannot_carry("offsets that are not per atom (is_extensive=False)")
    if module.get("add_mean"):
        energy = replace(energy, offset=energy.offset + _number(module.get("mean"), where))
    if module.get("add_atomrefs"):
        new = module.get("atomref")
        if not isinstance(new, ForeignTensor) or len(new.shape) != 1 or new.shape[0] > 200:
            raise ModelFileError(f"the reference energies of {where} are {describe(new)}.")
        values = [float(e) for e in _Weights().add(f"{where}.atomref", new)]
        old = list(energy.atomrefs) or [0.0] * len(values)
        if len(old) != len(values):
            raise _cannot_carry("two lists of reference energies of different length")
        sums = tuple(a + b for a, b in zip(old, values, strict=True))
        energy = replace(energy, atomrefs=sums)
    return energy


# -- records ---------------------------------------------------------------------------------------

_MODULE_LIST = "torch.nn.modules.container.ModuleList"
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _expect(value: object, allowed: str | tuple[str, ...], where: str) -> ForeignObject:
    """`value`, if it is an object of an allowed class without hooks."""
    allowed = (allowed,) if isinstance(allowed, str) else allowed
    if not isinstance(value, ForeignObject) or value.type_name not in allowed:
        raise ModelFileError(
            f"{where} is {describe(value)}, which cannot be carried over exactly; supported: "
            f"{', '.join(allowed)}."
        )
    if any(value.get(hooks) for hooks in _HOOKS):
        raise ModelFileError(f"{where} has hooks: code that would change its results.")
    return value


def _members(value: object, kind: str, where: str) -> list[object]:
    """The modules in a container, in its order."""
    members = _expect(value, kind, where).get("_modules")
    if not isinstance(members, dict) or len(members) > _MAX_PARTS:
        raise ModelFileError(f"{where} holds {describe(members)} instead of modules.")
    if list(members) != [str(k) for k in range(len(members))]:
        raise ModelFileError(f"the modules in {where} are not numbered from 0.")
    return list(members.values())


def _parts(model: ForeignObject, name: str) -> Iterator[tuple[str, object]]:
    """Number and module of each part of the model's list `name`."""
    for k, part in enumerate(_members(model.get(name), _MODULE_LIST, f"'{name}'")):
        yield str(k), part


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ModelFileError(f"{where} is {describe(value)}, not a name.")
    return value


def _number(value: object, where: str) -> float:
    """One number out of a tensor, exactly."""
    if not isinstance(value, ForeignTensor):
        raise ModelFileError(f"{where} holds {describe(value)} instead of a number.")
    tensor = _Weights().add(where, value)
    if tensor.numel() != 1:
        raise ModelFileError(f"{where} holds {tensor.numel()} numbers instead of one.")
    return float(tensor)


def _cannot_carry(what: str) -> ModelFileError:
    return ModelFileError(
        f"it has {what}, for which this package has no exact counterpart. The import is refused "
        "rather than approximate."
    )


def _why_no_dictionary(content: dict[object, object]) -> str:
    if "state_dict" in content:
        return (
            "it is a training checkpoint, which does not hold the architecture. Give the model "
            "that SchNetPack writes beside it ('best_model')."
        )
    return (
        "it holds weights only: activations, offsets and outputs are not in it. Save the whole "
        "model in SchNetPack, torch.save(model, path), and give that."
    )
