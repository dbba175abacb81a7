"""Whole runs: they learn, survive a kill, refuse foreign checkpoints, and leave a usable model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from safetensors.torch import load_file
from small_runs import (
    QUIET,
    make_springs,
    run_command,
    small_config,
    write_frames,
    write_toml,
)

from painn_ase.errors import DataError, ModelFileError, NonFiniteError
from painn_ase.models import load_model
from painn_ase.training import TrainConfig, UnitsSpec, report_errors, train
from painn_ase.training.config import (
    DataSpec,
    LossSpec,
    OptimizerSpec,
    ScheduleSpec,
    network_to_train,
)
from painn_ase.training.report import read_learning_curve

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*")


def test_water_trains_in_a_minute_to_usable_errors(water_path: Path, tmp_path: Path) -> None:
    """Forces within 40 meV/Å (RMS force 1.3 eV/Å), energy 5 meV, dipole 2e-3 e·Å, α 5e-3 Å³."""
    config = TrainConfig(
        name="water",
        data=DataSpec(
            str(water_path),
            units=UnitsSpec(polarizability="Angstrom^3"),
            n_train=1200,
            n_validation=100,
            n_test=200,
            split_seed=3,
        ),
        network=network_to_train(n_features=32, n_interactions=2, n_rbf=16, cutoff=4.0),
        loss=LossSpec(),
        optimizer=OptimizerSpec(batch_size=20, learning_rate=2e-3, ema_decay=0.99),
        schedule=ScheduleSpec(epochs=14, warmup_steps=60, validate_every=2),
        runtime=QUIET,
        output=str(tmp_path / "run"),
    )
    path = train(config)
    errors = json.loads((tmp_path / "run" / "errors.json").read_text())["errors"]
    bars = {"energy": 5e-3, "forces": 40e-3, "dipole": 2e-3, "polarizability": 5e-3}
    for name, bar in bars.items():
        assert errors[name]["mae"] < bar, f"{name}: {errors[name]}"
    curve = read_learning_curve(tmp_path / "run" / "log")
    assert curve["train_loss"][-1] < 0.02 * curve["train_loss"][0]
    losses = [v for v in curve["validation_score"] if not np.isnan(v)]
    assert losses[-1] < 0.5 * losses[0]
    spec = load_model(path).spec
    assert spec.provenance["errors"]["test"]["forces"]["mae"] == errors["forces"]["mae"]
    assert spec.provenance["split"]["train"] == 1200
    assert len(spec.provenance["split"]["indices"]["test"]) == 200
    assert spec.provenance["data"]["file"] == "water.extxyz"
    assert (tmp_path / "run" / "parity.png").stat().st_size > 0


@pytest.mark.parametrize(
    "compiled", ["never", pytest.param("always", marks=pytest.mark.slow)], ids=["eager", "compiled"]
)
def test_a_killed_run_continues_to_the_same_weights(
    springs: Path, tmp_path: Path, compiled: str
) -> None:
    config = write_toml(tmp_path / "c.toml", springs, tmp_path / "killed", 40, compiled)
    process = subprocess.Popen(run_command(config), stdout=subprocess.DEVNULL)
    wanted = tmp_path / "killed" / "checkpoints" / "epoch=2.ckpt"
    later = tmp_path / "killed" / "checkpoints" / "epoch=3.ckpt"
    deadline = time.monotonic() + 600
    while not (wanted.exists() or later.exists()):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # As a kill during writing leaves it: the newest checkpoint is cut short.
    newest = max(
        (tmp_path / "killed" / "checkpoints").glob("*.ckpt"), key=lambda p: p.stat().st_mtime
    )
    newest.write_bytes(newest.read_bytes()[:1000])

    continued = subprocess.run(run_command(config, "--resume"), capture_output=True, text=True)
    assert continued.returncode == 0, continued.stderr
    again = subprocess.run(run_command(config), capture_output=True, text=True)
    assert again.returncode == 1
    assert "resume" in again.stderr
    whole = write_toml(tmp_path / "w.toml", springs, tmp_path / "whole", 40, compiled)
    subprocess.run(run_command(whole), check=True, capture_output=True)

    one = load_file(tmp_path / "killed" / "springs.safetensors")
    two = load_file(tmp_path / "whole" / "springs.safetensors")
    for name, weights in two.items():
        assert torch.equal(one[name], weights), name


def test_a_checkpoint_of_another_run_or_code_is_refused(
    springs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(springs, tmp_path / "run", epochs=2)
    train(config)
    with pytest.raises(DataError, match="already holds a run"):
        train(config)
    with pytest.raises(ModelFileError, match="other settings"):
        train(config.replace(loss=LossSpec(energy=0.7)), resume=True)
    with monkeypatch.context() as patch:
        patch.setattr("painn_ase.training.single_run.__version__", "9.9.9")
        with pytest.raises(
            ModelFileError, match=r"other code \(painn_ase .*; now painn_ase 9\.9\.9"
        ):
            train(config, resume=True)
    write_frames(springs, make_springs(60, np.random.default_rng(9)))
    with pytest.raises(ModelFileError, match="other data"):
        train(config, resume=True)
    for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt"):
        torch.save({"state_dict": {}}, path)
    with pytest.raises(ModelFileError, match="no checkpoint of a painn_ase"):
        train(config, resume=True)
    assert train(config, overwrite=True).exists()


def test_frames_without_some_labels_train_what_they_have(tmp_path: Path) -> None:
    frames = make_springs(40, np.random.default_rng(1))
    mixed = [replace(f, dipole=None) if n % 3 else f for n, f in enumerate(frames)]
    mixed = [replace(f, forces=None) if n % 4 == 0 else f for n, f in enumerate(mixed)]
    data = write_frames(tmp_path / "mixed.extxyz", mixed)
    model = load_model(train(small_config(data, tmp_path / "run", epochs=3)))
    assert model.spec.heads.names == ("energy", "dipole")


def test_sizes_mix_and_plateau_and_early_stop_end_a_run(tmp_path: Path) -> None:
    frames = make_springs(40, np.random.default_rng(1))
    far = np.array([[0, 0, 50.0]])
    longer = [
        replace(
            f,
            numbers=np.append(f.numbers, 17),
            positions=np.vstack((f.positions, far)),
            forces=np.vstack((f.forces, 0 * far)),
            dipole=None,
        )
        for f in frames[:15]
    ]
    data = write_frames(tmp_path / "mixed.extxyz", frames + longer)
    config = small_config(data, tmp_path / "run")
    schedule = ScheduleSpec(kind="plateau", epochs=300, warmup_steps=5, patience=1, early_stop=3)
    train(config.replace(schedule=schedule))
    curve = read_learning_curve(tmp_path / "run" / "log")
    assert len(curve["epoch"]) < 300
    assert min(curve["learning_rate"]) < 0.6 * max(curve["learning_rate"])


def test_elements_unknown_to_training_are_refused(tmp_path: Path) -> None:
    frames = make_springs(30, np.random.default_rng(1))
    frames[7] = replace(frames[7], numbers=np.array([9, 1]))
    data = write_frames(tmp_path / "rare.extxyz", frames)
    split = {"train": list(range(7)), "validation": [7, 8], "test": [9]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    config = small_config(data, tmp_path / "run", accept_warnings=True)
    stored = replace(config.data, split_file=str(tmp_path / "split.json"))
    with pytest.raises(DataError, match="validation part has atomic numbers \\[9\\]"):
        train(config.replace(data=stored))


def test_a_diverging_loss_is_an_error(springs: Path, tmp_path: Path) -> None:
    config = small_config(springs, tmp_path / "run")
    wild = OptimizerSpec(batch_size=8, learning_rate=1e30, clip_norm=None)
    with pytest.raises(NonFiniteError, match="learning_rate"):
        train(config.replace(optimizer=wild))


def test_an_unwritable_folder_is_a_clear_error(springs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelFileError, match="could not be written"):
        train(small_config(springs, tmp_path / "file" / "run"))


def test_a_committee_disagrees_more_outside_its_data_than_inside(tmp_path: Path) -> None:
    from painn_ase.calculator import PaiNNCalculator

    data = write_frames(tmp_path / "s.extxyz", make_springs(60, np.random.default_rng(0)))
    config = small_config(data, tmp_path / "run", epochs=60).replace(n_models=3)
    folder = train(config)
    models = sorted(folder.glob("member_*/*.safetensors"))
    assert len(models) == 3
    calculator = PaiNNCalculator(models)

    def spread(distance: float) -> float:
        atoms = Atoms("ClH", [[0, 0, 0], [0, 0, distance]])
        atoms.calc = calculator
        atoms.get_forces()
        return float(np.abs(calculator.results["forces_std"]).max())

    inside = max(spread(d) for d in (0.95, 1.0, 1.05))
    assert spread(1.6) > 3 * inside
    assert spread(2.2) > inside


def test_a_committee_continues_with_the_member_it_was_stopped_at(
    springs: Path, tmp_path: Path
) -> None:
    config = small_config(springs, tmp_path / "run", epochs=2).replace(n_models=2)
    folder = train(config)
    members = [folder / f"member_{n}" / f"springs_{n}.safetensors" for n in (0, 1)]
    first, second = (load_file(member) for member in members)
    assert not torch.equal(*(w["representation.embedding.weight"] for w in (first, second)))
    shutil.rmtree(members[1].parent)
    train(config, resume=True)
    for member, weights in zip(members, (first, second), strict=True):
        again = load_file(member)
        assert all(torch.equal(again[name], w) for name, w in weights.items())


def test_evaluation_of_a_model_on_frames(springs: Path, tmp_path: Path) -> None:
    from painn_ase.training import read_frames

    path = train(small_config(springs, tmp_path / "run", epochs=2))
    report = report_errors(path, read_frames(springs), tmp_path / "report")
    data = json.loads(report.read_text())
    assert data["n_frames"] == 60
    assert set(data["errors"]) == {"energy", "energy_per_atom", "forces", "dipole"}
    assert data["errors"]["forces"]["unit"] == "eV/Å"
    assert (tmp_path / "report" / "parity.png").exists()


@pytest.mark.parametrize(
    "compiled", ["never", pytest.param("always", marks=pytest.mark.slow)], ids=["eager", "compiled"]
)
def test_two_processes_train_one_model(tmp_path: Path, compiled: str) -> None:
    """DDP over gloo, with forces only: the last bias of the energy head has no gradient."""
    frames = [replace(f, energy=None) for f in make_springs(60, np.random.default_rng(2))]
    data = write_frames(tmp_path / "forces.extxyz", frames)
    script = tmp_path / "ddp.py"
    script.write_text(
        "from painn_ase.training import read_config, train\n"
        "if __name__ == '__main__':\n"
        f"    train(read_config({str(tmp_path / 'c.toml')!r}))\n"
    )
    config = write_toml(tmp_path / "c.toml", data, tmp_path / "run", 3, compiled)
    config.write_text(config.read_text() + "devices = 2\n")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "uncompiled" not in done.stderr
    errors = json.loads((tmp_path / "run" / "errors.json").read_text())["errors"]
    assert np.isfinite(errors["forces"]["mae"])
    assert load_model(tmp_path / "run" / "springs.safetensors").spec.heads.energy is not None
