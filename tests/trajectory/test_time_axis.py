"""Time axes of files as people have them: counters, units, restarts, gaps, rounded times.

Each file holds the same vibration; what counts is that its wavenumber and area come out right, or
that the words of the error say what is missing.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.errors import PaiNNWarning, TrajectoryError
from painn_ase.spectra import infrared
from painn_ase.trajectory import System, TimeSeries, TrajectoryWriter, read_time_series
from painn_ase.trajectory.raw import RawSeries
from painn_ase.trajectory.time_axis import read_time_axis

DT, NU, N = 0.5, 1700.0, 4000
TIMES = DT * np.arange(N)
DIPOLE = 0.01 * np.cos(2 * np.pi * 2.99792458e-5 * NU * TIMES)[:, None] * [0.0, 0.6, 0.8]
DIPOLE += [0.1, 0.0, 0.0]


def _peak(series: TimeSeries) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaiNNWarning)  # short runs have no error bar
        spectrum = infrared(series, temperature=300.0, resolution=100.0)
    return spectrum.peaks()[0].frequency, spectrum.band_area(1300.0, 2100.0).value


def _truth() -> tuple[float, float]:
    return _peak(TimeSeries(timestep=DT, dipole=DIPOLE, temperature=300.0))


def _table(path: Path, header: str, *columns: np.ndarray, digits: int = 8) -> Path:
    rows = np.column_stack([*columns, DIPOLE[: len(columns[0])]])
    np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt=f"%.{digits}f")
    return path


def _matches_truth(series: TimeSeries) -> None:
    place, area = _peak(series)
    place_0, area_0 = _truth()
    assert place == pytest.approx(place_0, abs=2.0)
    assert area == pytest.approx(area_0, rel=0.01)


@pytest.mark.parametrize("header", ["", ",x,y,z", "step,x,y,z", "i,mu_x,mu_y,mu_z", "time,x,y,z"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_counter_is_no_time(tmp_path: Path, header: str, first: int) -> None:
    path = _table(tmp_path / "a.csv", header, np.arange(first, N + first))
    with pytest.raises(TrajectoryError, match=r"counts frames or steps.*--timestep"):
        read_time_series(path, dipole_unit="e*Å")
    series = read_time_series(path, dipole_unit="e*Å", timestep=DT)
    assert "Δt = 0.5 fs (from --timestep)" in series.summary
    _matches_truth(series)


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        ("time(ps),mu_x(D),mu_y(D),mu_z(D)", 1e-3), ("time [fs],mu_x [D],mu_y [D],mu_z [D]", 1.0),
        ("t_ps,dipole_x[Debye],dipole_y[Debye],dipole_z[Debye]", 1e-3),
        ("Time (au_time), mu_x (D), mu_y (D), mu_z (D)", 1 / 0.02418884326),
    ],
)  # fmt: skip
def test_units_of_times_and_dipoles_come_from_the_heading(
    tmp_path: Path, header: str, factor: float
) -> None:
    series = read_time_series(_table(tmp_path / "a.csv", header, TIMES * factor))
    assert series.timestep == pytest.approx(DT, rel=1e-6)
    np.testing.assert_allclose(series.dipole, DIPOLE * 0.2081943, rtol=1e-5, atol=1e-8)
    assert "(from column" in series.origins["timestep"]
    assert series.origins["dipole"].startswith("dipole in D")


def test_times_without_a_unit_are_asked_about(tmp_path: Path) -> None:
    path = _table(tmp_path / "a.csv", "time,x,y,z", TIMES)
    with pytest.raises(TrajectoryError, match=r"unit of its times .*--unit time=ps.*--timestep"):
        read_time_series(path, dipole_unit="e*Å")
    _matches_truth(read_time_series(path, dipole_unit="e*Å", units={"time": "fs"}))


def test_a_column_of_steps_beside_the_times_is_left_alone(tmp_path: Path) -> None:
    path = _table(tmp_path / "a.csv", "step,time(fs),x,y,z", 10.0 * np.arange(N), TIMES)
    _matches_truth(read_time_series(path, dipole_unit="e*Å"))


@pytest.mark.parametrize("step", [0.484, 0.2418884, 1.0 / 3.0])
def test_rounded_times_are_even_and_exact_in_the_mean(tmp_path: Path, step: float) -> None:
    path = _table(tmp_path / "a.csv", "time(fs),x,y,z", np.round(step * np.arange(N), 2), digits=4)
    series = read_time_series(path, dipole_unit="e*Å")
    assert series.timestep == pytest.approx(step, rel=2e-5)
    assert series.dipole is not None
    assert len(series.dipole) == N
    explicit = read_time_series(path, dipole_unit="e*Å", timestep=step)
    assert explicit.timestep == step


def test_times_rounded_beyond_use_need_an_explicit_step(tmp_path: Path) -> None:
    path = _table(tmp_path / "a.csv", "time(ps),x,y,z", np.round(1e-3 * TIMES, 3), digits=6)
    with pytest.raises(TrajectoryError, match=r"rounded too coarsely|stands still"):
        read_time_series(path, dipole_unit="e*Å")
    _matches_truth(read_time_series(path, dipole_unit="e*Å", timestep=DT))


def test_the_explicit_step_wins_and_says_so(tmp_path: Path) -> None:
    path = _table(tmp_path / "a.csv", "time(fs),x,y,z", 2.0 * TIMES)
    series = read_time_series(path, dipole_unit="e*Å", timestep=DT)
    _matches_truth(series)
    assert any("0.5 fs as --timestep says, not the 1 fs" in note for note in series.notes)


# -- restarts and gaps ---------------------------------------------------------------------------


def _extxyz(path: Path, times: np.ndarray, dipoles: np.ndarray) -> Path:
    frames = []
    for time, dipole in zip(times, dipoles, strict=True):
        frames.append(
            Atoms("H2", [[0, 0, 0], [0, 0, 0.74]], info={"time_fs": time, "dipole": dipole})
        )
    ase.io.write(path, frames, format="extxyz")
    return path


def test_a_restart_inside_drops_the_frames_that_come_again(tmp_path: Path) -> None:
    """Killed at frame 2100, gone on from the restart file of frame 2000."""
    order = np.r_[:2100, 2000:N]
    series = read_time_series(_extxyz(tmp_path / "a.extxyz", TIMES[order], DIPOLE[order]))
    _matches_truth(series)
    assert series.shape == (1, N)
    assert any("100 repeated frame(s) of 1 restart" in note for note in series.notes)


def test_the_same_run_written_twice_counts_once(tmp_path: Path) -> None:
    order = np.r_[:2000, :2000]
    series = read_time_series(_extxyz(tmp_path / "a.extxyz", TIMES[order], DIPOLE[order]))
    _matches_truth(series)
    assert any("2000 repeated frame(s)" in note for note in series.notes)


def test_frames_written_twice_at_every_restart_are_dropped(tmp_path: Path) -> None:
    order = np.sort(np.r_[np.arange(N), np.arange(0, N, 100)])
    series = read_time_series(_extxyz(tmp_path / "a.extxyz", TIMES[order], DIPOLE[order]))
    _matches_truth(series)
    assert series.shape == (1, N)


def test_a_clock_that_starts_anew_with_other_frames_is_a_second_run(tmp_path: Path) -> None:
    times, dipoles = np.r_[TIMES[:2000], TIMES[:2000]], DIPOLE[np.r_[:2000, 1001:3001]]
    series = read_time_series(_extxyz(tmp_path / "a.extxyz", times, dipoles))
    assert series.shape == (2, 2000)
    assert any("read as 2 separate runs" in note for note in series.notes)
    _matches_truth(series)


def test_a_restart_that_is_not_continued_is_cut(tmp_path: Path) -> None:
    """From frame 2000 on another phase: as when the restart file was another one's."""
    times, dipoles = np.r_[TIMES[:2100], TIMES[2000:N]], DIPOLE[np.r_[:2100, 1013:3013]]
    series = read_time_series(_extxyz(tmp_path / "a.extxyz", times, dipoles))
    assert series.shape[0] == 2
    _matches_truth(series)


