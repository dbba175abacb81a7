"""A training's progress in a log: plain lines, where there is no terminal for a bar."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from painn_ase.training.module import PotentialModule

__all__ = ["PlainLines"]


class PlainLines(Callback):
    """One line for an epoch, but none within some seconds of the last; long epochs say more.

    The first epoch and the last have their line in any case.

    Parameters
    ----------
    say : callable
        Takes a line.
    seconds : float
        Between lines.
    """

    def __init__(self, say: Callable[[str], None], seconds: float = 30.0) -> None:
        self._say, self._seconds = say, seconds
        self._begun = self._last = clock.monotonic()
        self._first_epoch = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember when and where the run goes on."""
        self._begun = self._last = clock.monotonic()
        self._first_epoch = trainer.current_epoch

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """A line within an epoch that takes long."""
        n = int(trainer.num_training_batches)
        if batch_idx + 1 < n and self._is_due():
            self._tell(f"epoch {trainer.current_epoch + 1}, step {batch_idx + 1} of {n}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A line for the epoch, its validation included."""
        done, total = trainer.current_epoch + 1, trainer.max_epochs or 0
        ends = done >= total or trainer.should_stop
        if not (trainer.current_epoch == self._first_epoch or ends or self._is_due()):
            return
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        # Lightning asks callbacks before the module, so the module's own log is an epoch behind.
        loss = float(cast(PotentialModule, pl_module).mean_loss())
        parts = [f"epoch {done} of {total}", f"train loss {loss:.4g}"]
        for name in ("validation_loss", "validation_score"):
            if name in metrics:
                parts.append(f"{name.replace('_', ' ')} {metrics[name]:.4g}")
        if not ends:
            spent = clock.monotonic() - self._begun
            left = spent / (done - self._first_epoch) * (total - done)
            parts.append(f"about {left:.0f} s left")
        self._tell(", ".join(parts))

    def _is_due(self) -> bool:
        return clock.monotonic() - self._last >= self._seconds

    def _tell(self, line: str) -> None:
        self._last = clock.monotonic()
        self._say(line)
