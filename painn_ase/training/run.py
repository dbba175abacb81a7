"""One training run from configuration to model file, and committees of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from painn_ase._version import __version__
from painn_ase.errors import DataError, MissingDependencyError, ModelFileError
from painn_ase.models.file import load_model
from painn_ase.potential.potential import AtomisticPotential
from painn_ase.replacing import write_text
from painn_ase.spec import ModelSpec
from painn_ase.training.batches import FrameTensors
from painn_ase.training.config import TrainConfig
from painn_ase.training.data_report import DataReport, inspect_file
from painn_ase.training.distances import formulas, smallest_distances
from painn_ase.training.evaluation import compare, errors_of, write_errors
from painn_ase.training.frames import LABELS, Frame, frames_hash
from painn_ase.training.loss import WeightedLoss
from painn_ase.training.padding import choose_sizes
from painn_ase.training.report import plot_report
from painn_ase.training.splits import Split, build_split, write_split
from painn_ase.training.statistics import (
    build_model_spec,
    compute_statistics,
    trained_labels,
)
from painn_ase.training.step import CompiledStep, EagerStep, TrainingStep, can_compile

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["evaluate", "train"]

# Below this many steps compiling one size of batches costs more time than it saves.
_COMPILE_FROM_STEPS = 8000
# Larger splits are left out of the model file, where only seed and sizes then stand.
_LARGEST_SPLIT_IN_FILE = 20_000


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    tell: Callable[[DataReport], None] | None = None,
) -> Path:
    """Train as `config` says, after the checks of `painn-ase data` have found the labels in order.

    Parameters
    ----------
    config : TrainConfig
    resume : bool
        Continue from the newest readable checkpoint of the same configuration and data; only the
        number of epochs may differ, to lengthen a run or cut it short.
    overwrite : bool
        Start anew where there already is a run.
    tell : callable, optional
        Receives what the data are and how they were read, before anything is trained.

    Returns
    -------
    Path
        The model file; for a committee the folder that holds one folder per member.

    Raises
    ------
    DataError
        For unusable data, a warning of the checks that ``[data] accept_warnings`` does not accept,
        or a folder that already holds a run.
    ModelFileError
        For a checkpoint of other code, configuration or data.
    NonFiniteError
        If the loss diverges.
    MissingDependencyError
        Without the extra ``train``.
    """
    _require_lightning()
    report = _inspect(config)
    if tell is not None and os.environ.get("LOCAL_RANK", "0") == "0":
        tell(report)
    # A run that goes on was accepted when it began.
    if report.warnings and not (config.data.accept_warnings or resume):
        raise DataError(_refusal(report))
    frames = report.source.frames
    split = build_split(len(frames), config.data)
    if config.n_models == 1:
        return _Run(config, frames, split, config.folder).fit(resume, overwrite)
    for member in range(config.n_models):
        one = config.replace(name=f"{config.name}_{member}", seed=config.seed + member, n_models=1)
        _Run(one, frames, split, config.folder / f"member_{member}").fit(resume, overwrite)
    return config.folder


def _inspect(config: TrainConfig) -> DataReport:
    """The data, read and checked."""
    data = config.data
    wanted = [name for name in LABELS if getattr(config.loss, name) > 0]
    return inspect_file(data.path, data.keys, data.units, wanted=wanted)


def _refusal(report: DataReport) -> str:
    """What to do about warnings."""
    listed = "\n".join(f"  {f.check}: {f.message}" for f in report.warnings)
    return (
        f"the labels in {report.path} deserve a warning:\n{listed}\nMend the data or say in the "
        "configuration what they are; or train on them as they are with --accept-warnings, or "
        "accept_warnings = true in [data]."
    )


def evaluate(
    model: str | Path | AtomisticPotential, frames: Sequence[Frame], folder: str | Path
) -> Path:
    """Errors of a model on labelled frames as ``errors.json``, with parity plots beside it.

    Returns
    -------
    Path
        The JSON file.
    """
    potential = model if isinstance(model, AtomisticPotential) else load_model(model)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    comparisons = compare(potential, frames)
    about = {
        "model": potential.spec.name,
        "n_frames": len(frames),
        "data_sha256": frames_hash(frames),
    }
    write_errors(errors_of(comparisons), folder / "errors.json", about)
    plot_report(comparisons, None, folder)
    return folder / "errors.json"


def _require_lightning() -> None:
    try:
        import lightning.pytorch  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "training needs Lightning, which is not installed: pip install 'painn_ase[train]'."
        ) from error


class _Run:
    """The pieces of one run, in the order they are made."""

    def __init__(
        self, config: TrainConfig, frames: Sequence[Frame], split: Split, folder: Path
    ) -> None:
        self.config, self.split, self.folder = config, split, folder
        self.parts = {
            part: [frames[n] for n in getattr(split, part)]
            for part in ("train", "validation", "test")
        }
        _check_elements(self.parts)
        self.labels = trained_labels(self.parts["train"], config)
        self.statistics = compute_statistics(
            self.parts["train"], config.data.reference_energies or None
        )
        self.data_hash = frames_hash(frames)
        self.n_frames = len(frames)

    # -- identity --------------------------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be continued."""
        settings = self.config.to_dict()
        for free in ("runtime", "output", "description", "licence", "citation"):
            settings.pop(free)
        settings["schedule"].pop("epochs")  # a run may be lengthened or cut short
        settings["data"].pop("path")
        settings["data"].pop("split_file")
        settings["data"].pop("accept_warnings")
        text = json.dumps([settings, self.split.train, self.split.validation], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        # Other versions round otherwise, or mean something else by the same settings.
        code = f"painn_ase {__version__}, torch {torch.__version__}"
        return {"settings": digest, "data": self.data_hash, "code": code}

    def model_spec(self) -> ModelSpec:
        """Header of the model file."""
        spec = build_model_spec(self.parts["train"], self.labels, self.statistics, self.config)
        return dataclasses.replace(spec, provenance=self._provenance())

    def _provenance(self) -> dict[str, Any]:
        split: dict[str, Any] = {"seed": self.config.data.split_seed, **self.split.counts()}
        if self.n_frames <= _LARGEST_SPLIT_IN_FILE:
            split["indices"] = {
                part: list(getattr(self.split, part)) for part in ("train", "validation", "test")
            }
        config = self.config.to_dict()
        config["data"]["path"] = Path(self.config.data.path).name
        config.pop("output")
        return {
            "data": {
                "file": Path(self.config.data.path).name,
                "sha256": self.data_hash,
                "n_frames": self.n_frames,
            },
            "split": split,
            # What tells another molecule when the model is used.
            "formulas": formulas(self.parts["train"]),
            # What a run of dynamics is warned by when it leaves the training data.
            "smallest_distances": smallest_distances(
                self.parts["train"], self.config.network.cutoff
            ),
            "config": config,
            "versions": {
                "painn_ase": __version__,
                "torch": str(torch.__version__),
                "python": sys.version.split()[0],
            },
        }

    # -- run -------------------------------------------------------------------------------------

    def fit(self, resume: bool, overwrite: bool) -> Path:
        """Train, evaluate on the test part, write everything; the model file's path."""
        checkpoint = self._checkpoint(resume, overwrite)
        runtime = self.config.runtime
        threads = torch.get_num_threads()
        if runtime.threads is not None:
            torch.set_num_threads(runtime.threads)
        try:
            return self._fit(checkpoint)
        except OSError as error:
            raise ModelFileError(
                f"the run in {self.folder} could not be written: {error}. Nothing written before "
                "is lost; make room or mend the folder, then continue with resume."
            ) from error
        except ModelFileError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            raise ModelFileError(f"{error} The run continues with resume.") from error
        finally:
            torch.set_num_threads(threads)

    def _fit(self, checkpoint: Path | None) -> Path:
        from painn_ase.training.module import PotentialModule, build_loader

        config = self.config
        self.folder.mkdir(parents=True, exist_ok=True)
        write_split(self.split, self.folder / "split.json")
        write_text(self.folder / "config.json", json.dumps(config.to_dict(), indent=2) + "\n")
        spec = self.model_spec()
        potential = build_potential(spec, config)
        loss = WeightedLoss(config.loss, self.labels, self.statistics.spread)
        cutoff = config.network.cutoff
        train_set = FrameTensors(self.parts["train"], cutoff, self.labels)
        validation_set = FrameTensors(self.parts["validation"], cutoff, self.labels)
        eager = EagerStep(potential, loss)
        with _quiet_lightning():
            trainer = self._trainer(spec)
        rank, world = trainer.global_rank, trainer.world_size
        size = config.optimizer.batch_size
        train_loader = build_loader(train_set, size, config.seed, rank, world)
        module = PotentialModule(
            potential,
            self._step(eager, train_set),
            eager.validate,
            loss.weights,
            config.optimizer,
            config.schedule,
            self.identity,
            config.schedule.epochs * len(train_loader),
        )
        with _quiet_lightning():
            trainer.fit(
                module,
                train_loader,
                build_loader(validation_set, max(size, 50), None, rank, world),
                ckpt_path=None if checkpoint is None else str(checkpoint),
                **_weights_only(trainer),
            )
        if not trainer.is_global_zero:
            return self.model_path
        return self._finish()

    @property
    def model_path(self) -> Path:
        """Where the model file goes."""
        return self.folder / f"{self.config.name}.safetensors"

    def _step(self, eager: EagerStep, frames: FrameTensors) -> TrainingStep:
        """Eager or compiled, as the configuration and the data allow."""
        runtime, optimizer = self.config.runtime, self.config.optimizer
        if runtime.compile == "never":
            return eager
        possible = can_compile(eager.potential.device) and bool(frames.n_edges.any())
        if runtime.compile == "always" and not possible:
            raise DataError(
                'compile = "always" needs a C++ compiler, and frames with atoms that are within '
                'the cutoff of each other. Use "auto".'
            )
        share = frames.n_frames // runtime.devices
        sizes = choose_sizes(frames, max(min(optimizer.batch_size, share), 1))
        steps = self.config.schedule.epochs * (share // optimizer.batch_size)
        if runtime.compile == "auto" and steps < _COMPILE_FROM_STEPS * len(sizes):
            return eager
        return CompiledStep(eager, sizes, frames.is_periodic) if possible else eager

    def _trainer(self, spec: ModelSpec) -> Trainer:
        from lightning.pytorch import Trainer
        from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
        from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

        from painn_ase.training.module import AveragedWeights, BestModel, WholeCheckpoints
        from painn_ase.training.progress import PlainLines

        runtime, schedule = self.config.runtime, self.config.schedule
        optimizer = self.config.optimizer
        callbacks: list[Any] = [BestModel(self.model_path, spec)]
        if optimizer.ema_decay > 0:
            callbacks.append(AveragedWeights(optimizer.ema_decay))
        if schedule.early_stop is not None:
            callbacks.append(EarlyStopping("validation_score", patience=schedule.early_stop))
        callbacks.append(
            # The last two are kept: a power cut may spoil one.
            ModelCheckpoint(
                dirpath=self.folder / "checkpoints",
                filename="{epoch}",
                monitor="epoch",
                mode="max",
                save_top_k=2,
                every_n_epochs=schedule.checkpoint_every,
                save_on_train_epoch_end=True,
            )
        )
        loggers: list[Any] = [CSVLogger(self.folder, name="log", flush_logs_every_n_steps=1)]
        if runtime.tensorboard:
            loggers.append(TensorBoardLogger(self.folder, name="tensorboard"))
        has_terminal = sys.stdout.isatty()
        if runtime.progress and not has_terminal:
            callbacks.append(PlainLines(functools.partial(print, flush=True)))
        parallel = runtime.devices > 1
        return Trainer(
            accelerator=runtime.accelerator,
            devices=runtime.devices,
            # A frame set without some label leaves its head unused: plain "ddp" would fail.
            strategy="ddp_find_unused_parameters_true" if parallel else "auto",
            max_epochs=schedule.epochs,
            check_val_every_n_epoch=schedule.validate_every,
            gradient_clip_val=optimizer.clip_norm,
            callbacks=callbacks,
            plugins=[WholeCheckpoints()],
            logger=loggers,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            inference_mode=False,
            use_distributed_sampler=False,
            enable_progress_bar=runtime.progress and has_terminal,
            enable_model_summary=False,
        )

    def _finish(self) -> Path:
        """Errors of the best model into its header and into files, and the plots."""
        from painn_ase.training.module import export_model

        potential = load_model(self.model_path)
        part = "test" if self.parts["test"] else "validation"
        comparisons = compare(potential, self.parts[part], self.labels)
        errors = errors_of(comparisons)
        about: dict[str, Any] = {
            "model": self.config.name,
            "part": part,
            "n_frames": len(self.parts[part]),
        }
        write_errors(errors, self.folder / "errors.json", about)
        summary = {
            name: {"unit": e.unit, "mae": e.mae, "rmse": e.rmse} for name, e in errors.items()
        }
        export_model(potential, potential.spec, self.model_path, {"errors": {part: summary}})
        plot_report(comparisons, self.folder / "log", self.folder)
        return self.model_path

    # -- checkpoints -----------------------------------------------------------------------------

    def _checkpoint(self, resume: bool, overwrite: bool) -> Path | None:
        """The checkpoint to continue from, or None for a fresh start."""
        from painn_ase.training.module import checkpoint_order

        found = checkpoint_order(list((self.folder / "checkpoints").glob("*.ckpt")))
        if not resume:
            if (found or self.model_path.exists()) and not overwrite:
                raise DataError(
                    f"{self.folder} already holds a run; continue it with resume, start anew with "
                    "overwrite, or choose another output."
                )
            for path in found:
                path.unlink()
            return None
        for path in found:
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # a cut-short file fails in zip, pickle or torch
                warnings.warn(
                    f"{path} is unreadable ({type(error).__name__}); trying the one before.",
                    RuntimeWarning,
                    stacklevel=3,
                )
                continue
            self._check_identity(path, state)
            return path
        return None

    def _check_identity(self, path: Path, state: Any) -> None:
        ours = state.get("painn_ase") if isinstance(state, dict) else None
        if not isinstance(ours, dict):
            raise ModelFileError(
                f"{path} is no checkpoint of a painn_ase training run. Remove it, or choose "
                "another output."
            )
        for what, value in self.identity.items():
            before = ours["identity"].get(what)
            if before != value:
                which = f" ({before or 'of version 0.1.0'}; now {value})" if what == "code" else ""
                raise ModelFileError(
                    f"{path} belongs to a run with other {what}{which}; a run can only be "
                    "continued unchanged. Undo the change, or start anew with overwrite or another "
                    "output."
                )


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without Lightning's remarks on hardware, products and its own future; errors still show."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Batches are cut from memory: workers of the data loader would only cost.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*Checkpoint directory.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        logger.setLevel(level)


def build_potential(spec: ModelSpec, config: TrainConfig) -> AtomisticPotential:
    """The untrained potential, its weights a function of the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        potential = AtomisticPotential(spec)
    return potential.to(getattr(torch, config.runtime.dtype))


def _weights_only(trainer: Trainer) -> dict[str, Any]:
    """The keyword that keeps Lightning from unpickling code, where it knows it."""
    return (
        {"weights_only": True}
        if "weights_only" in inspect.signature(trainer.fit).parameters
        else {}
    )


def _check_elements(parts: dict[str, list[Frame]]) -> None:
    """Refuse elements that validation or test have and training has not."""
    known = {int(z) for f in parts["train"] for z in f.numbers}
    for part in ("validation", "test"):
        if unknown := sorted({int(z) for f in parts[part] for z in f.numbers} - known):
            raise DataError(
                f"the {part} part has atomic numbers {unknown}, which no training frame has; give "
                "more frames with them, remove them, or change split_seed."
            )
