"""Spectra with quantum nuclei: beads chosen, in equilibrium, moved, told and restarted."""

from __future__ import annotations

import os
import re
import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk, molecule

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import PaiNNWarning, SpecError, TrajectoryError
from painn_ase.models import bundled_models
from painn_ase.report import write_outcome
from painn_ase.trajectory import TrajectoryReader
from painn_ase.workflow import InterruptedWorkflowError, SpectrumConfig, run_spectrum
from painn_ase.workflow.quantum import (
    check_beads,
    choose_beads,
    equilibrated_beads,
    harmonic_share,
)

pytestmark = pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model")
SHORT = SpectrumConfig(
    nuclei="trpmd", beads=8, replicas=3, segment=0.04, timestep=0.25, equilibration=0.05,
    spacing=0.02, bead_equilibration=0.03, seed=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantum")
    return run_spectrum(PaiNNCalculator("water"), molecule("H2O"), SHORT, folder)


def test_segments_are_of_ring_polymers_in_equilibrium(outcome) -> None:
    assert (outcome.n_beads, outcome.temperature) == (8, 300.0)
    with TrajectoryReader(outcome.folder / "segments.h5") as reader:
        settings = reader.provenance["replicas"]
        assert (settings["ensemble"], reader.system.n_beads) == ("trpmd", 8)
        spread = reader.read("radius_of_gyration")[0]
    # Hydrogen's beads lie apart from the first frame on, oxygen's less.
    assert 0.05 < spread[:, 1:].mean() < 0.2
    assert spread[:, 0].mean() < 0.5 * spread[:, 1:].mean()


def test_the_report_says_what_ring_polymers_leave_wrong(outcome) -> None:
    write_outcome(outcome)
    text = re.sub(r"\s+", " ", (outcome.folder / "report.md").read_text(encoding="utf-8"))
    assert "3 TRPMD segments of 8 beads" in text
    assert "thermostat broadens every band" in text
    assert "Nuclei are classical" not in text


class StopIn:
    """A narrator that sends SIGTERM in the middle of a stage."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def say(self, text: str) -> None:
        pass

    @contextmanager
    def bar(self, label: str, total: int):
        def tick(done: int, note: str) -> None:
            if self.stage in label and done == total // 2:
                os.kill(os.getpid(), signal.SIGTERM)

        yield tick


@pytest.mark.parametrize("stage", ["PIMD", "TRPMD"])
def test_interrupted_and_restarted_gives_the_same_spectrum(outcome, tmp_path, stage) -> None:
    arguments = (PaiNNCalculator("water"), molecule("H2O"), SHORT, tmp_path)
    with pytest.raises(InterruptedWorkflowError):
        run_spectrum(*arguments, narrator=StopIn(stage))
    again = run_spectrum(*arguments, restart=True)
    np.testing.assert_array_equal(again.infrared.intensity, outcome.infrared.intensity)


def test_beads_are_chosen_by_the_stiffest_mode(outcome) -> None:
    assert choose_beads(0, molecule("H2O"), outcome.modes, 300.0) == 64
    assert choose_beads(0, molecule("H2O"), outcome.modes, 1200.0) == 16
    assert choose_beads(0, bulk("Cu"), None, 300.0) == 32
    assert choose_beads(12, molecule("H2O"), outcome.modes, 300.0) == 12
    shares = [harmonic_share(outcome.modes, n, 300.0) for n in (1, 8, 32, 128)]
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] > 0.99


def test_too_few_beads_are_told_by_twice_as_many() -> None:
    with pytest.warns(PaiNNWarning, match="4 beads are too few"):
        few, many = check_beads(
            PaiNNCalculator("water"), molecule("H2O"), 4, 300.0, time=0.3, replicas=6
        )
    assert (few.n_beads, many.n_beads) == (4, 8)
    assert few.energy.value < many.energy.value


def test_a_check_of_beads_is_not_run_again_but_said_again(tmp_path) -> None:
    saved = tmp_path / "bead_check.json"
    given = (PaiNNCalculator("water"), molecule("H2O"), 2, 300.0)
    with pytest.warns(PaiNNWarning, match="2 beads are too few"):
        first = check_beads(*given, time=0.05, replicas=2, saved=saved)
    with pytest.warns(PaiNNWarning, match="2 beads are too few"):
        again = check_beads(None, None, 2, 300.0, saved=saved)  # type: ignore[arg-type]
    for one, two in zip(first, again, strict=True):
        assert one.energy == two.energy
        np.testing.assert_array_equal(one.radius_of_gyration, two.radius_of_gyration)
    with pytest.raises(TrajectoryError, match="2 against 4 beads, not of 8"):
        check_beads(given[0], given[1], 8, 300.0, saved=saved)
    saved.write_text("[{}]")
    with pytest.raises(TrajectoryError, match="Delete it"):
        check_beads(*given, saved=saved)


def test_beads_go_on_from_the_restart_file_before_the_latest(tmp_path) -> None:
    given = {
        "n_beads": 2, "temperature": 300.0, "friction": 0.02, "time": 0.005, "seed": 1,
        "state": tmp_path / "beads.npz",
    }  # fmt: skip
    starts = [molecule("H2O")]
    warm = equilibrated_beads(PaiNNCalculator("water"), starts, **given)
    (tmp_path / "beads.npz").rename(tmp_path / "beads.npz.previous")
    steps = []
    again = equilibrated_beads(
        PaiNNCalculator("water"), starts, **given, progress=lambda done, note: steps.append(done)
    )
    assert not steps
    np.testing.assert_array_equal(again.beads, warm.beads)


@pytest.mark.parametrize("wrong", [{"nuclei": "pimd"}, {"beads": -1}, {"bead_equilibration": -1.0}])
def test_impossible_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError):
        replace(SHORT, **wrong)
