"""Training that goes on from a model, several files, whole molecules held out, lengths in steps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given
from hypothesis import strategies as st
from small_runs import make_springs, run_command, small_config, write_frames, write_toml

from painn_ase.cli.train import _print_errors
from painn_ase.errors import DataError, ModelFileError, SpecError
from painn_ase.models import load_model, save_model
from painn_ase.spec import DipoleSpec
from painn_ase.spectra import harmonic_from_arrays
from painn_ase.testing import random_potential
from painn_ase.training import KeysSpec, LabeledFrame, UnitsSpec, read_config, read_frames, train
from painn_ase.training.batches import FrameTensors
from painn_ase.training.config import DataSpec, LossSpec, MoreData, network_to_train
from painn_ase.training.frequencies import frequency_errors, load_references
from painn_ase.training.loss import WeightedLoss
from painn_ase.training.padding import BatchSize, pad_batch
from painn_ase.training.splits import build_split, read_split, write_split
from painn_ase.training.starting import copy_weights, extended_spec, start_paths

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*")


def springs(n: int, seed: int, numbers: tuple[int, int] = (17, 1), shift: float = 0.0):
    """Springs of two elements, their energies shifted."""
    frames = make_springs(n, np.random.default_rng(seed))
    return [
        replace(f, numbers=np.array(numbers), energy=f.energy + shift, polarizability=None)
        for f in frames
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    data = write_frames(folder / "hcl.extxyz", springs(60, 1))
    return train(small_config(data, folder / "run"))


# ---------------------------------------------------------------------- going on from a model


def test_labels_of_another_level_are_asked_about_and_reference_energies_moved_to_them(
    base, tmp_path
) -> None:
    data = write_frames(tmp_path / "level.extxyz", springs(40, 2, shift=-2000.0))
    config = small_config(data, tmp_path / "run", epochs=1).replace(start=str(base))
    with pytest.raises(DataError, match="another level of theory.*refit_reference_energies"):
        train(config)
    moved = load_model(train(config.replace(refit_reference_energies=True))).spec.heads.energy
    before = load_model(base).spec.heads.energy
    shift = np.subtract(moved.reference_energies, before.reference_energies)
    assert shift.sum() == pytest.approx(-2000.0, abs=0.5)  # one atom of each element
    assert moved.scale == before.scale
    errors = json.loads((tmp_path / "run" / "errors.json").read_text(encoding="utf-8"))
    assert errors["errors"]["energy"]["mae"] < 0.5
    with pytest.raises(SpecError, match="goes with start"):
        config.replace(start=None, refit_reference_energies=True)


def test_going_on_keeps_elements_offsets_and_scales_and_adds_new_ones(base, tmp_path) -> None:
    data = write_frames(tmp_path / "hbr.extxyz", springs(40, 2, (35, 1), shift=-7.0))
    config = small_config(data, tmp_path / "run", epochs=1).replace(start=str(base))
    before, after = load_model(base).spec, load_model(train(config)).spec
    assert before.elements == (1, 17)
    assert after.elements == (1, 17, 35)
    old, new = before.heads.energy, after.heads.energy
    assert new.reference_energies[:2] == old.reference_energies
    # hydrogen keeps its share, so that bromine has all the rest
    mean = np.mean([f.energy for f in read_frames(data)])
    assert new.reference_energies[2] == pytest.approx(mean - old.reference_energies[0], abs=0.05)
    assert (new.scale, after.heads.dipole.scale) == (old.scale, before.heads.dipole.scale)
    assert after.provenance["start"]["model"] == "springs"
    assert after.provenance["start"]["formulas"] == ["HCl"]


def test_weights_are_the_models_where_it_has_them() -> None:
    base = random_potential(16, 2, 8, 4.0, elements=(1, 8), heads=("energy", "dipole"))
    fresh = random_potential(
        16, 2, 8, 4.0, elements=(1, 6, 8), heads=("energy", "polarizability"), seed=5
    )
    to = random_potential(
        16, 2, 8, 4.0, elements=(1, 6, 8), heads=("energy", "polarizability"), seed=5
    )
    copy_weights(base, to)
    given, was, now = base.state_dict(), fresh.state_dict(), to.state_dict()
    embedding = "representation.embedding.weight"
    assert torch.equal(now[embedding][[0, 2]], given[embedding])
    assert torch.equal(now[embedding][1], was[embedding][1])
    for name in now:
        if name != embedding:
            assert torch.equal(now[name], given[name] if name in given else was[name]), name


def test_a_model_that_goes_on_begins_with_the_answers_it_had(base, tmp_path) -> None:
    data = write_frames(tmp_path / "more.extxyz", springs(40, 3))
    config = small_config(data, tmp_path / "run", epochs=1)
    config = config.replace(
        start=str(base), optimizer=replace(config.optimizer, learning_rate=1e-12)
    )
    path = train(config)
    first, second = load_model(base).state_dict(), load_model(path).state_dict()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=1e-7)
    report = json.loads((tmp_path / "run" / "errors.json").read_text())
    assert report["before"]["errors"]["forces"]["mae"] == pytest.approx(
        report["errors"]["forces"]["mae"], rel=1e-4
    )


def test_fewer_frames_do_from_a_model_than_from_nothing(base, tmp_path) -> None:
    data = write_frames(tmp_path / "few.extxyz", springs(30, 4))
    found = {}
    for start in (None, str(base)):
        folder = tmp_path / ("scratch" if start is None else "tuned")
        train(small_config(data, folder, epochs=6).replace(start=start))
        errors = json.loads((folder / "errors.json").read_text())["errors"]
        found[start is None] = errors["forces"]["mae"]
    assert found[False] < 0.5 * found[True]


def test_heads_keep_their_form_and_those_without_labels_go(base) -> None:
    old = load_model(base).spec
    fresh = replace(
        old,
        heads=replace(old.heads, energy=None, dipole=DipoleSpec(kind="local", rank=4, scale=9.0)),
    )
    found = extended_spec(old, fresh)
    assert found.heads.names == ("dipole",)
    assert found.heads.dipole == old.heads.dipole


def test_a_committee_goes_on_from_a_committee(base, tmp_path) -> None:
    folder = tmp_path / "committee"
    for member in range(2):
        (folder / f"member_{member}").mkdir(parents=True)
        save_model(load_model(base), folder / f"member_{member}" / "m.safetensors")
    found = start_paths(str(folder), 2)
    assert [Path(p).parent.name for p in found] == ["member_0", "member_1"]
    assert start_paths("water", 3) == ["water"] * 3
    with pytest.raises(DataError, match="holds 2 models, and 3 are to be trained"):
        start_paths(str(folder), 3)
    with pytest.raises(DataError, match="no model file 'absent'"):
        start_paths("absent", 1)


def test_another_network_and_another_start_are_refused(base, tmp_path) -> None:
    data = write_frames(tmp_path / "more.extxyz", springs(40, 3))
    config = small_config(data, tmp_path / "run", epochs=1).replace(start=str(base))
    with pytest.raises(SpecError, match="another network than that"):
        train(config.replace(network=network_to_train(n_features=24)))
    train(config.replace(network=network_to_train()))
    other = load_model(base)
    with torch.no_grad():
        other.get_parameter("representation.embedding.weight").mul_(1.01)
    save_model(other, tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match="other settings"):
        train(config.replace(start=str(tmp_path / "other.safetensors")), resume=True)


def test_the_command_goes_on_from_a_model(base, tmp_path, capfd) -> None:
    import subprocess

    data = write_frames(tmp_path / "more.extxyz", springs(40, 3))
    toml = tmp_path / "c.toml"
    toml.write_text(
        f'name = "tuned"\noutput = "{tmp_path / "run"}"\n[data]\npath = "{data}"\n'
        '[optimizer]\nbatch_size = 8\n[runtime]\naccelerator = "cpu"\nprogress = false\n'
    )
    done = subprocess.run(
        run_command(toml, "--from", str(base), "--steps", "9"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "MAE before" in done.stdout
    config = load_model(tmp_path / "run" / "tuned.safetensors").spec.provenance["config"]
    assert config["start"] == base.name
    assert config["schedule"]["steps"] == 9


# ---------------------------------------------------------------------- several files


def test_files_have_their_own_keys_units_and_weights(tmp_path) -> None:
    write_frames(tmp_path / "a.extxyz", springs(40, 5))
    images = []
    for frame in springs(20, 6):
        atoms = Atoms(frame.numbers, frame.positions)
        atoms.info["E"] = frame.energy * 23.060547830619
        atoms.calc = SinglePointCalculator(atoms, forces=frame.forces)
        images.append(atoms)
    ase.io.write(tmp_path / "b.extxyz", images)
    (tmp_path / "c.toml").write_text(
        'name = "two"\n[data]\npath = "a.extxyz"\n[[data.more]]\npath = "b.extxyz"\nweight = 2.5\n'
        '[data.more.keys]\nenergy = "E"\n[data.more.units]\nenergy = "kcal/mol"\n'
        'forces = "eV/Angstrom"\n'
    )
    config = read_config(tmp_path / "c.toml")
    (more,) = config.data.more
    assert more == MoreData(
        str(tmp_path / "b.extxyz"),
        KeysSpec(energy="E"),
        UnitsSpec(energy="kcal/mol", forces="eV/Angstrom"),
        2.5,
    )
    small = small_config(tmp_path / "a.extxyz", tmp_path / "run", epochs=1)
    told: list = []
    path = train(small.replace(data=config.data), tell=told.append)
    assert [len(report.source.frames) for report in told] == [40, 20]
    assert told[1].source.frames[3].energy == pytest.approx(springs(20, 6)[3].energy, abs=1e-6)
    about = load_model(path).spec.provenance
    assert about["data"] == {**about["data"], "file": "a.extxyz", "more": ["b.extxyz"]}
    assert about["data"]["n_frames"] == 60
    assert str(tmp_path) not in json.dumps(about)
    with pytest.raises(SpecError, match="must be positive"):
        MoreData("x", weight=0.0)


def test_a_weight_multiplies_the_penalties_of_its_frames() -> None:
    frames = springs(5, 7)
    potential = random_potential(8, 1, 4, 4.0, elements=(1, 17), heads=("energy", "dipole"))
    labels = ("energy", "forces", "dipole")
    loss = WeightedLoss(LossSpec(), labels, dict.fromkeys(labels, 1.0))

    def terms(frames: list[LabeledFrame], size: BatchSize | None = None) -> dict[str, float]:
        batch = FrameTensors(frames, 4.0, labels).batch(range(len(frames)))
        batch = batch if size is None else pad_batch(batch, size)
        prediction = potential(batch.graph, labels)
        _, found = loss(prediction, batch.labels, batch.graph.atom_counts())
        return {name: float(value.detach()) for name, value in found.items()}

    alone = [terms([frame]) for frame in frames]
    weights = [1.0, 2.0, 0.5, 1.0, 4.0]
    weighted = [replace(f, weight=w) for f, w in zip(frames, weights, strict=True)]
    for size in (None, BatchSize(14, 12, 6)):
        found = terms(weighted, size)
        for name in labels:
            mean = np.mean([w * one[name] for w, one in zip(weights, alone, strict=True)])
            assert found[name] == pytest.approx(mean, rel=1e-5)


# ---------------------------------------------------------------------- whole molecules


@given(
    st.lists(st.integers(4, 12), min_size=6, max_size=12),
    st.integers(0, 2**31 - 1),
)
def test_whole_groups_stay_together_and_nothing_is_lost(sizes: list[int], seed: int) -> None:
    names = [f"m{k}" for k, size in enumerate(sizes) for _ in range(size)]
    order = np.random.default_rng(seed).permutation(len(names))
    names = [names[k] for k in order]
    spec = DataSpec("a", split_seed=seed, split_by="group", held_out=("m0",))
    split = build_split(len(names), spec, names)
    parts = split.parts()
    assert sorted(n for part in parts.values() for n in part) == list(range(len(names)))
    groups = [{names[n] for n in part} for part in parts.values()]
    assert parts["held_out"] == tuple(n for n, name in enumerate(names) if name == "m0")
    assert sum(len(g) for g in groups) == len(set(names))


def test_held_out_groups_are_stored_and_unknown_ones_refused(tmp_path) -> None:
    names = ["CH4"] * 10 + ["H2O"] * 10
    split = build_split(20, DataSpec("a", held_out=("H2O",)), names)
    assert split.held_out == tuple(range(10, 20))
    assert split.counts() == {"train": 8, "validation": 1, "test": 1, "held_out": 10}
    write_split(split, tmp_path / "split.json")
    assert read_split(tmp_path / "split.json", 20) == split
    with pytest.raises(DataError, match=r"names C2H6.*there are CH4, H2O"):
        build_split(20, DataSpec("a", held_out=("C2H6",)), names)
    with pytest.raises(DataError, match="cannot be split by group"):
        build_split(20, DataSpec("a", split_by="group", held_out=("H2O",)), names)


def test_errors_are_reported_by_molecule_and_for_those_held_out(tmp_path) -> None:
    images = []
    for name, numbers in (("one", (17, 1)), ("two", (35, 1)), ("three", (17, 35))):
        for frame in springs(30, len(name), numbers):
            atoms = Atoms(frame.numbers, frame.positions)
            atoms.info["molecule"] = name
            atoms.calc = SinglePointCalculator(atoms, energy=frame.energy, forces=frame.forces)
            images.append(atoms)
    ase.io.write(tmp_path / "three.extxyz", images)
    config = small_config(tmp_path / "three.extxyz", tmp_path / "run", epochs=1)
    keys = KeysSpec(group="molecule")
    config = config.replace(data=replace(config.data, keys=keys, held_out=("three",)))
    spec = load_model(train(config)).spec
    report = json.loads((tmp_path / "run" / "errors.json").read_text())
    assert report["held_out"]["n_frames"] == 30
    assert report["by_group"]["three"]["n_frames"] == 30
    assert sum(one["n_frames"] for one in report["by_group"].values()) == 30 + 6
    assert report["by_group"]["three"]["forces"] == pytest.approx(
        report["held_out"]["errors"]["forces"]["mae"]
    )
    assert set(spec.provenance["errors"]) == {"test", "held_out"}
    assert set(spec.provenance["formulas"]) == {"HCl", "HBr"}


# ---------------------------------------------------------------------- steps


def test_a_run_may_be_so_many_steps_long(tmp_path) -> None:
    data = write_frames(tmp_path / "a.extxyz", springs(50, 8))
    config = small_config(data, tmp_path / "run", epochs=999, validate_every=50)
    config = config.replace(schedule=replace(config.schedule, steps=11))
    spec = load_model(train(config)).spec
    # 40 frames in batches of 8: 5 steps an epoch, the third is finished
    assert spec.provenance["epoch"] == 2
    with pytest.raises(SpecError, match="steps"):
        replace(config.schedule, steps=0)


def test_a_run_of_steps_resumes_to_another_length(tmp_path) -> None:
    data = write_frames(tmp_path / "a.extxyz", springs(50, 8))
    toml = write_toml(tmp_path / "c.toml", data, tmp_path / "run", 2)
    train(read_config(toml))
    longer = read_config(toml)
    longer = longer.replace(schedule=replace(longer.schedule, steps=20))
    assert load_model(train(longer, resume=True)).spec.provenance["epoch"] <= 3


# ------------------------------------------------------------------- frequencies in the report


def test_frequencies_stand_beside_the_references_in_the_report(tmp_path, capfd) -> None:
    """E = ½·20·(d−1)² eV: its frequency is √(20/μ) in closed form."""
    data = write_frames(tmp_path / "hcl.extxyz", springs(60, 1))
    masses = Atoms("ClH").get_masses()
    hessian = np.zeros((2, 3, 2, 3))
    hessian[:, 0, :, 0] = 20.0 * np.array([[1.0, -1.0], [-1.0, 1.0]])
    where = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    exact = harmonic_from_arrays(masses, where, hessian, symbols=("Cl", "H"))
    reduced = masses[0] * masses[1] / masses.sum()
    assert exact.frequencies == pytest.approx([521.4708 * (20.0 / reduced) ** 0.5], rel=1e-4)
    exact.save(tmp_path / "spring.json")
    config = small_config(data, tmp_path / "run", epochs=60)
    config = config.replace(data=replace(config.data, harmonic=(str(tmp_path / "spring.json"),)))
    model = train(config)
    report = json.loads((tmp_path / "run" / "errors.json").read_text())["harmonic"]["spring.json"]
    assert report["reference"] == pytest.approx(exact.frequencies.tolist(), abs=0.01)
    assert report["mae"] == pytest.approx(abs(report["model"][0] - exact.frequencies[0]), abs=0.01)
    assert report["mae"] < 0.25 * exact.frequencies[0]
    assert load_model(model).spec.provenance["config"]["data"]["harmonic"] == ["spring.json"]
    _print_errors(tmp_path / "run" / "errors.json")
    assert "harmonic frequencies beside spring.json: mean" in capfd.readouterr().out


def test_references_need_forces_and_files_that_are_some(tmp_path) -> None:
    with pytest.raises(DataError, match="nothing is trained that gives forces"):
        load_references(["a.json"], ["dipole"])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError):
        load_references([str(tmp_path / "a.json")], ["forces"])


def test_a_molecule_the_model_does_not_know_fails_by_itself() -> None:
    model = random_potential(8, 1, 6, 4.0, heads=("energy",), elements=(1, 17))
    hessian = np.zeros((2, 3, 2, 3))
    hessian[:, 0, :, 0] = [[9.0, -9.0], [-9.0, 9.0]]
    where = [[0.0, 0.0, 0.0], [1.4, 0.0, 0.0]]
    other = harmonic_from_arrays([79.9, 1.008], where, hessian, symbols=("Br", "H"))
    assert "Br" in frequency_errors(model, other)["failed"]