@pytest.mark.parametrize(
    ("lost", "pieces"), [([1234], (1, 2765)), ([1333, 1334, 1335, 2668], (3, 1331))]
)
def test_lost_frames_cut_the_run_into_pieces(
    tmp_path: Path, lost: list[int], pieces: tuple[int, int]
) -> None:
    kept = np.delete(np.arange(N), lost)
    series = read_time_series(_extxyz(tmp_path / "a.extxyz", TIMES[kept], DIPOLE[kept]))
    assert any(f"{len(lost)} frame(s) are missing in" in note for note in series.notes)
    assert any("analysed as" in note for note in series.notes)
    assert series.shape == pieces
    _matches_truth(series)


def test_uneven_frames_are_refused(tmp_path: Path) -> None:
    times = TIMES.copy()
    times[1::2] += 0.13
    with pytest.raises(TrajectoryError, match=r"not equally spaced.*0\.37 to 0\.63"):
        read_time_series(_extxyz(tmp_path / "a.extxyz", times, DIPOLE))
    every = np.sort(np.r_[np.arange(0, N, 3), np.arange(1, N, 3)])
    with pytest.raises(TrajectoryError, match="not equally spaced"):
        read_time_series(_extxyz(tmp_path / "b.extxyz", TIMES[every], DIPOLE[every]))


