"""Densities of states of trajectory files: from velocities, and from positions alone."""

from __future__ import annotations

from pathlib import Path

import ase.io
import known_signal
import numpy as np
import pytest
from ase import Atoms, units
from known_signal import DIPOLE, FLUX, LINES, N_FRAMES, POSITIONS

from painn_ase.errors import TrajectoryError
from painn_ase.spectra import Spectrum
from painn_ase.trajectory.settle import SeriesOptions
from painn_ase.workflow import density_of_states

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
    spectrum, series = density_of_states(path, SeriesOptions(**options), resolution=100.0)
    _check(spectrum)
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
    _check(density_of_states(tmp_path / "run.extxyz", resolution=100.0)[0])


def test_a_dipole_series_has_none(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "dipole.csv", DIPOLE)
    with pytest.raises(TrajectoryError, match="--power"):
        density_of_states(tmp_path / "dipole.csv", SeriesOptions(timestep=0.5))
