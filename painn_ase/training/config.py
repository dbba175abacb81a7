"""The configuration of a training run: typed records that a TOML file fills.

A file needs no more than a data path and, with polarizabilities, their unit::

    name = "ethanol"
    [data]
    path = "ethanol.extxyz"
    [data.units]
    polarizability = "Angstrom^3"

Every key is a field of a record below; an unknown key is an error that names those allowed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from painn_ase.errors import SpecError
from painn_ase.spec import NetworkSpec, from_dict, to_dict
from painn_ase.toml import read_toml
from painn_ase.training.file_spec import KeysSpec, UnitsSpec

__all__ = [
    "DataSpec",
    "HeadChoice",
    "LossSpec",
    "MoreData",
    "OptimizerSpec",
    "RuntimeSpec",
    "ScheduleSpec",
    "TrainConfig",
    "network_to_train",
    "read_config",
]


@dataclass(frozen=True)
class MoreData:
    """Another file of frames, ``[[data.more]]``.

    Attributes
    ----------
    path : str
        Relative paths count from the configuration file.
    keys : KeysSpec
    units : UnitsSpec
    weight : float
        Of its frames' errors in the loss; those of the first file have ``[data] weight``.
    """

    path: str
    keys: KeysSpec = field(default_factory=KeysSpec)
    units: UnitsSpec = field(default_factory=UnitsSpec)
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_weight(self.weight)


def _check_weight(weight: float) -> None:
    if not weight > 0:
        raise SpecError(f"the weight of a file's frames must be positive; got {weight}.")


@dataclass(frozen=True)
class DataSpec:
    """Which frames, and how they are divided.

    Attributes
    ----------
    path : str
        File of labelled frames; relative paths count from the configuration file.
    keys : KeysSpec
    units : UnitsSpec
    weight : float
        Of this file's frames in the loss.
    more : tuple of MoreData
        Further files, each with its own keys and units; their frames follow the first file's.
    n_train, n_validation, n_test : int or None
        Sizes of the parts; None for 80 %, 10 % and all the rest.
    split_seed : int
        Seed of the division.
    split_file : str or None
        A stored ``split.json`` to use instead.
    split_by : {"frame", "group"}
        ``group`` keeps all frames of a molecule in one part; sizes are then met as nearly as its
        molecules allow. Groups are formulas, or what ``keys.group`` names.
    held_out : tuple of str
        Groups that are never trained on; their errors are reported by themselves.
    reference_energies : dict
        Element symbol → energy of the free atom, eV; empty for least squares.
    harmonic : tuple of str
        Harmonic analyses that the trained model is compared with in the report: ``modes.json`` of
        `painn-ase harmonic`, frequency jobs of other programs (cclib).
    accept_warnings : bool
        Train although the checks of `painn-ase data` warn of something.
    """

    path: str
    keys: KeysSpec = field(default_factory=KeysSpec)
    units: UnitsSpec = field(default_factory=UnitsSpec)
    weight: float = 1.0
    more: tuple[MoreData, ...] = ()
    n_train: int | None = None
    n_validation: int | None = None
    n_test: int | None = None
    split_seed: int = 0
    split_file: str | None = None
    split_by: Literal["frame", "group"] = "frame"
    held_out: tuple[str, ...] = ()
    reference_energies: dict[str, Any] = field(default_factory=dict)
    harmonic: tuple[str, ...] = ()
    accept_warnings: bool = False

    def __post_init__(self) -> None:
        _check_weight(self.weight)


#: Kind of network → what its training takes where the configuration is silent, other than the
#: record's own defaults. PaiNN's norm √(ΣV² + ε): the paper's code has ε = 1e-8, a kink where a
#: vector feature vanishes, which forces hardly show and Hessians do, most of all at symmetric
#: geometries.
_TRAINING_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"painn": {"epsilon": 1.0}}


def network_to_train(kind: str = "painn", **options: Any) -> NetworkSpec:
    """The network that a configuration's ``[network]`` describes.

    Parameters
    ----------
    kind : str
        Of the network: ``painn`` if not given.
    **options
        Fields of that kind's record (:class:`painn_ase.spec.PaiNNSpec`, …). PaiNN's ``epsilon``
        is 1.0 if not given, for a smooth norm.

    Raises
    ------
    SpecError
        For an unknown kind, unknown options and impossible values.
    """
    network: NetworkSpec = from_dict(NetworkSpec, _completed({"kind": kind, **options}), "network")
    return network


def _completed(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a network with kind and training's own defaults filled in."""
    kind = options.get("kind", "painn")
    defaults = _TRAINING_DEFAULTS.get(kind, {}) if isinstance(kind, str) else {}
    return {"kind": kind, **defaults, **options}


