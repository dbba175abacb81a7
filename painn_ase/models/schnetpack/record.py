"""What a SchNetPack 2.x model file describes, checked piece by piece.

Takes the inert records of :mod:`.foreign_pickle` and gives one plain record,
:class:`SchNetPackModel`. Whatever in the file would change the numbers and has no counterpart here
is refused with the reason; nothing is dropped in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from painn_ase.errors import ModelFileError
from painn_ase.models.schnetpack.foreign_records import ForeignObject, ForeignTensor, describe
from painn_ase.models.schnetpack.networks import NetworkRecord, read_network
from painn_ase.models.schnetpack.parts import (
    SILU,
    Weights,
    cannot_carry,
    expect,
    members,
    number,
    parts,
    text,
)

__all__ = ["EnergyOutput", "SchNetPackModel", "TensorOutput", "read_model"]

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
    from_charges : bool
        A dipole of latent charges alone; at `prefix` stands an MLP of two layers.
    """

    prefix: str
    from_charges: bool = False


@dataclass(frozen=True, kw_only=True)
class SchNetPackModel(NetworkRecord):
    """A SchNetPack model, in its own units and under its own names.

    Attributes
    ----------
    weights : dict of Tensor
        Under SchNetPack's state-dict names.
    n_interactions, radial_basis, kind, epsilon, shared_interactions, lmax
        As in :class:`.NetworkRecord`.
    energy, dipole, polarizability
        The outputs; None for those it has not.
    version : str
        SchNetPack that wrote it, as far as it says so.
    """

    weights: dict[str, Tensor]
    energy: EnergyOutput | None = None
    dipole: TensorOutput | None = None
    polarizability: TensorOutput | None = None
    version: str = ""


def read_model(content: object, energy_key: str | None = None) -> SchNetPackModel:
    """The model in a file's content.

    Parameters
    ----------
    content : object
        What :func:`painn_ase.models.schnetpack.torch_archive.read_torch_file` found.
    energy_key : str, optional
        Name of the energy among the outputs, needed where the file does not show which it is.

    Raises
    ------
    ModelFileError
        For what is no model of SchNetPack 2.x or cannot be carried over exactly.
    """
    if isinstance(content, dict):
        raise ModelFileError(_why_no_dictionary(content))
    model = expect(content, "schnetpack.model.base.NeuralNetworkPotential", "the model")
    weights = Weights()
    for name, part in parts(model, "input_modules"):
        expect(part, _NEUTRAL_INPUTS, f"input module {name}")
    network = read_network(model.get("representation"), weights)
    outputs = _Outputs(weights, energy_key)
    for name, part in parts(model, "output_modules"):
        outputs.add(f"output_modules.{name}", part)
    energy = outputs.finished_energy()
    if model.get("do_postprocessing", True) is not False:
        for name, part in parts(model, "postprocessors"):
            energy = _postprocess(energy, outputs, part, f"postprocessor {name}")
        outputs.check_scales(energy)
    version = model.get("spk_version")
    return SchNetPackModel(
        **vars(network),
        weights=weights.tensors,
        energy=energy,
        dipole=outputs.dipole,
        polarizability=outputs.polarizability,
        version=version if isinstance(version, str) else "",
    )


# -- outputs ---------------------------------------------------------------------------------------


