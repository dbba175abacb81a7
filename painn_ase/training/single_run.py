"""One training run, from frames and their split to a model file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import json
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from painn_ase._version import __version__
from painn_ase.errors import DataError, ModelFileError
from painn_ase.md.identity import fingerprint
from painn_ase.models.file import load_model
from painn_ase.potential.potential import AtomisticPotential
from painn_ase.replacing import write_text
from painn_ase.spec import ModelSpec
from painn_ase.training.batches import FrameTensors
from painn_ase.training.config import TrainConfig
from painn_ase.training.distances import formulas, smallest_distances
from painn_ase.training.evaluation import Errors, compare, errors_by_group, errors_of, write_errors
from painn_ase.training.frames import LabeledFrame, frames_hash
from painn_ase.training.frequencies import frequency_errors, load_references
from painn_ase.training.levels import at_level_of
from painn_ase.training.loss import WeightedLoss
from painn_ase.training.padding import choose_sizes
from painn_ase.training.report import plot_report
from painn_ase.training.splits import Split, write_split
from painn_ase.training.starting import copy_weights, extended_spec, load_start, with_network_of
from painn_ase.training.statistics import (
    build_model_spec,
    compute_statistics,
    trained_labels,
)
from painn_ase.training.step import CompiledStep, EagerStep, TrainingStep, can_compile

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["TrainingRun"]

# Below this many steps compiling one size of batches costs more time than it saves.
_COMPILE_FROM_STEPS = 8000
# Larger splits are left out of the model file, where only seed and sizes then stand.
_LARGEST_SPLIT_IN_FILE = 20_000


class TrainingRun:
    """The pieces of one run, in the order they are made."""

    def __init__(
        self, config: TrainConfig, frames: Sequence[LabeledFrame], split: Split, folder: Path
    ) -> None:
        self.start = None if config.start is None else load_start(config.start)
        if self.start is not None:
            config = with_network_of(config, self.start)
        self.config, self.split, self.folder = config, split, folder
        self.parts = {part: [frames[n] for n in indices] for part, indices in split.parts().items()}
        _check_elements(self.parts, self.start.spec.elements if self.start else ())
        self.labels = trained_labels(self.parts["train"], config)
        self.begun_as = None
        if self.start is not None:
            self.begun_as = self.start.spec
            if "energy" in self.labels and not config.data.reference_energies:
                self.begun_as = at_level_of(
                    self.start, self.parts["train"], config.refit_reference_energies
                )
        self.statistics = compute_statistics(
            self.parts["train"],
            config.data.reference_energies or None,
            self.begun_as,
        )
        self.references = load_references(config.data.harmonic, self.labels)
        self.data_hash = frames_hash(frames)
        self.n_frames = len(frames)

    # -- identity --------------------------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be continued."""
        settings = self.config.to_dict()
        for free in ("runtime", "output", "description", "licence", "citation"):
            settings.pop(free)
        for length in ("epochs", "steps"):  # a run may be lengthened or cut short
            settings["schedule"].pop(length)
        settings["start"] = None if self.start is None else fingerprint([self.start])
        settings["data"].pop("path")
        for file in settings["data"]["more"]:
            file.pop("path")
        for free in ("split_file", "harmonic", "accept_warnings"):
            settings["data"].pop(free)
        text = json.dumps([settings, self.split.train, self.split.validation], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        # Other versions round otherwise, or mean something else by the same settings.
        code = f"painn_ase {__version__}, torch {torch.__version__}"
        return {"settings": digest, "data": self.data_hash, "code": code}

    def model_spec(self) -> ModelSpec:
        """Header of the model file."""
        spec = build_model_spec(self.parts["train"], self.labels, self.statistics, self.config)
        if self.begun_as is not None:
            spec = extended_spec(self.begun_as, spec)
        return dataclasses.replace(spec, provenance=self._provenance())

    def _provenance(self) -> dict[str, Any]:
        split: dict[str, Any] = {"seed": self.config.data.split_seed, **self.split.counts()}
        if self.n_frames <= _LARGEST_SPLIT_IN_FILE:
            split["indices"] = {part: list(found) for part, found in self.split.parts().items()}
        config = self.config.to_dict()
        for file in (config["data"], *config["data"]["more"]):
            file["path"] = Path(file["path"]).name
        config["data"]["harmonic"] = list(self.references)
        config.pop("output")
        data = {
            "file": Path(self.config.data.path).name,
            "sha256": self.data_hash,
            "n_frames": self.n_frames,
        }
        if self.config.data.more:
            data["more"] = [file["path"] for file in config["data"]["more"]]
        begun: dict[str, Any] = {}
        if self.start is not None:
            config["start"] = Path(str(self.config.start)).name
            about = self.start.spec.provenance
            begun["start"] = {
                "model": self.start.spec.name,
                "weights": fingerprint([self.start]),
                "formulas": about.get("formulas", []),
                "data": about.get("data", {}),
            }
        return {
            "data": data,
            **begun,
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
        if self.start is not None:
            copy_weights(self.start, potential)
        loss = WeightedLoss(config.loss, self.labels, self.statistics.spread)
        cutoff = config.network.cutoff
        train_set = FrameTensors(self.parts["train"], cutoff, self.labels)
        validation_set = FrameTensors(self.parts["validation"], cutoff, self.labels)
        eager = EagerStep(potential, loss)
        size = config.optimizer.batch_size
        share = train_set.n_frames // config.runtime.devices
        n_epochs = self._n_epochs(max(share // max(min(size, share), 1), 1))
        with _quiet_lightning():
            trainer = self._trainer(spec, n_epochs)
        rank, world = trainer.global_rank, trainer.world_size
        train_loader = build_loader(train_set, size, config.seed, rank, world)
        module = PotentialModule(
            potential,
            self._step(eager, train_set, n_epochs),
            eager.validate,
            loss.weights,
            config.optimizer,
            config.schedule,
            self.identity,
            n_epochs * len(train_loader),
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

    def _n_epochs(self, steps_an_epoch: int) -> int:
        """Epochs of the schedule, or as many as hold its steps."""
        schedule = self.config.schedule
        return schedule.epochs if schedule.steps is None else -(-schedule.steps // steps_an_epoch)

    def _step(self, eager: EagerStep, frames: FrameTensors, n_epochs: int) -> TrainingStep:
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
        steps = n_epochs * (share // optimizer.batch_size)
        if runtime.compile == "auto" and steps < _COMPILE_FROM_STEPS * len(sizes):
            return eager
        say = functools.partial(print, flush=True)
        return CompiledStep(eager, sizes, frames.is_periodic, say) if possible else eager

    def _trainer(self, spec: ModelSpec, n_epochs: int) -> Trainer:
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
                every_n_epochs=min(schedule.checkpoint_every, n_epochs),
                save_on_train_epoch_end=True,
            )
        )
        loggers: list[Any] = [CSVLogger(self.folder, name="log", flush_logs_every_n_steps=1)]
        if runtime.tensorboard:
            loggers.append(TensorBoardLogger(self.folder, name="tensorboard"))
        has_terminal = sys.stdout.isatty()
        spread = {name: self.statistics.spread[name] for name in self.labels}
        if runtime.progress and has_terminal:
            from tqdm import tqdm

            callbacks.append(PlainLines(tqdm.write, 60.0, spread, ends=False))  # above the bar
        else:
            say = functools.partial(print, flush=True)
            seconds = 30.0 if runtime.progress else 60.0
            callbacks.append(PlainLines(say, seconds, spread, ends=runtime.progress))
        parallel = runtime.devices > 1
        return Trainer(
            accelerator=runtime.accelerator,
            devices=runtime.devices,
            # A frame set without some label leaves its head unused: plain "ddp" would fail.
            strategy="ddp_find_unused_parameters_true" if parallel else "auto",
            max_epochs=n_epochs,
            check_val_every_n_epoch=min(schedule.validate_every, n_epochs),
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
        about: dict[str, Any] = {
            "model": self.config.name,
            "part": part,
            "n_frames": len(self.parts[part]),
        }
        summary = {part: _short(errors_of(comparisons))}
        if held_out := self.parts.get("held_out"):
            found = errors_of(compare(potential, held_out, self.labels))
            about["held_out"] = {"n_frames": len(held_out), "errors": _plain(found)}
            summary["held_out"] = _short(found)
        if self.start is not None:
            about["before"] = {"errors": self._errors_before(self.start, part)}
        judged = [*self.parts[part], *(held_out or ())]
        if len({frame.group for frame in judged}) > 1:
            about["by_group"] = errors_by_group(potential, judged, self.labels)
        if self.references:
            about["harmonic"] = {
                name: frequency_errors(potential, known) for name, known in self.references.items()
            }
        write_errors(errors_of(comparisons), self.folder / "errors.json", about)
        export_model(potential, potential.spec, self.model_path, {"errors": summary})
        plot_report(comparisons, self.folder / "log", self.folder)
        return self.model_path

    def _errors_before(self, base: AtomisticPotential, part: str) -> dict[str, Any]:
        """Errors of the model it started from on the same frames, where it could be asked."""
        able = [n for n in self.labels if n in base.properties]
        known = set(base.spec.elements)
        frames = [f for f in self.parts[part] if {int(z) for z in f.numbers} <= known]
        return _plain(errors_of(compare(base, frames, able))) if frames and able else {}

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


def _plain(errors: dict[str, Errors]) -> dict[str, Any]:
    return {name: dataclasses.asdict(e) for name, e in errors.items()}


def _short(errors: dict[str, Errors]) -> dict[str, Any]:
    """For the header of a model file."""
    return {name: {"unit": e.unit, "mae": e.mae, "rmse": e.rmse} for name, e in errors.items()}


def _check_elements(parts: dict[str, list[LabeledFrame]], kept: Sequence[int]) -> None:
    """Refuse elements that other parts have and neither training nor the model it goes on from."""
    known = {int(z) for f in parts["train"] for z in f.numbers} | set(kept)
    for part in [name for name in parts if name != "train"]:
        if unknown := sorted({int(z) for f in parts[part] for z in f.numbers} - known):
            raise DataError(
                f"the {part} part has atomic numbers {unknown}, which no training frame has; give "
                "more frames with them, remove them, or change split_seed."
            )
