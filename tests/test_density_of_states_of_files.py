"""Densities of states of trajectory files: from velocities, and from positions alone."""

from __future__ import annotations

from pathlib import Path

import ase.io
import known_signal
import numpy as np
import pytest
from ase import Atoms, units
from known_signal import DIPOLE, FLUX, LINES, N_FRAMES, POSITIONS
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import TrajectoryError
from painn_ase.spectra import Spectrum, load_spectrum, power
from painn_ase.trajectory import read_motion

#: share of each line in the density of states: Σ v² of a line over that of all
_SHARES = np.mean(FLUX**2, axis=0) / np.mean(FLUX**2) / 3.0


def _check(spectrum: Spectrum) -> None:
    assert spectrum.band_area().value == pytest.approx(6.0, rel=1e-6)  # 3 n_atoms
    for share, wavenumber in zip(_SHARES, LINES, strict=True):
        area = spectrum.band_area(wavenumber - 300.0, wavenumber + 300.0).value
        assert area == pytest.approx(6.0 * share, rel=0.02)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cp2k_positions", {}),
        ("orca_positions", {}),
        ("lammps_unwrapped", {}),
        ("xdatcar", {"timestep": 0.5}),
        ("schnetpack_md", {}),
        ("xtc", {}),
        ("trr", {}),
    ],
)
def test_any_trajectory_has_a_density_of_states(name: str, options: dict, tmp_path: Path) -> None:
    if name in ("xtc", "trr"):
        pytest.importorskip("MDAnalysis")
    path = getattr(known_signal, name)(tmp_path)
    series = read_motion(path, **options)
    _check(power(series, resolution=100.0))
    assert (series.velocities is None) == (name not in ("schnetpack_md", "trr"))
    unweighted = any("same mass" in note for note in series.notes)
    assert unweighted == (series.numbers is None)


def test_an_ase_trajectory_has_one_of_its_velocities(tmp_path: Path) -> None:
    frames = []
    for n in range(N_FRAMES):
        atoms = Atoms("OH", POSITIONS[n], info={"time_fs": 0.5 * n})
        atoms.set_velocities(np.stack([np.zeros(3), FLUX[n]]) / units.fs)
        frames.append(atoms)
    ase.io.write(tmp_path / "run.extxyz", frames)
    _check(power(read_motion(tmp_path / "run.extxyz"), resolution=100.0))


def test_a_dipole_series_has_none(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "dipole.csv", DIPOLE)
    with pytest.raises(TrajectoryError, match="--power"):
        read_motion(tmp_path / "dipole.csv", timestep=0.5)


def test_the_command_line_makes_one_of_an_xtc(tmp_path: Path) -> None:
    pytest.importorskip("MDAnalysis")
    path = known_signal.xtc(tmp_path)
    folder = tmp_path / "out"
    arguments = ["spectrum", str(path), "--power", "--resolution", "100", "-o", str(folder)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "same mass" in result.output
    _check(load_spectrum(folder / "power.csv"))
    assert (folder / "spectra.png").stat().st_size > 5000
    named = [
        *arguments[:-1],
        str(tmp_path / "b"),
        "--topology",
        str(known_signal.topology(tmp_path)),
    ]
    result = CliRunner().invoke(app, named)
    assert result.exit_code == 0, result.output
    assert "same mass" not in result.output