class _Outputs:
    """The output modules seen so far, each carried or refused."""

    def __init__(self, weights: Weights, energy_key: str | None) -> None:
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
        module = expect(part, tuple(readers), f"output module '{at}'")
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
                raise cannot_carry(f"a factor on the output {describe(name)}")
            if factor != scale:
                raise cannot_carry(
                    f"{describe(name)} scaled by {factor} beside an energy scaled by {scale}: "
                    "these are not derivatives of that energy"
                )

    def _add_atomwise(self, at: str, module: ForeignObject) -> None:
        key = text(module.get("output_key"), f"{at}.output_key")
        if module.get("aggregation_mode") != "sum":
            raise cannot_carry(
                f"the output {describe(key)} with aggregation "
                f"{describe(module.get('aggregation_mode'))} (only sums over atoms are extensive)"
            )
        if module.get("n_out") != 1 or key in self._scalars:
            raise cannot_carry(f"the output {describe(key)}, which is not one scalar")
        self._weights.add_mlp(f"{at}.outnet", module.get("outnet"))
        self._scalars[key] = f"{at}.outnet"

    def _add_forces(self, at: str, module: ForeignObject) -> None:
        self._derive_from(text(module.get("energy_key"), f"{at}.energy_key"))
        for flag, key in (("calc_forces", "force_key"), ("calc_stress", "stress_key")):
            if module.get(flag):
                self._derivatives.add(text(module.get(key), f"{at}.{key}"))

    def _add_response(self, at: str, module: ForeignObject) -> None:
        wanted = module.get("response_properties")
        names = [text(name, at) for name in wanted] if isinstance(wanted, list) else [""]
        if not set(names) <= _DERIVATIVES:
            raise cannot_carry("responses to external fields")
        self._derive_from(text(module.get("energy_key"), f"{at}.energy_key"))
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
            "the magnitude of a dipole (predict_magnitude=True)": module.get("predict_magnitude"),
            "a dipole from uncorrected charges (correct_charges=False), whose value depends on "
            "where the molecule is put": not module.get("correct_charges"),
            "a second dipole": self.dipole is not None,
        }
        for reason, holds in reasons.items():
            if holds:
                raise cannot_carry(reason)
        from_charges = not module.get("use_vector_representation")
        if not from_charges:
            self._add_gated(f"{at}.outnet", module.get("outnet"))
        elif (depth := self._weights.add_mlp(f"{at}.outnet", module.get("outnet"))) != 2:
            raise cannot_carry(f"latent charges by {depth} layers (two are)")
        self.dipole = TensorOutput(f"{at}.outnet", from_charges)

    def _add_polarizability(self, at: str, module: ForeignObject) -> None:
        if self.polarizability is not None:
            raise cannot_carry("a second polarizability")
        self._add_gated(f"{at}.outnet", module.get("outnet"))
        self.polarizability = TensorOutput(f"{at}.outnet")

    def _add_gated(self, prefix: str, part: object) -> None:
        """Two gated equivariant blocks with SiLU on the scalars between them."""
        blocks = members(part, "torch.nn.modules.container.Sequential", prefix)
        if len(blocks) != 2:
            raise cannot_carry(f"{len(blocks)} gated blocks in '{prefix}' (two are)")
        for k, block in enumerate(blocks):
            at = f"{prefix}.{k}"
            gated = expect(block, "schnetpack.nn.equivariant.GatedEquivariantBlock", at)
            activation = gated.get("sactivation")
            fits = describe(activation) in SILU if k == 0 else activation is None
            if not fits:
                raise cannot_carry(f"the activation {describe(activation)} after '{at}'")
            mix = gated.get("mix_vectors")
            self._weights.add_dense(f"{at}.mix_vectors", mix, bias=False)
            self._weights.add_mlp(f"{at}.scalar_net", gated.get("scalar_net"))


def _postprocess(
    energy: EnergyOutput | None, outputs: _Outputs, part: object, where: str
) -> EnergyOutput | None:
    """The energy after one postprocessor."""
    scale_type, offset_type = (
        f"schnetpack.transform.atomistic.{name}" for name in ("ScaleProperty", "AddOffsets")
    )
    module = expect(part, (*_CASTS, scale_type, offset_type), where)
    if module.type_name == scale_type:
        return _scaled(energy, outputs, module, where)
    if module.type_name == offset_type:
        return _with_offsets(energy, outputs, module, where)
    return energy  # casts change the precision of the output, not its value


def _scaled(
    energy: EnergyOutput | None, outputs: _Outputs, module: ForeignObject, where: str
) -> EnergyOutput | None:
    key = text(module.get("input_key"), where)
    if module.get("output_key") != key:
        raise cannot_carry(f"a factor that makes a new output of {describe(key)}")
    factor = number(module.get("scale"), where)
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
        raise cannot_carry(f"offsets on {describe(key)}, which is not the energy")
    if module.get("is_extensive") is not True:
        raise cannot_carry("offsets that are not per atom (is_extensive=False)")
    if module.get("add_mean"):
        energy = replace(energy, offset=energy.offset + number(module.get("mean"), where))
    if module.get("add_atomrefs"):
        new = module.get("atomref")
        if not isinstance(new, ForeignTensor) or len(new.shape) != 1 or new.shape[0] > 200:
            raise ModelFileError(f"the reference energies of {where} are {describe(new)}.")
        values = [float(e) for e in Weights().add(f"{where}.atomref", new)]
        old = list(energy.atomrefs) or [0.0] * len(values)
        if len(old) != len(values):
            raise cannot_carry("two lists of reference energies of different length")
        sums = tuple(a + b for a, b in zip(old, values, strict=True))
        energy = replace(energy, atomrefs=sums)
    return energy


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
