"""Loss and gradients of one batch: eager always, as compiled functions of fixed size where it pays.

Loss, forces and the gradients of all weights are traced into one flat graph and compiled. Batches
of one molecule all have one size; others are padded to one of two (:mod:`.padding`). Each function
is checked against eager on its first batch and not used if it differs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import time as clock
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from painn_ase.graph.record import AtomGraph
from painn_ase.potential import AtomisticPotential, Prediction, core_input
from painn_ase.training.batches import Batch, Labels
from painn_ase.training.loss import WeightedLoss
from painn_ase.training.padding import BatchSize, pad_batch

__all__ = ["CompiledStep", "EagerStep", "TrainingStep", "can_compile"]

TrainingStep = Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]

#: Largest relative difference of loss and gradients between compiled and eager, float32.
_TOLERANCE = 1e-3
#: Weights, numbers of the split, graph, atom counts, labels → the loss, its terms, its gradients.
_Function = Callable[..., tuple[Tensor, list[Tensor], list[Tensor]]]


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile can be expected to work here: it needs a compiler on the CPU."""
    if device.type != "cpu":
        return True
    return any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl"))


@dataclass(frozen=True)
class EagerStep:
    """Loss and terms of a batch, differentiable in the weights.

    Attributes
    ----------
    potential : AtomisticPotential
    loss : WeightedLoss
    """

    potential: AtomisticPotential
    loss: WeightedLoss

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its unweighted terms."""
        prediction = self.potential(batch.graph, self.loss.labels, create_graph=True)
        return self.loss(prediction, batch.labels, batch.graph.atom_counts())

    def validate(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and the mean absolute errors in spreads, not differentiable."""
        prediction = self.potential(batch.graph, self.loss.labels)
        n_atoms = batch.graph.atom_counts()
        loss, _ = self.loss(prediction, batch.labels, n_atoms)
        return loss, self.loss.absolute(prediction, batch.labels, n_atoms)