def test_shuffled_frames_are_refused(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(400)
    with pytest.raises(TrajectoryError, match=r"do not ascend|goes back"):
        read_time_series(_extxyz(tmp_path / "a.extxyz", TIMES[order], DIPOLE[order]))


def test_a_restart_from_before_an_earlier_break_forgets_that_break() -> None:
    """A cut inside frames that come again later is no cut of what is kept."""
    steps = np.r_[:300, 200:350, 100:180]  # the second is another run, the third goes on
    raw = RawSeries("a run", {}, time=0.5 * steps, time_unit="fs")
    axis = read_time_axis(raw, len(steps), same=lambda i, j: j == 450)
    assert axis.frames.tolist() == [*range(100), *range(450, 530)]
    assert any("repeated" in note for note in axis.notes)


def test_a_last_digit_that_goes_up_once_is_rounding() -> None:
    """1.00001 in two digits: 500 steps of 1.00 and one of 1.01."""
    clock = np.round(1.00001 * np.arange(501), 2)
    raw = RawSeries("a run", {}, time=clock, time_unit="fs")
    assert read_time_axis(raw, 501).timestep == pytest.approx(1.00001, rel=2e-5)


@settings(max_examples=50, deadline=None)
@given(
    step=st.floats(1e-3, 50.0),
    digits=st.integers(2, 12),
    n=st.integers(50, 3000),
    start=st.floats(0.0, 1e4),
)
def test_any_even_clock_gives_its_spacing(step: float, digits: int, n: int, start: float) -> None:
    times = np.round(start + step * np.arange(n), digits)
    if 10.0**-digits > 0.2 * step:
        return
    raw = RawSeries("a run", {}, time=times, time_unit="fs")
    axis = read_time_axis(raw, n)
    assert axis.timestep == pytest.approx(step, abs=2.1 * 10.0**-digits / (n - 1) + 1e-9 * step)
    assert axis.frames.shape == (n,)


# -- H5MD ------------------------------------------------------------------------------------------


def _h5md(path: Path) -> Path:
    strides = {"dipole": 1}
    with TrajectoryWriter.create(
        path, System.of(Atoms("HCl", [[0, 0, 0], [0, 0, 1.3]])), strides
    ) as w:
        for step in range(N):
            w.write(step, DT * step, {"dipole": DIPOLE[step]})
    return path


def _change(path: Path, element: str, name: str | None) -> None:
    """Take the attribute ``unit`` away, or rename it."""
    with h5py.File(path, "r+") as file:
        attributes = file[f"observables/dipole/{element}"].attrs
        unit = attributes["unit"]
        del attributes["unit"]
        if name is not None:
            attributes[name] = unit


def test_h5md_with_the_attribute_units_is_read_all_the_same(tmp_path: Path) -> None:
    path = _h5md(tmp_path / "a.h5")
    _change(path, "time", "units")
    _change(path, "value", "units")
    _matches_truth(read_time_series(path))


def test_h5md_without_units_is_asked_about(tmp_path: Path) -> None:
    path = _h5md(tmp_path / "a.h5")
    _change(path, "time", None)
    with pytest.raises(TrajectoryError, match=r"unit of its times.*is unknown.*--unit time=ps"):
        read_time_series(path)
    _matches_truth(read_time_series(path, timestep=DT))
    _matches_truth(read_time_series(path, units={"time": "fs"}))
    _change(path, "value", None)
    with pytest.raises(TrajectoryError, match="--dipole-unit"):
        read_time_series(path, timestep=DT)


def test_an_explicit_step_and_unit_act_on_h5md_and_say_so(tmp_path: Path) -> None:
    path = _h5md(tmp_path / "a.h5")
    series = read_time_series(path, timestep=0.25, dipole_unit="Debye")
    assert series.timestep == 0.25
    np.testing.assert_allclose(series.dipole, DIPOLE * 0.2081943, rtol=1e-6)
    assert any("not the 0.5 fs" in note for note in series.notes)
    assert any("taken in Debye, as you say, not in e Angstrom" in note for note in series.notes)
