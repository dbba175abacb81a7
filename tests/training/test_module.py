"""Schedule, averaged weights, logs and crystals: the parts of a run, each against its formula."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from small_runs import QUIET, SMALL, make_springs, random_frames, small_config, write_frames

from painn_ase.models import load_model
from painn_ase.testing import random_potential
from painn_ase.training import TrainConfig, UnitsSpec, train
from painn_ase.training.batches import FrameTensors
from painn_ase.training.config import DataSpec, OptimizerSpec, ScheduleSpec
from painn_ase.training.data_report import DataReport
from painn_ase.training.module import AveragedWeights, PotentialModule, build_loader
from painn_ase.training.progress import PlainLines, expected_error
from painn_ase.training.report import read_learning_curve

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*")


def module(schedule: ScheduleSpec, total_steps: int) -> PotentialModule:
    potential = random_potential(n_features=4, n_interactions=1, n_rbf=4).requires_grad_(True)
    optimizer = OptimizerSpec(learning_rate=2e-3)
    return PotentialModule(potential, None, None, {}, optimizer, schedule, {}, total_steps)


def test_the_rate_rises_linearly_and_falls_as_half_a_cosine() -> None:
    run = module(ScheduleSpec(warmup_steps=100, final_factor=0.01), 1100)
    rates = np.array([run.learning_rate_at(n) for n in range(1101)])
    np.testing.assert_allclose(rates[:100], 2e-3 * np.arange(1, 101) / 100)
    np.testing.assert_allclose(rates[100], 2e-3)
    np.testing.assert_allclose(rates[600], 2e-3 * (0.01 + 0.99 * 0.5))
    np.testing.assert_allclose(rates[1100], 2e-5)
    assert np.all(np.diff(rates[100:]) < 0)


def test_a_plateau_halves_the_rate_after_as_many_validations_as_it_waits() -> None:
    run = module(ScheduleSpec(kind="plateau", warmup_steps=0, patience=3), 100)
    factors = []
    for score in (1.0, 0.9, 0.9, 0.95, 0.9, 0.5, 0.6, 0.6, 0.6):
        run._follow_plateau(score)
        factors.append(run.learning_rate_at(50) / 2e-3)
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_averaged_weights_are_the_exponential_average_and_leave_training_alone() -> None:
    run = module(ScheduleSpec(), 10)
    weight = next(run.potential.parameters())
    average = AveragedWeights(0.9)
    average.on_fit_start(SimpleNamespace(), run)
    expected = weight.detach().clone()
    for n in range(200):
        with torch.no_grad():
            weight.add_(1.0)
        average.on_train_batch_end(SimpleNamespace(), run)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * weight.detach()
    raw = weight.detach().clone()
    average.on_validation_start(SimpleNamespace(), run)
    torch.testing.assert_close(weight.detach(), expected)
    # A ramp seen through an exponential window lags by decay / (1 − decay) steps.
    assert float((raw - weight.detach()).mean()) == pytest.approx(9.0, rel=1e-3)
    average.on_validation_end(SimpleNamespace(), run)
    assert torch.equal(weight.detach(), raw)


def test_every_frame_is_seen_once_an_epoch_and_processes_share_them() -> None:
    tensors = FrameTensors(make_springs(24, np.random.default_rng(0)), 4.0, ("energy",))
    energies = []
    for rank in (0, 1):
        loader = build_loader(tensors, 4, seed=5, rank=rank, world=2)
        loader.sampler.set_epoch(3)
        energies += [e for batch in loader for e in batch.labels.energy.tolist()]
    assert sorted(energies) == sorted(tensors.batch(range(24)).labels.energy.tolist())
    again = build_loader(tensors, 4, seed=5, rank=0, world=2)
    again.sampler.set_epoch(4)
    assert [e for batch in again for e in batch.labels.energy.tolist()] != energies[:12]


def test_crystals_train_on_stress_and_get_heads_without_an_origin(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = []
    for frame in random_frames([4] * 30, 0):
        cell = 5.0 * np.eye(3) + 0.2 * rng.normal(size=(3, 3))
        atoms = Atoms(frame.numbers, frame.positions, cell=cell, pbc=True)
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=frame.energy,
            forces=frame.forces,
            stress=0.01 * rng.normal(size=6),
            dipole=frame.dipole,
        )
        atoms.info["polarizability"] = frame.polarizability.ravel()
        images.append(atoms)
    ase.io.write(tmp_path / "crystals.extxyz", images)
    config = TrainConfig(
        "crystals",
        DataSpec(
            str(tmp_path / "crystals.extxyz"),
            units=UnitsSpec(polarizability="e^2*Angstrom^2/eV"),
            accept_warnings=True,  # the labels are random numbers
        ),
        network=SMALL,
        schedule=ScheduleSpec(epochs=3, warmup_steps=2),
        runtime=QUIET,
        output=str(tmp_path / "run"),
    )
    spec = load_model(train(config)).spec
    assert (spec.heads.dipole.kind, spec.heads.polarizability.kind) == ("local", "local")
    errors = json.loads((tmp_path / "run" / "errors.json").read_text())["errors"]
    assert errors["stress"]["unit"] == "eV/Å^3"
    assert all(math.isfinite(e["mae"]) for e in errors.values())


def test_bulk_with_stress_and_a_free_atom_without_train_together(tmp_path: Path) -> None:
    """The usual data set of a crystal; a slab's stress is left out."""
    rng = np.random.default_rng(0)
    images = []
    for n in range(24):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.01 * rng.normal(size=(3, 3))), scale_atoms=True)
        if n % 6 == 5:
            atoms = fcc111("Cu", (1, 1, 3), vacuum=6.0)
            atoms.pbc = True, True, False
        atoms.rattle(0.05, rng=rng)
        images.append(atoms)
    images.append(Atoms("Cu"))
    labelled = []
    for atoms in images:
        atoms = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        if any(atoms.pbc):
            results["stress"] = atoms.get_stress()
        atoms.calc = SinglePointCalculator(atoms, **results)
        labelled.append(atoms)
    ase.io.write(tmp_path / "copper.extxyz", labelled)
    config = small_config(tmp_path / "copper.extxyz", tmp_path / "run", epochs=2)
    told: list[DataReport] = []
    model = load_model(train(config, tell=told.append))
    assert model.spec.heads.names == ("energy",)
    assert told[0].source.without_volume == 4
    notes = [f.message for f in told[0].findings if f.check == "stress"]
    assert "left out of 4 frames" in notes[0]
    errors = json.loads((tmp_path / "run" / "errors.json").read_text())["errors"]
    assert all(math.isfinite(e["mae"]) for e in errors.values())
    assert {"energy", "forces", "stress"} <= set(errors)


