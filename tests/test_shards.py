"""A spectrum made in pieces is the spectrum made in one go; what does not belong is refused."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
from ase.build import molecule
from typer.testing import CliRunner

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.driven import DrivenCalculator
from painn_ase.errors import DataError, TrajectoryError
from painn_ase.models import bundled_models
from painn_ase.trajectory import TrajectoryReader
from painn_ase.workflow import (
    Shard,
    SpectrumConfig,
    ensemble,
    merge_shards,
    run_shard,
    run_spectrum,
)

pytestmark = [
    pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model"),
    pytest.mark.filterwarnings("ignore::painn_ase.errors.PaiNNWarning"),
]
CONFIG = SpectrumConfig(replicas=5, segment=0.1, equilibration=0.1, spacing=0.02, seed=3)


def water() -> PaiNNCalculator:
    return PaiNNCalculator("water", dtype="float64")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_spectrum(water(), molecule("H2O"), CONFIG, tmp_path_factory.mktemp("whole"))


def test_pieces_beside_a_driver_give_the_numbers_of_one_run_and_name_it(tmp_path) -> None:
    """The forces are the model's own, handed in as another program's."""
    short = SpectrumConfig(replicas=2, segment=0.02, equilibration=0.02, spacing=0.01, timestep=0.2)
    both = DrivenCalculator(water(), water(), name="somebodys:forces")
    one = run_spectrum(both, molecule("H2O"), short, tmp_path / "one")
    for k in (1, 2):
        run_shard(both, molecule("H2O"), short, tmp_path / "parts", Shard(k, 2))
    merged = merge_shards(both, molecule("H2O"), tmp_path / "parts")
    assert merged.driver == one.driver == "somebodys:forces"
    np.testing.assert_allclose(merged.infrared.intensity, one.infrared.intensity, rtol=1e-9)


def test_pieces_share_all_segments_and_none_twice() -> None:
    for n in range(1, 6):
        shares = [Shard(k, n).replicas(CONFIG) for k in range(1, n + 1)]
        assert [r for share in shares for r in share] == list(range(5))
    assert Shard.parse(" 2/4 ") == Shard(2, 4)
    for wrong in ("2", "0/4", "5/4", "a/b"):
        with pytest.raises(DataError):
            Shard.parse(wrong)
    with pytest.raises(DataError, match="5 segments cannot be shared by 6"):
        Shard(1, 6).replicas(CONFIG)
    with pytest.raises(DataError, match="ring polymers"):
        Shard(1, 2).replicas(replace(CONFIG, nuclei="trpmd"))


def test_pieces_made_in_any_order_give_the_numbers_of_one_run(whole, tmp_path) -> None:
    for k in (2, 3, 1):
        run_shard(water(), molecule("H2O"), CONFIG, tmp_path, Shard(k, 3))
    merged = merge_shards(water(), molecule("H2O"), tmp_path)
    for name in ("infrared", "raman"):
        ours, theirs = getattr(merged, name), getattr(whole, name)
        np.testing.assert_allclose(ours.frequency, theirs.frequency, rtol=1e-12)
        scale = np.abs(theirs.intensity).max()
        np.testing.assert_allclose(ours.intensity, theirs.intensity, rtol=1e-9, atol=1e-9 * scale)
    assert merged.temperature == pytest.approx(whole.temperature, rel=1e-9)
    assert merged.segments.drift == pytest.approx(whole.segments.drift, rel=1e-4)
    assert merged.segments.degrees_of_freedom == whole.segments.degrees_of_freedom
    with (
        TrajectoryReader(tmp_path / "segments.h5") as ours,
        TrajectoryReader(whole.folder / "segments.h5") as theirs,
    ):
        assert ours.system.n_replicas == 5
        assert ours.names == theirs.names
        for name in ours.names:
            np.testing.assert_allclose(ours.read(name), theirs.read(name), rtol=1e-7, atol=1e-9)
            np.testing.assert_array_equal(ours.steps(name), theirs.steps(name))


def test_a_finished_piece_is_not_made_again(tmp_path) -> None:
    own = run_shard(water(), molecule("H2O"), CONFIG, tmp_path, Shard(1, 2))
    before = _frames(own)
    told = Listener()
    run_shard(water(), molecule("H2O"), CONFIG, tmp_path, Shard(1, 2), narrator=told)
    np.testing.assert_array_equal(_frames(own), before)
    assert told.steps == 0
    with pytest.raises(TrajectoryError, match=r"pieces 2/2 are not finished"):
        merge_shards(water(), molecule("H2O"), tmp_path)
    with pytest.raises(TrajectoryError, match="other settings"):
        run_shard(
            water(), molecule("H2O"), replace(CONFIG, temperature=400.0), tmp_path, Shard(1, 2)
        )


def _frames(folder) -> np.ndarray:
    with TrajectoryReader(folder / "segments.h5") as reader:
        return reader.read("dipole_flux")


class Listener:
    """Counts the steps that are made."""

    steps = 0

    def say(self, text: str) -> None:
        pass

    @contextmanager
    def bar(self, label: str, total: int):
        yield self.count

    def count(self, done: int, note: str) -> None:
        self.steps += 1


def test_pieces_that_do_not_belong_together_are_refused(tmp_path) -> None:
    run_shard(water(), molecule("H2O"), CONFIG, tmp_path, Shard(1, 2))
    other = replace(CONFIG, seed=4)
    run_shard(water(), molecule("H2O"), other, tmp_path, Shard(2, 2))
    with pytest.raises(TrajectoryError, match=r"settings\.json differ"):
        merge_shards(water(), molecule("H2O"), tmp_path)
    with pytest.raises(TrajectoryError, match="holds no pieces"):
        merge_shards(water(), molecule("H2O"), tmp_path / "empty")
    run_shard(water(), molecule("H2O"), CONFIG, tmp_path, Shard(1, 3))
    with pytest.raises(TrajectoryError, match=r"pieces of \[2, 3\] to a run"):
        merge_shards(water(), molecule("H2O"), tmp_path)


def test_an_executor_makes_the_pieces_and_what_failed_is_made_again(whole, tmp_path) -> None:
    options = {"dtype": "float64"}
    with ThreadPoolExecutor(1) as pool, pytest.raises(TrajectoryError, match="2 of 2 pieces"):
        ensemble("absent", molecule("H2O"), CONFIG, tmp_path, 2, pool, options=options)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = ensemble("water", molecule("H2O"), CONFIG, tmp_path, 2, pool, options=options)
    scale = np.abs(whole.infrared.intensity).max()
    np.testing.assert_allclose(
        found.infrared.intensity, whole.infrared.intensity, rtol=1e-9, atol=1e-9 * scale
    )


def test_the_command_makes_pieces_and_merges_them(tmp_path) -> None:
    arguments = ["spectrum", "water", "H2O", "-o", str(tmp_path / "s"), "--replicas", "3"]
    arguments += ["--segment", "0.1", "--equilibration", "0.1", "--spacing", "0.02"]
    for k in (1, 2):
        done = CliRunner().invoke(app, [*arguments, "--shard", f"{k}/2"])
        assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, [*arguments, "--merge"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "s" / "report.html").stat().st_size > 0
    settings = json.loads((tmp_path / "s" / "settings.json").read_text())
    assert settings["replicas"] == 3
    mixed = CliRunner().invoke(app, [*arguments, "--merge", "--restart"])
    assert isinstance(mixed.exception, DataError)


@pytest.mark.parametrize("library", ["submitit", "executorlib"])
def test_executors_of_queues_make_the_pieces(tmp_path, monkeypatch, library) -> None:
    module = pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    config = replace(CONFIG, replicas=2)
    if library == "submitit":
        pool = module.LocalExecutor(folder=tmp_path / "jobs")
        pool.update_parameters(timeout_min=5)
        found = ensemble("water", molecule("H2O"), config, tmp_path / "s", 2, pool)
    else:
        with module.SingleNodeExecutor(max_workers=2) as pool:
            found = ensemble("water", molecule("H2O"), config, tmp_path / "s", 2, pool)
    assert found.segments.completed
    assert (tmp_path / "s" / "shard_2_of_2" / "shard.json").exists()


def test_pieces_of_an_earlier_run_with_other_settings_are_not_taken_for_these(tmp_path) -> None:
    config = replace(CONFIG, replicas=2)
    with ThreadPoolExecutor(1) as pool:
        ensemble("water", molecule("H2O"), config, tmp_path, 2, pool)
        with pytest.raises(TrajectoryError, match=r"other settings \(temperature\)"):
            ensemble(
                "water", molecule("H2O"), replace(config, temperature=400.0), tmp_path, 2, pool
            )
