"""Loss and gradients of one batch: eager always, as one compiled function where structures match.

For data of one molecule every batch has the same shapes and pairs, so loss, forces and the
gradients of all weights can be traced once into one flat graph and compiled. It is checked against
eager on its first batch and not used if it differs.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from painn_ase.potential.potential import AtomisticPotential
from painn_ase.training.batches import Batch, Labels
from painn_ase.training.loss import WeightedLoss

__all__ = ["CompiledStep", "EagerStep", "TrainingStep", "can_compile"]

TrainingStep = Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]

#: Largest relative difference of loss and gradients between compiled and eager, float32.
_TOLERANCE = 1e-3


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


class _Unchecked(AtomisticPotential):
    """The potential without its looks at values, which a trace cannot take; eager has looked."""

    def check_properties(self, properties: Collection[str], pbc: Tensor, n_systems: int) -> None:
        """Nothing: the eager step has checked the same batch."""

    def _element_idx(self, numbers: Tensor) -> Tensor:
        return self.element_rows.index_select(0, numbers)


class _Isolated:
    """Stands for pbc = False throughout: a trace cannot look into the tensor itself."""

    def any(self) -> bool:
        """False: no direction is periodic."""
        return False


class CompiledStep:
    """The eager step for batches of equal structures, traced and compiled on first use.

    Parameters
    ----------
    eager : EagerStep
        The truth, and what runs if compiling fails or gives other numbers.
    """

    def __init__(self, eager: EagerStep) -> None:
        self.eager = eager
        self._names = [name for name, _ in eager.potential.named_parameters()]
        self._compiled: Callable[..., tuple[Tensor, list[Tensor], list[Tensor]]] | None = None
        self._n_atoms = -1
        self._failed = False

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its unweighted terms."""
        if self._failed:
            return self.eager(batch)
        if self._compiled is None:
            return self._build(batch)
        if batch.graph.n_atoms != self._n_atoms:
            return self.eager(batch)
        names = list(batch.labels.present())
        loss, terms, grads = self._run(batch)
        weights = list(self.eager.potential.parameters())
        total = _GradientsAtHand.apply(  # type: ignore[no-untyped-call]
            loss, len(grads), *grads, *weights
        )
        return total, dict(zip(names, terms, strict=True))

    def _run(self, batch: Batch) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        assert self._compiled is not None  # set by _build
        weights = [w.detach() for w in self.eager.potential.parameters()]
        labels = list(batch.labels.present().values())
        with torch.no_grad():
            return self._compiled(weights, batch.graph.positions, labels)

    def _build(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Trace, compile, compare with eager; the result for this batch is the eager one."""
        loss, terms = self.eager(batch)
        weights = list(self.eager.potential.parameters())
        expected = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        try:
            self._compiled = self._compile(batch)
            found = self._run(batch)
        except Exception as error:  # whatever the compiler raises, eager is right
            self._give_up(f"compiling the training step failed: {type(error).__name__}: {error}")
            return loss, terms
        worst = _largest_difference(found[0], found[2], loss, expected)
        if not worst < _TOLERANCE:
            self._give_up(f"the compiled training step differs from eager by {worst:.1e}")
        self._n_atoms = batch.graph.n_atoms
        return loss, terms

    def _give_up(self, reason: str) -> None:
        self._failed = True
        warnings.warn(
            f'{reason}; training goes on uncompiled, which is slower. Set compile = "never" in '
            "[runtime] to silence this.",
            RuntimeWarning,
            stacklevel=2,
        )

    def _compile(self, batch: Batch) -> Callable[..., Any]:
        from torch.fx.experimental.proxy_tensor import make_fx

        names, label_names = self._names, list(batch.labels.present())
        counts = batch.graph.atom_counts()
        graph = batch.graph.replace(pbc=cast(Tensor, _Isolated()))
        eager = self.eager
        potential = _Unchecked(eager.potential.spec).to(eager.potential.device)
        potential.use_scatter(eager.potential.scatter_backend)
        potential.to(eager.potential.dtype)

        def compute(
            weights: list[Tensor], positions: Tensor, labels: list[Tensor]
        ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
            prediction = torch.func.functional_call(
                potential,
                dict(zip(names, weights, strict=True)),
                (graph.replace(positions=positions), eager.loss.labels),
                {"create_graph": True},
            )
            given = Labels(**dict(zip(label_names, labels, strict=True)))
            loss, terms = eager.loss(prediction, given, counts)
            grads = torch.autograd.grad(loss, weights, allow_unused=True)
            return (
                loss,
                [terms[name] for name in label_names],
                [
                    torch.zeros_like(w) if g is None else g
                    for g, w in zip(grads, weights, strict=True)
                ],
            )

        weights = [w.detach().clone().requires_grad_() for w in eager.potential.parameters()]
        traced = make_fx(compute)(weights, graph.positions, list(batch.labels.present().values()))
        compiled: Callable[..., Any] = torch.compile(traced)
        return compiled


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
