"""The lag-window estimator equals another program, TRAVIS, point for point."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from painn_ase.spectra import Spectrum, depolarisation_ratio, infrared, raman
from painn_ase.units import debye_to_e_angstrom, e2_angstrom2_per_ev_to_angstrom3

COMPONENTS = ("iso", "aniso", "vv", "vh", "unpolarised")
BANDS = ((1500.0, 1800.0), (3700.0, 3888.0), (3888.0, 4050.0))
#: harmonic intensities of the surface the series was made on, km/mol
HARMONIC = (72.8306, 4.43336, 62.3102)
SETTINGS = {"timestep": 1.0, "temperature": 1.0, "estimator": "lag", "depth": 4096}


def _raman(series: np.ndarray, component: str, **settings: object) -> Spectrum:
    return raman(
        input_unit="Angstrom^3",
        polarizability=series,
        component=component,  # type: ignore[arg-type]
        laser_wavenumber=20000.0,
        **{**SETTINGS, **settings},  # type: ignore[arg-type]
    )


def _distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    n = min(len(ours), len(theirs))
    return float(np.max(np.abs(ours[:n] - theirs[:n])) / np.max(np.abs(theirs[:n])))


def test_infrared_equals_travis_point_for_point(water_series) -> None:
    ours = infrared(input_unit="e*Angstrom", dipole=water_series.dipole, **SETTINGS)
    assert _distance(ours.intensity, water_series.travis["ir"]) < 1e-5


@pytest.mark.parametrize("component", COMPONENTS)
def test_raman_equals_travis_point_for_point(water_series, component: str) -> None:
    ours = _raman(water_series.polarizability, component)
    # ours starts at the first wavenumber above zero
    assert _distance(ours.intensity, water_series.travis[component][1:]) < 1e-5


def test_depolarisation_ratio_equals_travis_where_there_is_light(water_series) -> None:
    vv = _raman(water_series.polarizability, "vv")
    vh = _raman(water_series.polarizability, "vh")
    theirs = water_series.travis["depolarisation"][1:]
    lit = vv.intensity[: len(theirs)] > 1e-3 * vv.intensity.max()
    ratio = vh.intensity[: len(theirs)][lit] / vv.intensity[: len(theirs)][lit]
    np.testing.assert_allclose(ratio, theirs[lit], rtol=1e-4)
    for (low, high), expected in zip(BANDS, (0.7301, 0.04449, 0.7498), strict=True):
        assert depolarisation_ratio(vh, vv, low, high).value == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("estimator", ["lag", "segments"])
def test_band_areas_are_the_harmonic_intensities(water_series, estimator: str) -> None:
    ours = infrared(
        input_unit="e*Angstrom",
        dipole=water_series.dipole,
        timestep=1.0,
        temperature=1.0,
        estimator=estimator,  # type: ignore[arg-type]
        depth=4096 if estimator == "lag" else 2048,
    )
    for (low, high), expected in zip(BANDS, HARMONIC, strict=True):
        assert ours.band_area(low, high).value == pytest.approx(expected, rel=5e-3)


# ---------------------------------------------------------------------- live

needs_travis = pytest.mark.skipif(shutil.which("travis") is None, reason="travis is not installed")


def _run_travis(folder: Path, arguments: list[str], answers: list[str]) -> None:
    (folder / "answers.txt").write_text("\n".join(answers + [""] * 12) + "\n")
    command = ["travis", "-nocolor", *arguments, "-i", "answers.txt"]
    # a home of its own: travis writes a configuration file there
    done = subprocess.run(
        command,
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    assert b"The End" in done.stdout, done.stdout[-2000:]


def _fresh_motion(n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A tumbling oscillator with two modes and friction-like dephasing: dipole, polarizability."""
    rng = np.random.default_rng(7)
    t = np.arange(n_frames)
    phases = np.cumsum(rng.normal(scale=0.03, size=(2, n_frames)), axis=1)
    q = np.cos(2.0 * np.pi * 2.998e-5 * np.array([[1100.0], [2300.0]]) * t + phases)
    angle = np.cumsum(rng.normal(scale=0.01, size=n_frames))
    axis = np.stack([np.cos(angle), np.sin(angle), 0.0 * angle], axis=1)
    dipole = (0.3 + 0.02 * q[0] + 0.01 * q[1])[:, None] * axis
    dyad = axis[:, :, None] * axis[:, None, :]
    mean = (1.5 + 0.01 * q[1])[:, None, None] * np.eye(3)
    return dipole, mean + (0.4 + 0.02 * q[0])[:, None, None] * dyad


@needs_travis
def test_raman_equals_travis_run_live(tmp_path: Path) -> None:
    _, polarizability = _fresh_motion(4096)
    np.savetxt(tmp_path / "pol.txt", polarizability.reshape(-1, 9), fmt="%.14e")
    # 1 Å³ in e·pm²/V, the unit that travis asks for
    factor = 1e4 / e2_angstrom2_per_ev_to_angstrom3
    answers = ["1", "1", "0", f"{factor:.10f}", "1.0", "1024", "", "", "5000", "", "", "n", ""]
    answers += ["20000", "300", "", "300"]
    _run_travis(tmp_path, ["-ramanfrompola", "pol.txt"], answers)
    settings = {"temperature": 300.0, "depth": 1024}
    for ours, name in (("iso", "iso"), ("aniso", "aniso"), ("vv", "para"), ("vh", "ortho")):
        table = np.loadtxt(tmp_path / f"spectrum_raman_{name}_import.csv", delimiter=";")
        spectrum = _raman(polarizability, ours, **settings)
        at = np.isin(np.round(spectrum.frequency, 2), np.round(table[:, 0], 2))
        assert at.sum() > 1000
        assert _distance(spectrum.intensity, table[1:, 1]) < 1e-4


@needs_travis
def test_infrared_equals_travis_run_live(tmp_path: Path) -> None:
    dipole, _ = _fresh_motion(4096)
    np.savetxt(tmp_path / "dipole.txt", dipole / debye_to_e_angstrom, fmt="%.14e")
    frame = "3\n\nO 5.0 5.0 5.0\nH 5.0 5.757 5.587\nH 5.0 4.243 5.587\n"
    (tmp_path / "still.xyz").write_text(frame * len(dipole))
    # advanced mode, no cell, ten defaults, infrared, 1 fs, dipoles from the file
    answers = ["y", "0", *[""] * 9, "ir", "", "1.0", "", "y", "2", "dipole.txt", "", "1024"]
    _run_travis(tmp_path, ["-p", "still.xyz"], answers)
    table = np.loadtxt(tmp_path / "ir_spectrum_H2O.csv", delimiter=";")
    ours = infrared(
        input_unit="e*Angstrom",
        dipole=dipole,
        timestep=1.0,
        temperature=1.0,
        estimator="lag",
        depth=1024,
    )
    assert _distance(ours.intensity, table[:, 1]) < 1e-4
