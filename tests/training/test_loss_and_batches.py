"""Batches and the loss: equal to single structures, right to second order, fair to gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import random_frames

from painn_ase.errors import DataError
from painn_ase.graph.from_ase import from_ase
from painn_ase.potential import AtomisticPotential, Prediction
from painn_ase.testing import random_potential
from painn_ase.training import LabeledFrame
from painn_ase.training.batches import FrameTensors
from painn_ase.training.config import DataSpec, LossSpec, TrainConfig
from painn_ase.training.frames import LABELS
from painn_ase.training.loss import WeightedLoss
from painn_ase.training.statistics import compute_statistics, trained_labels
from painn_ase.training.step import EagerStep

MOLECULAR = ("energy", "forces", "dipole", "polarizability")


def potential(seed: int = 0) -> AtomisticPotential:
    heads = ("energy", "dipole", "polarizability")
    model = random_potential(
        n_features=8,
        n_interactions=2,
        n_rbf=6,
        cutoff=4.0,
        heads=heads,
        elements=(1, 6, 8),
        seed=seed,
    )
    return model.to(torch.float64).requires_grad_(True)


def as_atoms(frame: LabeledFrame):  # type: ignore[no-untyped-def]
    from ase import Atoms

    return Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 100))
def test_a_batch_of_mixed_sizes_says_what_single_structures_say(
    sizes: list[int], seed: int
) -> None:
    frames, model = random_frames(sizes, seed), potential()
    order = np.random.default_rng(seed).permutation(len(frames)).tolist()
    batch = FrameTensors(frames, model.cutoff, MOLECULAR).batch(order)
    together = model(batch.graph, MOLECULAR)
    start = 0
    for row, n in enumerate(order):
        single = model(from_ase(as_atoms(frames[n]), model.cutoff), MOLECULAR)
        rows = slice(start, start := start + frames[n].n_atoms)
        torch.testing.assert_close(together.energy[row], single.energy[0])
        torch.testing.assert_close(together.forces[rows], single.forces)
        torch.testing.assert_close(together.polarizability[row], single.polarizability[0])
        np.testing.assert_array_equal(batch.labels.forces[rows], frames[n].forces)


def loss_of(frames: list[LabeledFrame], **weights: float) -> WeightedLoss:
    config = TrainConfig("t", DataSpec("none"), loss=LossSpec(**weights))
    labels = trained_labels(frames, config)
    return WeightedLoss(config.loss, labels, compute_statistics(frames).spread)


def bulk_slab_and_atom() -> list[LabeledFrame]:
    """Four crystals with a stress, a slab in a cell that has no third vector, a free atom."""
    rng = np.random.default_rng(5)
    frames = [replace(f, dipole=None, polarizability=None) for f in random_frames([6] * 5, 5)]
    cells = [4.5 * np.eye(3) + 0.2 * rng.normal(size=(3, 3)) for _ in frames]
    half = rng.normal(size=(3, 3))
    crystals = [
        replace(f, cell=c, pbc=np.ones(3, dtype=bool), stress=0.01 * (half + half.T))
        for f, c in zip(frames[:4], cells, strict=False)
    ]
    flat = cells[4].copy()
    flat[2] = 0.0
    slab = replace(frames[4], cell=flat, pbc=np.array([True, True, False]))
    (atom,) = random_frames([1], 6)
    return [*crystals, slab, replace(atom, dipole=None, polarizability=None)]


def test_a_stress_on_some_frames_trains_those_and_leaves_the_others_as_they_are() -> None:
    frames = bulk_slab_and_atom()
    labels = ("energy", "forces", "stress")
    model = random_potential(
        n_features=8, n_interactions=2, n_rbf=6, cutoff=4.0, heads=("energy",), elements=(1, 6, 8)
    )
    model = model.to(torch.float64).requires_grad_(True)
    batch = FrameTensors(frames, model.cutoff, labels).batch(range(len(frames)))
    together = model(batch.graph, labels)
    start = 0
    for row, frame in enumerate(frames):
        names = labels if frame.pbc.all() else labels[:2]
        single = model(from_ase(as_atoms(frame), model.cutoff), names)
        rows = slice(start, start := start + frame.n_atoms)
        torch.testing.assert_close(together.energy[row], single.energy[0])
        torch.testing.assert_close(together.forces[rows], single.forces)
        if frame.pbc.all():
            torch.testing.assert_close(together.stress[row], single.stress[0])
    assert torch.isnan(batch.labels.stress).reshape(6, -1).all(dim=1).tolist() == [False] * 4 + [
        True,
        True,
    ]
    # The frames without a volume change nothing in the stress's part of the gradient.
    spread = dict.fromkeys(labels, 1.0)
    loss = WeightedLoss(LossSpec(energy=0, forces=0, stress=1.0), labels, spread)
    gradients = []
    for part in (frames, frames[:4]):
        some = FrameTensors(part, model.cutoff, labels).batch(range(len(part)))
        value, _ = EagerStep(model, loss)(some)
        weights = list(model.parameters())
        gradients.append(torch.autograd.grad(value, weights, allow_unused=True))
    for all_of_them, crystals_only in zip(*gradients, strict=True):
        if crystals_only is not None:
            torch.testing.assert_close(all_of_them, crystals_only)


def test_a_stress_without_a_volume_is_refused_by_name() -> None:
    frames = bulk_slab_and_atom()
    frames[4] = replace(frames[4], stress=np.zeros((3, 3)), source="slab.traj[4]")
    with pytest.raises(DataError, match=r"slab\.traj\[4\] has a stress"):
        FrameTensors(frames, 4.0, ("stress",))


@pytest.mark.parametrize("delta", [None, 0.5])
def test_gradients_of_the_loss_agree_with_finite_differences(delta: float | None) -> None:
    """The force term makes these second derivatives of the energy."""
    frames, model = random_frames([5, 3], 1), potential()
    step = EagerStep(model, loss_of(frames, huber_delta=delta))
    batch = FrameTensors(frames, model.cutoff, MOLECULAR).batch([0, 1])
    weights = list(model.parameters())
    loss, _ = step(batch)
    gradients = torch.autograd.grad(loss, weights)
    rng = torch.Generator().manual_seed(0)
    for _ in range(4):
        directions = [torch.randn(w.shape, generator=rng, dtype=w.dtype) for w in weights]
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                for w, d in zip(weights, directions, strict=True):
                    w.add_(d, alpha=sign * 1e-5)
            values.append(float(step(batch)[0].detach()))
            with torch.no_grad():
                for w, d in zip(weights, directions, strict=True):
                    w.sub_(d, alpha=sign * 1e-5)
        assert slope == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


def test_a_perfect_prediction_has_no_loss() -> None:
    frames, model = random_frames([4, 6], 2), potential()
    batch = FrameTensors(frames, model.cutoff, MOLECULAR).batch([0, 1])
    prediction = model(batch.graph, MOLECULAR)
    labels = type(batch.labels)(**{n: getattr(prediction, n) for n in MOLECULAR})
    loss, terms = loss_of(frames)(prediction, labels, batch.graph.atom_counts())
    assert float(loss) == 0.0
    assert set(terms) == set(MOLECULAR)


def test_missing_labels_neither_train_nor_disturb() -> None:
    """A batch of one whole frame and one without labels trains as the whole frame alone."""
    whole, other = random_frames([5, 4], 3)
    bare = replace(other, energy=None, forces=None, dipole=None, polarizability=None)
    model, loss = potential(), loss_of([whole, other])
    step = EagerStep(model, loss)
    mixed, _ = step(FrameTensors([whole, bare], model.cutoff, MOLECULAR).batch([0, 1]))
    alone, _ = step(FrameTensors([whole], model.cutoff, MOLECULAR).batch([0]))
    torch.testing.assert_close(mixed, alone)
    gradients = torch.autograd.grad(mixed, list(model.parameters()))
    assert all(bool(torch.isfinite(g).all()) for g in gradients)


def test_a_prediction_that_is_nan_is_no_missing_label() -> None:
    frames, model = random_frames([4, 6], 2), potential()
    batch = FrameTensors(frames, model.cutoff, MOLECULAR).batch([0, 1])
    prediction = model(batch.graph, MOLECULAR)
    broken = replace(prediction, dipole=prediction.dipole * np.nan)
    loss, _ = loss_of(frames)(broken, batch.labels, batch.graph.atom_counts())
    assert torch.isnan(loss)


def test_weights_of_the_loss_do_not_depend_on_units() -> None:
    """The same data in other units, predictions likewise, gives the same loss."""
    frames = random_frames([4, 5, 3, 6, 7, 2, 5, 8], 4)
    results = []
    for factor in (1.0, 27.2):
        scaled = [replace(f, energy=factor * f.energy, forces=factor * f.forces) for f in frames]
        batch = FrameTensors(scaled, 4.0, ("energy", "forces")).batch(range(8))
        nothing = {name: 0.0 * label for name, label in batch.labels.present().items()}
        loss, _ = loss_of(scaled)(Prediction(**nothing), batch.labels, batch.graph.atom_counts())
        results.append(float(loss))
    assert results[0] == pytest.approx(results[1], rel=1e-9)


def test_reference_energies_are_recovered_by_least_squares() -> None:
    frames = random_frames([2, 3, 4, 5, 6, 7, 8, 9, 5, 6], 5)
    true = {1: -13.6, 6: -1030.0, 8: -2040.0}
    exact = [replace(f, energy=sum(true[z] for z in f.numbers.tolist())) for f in frames]
    statistics = compute_statistics(exact)
    assert statistics.elements == (1, 6, 8)
    np.testing.assert_allclose(statistics.reference_energies, [-13.6, -1030.0, -2040.0])


def test_one_composition_shares_its_mean_energy() -> None:
    frames = [replace(random_frames([3], s)[0], numbers=np.array([8, 1, 1])) for s in range(5)]
    statistics = compute_statistics(frames)
    total = 2 * statistics.reference_energies[0] + statistics.reference_energies[1]
    assert total == pytest.approx(np.mean([f.energy for f in frames]))


def test_given_reference_energies_must_cover_the_elements() -> None:
    frames = random_frames([6, 7], 6)
    given_table = {"H": -1.0, "C": -2.0, "O": -3.0}
    assert compute_statistics(frames, given_table).reference_energies == (-1.0, -2.0, -3.0)
    with pytest.raises(DataError, match="lacks O"):
        compute_statistics(frames, {"H": -1.0, "C": -2.0})
    with pytest.raises(DataError, match="no element symbol"):
        compute_statistics(frames, {"Xx": -1.0})


def test_data_without_a_wanted_label_is_refused() -> None:
    bare = [replace(f, **dict.fromkeys(LABELS)) for f in random_frames([3], 0)]
    with pytest.raises(DataError, match="no training frame has any label"):
        loss_of(bare)
