"""The length of a dipole as a label and a quantity of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from small_runs import make_springs, small_config, write_frames

from painn_ase import PaiNNCalculator
from painn_ase.errors import DataError, UnsupportedPropertyError
from painn_ase.evaluation import evaluate
from painn_ase.graph.from_ase import from_ase
from painn_ase.models import load_model
from painn_ase.potential import AtomisticPotential, Prediction
from painn_ase.spec import DipoleSpec, HeadsSpec
from painn_ase.testing import random_potential
from painn_ase.training import KeysSpec, LabeledFrame, UnitsSpec, read_frames, train
from painn_ase.training.batches import FrameTensors, Labels
from painn_ase.training.config import LossSpec
from painn_ase.training.frames import frames_hash
from painn_ase.training.loss import WeightedLoss
from painn_ase.training.padding import BatchSize, pad_batch
from painn_ase.training.starting import extended_spec
from painn_ase.units import debye_to_e_angstrom

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*")


def lengths(n: int, seed: int) -> list[LabeledFrame]:
    """Springs of which only the length of the dipole is known."""
    frames = make_springs(n, np.random.default_rng(seed))
    return [
        replace(
            f,
            energy=None,
            forces=None,
            dipole=None,
            polarizability=None,
            dipole_magnitude=float(np.linalg.norm(f.dipole)),
        )
        for f in frames
    ]


def write_lengths(path: Path, frames: list[LabeledFrame], key: str, unit: float) -> Path:
    images = []
    for frame in frames:
        atoms = Atoms(frame.numbers, frame.positions)
        atoms.info[key] = frame.dipole_magnitude / unit
        images.append(atoms)
    ase.io.write(path, images)
    return path


def test_a_file_gives_it_under_its_key_in_the_unit_of_dipoles(tmp_path) -> None:
    frames = lengths(5, 0)
    path = write_lengths(tmp_path / "mu.extxyz", frames, "mu", debye_to_e_angstrom)
    found = read_frames(path, KeysSpec(dipole_magnitude="mu"), UnitsSpec(dipole="Debye"))
    assert [f.dipole_magnitude for f in found] == pytest.approx(
        [f.dipole_magnitude for f in frames], rel=1e-7
    )
    assert found[0].labels == ("dipole_magnitude",)
    three = write_frames(tmp_path / "v.extxyz", make_springs(3, np.random.default_rng(0)))
    with pytest.raises(DataError, match="shape"):
        read_frames(three, KeysSpec(dipole_magnitude="dipole"))


def test_frames_without_it_keep_the_hash_they_had_before_there_was_such_a_label() -> None:
    frame = make_springs(1, np.random.default_rng(3))[0]
    without, with_it = frames_hash([frame]), frames_hash([replace(frame, dipole_magnitude=0.3)])
    assert without != with_it
    # Computed by the version that knew no such label.
    assert without == "b3feef292e5325b9fe333f9b18679364ad39bbafb8adfc1da259f10b8a8b1862"


def test_the_loss_is_of_the_length_and_says_nothing_of_the_direction() -> None:
    loss = WeightedLoss(
        LossSpec(dipole_magnitude=2.0), ("dipole_magnitude",), {"dipole_magnitude": 0.5}
    )
    predicted = Prediction(dipole_magnitude=torch.tensor([1.0, 3.0]))
    labels = Labels(dipole_magnitude=torch.tensor([1.5, float("nan")]))
    total, terms = loss(predicted, labels, torch.tensor([2.0, 2.0]))
    assert float(total) == pytest.approx(2.0 * (0.5 / 0.5) ** 2)
    assert float(terms["dipole_magnitude"]) == pytest.approx(1.0)


def test_gradients_are_finite_where_symmetry_makes_the_dipole_vanish() -> None:
    """A free atom and the ghosts of padding have no dipole: √ has no slope at zero."""
    model = random_potential(8, 1, 6, 4.0, heads=("dipole",), elements=(1, 17)).requires_grad_(True)
    frames = [
        replace(lengths(1, 0)[0], numbers=np.array([1]), positions=np.zeros((1, 3))),
        *lengths(2, 1),
    ]
    batch = FrameTensors(frames, model.cutoff, ("dipole_magnitude",)).batch(range(3))
    size = BatchSize(batch.graph.n_atoms + 3, batch.graph.n_edges + 4, 4)
    loss = WeightedLoss(LossSpec(), ("dipole_magnitude",), {"dipole_magnitude": 1.0})
    values = []
    for one in (batch, pad_batch(batch, size)):
        prediction = model(one.graph, ("dipole_magnitude",), create_graph=True)
        total, _ = loss(prediction, one.labels, one.graph.atom_counts())
        model.zero_grad()
        total.backward()
        gradients = [w.grad for w in model.parameters() if w.grad is not None]
        assert gradients
        assert all(bool(torch.isfinite(g).all()) for g in gradients)
        values.append(float(total.detach()))
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_it_is_the_length_of_the_vector_that_other_models_give() -> None:
    model = random_potential(8, 1, 6, 4.0, heads=("dipole",), elements=(1, 17))
    atoms = Atoms("HCl", [(0, 0, 0), (0, 0.4, 1.2)])
    atoms.calc = PaiNNCalculator(model)
    vector, length = atoms.get_dipole_moment(), atoms.calc.get_property("dipole_magnitude", atoms)
    assert isinstance(length, float)
    assert length == pytest.approx(np.linalg.norm(vector), rel=1e-5)  # float32


def test_a_model_of_lengths_gives_nothing_that_has_a_sign() -> None:
    plain = random_potential(8, 1, 6, 4.0, heads=("dipole",), elements=(1, 17))
    spec = replace(plain.spec, heads=HeadsSpec(dipole=DipoleSpec(magnitude=True)))
    model = AtomisticPotential(spec)
    assert model.properties == ("dipole_magnitude",)
    atoms = Atoms("HCl", [(0, 0, 0), (0, 0.4, 1.2)])
    for name in ("dipole", "born_effective_charges", "dipole_flux"):
        with pytest.raises(UnsupportedPropertyError, match="lengths alone"):
            model(from_ase(atoms, model.cutoff), (name,), torch.zeros(2, 3))
    with pytest.raises(UnsupportedPropertyError, match="gives: dipole_magnitude"):
        PaiNNCalculator(model).get_dipole_moment(atoms)


def test_going_on_with_vectors_gives_a_sign_and_going_on_with_lengths_keeps_it() -> None:
    plain = random_potential(8, 1, 6, 4.0, heads=("dipole",), elements=(1, 17)).spec
    only = replace(plain, heads=HeadsSpec(dipole=DipoleSpec(magnitude=True)))
    for base, fresh, magnitude in ((plain, only, False), (only, plain, False), (only, only, True)):
        assert extended_spec(base, fresh).heads.dipole.magnitude is magnitude


def test_training_on_lengths_learns_them(tmp_path) -> None:
    path = write_lengths(tmp_path / "mu.extxyz", lengths(60, 0), "dipole_magnitude", 1.0)
    config = small_config(path, tmp_path / "run", epochs=40)
    model = load_model(train(config))
    assert model.properties == ("dipole_magnitude",)
    others = lengths(20, 9)
    found = evaluate(model, [Atoms(f.numbers, f.positions) for f in others], "dipole_magnitude")
    reference = np.array([f.dipole_magnitude for f in others])
    error = np.abs(np.array([r["dipole_magnitude"] for r in found]) - reference).mean()
    assert error < 0.5 * reference.std()
    errors = (tmp_path / "run" / "errors.json").read_text()
    assert '"dipole_magnitude"' in errors
    assert "e·Å" in errors
