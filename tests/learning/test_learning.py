"""The loop learns a molecule from a known surface, goes on after an end, keeps its budget."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.optimize import BFGS

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli.learn import seconds_of
from painn_ase.errors import DataError, SpecError
from painn_ase.learning import LearnConfig, Round, learn
from painn_ase.learning.records import Record
from painn_ase.models import bundled_models
from painn_ase.spectra import harmonic
from painn_ase.workflow import judge

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*"),
    pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model"),
]

#: The surface that labels: the bundled model of water, as any ASE calculator.
TRUTH = """
from painn_ase import PaiNNCalculator

def truth():
    return PaiNNCalculator("water")
"""
CONFIG = LearnConfig(
    engine="surface_of_water:truth", n_models=2, near=24, batch=10, max_frames=60, steps=800,
    n_features=32, cutoff=4.0, dynamics_rounds=1, settled=20.0, agreed=20.0,
)  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    (tmp_path / "surface_of_water.py").write_text(TRUTH)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


class Listener:
    """A narrator that remembers, and stops the run at a word."""

    def __init__(self, stop_at: str = "\0") -> None:
        self.lines: list[str] = []
        self.stop_at = stop_at

    def say(self, text: str) -> None:
        self.lines.append(text)
        if self.stop_at in text:
            raise KeyboardInterrupt

    def bar(self, label: str, total: int):
        from contextlib import nullcontext

        self.say(label)
        return nullcontext(lambda done, note: None)


def truth_of_water() -> tuple[Atoms, np.ndarray]:
    atoms = molecule("H2O")
    atoms.calc = PaiNNCalculator("water", dtype="float64")
    BFGS(atoms, logfile=None).run(fmax=1e-5)
    return atoms, harmonic(atoms).frequencies


@pytest.mark.slow
def test_water_is_learnt_from_a_few_frames(here) -> None:
    guide = PaiNNCalculator("water")
    found = learn(molecule("H2O"), CONFIG, "run", guide=guide, processes=1)
    assert found.rounds[0].n_frames == 24
    assert found.rounds[-1].n_frames <= 60
    atoms, exact = truth_of_water()
    members = PaiNNCalculator([str(p) for p in found.models], dtype="float64")
    assert len(found.models) == 2
    ours = judge(members, atoms)
    np.testing.assert_allclose(ours.frequencies, exact, atol=25.0)
    # the check by the engine is of the same curvatures, and says how far the committee is off
    assert len(found.check) == 3
    by_engine = sorted(theirs for _, theirs in found.check)
    np.testing.assert_allclose(by_engine, exact, rtol=0.01)


def test_a_stopped_run_goes_on_through_both_phases(here) -> None:
    config = replace(CONFIG, steps=4, near=12, batch=4, max_frames=40, settled=1e6, agreed=1e6)
    guide = PaiNNCalculator("water")
    start = molecule("H2O")
    with pytest.raises(KeyboardInterrupt):
        learn(start, config, "run", guide=guide, processes=1, narrator=Listener("training 2"))
    labels = (here / "run" / "labels.extxyz").read_text()
    with pytest.raises(DataError, match="--restart"):
        learn(start, config, "run", guide=guide, processes=1)
    with pytest.raises(DataError, match=r"other settings \(steps\)"):
        learn(start, replace(config, steps=900), "run", guide=guide, restart=True)
    told = Listener()
    found = learn(start, config, "run", guide=guide, processes=1, restart=True, narrator=told)
    # what was labelled before the stop was not labelled again
    assert (here / "run" / "labels.extxyz").read_text().startswith(labels)
    assert [one.phase for one in found.rounds[:2]] == ["near", "near"]
    assert {one.phase for one in found.rounds[2:]} <= {"dynamics"}
    assert [one.n_frames for one in found.rounds[:2]] == [12, 16]
    assert found.ending == "settled"
    assert any("frames are uncertain" in line for line in told.lines)
    shown = json.loads((here / "run" / "learn.json").read_text())
    assert len(shown["rounds"]) == len(found.rounds)
    again = learn(start, config, "run", guide=guide, restart=True)
    assert (again.rounds, again.ending) == (found.rounds, found.ending)


def test_no_round_is_begun_that_the_budget_does_not_hold(here) -> None:
    config = replace(CONFIG, steps=3, near=12, settled=0.01)
    guide = PaiNNCalculator("water")
    found = learn(molecule("H2O"), config, "run", guide=guide, processes=1, budget=0.5)
    assert len(found.rounds) == 1
    assert found.ending.startswith("the budget is spent: another round would take about")
    config = replace(config, max_frames=14)
    found = learn(molecule("H2O"), config, "other", guide=guide, processes=1)
    assert [one.n_frames for one in found.rounds] == [12, 14]
    assert found.ending == "14 frames are labelled, as many as were allowed"


def test_a_run_goes_on_from_a_model(here) -> None:
    config = replace(CONFIG, start="water", near=6, steps=5, dynamics_rounds=0, max_frames=6)
    found = learn(molecule("H2O"), config, "run", processes=1)
    # five steps with six frames leave bundled water what it was
    _, exact = truth_of_water()
    np.testing.assert_allclose(found.rounds[0].frequencies, exact, rtol=0.02)


def test_members_are_judged_by_their_frequencies_at_their_own_minima() -> None:
    water = PaiNNCalculator("water", dtype="float64").potential
    atoms, exact = truth_of_water()
    same = judge(PaiNNCalculator([water, water], dtype="float64"), atoms)
    np.testing.assert_allclose(same.frequencies, exact, atol=0.1)
    assert same.agreed == pytest.approx(0.0, abs=0.01)
    assert same.moved(None) is None
    assert same.moved((exact + np.array([0.0, 7.0, 0.0])).tolist()) == pytest.approx(7.0, abs=0.2)


def test_records_are_read_back_and_damage_is_told(tmp_path) -> None:
    record = Record(tmp_path / "learn.json")
    record.rounds = [Round("near", 5, 5, (1.0,), (0.1,), None, 0.1, 0.0, 1.0, 2.0)]
    record.check = [(1.0, 2.0)]
    record.write()
    read = Record.read(tmp_path / "learn.json")
    assert (read.rounds, read.check) == (record.rounds, record.check)
    (tmp_path / "learn.json").write_text("{")
    with pytest.raises(DataError, match="labels.extxyz are good in any case"):
        Record.read(tmp_path / "learn.json")
    assert Record.read(tmp_path / "absent.json").rounds == []


@pytest.mark.parametrize(
    "wrong", [{"n_models": 1}, {"near": 0}, {"max_frames": 3}, {"agreed": 0.0}]
)
def test_impossible_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError):
        LearnConfig(**wrong)


def test_times_are_read_as_people_type_them() -> None:
    assert [seconds_of(t) for t in ("90s", "30min", "1.5h", "2 h")] == [90, 1800, 5400, 7200]
    for wrong in ("2", "0h", "soon", "-1h"):
        with pytest.raises(DataError, match="no time"):
            seconds_of(wrong)
