"""A training's progress in a log: plain lines with errors in units, and what is to be expected."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from painn_ase.training.module import PotentialModule
from painn_ase.units import e2_angstrom2_per_ev_to_angstrom3

__all__ = ["PlainLines", "expected_error"]

#: Label → its unit in a line, and what a value in the package's unit is multiplied with.
_SHOWN = {
    "forces": ("meV/Å", 1e3),
    "energy": ("meV/atom", 1e3),
    "dipole": ("e·Å", 1.0),
    "polarizability": ("Å³", e2_angstrom2_per_ev_to_angstrom3),
    "dipole_magnitude": ("e·Å", 1.0),
    "stress": ("meV/Å³", 1e3),
}
# Fewer validations than this say nothing of a slope.
_ENOUGH = 6


def expected_error(epochs: Sequence[float], errors: Sequence[float], last: float) -> float | None:
    """Error at epoch `last` if it goes on falling as in the later half of the epochs so far.

    A straight line in the logarithms of both, as learning curves are; None where there are too few
    values, or the error does not fall.
    """
    if len(errors) < _ENOUGH or min(errors) <= 0:
        return None
    half = len(errors) // 2
    x, y = np.log(epochs[half:]), np.log(errors[half:])
    slope, level = np.polyfit(x, y, 1)
    return None if slope >= 0 else float(np.exp(level + slope * math.log(last)))


class PlainLines(Callback):
    """One line for an epoch, but none within some seconds of the last; long epochs say more.

    Parameters
    ----------
    say : callable
        Takes a line.
    seconds : float
        Between lines.
    spread : mapping of str to float, optional
        Label → what a validation error of one stands for, in the package's unit; the first of
        :data:`_SHOWN` that is there is told in its unit, and what it will be at the end.
    ends : bool
        Whether the first and the last epoch have their line in any case.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        seconds: float = 30.0,
        spread: Mapping[str, float] | None = None,
        ends: bool = True,
    ) -> None:
        self._say, self._seconds, self._ends = say, seconds, ends
        self._label = next((name for name in _SHOWN if name in (spread or {})), None)
        self._scale = 0.0 if self._label is None else dict(spread or {})[self._label]
        self._epochs: list[float] = []
        self._errors: list[float] = []
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
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        error = metrics.get(f"validation_{self._label}", 0.0) * self._scale
        if error and error not in self._errors[-1:]:  # else there is none, or it is the last one's
            self._epochs.append(done)
            self._errors.append(error)
        ends = done >= total or trainer.should_stop
        bound = self._ends and (ends or trainer.current_epoch == self._first_epoch)
        if not (bound or self._is_due()):
            return
        # Lightning asks callbacks before the module, so the module's own log is an epoch behind.
        loss = float(cast(PotentialModule, pl_module).mean_loss())
        parts = [f"epoch {done} of {total}", f"train loss {loss:.4g}"]
        for name in ("validation_loss", "validation_score"):
            if name in metrics:
                parts.append(f"{name.replace('_', ' ')} {metrics[name]:.4g}")
        if self._label is not None and self._errors:
            unit, factor = _SHOWN[self._label]
            parts.append(f"{self._label} {self._errors[-1] * factor:.3g} {unit}")
        if not ends:
            spent = clock.monotonic() - self._begun
            left = spent / (done - self._first_epoch) * (total - done)
            parts.append(f"about {_duration(left)} left")
            expected = expected_error(self._epochs, self._errors, total)
            if self._label is not None and expected is not None:
                unit, factor = _SHOWN[self._label]
                parts.append(f"at this rate {expected * factor:.2g} {unit} then")
        self._tell(", ".join(parts))

    def _is_due(self) -> bool:
        return clock.monotonic() - self._last >= self._seconds

    def _tell(self, line: str) -> None:
        self._last = clock.monotonic()
        self._say(line)


def _duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
