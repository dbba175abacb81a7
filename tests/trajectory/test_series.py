"""Time series from other programs' files, and export."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from painn_ase import units
from painn_ase.errors import TrajectoryError
from painn_ase.trajectory import (
    System,
    TrajectoryReader,
    TrajectoryWriter,
    export_extxyz,
    iterate_frames,
    read_time_series,
)

DIPOLES = np.random.default_rng(0).normal(size=(7, 3))
TENSORS = np.random.default_rng(1).normal(size=(7, 3, 3))


def _frames():
    for dipole, tensor in zip(DIPOLES, TENSORS, strict=True):
        atoms = molecule("H2O")
        atoms.calc = SinglePointCalculator(atoms, energy=1.0, dipole=dipole)
        atoms.info["polarizability"] = tensor.reshape(9)
        yield atoms


@pytest.mark.parametrize("suffix", [".traj", ".extxyz", ".xyz"])
def test_dipoles_of_an_ase_run(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run{suffix}"
    ase.io.write(path, list(_frames()))
    series = read_time_series(path, timestep=0.5, polarizability_unit="e^2*Å^2/eV")
    np.testing.assert_allclose(series.dipole, DIPOLES, atol=1e-7)
    np.testing.assert_allclose(series.polarizability, TENSORS, atol=1e-7)
    assert series.timestep == 0.5
    assert "dipole in e*Angstrom (from key 'dipole', ASE's convention)" in series.summary
    with pytest.raises(TrajectoryError, match="timestep"):
        read_time_series(path, polarizability_unit="Å^3")
    with pytest.raises(
        TrajectoryError, match=r"polarizability.*--polarizability-unit.*Angstrom\^3"
    ):
        read_time_series(path, timestep=0.5)


def test_plain_tables(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", DIPOLES)
    np.savetxt(tmp_path / "d.csv", DIPOLES, delimiter=",", header="x,y,z", comments="")
    times = np.arange(7)[:, None] * 0.5
    np.savetxt(tmp_path / "a.txt", np.hstack([times, TENSORS.reshape(7, 9)]))
    np.savez(tmp_path / "b.npz", dipole_flux=DIPOLES, polarizability=TENSORS, timestep=0.25)
    for name in ("d.npy", "d.csv"):
        with pytest.raises(TrajectoryError, match=r"unit its dipole.*--dipole-unit.*Debye"):
            read_time_series(tmp_path / name, timestep=1)
        series = read_time_series(tmp_path / name, timestep=1, dipole_unit="e*Å")
        np.testing.assert_allclose(series.dipole, DIPOLES)
    tensors = read_time_series(
        tmp_path / "a.txt", units={"time": "fs"}, polarizability_unit="e2_angstrom2_per_ev"
    )
    assert tensors.timestep == pytest.approx(0.5)
    np.testing.assert_allclose(tensors.polarizability, TENSORS)
    both = read_time_series(
        tmp_path / "b.npz", dipole_unit="e_angstrom", polarizability_unit="angstrom3"
    )
    assert both.timestep == 0.25
    np.testing.assert_allclose(both.dipole_flux, DIPOLES * units.ase_time_to_fs)


def test_units_of_plain_files(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", DIPOLES)
    series = read_time_series(tmp_path / "d.npy", timestep=1.0, dipole_unit="debye")
    np.testing.assert_allclose(series.dipole, DIPOLES * 0.2081943, rtol=1e-6)
    symmetric = TENSORS + TENSORS.swapaxes(1, 2)
    np.save(tmp_path / "a.npy", symmetric)
    series = read_time_series(tmp_path / "a.npy", timestep=1.0, polarizability_unit="angstrom3")
    np.testing.assert_allclose(series.polarizability * 14.399645, symmetric, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", b"not numpy"),
        ("a.npz", b"PK\x03\x04broken"),
        ("a.csv", b"1,2\n3,4\n"),
        ("a.txt", b"1 2 3\n1 2\n"),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.traj", b"- of Ulm"),
        ("a.extxyz", b"3\nLattice\nH 0 0\n"),
        ("a.extxyz", 2 * b'1\ndipole="0 0 1" pbc="T T T"\nH 0 0 0\n'),
        ("a.csv", b"1,2,nan\n3,4,5\n"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(50)),
    ],
)
def test_broken_files_are_our_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrajectoryError):
        read_time_series(tmp_path / name, timestep=1.0)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(TrajectoryError):
        read_time_series(tmp_path / "p.npy", timestep=1.0)


def test_truncated_traj_gives_its_good_frames_first(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "run.traj", list(_frames()))
    content = (tmp_path / "run.traj").read_bytes()
    (tmp_path / "cut.traj").write_bytes(content[: len(content) // 2])
    with pytest.raises(TrajectoryError, match=r"cut\.traj"):
        list(iterate_frames(tmp_path / "cut.traj"))


def test_export_to_extxyz_is_read_by_ase(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    strides = {"positions": 1, "velocities": 1, "dipole": 1, "polarizability": 1}
    with TrajectoryWriter.create(tmp_path / "a.h5", System.of(atoms), strides) as writer:
        for step in range(7):
            frame = {"positions": atoms.positions + step, "velocities": atoms.positions}
            frame |= {"dipole": DIPOLES[step], "polarizability": TENSORS[step]}
            writer.write(step, 0.5 * step, frame)
    assert export_extxyz(tmp_path / "a.h5", tmp_path / "a.extxyz") == 7
    frames = ase.io.read(tmp_path / "a.extxyz", index=":")
    np.testing.assert_allclose(frames[3].positions, atoms.positions + 3, atol=1e-7)
    np.testing.assert_allclose(frames[3].get_velocities(), atoms.positions, atol=1e-6)
    series = read_time_series(tmp_path / "a.extxyz")
    assert series.timestep == pytest.approx(0.5)
    np.testing.assert_allclose(series.dipole, DIPOLES, atol=1e-7)
    np.testing.assert_allclose(series.polarizability, TENSORS, atol=1e-7)


def test_h5md_series_carries_segments_of_replicas(tmp_path: Path) -> None:
    system = System.of(molecule("H2O"), n_replicas=2)
    strides = {"dipole_flux": 2, "temperature": 2}
    with TrajectoryWriter.create(tmp_path / "k.h5", system, strides) as writer:
        for step in range(0, 8, 2):
            flux = np.full((2, 3), step)
            flux[1] += 1
            writer.write(step, 0.5 * step, {"dipole_flux": flux, "temperature": [300.0, 320.0]})
    series = read_time_series(tmp_path / "k.h5")
    assert series.dipole_flux is not None
    assert series.dipole_flux.shape == (2, 4, 3)
    assert series.timestep == 1.0
    assert series.temperature == 310.0
    np.testing.assert_allclose(series.dipole_flux[1, :, 0], [1, 3, 5, 7])


def test_missing_dipole_names_the_remedy(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    with TrajectoryWriter.create(tmp_path / "a.h5", System.of(atoms), {"positions": 1}) as writer:
        writer.write(0, 0.0, {"positions": atoms.positions})
    with pytest.raises(TrajectoryError, match="evaluate"):
        read_time_series(tmp_path / "a.h5")
    with (
        TrajectoryReader(tmp_path / "a.h5") as reader,
        pytest.raises(TrajectoryError, match="evaluate"),
    ):
        reader.read("dipole")