class _GradientsAtHand(torch.autograd.Function):
    """A loss whose gradients were computed together with it."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, n_grads: int, *grads_and_weights: Tensor) -> Tensor:
        ctx.grads = grads_and_weights[:n_grads]
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        grads = tuple(outer[0].to(g.dtype) * g for g in ctx.grads)
        return (None, None, *(None for _ in grads), *grads)


class CompiledStep:
    """The eager step as functions compiled for a few sizes of batches, each on its first use.

    Parameters
    ----------
    eager : EagerStep
        The truth, and what runs for batches of no known size, or if compiling fails or gives
        other numbers.
    sizes : sequence of BatchSize
        Ascending; a batch is padded to the first that holds it.
    periodic : bool
        Whether any structure is periodic in any direction.
    say : callable, optional
        Told, in a line each, that a function is being compiled, and how long that took.
    """

    def __init__(
        self,
        eager: EagerStep,
        sizes: Sequence[BatchSize],
        periodic: bool,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.eager = eager
        self._say = say or (lambda line: None)
        self.sizes = tuple(sizes)
        self._periodic = periodic
        self._names = [name for name, _ in eager.potential.core.named_parameters()]
        self._compiled: dict[BatchSize, _Function] = {}
        self._failed = False

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its unweighted terms."""
        size = next((size for size in self.sizes if size.holds(batch)), None)
        if self._failed or size is None:
            return self.eager(batch)
        if size not in self._compiled and not self._build(batch, size):
            return self.eager(batch)
        # Also for the batch that was compared: a continued run, which compiles anew, then takes
        # the very steps of the uninterrupted one.
        loss, terms, grads = self._run(self._compiled[size], pad_batch(batch, size))
        weights = list(self.eager.potential.core.parameters())
        total = _GradientsAtHand.apply(  # type: ignore[no-untyped-call]
            loss, len(grads), *grads, *weights
        )
        return total, dict(zip(batch.labels.present(), terms, strict=True))

    def _run(self, function: _Function, padded: Batch) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        weights = [w.detach() for w in self.eager.potential.core.parameters()]
        with torch.no_grad():
            return function(weights, self._numbers, *_as_tensors(padded))

    @functools.cached_property
    def _numbers(self) -> dict[str, dict[str, Tensor]]:
        """What another split of the data changes: spreads, scales of the heads, offsets.

        They are arguments, not constants: else every split would be compiled anew. Made at the
        first batch, when the weights are where they stay.
        """
        core, loss = self.eager.potential.core, self.eager.loss
        scales: dict[str, Any] = {
            name: head.scale for name, head in core.heads.items() if hasattr(head, "scale")
        }

        def number(value: Any) -> Tensor:
            device = self.eager.potential.device
            return torch.as_tensor(value, dtype=torch.float64, device=device)

        return {
            "spread": {n: number(v) for n, v in loss.spread.items()},
            "scale": {n: number(v) for n, v in scales.items()},
            "tables": dict(core.named_buffers()),
        }

    def _build(self, batch: Batch, size: BatchSize) -> bool:
        """Trace and compile for `size`; whether the result is that of eager on `batch`."""
        loss, _ = self.eager(batch)
        weights = list(self.eager.potential.core.parameters())
        expected = torch.autograd.grad(loss, weights, allow_unused=True)
        padded = pad_batch(batch, size)
        started = clock.monotonic()
        self._say(
            f"compiling the step for batches of {size.n_atoms} atoms and {size.n_edges} pairs; "
            "half a minute, on a busy machine minutes …"
        )
        try:
            compiled = self._compile(padded)
            found = self._run(compiled, padded)
        except Exception as error:  # whatever the compiler raises, eager is right
            return self._give_up(f"compiling it failed: {type(error).__name__}: {error}")
        worst = _largest_difference(found[0], found[2], loss, expected)
        if not worst < _TOLERANCE:
            return self._give_up(f"compiled, it differs from eager by {worst:.1e}")
        self._compiled[size] = compiled
        self._say(f"compiled in {clock.monotonic() - started:.0f} s; it gives what eager gives")
        return True

    def _give_up(self, reason: str) -> Literal[False]:
        self._failed = True
        warnings.warn(
            f"the training step: {reason}; training goes on uncompiled, which is slower. Set "
            'compile = "never" in [runtime] to silence this.',
            RuntimeWarning,
            stacklevel=2,
        )
        return False

    def _compile(self, batch: Batch) -> _Function:
        from torch.fx.experimental.proxy_tensor import make_fx

        eager = self.eager
        potential = eager.potential

        def compute(
            weights: list[Tensor],
            numbers: dict[str, dict[str, Tensor]],
            fields: dict[str, Tensor],
            counts: Tensor,
            labels: dict[str, Tensor],
        ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
            # The eager step has checked the same batch, and nothing here looks at pbc.
            graph = AtomGraph(**fields, pbc=batch.graph.pbc)
            with _scaled(potential.core.heads, numbers["scale"]):
                quantities = torch.func.functional_call(
                    potential.core,
                    {**dict(zip(self._names, weights, strict=True)), **numbers["tables"]},
                    (
                        core_input(graph, potential.element_rows, periodic=self._periodic),
                        eager.loss.labels,
                    ),
                    {"create_graph": True},
                )
            measure = eager.loss.with_spread(numbers["spread"])
            loss, terms = measure(Prediction(**quantities), Labels(**labels), counts)
            grads = torch.autograd.grad(loss, weights, allow_unused=True)
            filled = [_or_zeros(g, w) for g, w in zip(grads, weights, strict=True)]
            return loss, list(terms.values()), filled

        weights = [w.detach().clone().requires_grad_() for w in eager.potential.core.parameters()]
        traced = make_fx(compute)(weights, self._numbers, *_as_tensors(batch))
        compiled: _Function = torch.compile(traced, dynamic=False)
        return compiled


@contextlib.contextmanager
def _scaled(heads: nn.ModuleDict, scales: Mapping[str, Tensor]) -> Iterator[None]:
    """Heads whose scales are tensors, while they are traced."""
    before: dict[str, Any] = {name: heads[name].scale for name in scales}
    try:
        for name, scale in scales.items():
            object.__setattr__(heads[name], "scale", scale)
        yield
    finally:
        for name, scale in before.items():
            object.__setattr__(heads[name], "scale", scale)


def _as_tensors(batch: Batch) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
    """What a compiled function takes: the graph without pbc, atom counts, labels and weights."""
    graph = batch.graph
    parts = {f.name: getattr(graph, f.name) for f in dataclasses.fields(graph) if f.name != "pbc"}
    fields = {name: part for name, part in parts.items() if part is not None}
    return fields, graph.atom_counts(), batch.labels.tensors()


def _or_zeros(gradient: Tensor | None, weight: Tensor) -> Tensor:
    """The gradient, zeros for a weight the loss does not use."""
    return torch.zeros_like(weight) if gradient is None else gradient


def _largest_difference(
    loss: Tensor, grads: list[Tensor], eager_loss: Tensor, eager_grads: tuple[Tensor | None, ...]
) -> float:
    """Largest difference of loss and of gradients, each relative to its eager size."""
    pairs = [(g, e) for g, e in zip(grads, eager_grads, strict=True) if e is not None]
    difference = torch.stack([(g - e).norm() for g, e in pairs]).norm()
    size = torch.stack([e.norm() for _, e in pairs]).norm()
    relative = [(loss - eager_loss).abs() / eager_loss.abs(), difference / size]
    return max(float(value.detach()) for value in relative)
