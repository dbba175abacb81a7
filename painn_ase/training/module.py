"""The Lightning side: module, data feed and callbacks. Needs the extra ``train``.

Lightning owns the loop, the devices and the checkpoints. Ours are the step, the schedule (a pure
function of the step number, so that a continued run is the uninterrupted one), the averaged
weights and the export of the best model.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from painn_ase.errors import MissingDependencyError, NonFiniteError
from painn_ase.models.file import save_model
from painn_ase.potential.potential import AtomisticPotential
from painn_ase.replacing import replace_file
from painn_ase.spec import ModelSpec
from painn_ase.training.batches import Batch, FrameTensors
from painn_ase.training.config import OptimizerSpec, ScheduleSpec
from painn_ase.training.step import TrainingStep

try:
    from lightning.fabric.plugins import TorchCheckpointIO
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise MissingDependencyError(
        "training needs Lightning, which is not installed: pip install 'painn_ase[train]'."
    ) from error

__all__ = ["AveragedWeights", "BestModel", "PotentialModule", "WholeCheckpoints", "build_loader"]


class _BatchSet(Dataset[Batch]):
    """Batches by the list of their frames' indices."""

    def __init__(self, tensors: FrameTensors) -> None:
        self.tensors = tensors

    def __getitem__(self, indices: list[int]) -> Batch:
        return self.tensors.batch(indices)


class _SeededBatches(Sampler[list[int]]):
    """Lists of indices; the order is a function of seed and epoch alone, so it can be continued.

    With several processes each takes every n-th frame of the same order, all equally many.
    """

    def __init__(
        self, n_frames: int, batch_size: int, seed: int | None, rank: int, world: int
    ) -> None:
        self.n_frames, self.seed, self.epoch = n_frames, seed, 0
        self.rank, self.world = rank, world
        share = n_frames // world if seed is not None else -(-n_frames // world)
        self.batch_size = max(min(batch_size, share), 1)
        # A last batch of another size would need another compiled function and weigh more.
        self.n_batches = (
            share // self.batch_size if seed is not None else -(-share // self.batch_size)
        )

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.arange(self.n_frames)
        if self.seed is not None:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.n_frames, generator=generator)
        mine = order[self.rank :: self.world].tolist()
        for n in range(self.n_batches):
            if chunk := mine[n * self.batch_size : (n + 1) * self.batch_size]:
                yield chunk