@dataclass(frozen=True)
class HeadChoice:
    """Forms of the heads; which heads there are follows from the labels and the loss.

    Attributes
    ----------
    dipole, polarizability : str
        ``auto`` takes the form with positions for molecules and the local form if any frame is
        periodic; of a network without vectors, point charges for the dipole.
    output_unit : float
        What an output of one stands for, in spreads of the label (of the forces, in eV, for the
        energy). Well below one, the weights must grow to reach the labels, and the features are
        learnt rather than combined as they were drawn (Chizat et al., arXiv 1812.07956): fewer
        errors from the same frames.
    """

    dipole: Literal["auto", "latent_charge", "local", "point_charge"] = "auto"
    polarizability: Literal["auto", "latent_position", "local"] = "auto"
    output_unit: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.output_unit <= 100:
            raise SpecError(
                f"output_unit must lie between 0 and 100; got {self.output_unit}. Leave it out for "
                "the default, 0.05."
            )


@dataclass(frozen=True)
class LossSpec:
    """Weights of the loss, and its form.

    Each term is the mean over components of the squared error in units of the label's spread in
    the training part, so that the weights need no change with units; the energy counts per atom.

    Attributes
    ----------
    energy, forces, stress, dipole, polarizability, dipole_magnitude : float
        Weights; 0 leaves a label out. The energy's is small on purpose: one number a frame beside
        3N forces pulls hard on all weights and, at 0.1, cost a quarter of the forces' accuracy and
        none of the energy's (MD17 ethanol). Raise it where there are no forces.
    huber_delta : float or None
        Errors beyond this many spreads count linearly; None for the square throughout.
    """

    energy: float = 0.003
    forces: float = 1.0
    stress: float = 0.1
    dipole: float = 0.1
    polarizability: float = 0.1
    dipole_magnitude: float = 0.1
    huber_delta: float | None = None

    def __post_init__(self) -> None:
        weights = [getattr(self, f.name) for f in dataclasses.fields(self)][:6]
        if min(weights) < 0 or max(weights) == 0:
            raise SpecError(f"loss weights must be >= 0 and not all zero; got {weights}.")
        if self.huber_delta is not None and self.huber_delta <= 0:
            raise SpecError(f"huber_delta must be positive; got {self.huber_delta}.")


@dataclass(frozen=True)
class OptimizerSpec:
    """AdamW, clipping and the averaged weights.

    Attributes
    ----------
    learning_rate : float
        Highest rate, reached after the warm-up.
    batch_size : int
        Structures per step, per device.
    weight_decay : float
    clip_norm : float or None
        Largest norm of the gradient.
    ema_decay : float
        Decay of the exponential average of the weights that is validated and exported; 0 for none.
    """

    learning_rate: float = 1e-3
    batch_size: int = 10
    weight_decay: float = 0.0
    clip_norm: float | None = 10.0
    ema_decay: float = 0.999

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.batch_size < 1 or not 0 <= self.ema_decay < 1:
            raise SpecError(
                "learning_rate must be positive, batch_size at least 1, ema_decay in [0, 1); got "
                f"{self.learning_rate}, {self.batch_size}, {self.ema_decay}."
            )


@dataclass(frozen=True)
class ScheduleSpec:
    """How the learning rate goes and when training ends.

    Attributes
    ----------
    kind : {"cosine", "plateau"}
        ``cosine`` falls to ``final_factor`` times the rate at the last epoch; ``plateau`` halves it
        after ``patience`` validations without improvement.
    epochs : int
    steps : int or None
        Length in optimizer steps instead of ``epochs``; the last epoch is finished.
    warmup_steps : int
        Linear rise from zero.
    final_factor : float
    patience : int
        Of the plateau schedule, in validations.
    early_stop : int or None
        End after this many validations without improvement.
    validate_every : int
        Epochs between validations.
    checkpoint_every : int
        Epochs between checkpoints.
    """

    kind: Literal["cosine", "plateau"] = "cosine"
    epochs: int = 300
    steps: int | None = None
    warmup_steps: int = 500
    final_factor: float = 1e-3
    patience: int = 20
    early_stop: int | None = None
    validate_every: int = 1
    checkpoint_every: int = 5

    def __post_init__(self) -> None:
        lengths = (self.epochs, 1 if self.steps is None else self.steps)
        counts = (*lengths, self.validate_every, self.checkpoint_every, self.patience)
        if min(counts) < 1 or self.warmup_steps < 0 or not 0 <= self.final_factor <= 1:
            raise SpecError(
                "epochs, steps, validate_every, checkpoint_every and patience must be at least 1, "
                f"warmup_steps >= 0, final_factor in [0, 1]; got {self}."
            )


