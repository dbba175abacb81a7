"""HDF5 collections and DeePMD folders: the same labelled structure from each."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from ase.build import bulk, molecule

from painn_ase import units as u
from painn_ase.errors import DataError, MissingDependencyError
from painn_ase.training.readers import KeysSpec, UnitsSpec, read_file, read_frames
from painn_ase.trajectory import System, TrajectoryWriter

N = 3
WATER = molecule("H2O")
RNG = np.random.default_rng(0)
POSITIONS = WATER.positions + 0.05 * RNG.normal(size=(N, 3, 3))
ENERGY = RNG.normal(size=N) - 2000.0
FORCES = RNG.normal(size=(N, 3, 3))
DIPOLE = RNG.normal(size=(N, 3))
ALPHA = RNG.normal(size=(N, 3, 3))
_HARTREE, _BOHR = u.hartree_to_ev, u.bohr_to_angstrom


def _spice(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("water")
        group["atomic_numbers"] = WATER.numbers
        group["conformations"] = POSITIONS / _BOHR
        group["dft_total_energy"] = ENERGY / _HARTREE
        group["dft_total_gradient"] = -FORCES / (_HARTREE / _BOHR)
        group["scf_dipole"] = DIPOLE / _BOHR
        group["mbis_charges"] = np.tile([[-0.8], [0.4], [0.4]], (N, 1, 1))
        group["smiles"] = [b"[O:1]([H:2])[H:3]"]


def _qm7x(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for n in range(N):
            group = file.create_group(f"1/Geom-m1-i1-c1-{n}")
            group["atNUM"] = WATER.numbers
            group["atXYZ"] = POSITIONS[n]
            group["ePBE0+MBD"] = [ENERGY[n]]
            group["totFOR"] = FORCES[n]
            group["vDIP"] = DIPOLE[n]
            group["mTPOL"] = ALPHA[n].reshape(9) / u.bohr3_to_e2_angstrom2_per_ev


def _ani(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("H2O1")
        group["atomic_numbers"] = WATER.numbers
        group["coordinates"] = POSITIONS
        group["wb97x_dz.energy"] = ENERGY / _HARTREE
        group["wb97x_dz.forces"] = FORCES / _HARTREE
        group["wb97x_dz.dipole"] = DIPOLE


def _own(path: Path) -> None:
    names = ("positions", "forces", "potential_energy", "dipole", "polarizability")
    with TrajectoryWriter.create(path, System.of(WATER), dict.fromkeys(names, 1)) as writer:
        for n in range(N):
            values = (POSITIONS[n], FORCES[n], ENERGY[n], DIPOLE[n], ALPHA[n])
            writer.write(n, 0.5 * n, dict(zip(names, values, strict=True)))


@pytest.mark.parametrize("write", [_spice, _qm7x, _ani, _own])
def test_collections_come_in_the_packages_units(write, tmp_path: Path) -> None:
    write(tmp_path / "set.h5")
    frames = read_frames(tmp_path / "set.h5")
    assert len(frames) == N
    for n, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.numbers, WATER.numbers)
        np.testing.assert_allclose(frame.positions, POSITIONS[n], atol=1e-7)
        assert frame.energy == pytest.approx(ENERGY[n])
        np.testing.assert_allclose(frame.forces, FORCES[n], atol=1e-9)
        np.testing.assert_allclose(frame.dipole, DIPOLE[n], atol=1e-9)
        if write in (_qm7x, _own):
            np.testing.assert_allclose(frame.polarizability, ALPHA[n], atol=1e-9)
        assert frame.charge == 0.0
    with pytest.raises(DataError, match="laid down"):
        read_frames(tmp_path / "set.h5", units=UnitsSpec(energy="Hartree"))


def test_a_database_says_its_units(tmp_path: Path) -> None:
    from ase.db import connect

    path = tmp_path / "set.db"
    with connect(path) as database:
        database.metadata = {
            "_distance_unit": "Bohr",
            "_property_unit_dict": {"energy": "kcal/mol", "forces": "Hartree/Bohr",
                                    "dipole_moment": "Debye", "polarizability": "a0 a0 a0"},
        }  # fmt: skip
        for n in range(N):
            atoms = WATER.copy()
            atoms.positions = POSITIONS[n] / _BOHR
            data = {
                "energy": np.array([ENERGY[n] / u.kcal_per_mol_to_ev]),
                "forces": FORCES[n] / (_HARTREE / _BOHR),
                "dipole_moment": DIPOLE[n] / u.debye_to_e_angstrom,
                "polarizability": ALPHA[n] / u.bohr3_to_e2_angstrom2_per_ev,
            }
            database.write(atoms, data=data)
    for n, frame in enumerate(read_frames(path)):
        np.testing.assert_allclose(frame.positions, POSITIONS[n], atol=1e-7)
        assert frame.energy == pytest.approx(ENERGY[n])
        np.testing.assert_allclose(frame.forces, FORCES[n], atol=1e-9)
        np.testing.assert_allclose(frame.dipole, DIPOLE[n], atol=1e-9)
        np.testing.assert_allclose(frame.polarizability, ALPHA[n], atol=1e-9)
    with pytest.raises(DataError, match="says its units"):
        read_frames(path, units=UnitsSpec(energy="Hartree"))


def test_a_missing_label_of_ani_is_missing(tmp_path: Path) -> None:
    _ani(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file["H2O1/wb97x_dz.dipole"][1] = np.nan
    frames = read_frames(tmp_path / "set.h5")
    assert [frame.dipole is None for frame in frames] == [False, True, False]


def test_another_energy_of_a_collection_is_a_key(tmp_path: Path) -> None:
    _spice(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file["water/formation_energy"] = np.array([1.0, 2.0, 3.0]) / _HARTREE
    frames = read_frames(tmp_path / "set.h5", KeysSpec(energy="formation_energy"))
    assert [frame.energy for frame in frames] == pytest.approx([1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="'nothing'"):
        read_frames(tmp_path / "set.h5", KeysSpec(energy="nothing"))


def test_an_unknown_collection_is_read_with_keys_and_units(tmp_path: Path) -> None:
    path = tmp_path / "other.hdf5"
    with h5py.File(path, "w") as file:
        group = file.create_group("a/b")
        group["elements"], group["xyz"], group["U"] = WATER.numbers, POSITIONS, ENERGY / _HARTREE
    with pytest.raises(DataError, match="elements"):
        read_frames(path)
    keys = KeysSpec(numbers="elements", positions="xyz", energy="U")
    frames = read_frames(path, keys, UnitsSpec(energy="Hartree"))
    assert [frame.energy for frame in frames] == pytest.approx(list(ENERGY))


def _deepmd(folder: Path, periodic: bool = True) -> None:
    silicon = bulk("Si")
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_text("0\n0\n")
    (folder / "type_map.raw").write_text("Si\n")
    if not periodic:
        (folder / "nopbc").write_text("")
    arrays = {
        "coord": np.tile(silicon.positions.reshape(1, 6), (N, 1)),
        "box": np.tile(silicon.cell.array.reshape(1, 9), (N, 1)),
        "energy": ENERGY,
        "force": FORCES[:, :2].reshape(N, 6),
        "virial": np.tile(np.eye(3).reshape(1, 9), (N, 1)),
        "dipole": DIPOLE,
    }
    for name, values in arrays.items():
        np.save(folder / "set.000" / f"{name}.npy", values)


def test_a_deepmd_folder_has_energies_forces_stress_and_dipoles(tmp_path: Path) -> None:
    pytest.importorskip("dpdata")
    _deepmd(tmp_path / "system")
    frames = read_frames(tmp_path / "system", units=UnitsSpec(dipole="Debye"))
    assert len(frames) == N
    for n, frame in enumerate(frames):
        assert frame.numbers.tolist() == [14, 14]
        assert frame.pbc.all()
        assert frame.energy == pytest.approx(ENERGY[n])
        np.testing.assert_allclose(frame.forces, FORCES[n, :2], atol=1e-6)
        # the virial is −dE/dε, the stress (1/V) dE/dε
        np.testing.assert_allclose(frame.stress, -np.eye(3) / bulk("Si").cell.volume, atol=1e-9)
        np.testing.assert_allclose(frame.dipole, DIPOLE[n] * u.debye_to_e_angstrom, atol=1e-6)
    _deepmd(tmp_path / "cluster", periodic=False)
    assert not read_frames(tmp_path / "cluster")[0].pbc.any()


def test_a_damaged_deepmd_folder_is_our_error(tmp_path: Path) -> None:
    pytest.importorskip("dpdata")
    _deepmd(tmp_path / "system")
    (tmp_path / "system/set.000/force.npy").write_bytes(b"\x93NUMPY nothing")
    with pytest.raises(DataError, match="DeePMD"):
        read_frames(tmp_path / "system")


def test_without_dpdata_the_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    _deepmd(tmp_path / "system")
    monkeypatch.setitem(sys.modules, "dpdata", None)
    with pytest.raises(MissingDependencyError, match=r"painn_ase\[formats\]"):
        read_frames(tmp_path / "system")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_collection_is_our_error(share: float, tmp_path: Path) -> None:
    _spice(tmp_path / "whole.h5")
    data = (tmp_path / "whole.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"cut\.h5"):
        read_file(tmp_path / "cut.h5")