def build_loader(
    tensors: FrameTensors, batch_size: int, seed: int | None, rank: int = 0, world: int = 1
) -> DataLoader[Batch]:
    """Loader of whole batches; shuffled by `seed`, in order if it is None."""
    sampler = _SeededBatches(tensors.n_frames, batch_size, seed, rank, world)
    return DataLoader(_BatchSet(tensors), sampler=sampler, batch_size=None, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


class PotentialModule(LightningModule):
    """A potential with its training step, schedule and validation.

    Parameters
    ----------
    potential : AtomisticPotential
    step : callable
        Batch → loss and terms, see :mod:`painn_ase.training.step`.
    validate : callable
        Batch → loss and mean absolute errors in spreads.
    weights : mapping
        Weights of the labels in the validation score.
    optimizer : OptimizerSpec
    schedule : ScheduleSpec
    identity : dict
        What a checkpoint must agree with to be continued; stored in it.
    total_steps : int
        Of the whole run, the length of the cosine.
    """

    def __init__(
        self,
        potential: AtomisticPotential,
        step: TrainingStep,
        validate: TrainingStep,
        weights: Mapping[str, float],
        optimizer: OptimizerSpec,
        schedule: ScheduleSpec,
        identity: Mapping[str, Any],
        total_steps: int,
    ) -> None:
        super().__init__()
        self.potential = potential
        self.step, self.validate_batch = step, validate
        self.score_weights = dict(weights)
        self.optimizer_spec, self.schedule_spec = optimizer, schedule
        self.identity = dict(identity)
        self.total_steps = total_steps
        self.plateau_factor, self.plateau_best, self.plateau_wait = 1.0, math.inf, 0
        self._train_sum: list[Tensor] = []
        self._sums: dict[str, float] = {}
        self._n_validated = 0

    # -- optimisation ----------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; its rate is set before every step."""
        spec = self.optimizer_spec
        return torch.optim.AdamW(
            self.potential.parameters(),
            lr=spec.learning_rate,
            weight_decay=spec.weight_decay,
            fused=self.potential.device.type in ("cpu", "cuda"),
        )

    def learning_rate_at(self, step: int) -> float:
        """Rate of optimizer step number `step`, a function of it and the plateau factor alone."""
        spec = self.schedule_spec
        rise = min((step + 1) / spec.warmup_steps, 1.0) if spec.warmup_steps else 1.0
        if spec.kind == "plateau":
            return self.optimizer_spec.learning_rate * rise * self.plateau_factor
        span = max(self.total_steps - spec.warmup_steps, 1)
        done = min(max(step - spec.warmup_steps, 0) / span, 1.0)
        fall = spec.final_factor + (1 - spec.final_factor) * 0.5 * (1 + math.cos(math.pi * done))
        return self.optimizer_spec.learning_rate * rise * fall

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the rate of the coming step."""
        rate = self.learning_rate_at(self.trainer.global_step)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, _: int) -> Batch:
        """The batch where the weights are."""
        return batch if device.type == "cpu" else batch.to(device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        loss, _ = self.step(batch)
        self._train_sum.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean loss; stop with an error if it is not finite."""
        mean = self.mean_loss()
        self._train_sum.clear()
        self.log("train_loss", mean, sync_dist=True, batch_size=1)
        rate = self.learning_rate_at(max(self.trainer.global_step - 1, 0))
        self.log("learning_rate", rate, batch_size=1)

    def mean_loss(self) -> Tensor:
        """Mean loss of the epoch so far, an error if it is not finite."""
        mean = torch.stack(self._train_sum).mean() if self._train_sum else torch.tensor(0.0)
        if not math.isfinite(float(mean)):
            raise NonFiniteError(
                f"the loss became {float(mean)} in epoch {self.current_epoch}. Lower "
                "[optimizer] learning_rate or clip_norm, or look at the labels with "
                "`painn-ase data`; the last checkpoint is from before."
            )
        return mean

    # -- validation ------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation; do not go on to write a model that has diverged."""
        self.mean_loss()
        self._sums, self._n_validated = {}, 0

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch to the sums."""
        loss, errors = self.validate_batch(batch)
        n = batch.graph.n_systems
        self._n_validated += n
        for name, value in {"loss": loss, **errors}.items():
            self._sums[name] = self._sums.get(name, 0.0) + n * float(value.detach())

    def on_validation_epoch_end(self) -> None:
        """Log the loss, the mean absolute errors in spreads, and the score models go by."""
        names = sorted(self._sums)
        sums = torch.tensor(
            [self._n_validated, *(self._sums[n] for n in names)], dtype=torch.float64
        )
        if self.trainer.world_size > 1:
            sums = cast(Tensor, self.all_gather(sums.to(self.device))).sum(dim=0).cpu()
        means = dict(zip(names, (sums[1:] / sums[0]).tolist(), strict=True))
        means["score"] = sum(
            weight * means[name] for name, weight in self.score_weights.items() if name in means
        )
        for name, mean in means.items():
            self.log(f"validation_{name}", mean, prog_bar=name == "score", batch_size=1)
        self._follow_plateau(means["score"])

    def _follow_plateau(self, score: float) -> None:
        """Halve the plateau factor after `patience` validations without improvement."""
        if score < self.plateau_best * (1 - 1e-4):
            self.plateau_best, self.plateau_wait = score, 0
            return
        self.plateau_wait += 1
        if self.plateau_wait >= self.schedule_spec.patience:
            self.plateau_factor, self.plateau_wait = self.plateau_factor * 0.5, 0

    # -- checkpoints -----------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a continued run needs beside weights and optimizer."""
        checkpoint["painn_ase"] = {
            "identity": self.identity,
            "plateau": [self.plateau_factor, self.plateau_best, self.plateau_wait],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        factor, best, wait = checkpoint["painn_ase"]["plateau"]
        self.plateau_factor, self.plateau_best, self.plateau_wait = factor, best, int(wait)


class AveragedWeights(Callback):
    """Exponential average of the weights; validation and export see it, the optimizer does not.

    The decay grows as (1 + n)/(10 + n) up to `decay`, so that the start is soon forgotten.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.n_updates = 0
        self.average: list[Tensor] = []
        self._raw: list[Tensor] = []

    def _weights(self, module: LightningModule) -> list[Tensor]:
        return [w.detach() for w in cast(PotentialModule, module).potential.parameters()]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the weights there are, unless a checkpoint brought an average."""
        if not self.average:
            self.average = [w.clone() for w in self._weights(pl_module)]
        self.average = [w.to(pl_module.device) for w in self.average]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        """Move the average towards the weights."""
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        self.n_updates += 1
        torch._foreach_lerp_(self.average, self._weights(pl_module), 1.0 - decay)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average in place."""
        weights = self._weights(pl_module)
        self._raw = [w.clone() for w in weights]
        torch._foreach_copy_(weights, self.average)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the weights back."""
        torch._foreach_copy_(self._weights(pl_module), self._raw)
        self._raw = []

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"n_updates": self.n_updates, "average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.n_updates = int(state_dict["n_updates"])
        self.average = list(state_dict["average"])


class BestModel(Callback):
    """Writes the model file whenever the validation score improves.

    Must stand before :class:`AveragedWeights` in the list of callbacks, which takes the average
    out again at the end of a validation.

    Parameters
    ----------
    path : Path
    spec : ModelSpec
        Header of the file; the epoch and the validation errors are added to its provenance.
    """

    def __init__(self, path: Path, spec: ModelSpec) -> None:
        self.path, self.spec = path, spec
        self.best = math.inf

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write, if better."""
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        score = metrics.get("validation_score", math.inf)
        if not score < self.best:
            return
        self.best = score
        if trainer.is_global_zero:
            chosen = {k: v for k, v in metrics.items() if k.startswith("validation_")}
            export_model(
                cast(PotentialModule, pl_module).potential,
                self.spec,
                self.path,
                {"epoch": trainer.current_epoch, "validation": chosen},
            )

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.best = float(state_dict["best"])


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there, whatever happens while they are written."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint` to `path`; an OSError names the file."""
        path = Path(path)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        try:
            # The folder of the run itself is not made anew: it has been taken away for a reason.
            path.parent.mkdir(exist_ok=True)
            with replace_file(path) as file:
                file.write(buffer.getvalue())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error


def export_model(
    potential: AtomisticPotential, spec: ModelSpec, path: Path, about: Mapping[str, Any]
) -> None:
    """Write the weights of `potential` under the header `spec`, with `about` in its provenance."""
    header = dataclasses.replace(spec, provenance={**spec.provenance, **about})
    copy = AtomisticPotential(header).to(potential.dtype)
    copy.load_state_dict(potential.state_dict())
    save_model(copy, path)


def checkpoint_order(paths: Sequence[Path]) -> list[Path]:
    """Checkpoints, newest epoch first."""
    return sorted(paths, key=lambda p: int(p.stem.rpartition("=")[2] or -1), reverse=True)