@dataclass(frozen=True)
class RuntimeSpec:
    """Where and how it runs; nothing here changes what is learnt beyond rounding.

    Attributes
    ----------
    accelerator : str
        As Lightning names them: "cpu", "gpu", "auto".
    devices : int
        More than one trains data-parallel (DDP).
    dtype : str
        Of the network while training and in the file.
    compile : {"auto", "always", "never"}
        Compiled functions for loss and gradients: one where all structures are alike, otherwise
        one or two that batches are padded to; "auto" when the run is long enough to pay for the
        compiler.
    threads : int or None
        CPU threads of each process; None leaves torch's setting.
    progress : bool
        Show a progress bar on a terminal, in a log a line for the first and the last epoch and
        every 30 s between; if not, a line a minute.
    tensorboard : bool
        Write TensorBoard's log beside the CSV one.
    """

    accelerator: str = "auto"
    devices: int = 1
    dtype: Literal["float32", "float64"] = "float32"
    compile: Literal["auto", "always", "never"] = "auto"
    threads: int | None = None
    progress: bool = True
    tensorboard: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes
    ----------
    name : str
        Of the model; also the name of its file.
    data : DataSpec
    network : NetworkSpec
        In a file ``kind`` names it, PaiNN if left out; see :func:`network_to_train`.
    heads : HeadChoice
    loss : LossSpec
    optimizer : OptimizerSpec
    schedule : ScheduleSpec
    runtime : RuntimeSpec
    start : str or None
        A model to start from instead of random weights: a file, the name of a bundled model, or
        the folder of a committee. Its network, elements, reference energies and scales are kept;
        elements and heads that it lacks are added, heads without labels are dropped.
    refit_reference_energies : bool
        With `start`: the labels are of another level of theory, and the elements' reference
        energies are moved to them by least squares.
    output : str or None
        Folder of the run; None for ``runs/<name>``.
    seed : int
        Seed of weights and order; a committee's members count up from it.
    n_models : int
        Size of the committee.
    description, licence, citation : str
        For the reader of the model file.
    """

    name: str
    data: DataSpec
    network: NetworkSpec = field(default_factory=network_to_train)
    heads: HeadChoice = field(default_factory=HeadChoice)
    loss: LossSpec = field(default_factory=LossSpec)
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    runtime: RuntimeSpec = field(default_factory=RuntimeSpec)
    start: str | None = None
    refit_reference_energies: bool = False
    output: str | None = None
    seed: int = 0
    n_models: int = 1
    description: str = ""
    licence: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        if not self.name or any(c in self.name for c in "/\\"):
            raise SpecError(f"name must be a plain, non-empty file name; got {self.name!r}.")
        if self.n_models < 1:
            raise SpecError(f"n_models must be at least 1; got {self.n_models}.")
        if self.refit_reference_energies and self.start is None:
            raise SpecError(
                "refit_reference_energies goes with start, the model whose reference energies are "
                "moved; a model trained from nothing has those of its labels."
            )

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return Path(self.output) if self.output else Path("runs") / self.name

    def replace(self, **changes: Any) -> TrainConfig:
        """The same configuration with some fields exchanged."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready dictionary."""
        return to_dict(self)


def read_config(path: str | Path) -> TrainConfig:
    """The configuration in a TOML file, its data paths made relative to the file's folder.

    Raises
    ------
    SpecError
        For a file that is missing or no TOML, and for unknown, missing or impossible keys.
    """
    path = Path(path)
    table = dict(read_toml(path))
    if isinstance(network := table.get("network", {}), Mapping):
        table["network"] = _completed(network)
    config: TrainConfig = from_dict(TrainConfig, table, str(path))
    data = config.data
    split = None if data.split_file is None else str(path.parent / data.split_file)
    more = tuple(dataclasses.replace(one, path=str(path.parent / one.path)) for one in data.more)
    beside = dataclasses.replace(
        data,
        path=str(path.parent / data.path),
        split_file=split,
        more=more,
        harmonic=tuple(str(path.parent / one) for one in data.harmonic),
    )
    start = config.start
    if start is not None and (path.parent / start).exists():
        start = str(path.parent / start)  # else the name of a bundled model
    return config.replace(data=beside, start=start)