def test_logs_go_to_csv_and_on_request_to_tensorboard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    data = write_frames(tmp_path / "a.extxyz", make_springs(40, np.random.default_rng(0)))
    config = small_config(data, tmp_path / "run", epochs=3)
    train(config.replace(runtime=replace(config.runtime, tensorboard=True, progress=True)))
    curve = read_learning_curve(tmp_path / "run" / "log")
    assert curve["epoch"] == [0, 1, 2]
    assert {"train_loss", "learning_rate", "validation_loss", "validation_forces"} <= set(curve)
    (events,) = (tmp_path / "run" / "tensorboard").rglob("events.out.tfevents.*")
    assert events.stat().st_size > 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("epoch 1 of 3, train loss ")
    assert said[-1].startswith("epoch 3 of 3, train loss ")
    assert "validation score" in said[-1]


def test_a_log_has_a_line_for_each_epoch_that_takes_long_and_within_longer_ones() -> None:
    said: list[str] = []
    lines = PlainLines(said.append, seconds=0.0)
    trainer = SimpleNamespace(
        current_epoch=0, max_epochs=9, num_training_batches=3, should_stop=False,
        callback_metrics={"validation_score": torch.tensor(0.5)},
    )  # fmt: skip
    module = SimpleNamespace(mean_loss=lambda: torch.tensor(0.25))
    lines.on_train_start(trainer, module)
    for epoch in range(2):
        trainer.current_epoch = epoch
        for batch in range(3):
            lines.on_train_batch_end(trainer, module, None, None, batch)
        lines.on_train_epoch_end(trainer, module)
    assert said[:2] == ["epoch 1, step 1 of 3", "epoch 1, step 2 of 3"]
    assert said[2].startswith("epoch 1 of 9, train loss 0.25, validation score 0.5, about ")
    assert len(said) == 6
    quick = PlainLines(said.append, seconds=1e6)
    said.clear()
    trainer.current_epoch = 3
    quick.on_train_start(trainer, module)
    for epoch in range(3, 9):
        trainer.current_epoch = epoch
        quick.on_train_batch_end(trainer, module, None, None, 0)
        quick.on_train_epoch_end(trainer, module)
    assert [line.split(",")[0] for line in said] == ["epoch 4 of 9", "epoch 9 of 9"]
    said.clear()
    silent = PlainLines(said.append, seconds=1e6, ends=False)
    silent.on_train_start(trainer, module)
    silent.on_train_epoch_end(trainer, module)
    assert said == []


def test_lines_tell_the_error_in_its_unit_and_what_to_expect_of_it() -> None:
    """Errors that fall as 1/√epoch go on so; the forces come first of what there is."""
    said: list[str] = []
    lines = PlainLines(said.append, seconds=0.0, spread={"energy": 0.1, "forces": 2.0})
    trainer = SimpleNamespace(max_epochs=400, num_training_batches=1, should_stop=False)
    module = SimpleNamespace(mean_loss=lambda: torch.tensor(0.25))
    trainer.current_epoch = 0
    lines.on_train_start(trainer, module)
    for epoch in range(100):
        trainer.current_epoch = epoch
        error = torch.tensor(0.1 / (epoch + 1) ** 0.5)
        trainer.callback_metrics = {
            "validation_forces": error, "validation_energy": torch.tensor(9.0),
        }  # fmt: skip
        lines.on_train_epoch_end(trainer, module)
    assert ", forces 200 meV/Å, about " in said[0]
    assert "at this rate" not in said[0]
    assert ", forces 20 meV/Å, about " in said[-1]
    assert said[-1].endswith(" left, at this rate 10 meV/Å then")


def test_no_promise_is_made_of_an_error_that_does_not_fall() -> None:
    epochs = [float(n) for n in range(1, 11)]
    assert expected_error(epochs[:5], [1.0, 0.5, 0.3, 0.2, 0.1], 100.0) is None
    assert expected_error(epochs, [1.0] * 5 + [0.5, 0.51, 0.52, 0.55, 0.6], 100.0) is None
    found = expected_error(epochs, [2.0 / n for n in epochs], 100.0)
    assert found == pytest.approx(0.02, rel=1e-9)
