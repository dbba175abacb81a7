"""Padded batches and compiled steps: the numbers of the eager step, whatever the sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import make_springs, random_frames

from painn_ase.errors import GeometryError
from painn_ase.potential import AtomisticPotential
from painn_ase.testing import random_potential
from painn_ase.training import LabeledFrame
from painn_ase.training.batches import FrameTensors
from painn_ase.training.config import DataSpec, LossSpec, TrainConfig
from painn_ase.training.loss import WeightedLoss
from painn_ase.training.padding import BatchSize, choose_sizes, pad_batch
from painn_ase.training.statistics import compute_statistics, trained_labels
from painn_ase.training.step import CompiledStep, EagerStep

CUTOFF = 4.0


def crystals(sizes: list[int], seed: int) -> list[LabeledFrame]:
    """Random atoms in cells, with stress."""
    rng = np.random.default_rng(seed)
    return [
        replace(
            frame,
            cell=5.0 * np.eye(3) + 0.3 * rng.normal(size=(3, 3)),
            pbc=np.ones(3, dtype=bool),
            stress=0.01 * rng.normal(size=(3, 3)),
        )
        for frame in random_frames(sizes, seed)
    ]


def small_potential(local: bool) -> AtomisticPotential:
    kind = ":local" if local else ""
    return (
        random_potential(
            n_features=8,
            n_interactions=2,
            n_rbf=6,
            cutoff=CUTOFF,
            heads=("energy", f"dipole{kind}", f"polarizability{kind}"),
            elements=(1, 6, 8),
        )
        .to(torch.float64)
        .requires_grad_(True)
    )


def eager_step(frames: list[LabeledFrame], local: bool) -> EagerStep:
    config = TrainConfig("t", DataSpec("none"), loss=LossSpec(huber_delta=0.5))
    labels = trained_labels(frames, config)
    loss = WeightedLoss(config.loss, labels, compute_statistics(frames).spread)
    return EagerStep(small_potential(local), loss)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(2, 20),
    st.integers(0, 40),
    st.booleans(),
)
def test_padding_changes_neither_the_loss_nor_its_gradients(
    sizes: list[int], more_atoms: int, more_edges: int, periodic: bool
) -> None:
    frames = crystals(sizes, 1) if periodic else random_frames(sizes, 1)
    frames[0] = replace(frames[0], energy=None)
    step = eager_step([*frames, *random_frames([9], 2)], local=periodic)
    batch = FrameTensors(frames, CUTOFF, step.loss.labels).batch(range(len(frames)))
    graph = batch.graph
    size = BatchSize(graph.n_atoms + more_atoms, graph.n_edges + more_edges, graph.n_systems + 1)
    assert size.holds(batch)
    padded = pad_batch(batch, size)
    assert size.holds(padded)
    weights = list(step.potential.parameters())
    # The ghosts are no crystal, for which an eager potential refuses a stress.
    step.potential.check_properties = lambda *_: None
    losses = [step(batch)[0], step(padded)[0]]
    torch.testing.assert_close(losses[1], losses[0])
    gradients = [torch.autograd.grad(x, weights, allow_unused=True) for x in losses]
    for one, two in zip(*gradients, strict=True):
        if one is not None and two is not None:
            torch.testing.assert_close(two, one)


def test_a_batch_too_large_is_refused() -> None:
    batch = FrameTensors(random_frames([5], 0), CUTOFF, ("energy",)).batch([0])
    size = BatchSize(6, batch.graph.n_edges, 2)
    assert not size.holds(batch)
    with pytest.raises(GeometryError):
        pad_batch(batch, size)


def test_equal_structures_have_one_size_and_no_padding() -> None:
    frames = make_springs(12, np.random.default_rng(0))
    tensors = FrameTensors(frames, CUTOFF, ("energy",))
    (size,) = choose_sizes(tensors, 4)
    assert size == BatchSize(8, 8, 4)
    batch = tensors.batch(range(4))
    assert size.holds(batch)
    assert pad_batch(batch, size) is batch


@given(st.lists(st.integers(1, 9), min_size=12, max_size=30), st.integers(1, 6))
@settings(max_examples=10, deadline=None)
def test_mixed_structures_have_sizes_that_hold_nearly_every_batch(
    sizes: list[int], batch_size: int
) -> None:
    tensors = FrameTensors(random_frames([*sizes, 2, 9], 3), CUTOFF, ("energy",))
    chosen = choose_sizes(tensors, batch_size)
    assert chosen == tuple(sorted(chosen))
    assert chosen == choose_sizes(tensors, batch_size)
    rng = np.random.default_rng(0)
    batches = [
        tensors.batch(rng.choice(tensors.n_frames, batch_size, replace=False).tolist())
        for _ in range(50)
    ]
    assert sum(chosen[-1].holds(b) for b in batches) >= 48
    assert sum(chosen[0].holds(b) for b in batches) >= 25


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["equal", "mixed", "crystals"])
def test_compiled_steps_are_the_eager_step(kind: str) -> None:
    """make_fx has given wrong second derivatives through square roots: never trust, compare."""
    sizes = [4] * 30 if kind == "equal" else [3, 4, 5, 7, 9] * 6
    frames = crystals(sizes, 1) if kind == "crystals" else random_frames(sizes, 1)
    if kind == "equal":
        frames = [replace(frames[0], positions=f.positions, forces=f.forces) for f in frames]
    eager = eager_step(frames, local=kind == "crystals")
    tensors = FrameTensors(frames, CUTOFF, eager.loss.labels)
    assert tensors.is_uniform == (kind == "equal")
    chosen = choose_sizes(tensors, 5)
    compiled = CompiledStep(eager, chosen, tensors.is_periodic)
    weights = list(eager.potential.parameters())
    rng = np.random.default_rng(0)
    for _ in range(12):
        batch = tensors.batch(rng.choice(len(frames), 5, replace=False).tolist())
        fast = torch.autograd.grad(compiled(batch)[0], weights)
        true = torch.autograd.grad(eager(batch)[0], weights)
        for a, b in zip(fast, true, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert set(compiled._compiled) == set(chosen)
