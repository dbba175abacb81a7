"""Readers: every format gives the same frames, units are applied once, bad input is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.db import connect
from ase.units import Bohr, Debye, GPa, Hartree, kcal, kJ, mol
from small_runs import make_springs, write_frames

from painn_ase.errors import DataError
from painn_ase.training import KeysSpec, UnitsSpec, read_frames
from painn_ase.training.frames import LabeledFrame, frames_hash, label_counts
from painn_ase.training.readers import read_file
from painn_ase.units import coulomb_constant

CUBIC = UnitsSpec(polarizability="Angstrom^3")
EV = UnitsSpec(energy="eV")


def labelled(n: int = 4, periodic: bool = False) -> list[Atoms]:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(n):
        atoms = Atoms("OH2", rng.normal(size=(3, 3)), cell=[6, 7, 8] if periodic else None)
        atoms.pbc = periodic
        results = {
            "energy": rng.normal(),
            "forces": rng.normal(size=(3, 3)),
            "dipole": rng.normal(size=3),
        }
        if periodic:
            results["stress"] = rng.normal(size=6)
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info["polarizability"] = (np.eye(3) * rng.uniform(1, 2)).reshape(9)
        images.append(atoms)
    return images


def write_npz(path: Path, images: list[Atoms], **more: np.ndarray) -> Path:
    results = [a.calc.results for a in images]
    np.savez(
        path,
        R=np.array([a.positions for a in images]),
        z=images[0].numbers,
        E=np.array([r["energy"] for r in results]),
        F=np.array([r["forces"] for r in results]),
        **more,
    )
    return path


def assert_same(frames: list[LabeledFrame], images: list[Atoms]) -> None:
    assert len(frames) == len(images)
    for frame, atoms in zip(frames, images, strict=True):
        np.testing.assert_allclose(frame.positions, atoms.positions, atol=1e-7)
        assert frame.energy == pytest.approx(atoms.calc.results["energy"], abs=1e-7)
        np.testing.assert_allclose(frame.forces, atoms.calc.results["forces"], atol=1e-7)


def test_extxyz_traj_database_and_npz_give_the_same_frames(tmp_path: Path) -> None:
    images = labelled()
    ase.io.write(tmp_path / "a.extxyz", images)
    ase.io.write(tmp_path / "a.traj", images)
    with connect(tmp_path / "a.db") as database:
        for atoms in images:
            database.write(atoms, data={"polarizability": atoms.info["polarizability"]})
    write_npz(tmp_path / "a.npz", images)
    stated = replace(CUBIC, energy="eV")
    for name, units in (("a.extxyz", CUBIC), ("a.traj", CUBIC), ("a.db", CUBIC), ("a.npz", stated)):
        assert_same(read_frames(tmp_path / name, units=units), images)


def test_units_are_converted_to_those_of_the_package(tmp_path: Path) -> None:
    (atoms,) = labelled(1)
    ase.io.write(tmp_path / "a.extxyz", atoms)
    units = UnitsSpec(energy="kcal/mol", length="Bohr", dipole="Debye", polarizability="Angstrom^3")
    (frame,) = read_frames(tmp_path / "a.extxyz", units=units)
    results = atoms.calc.results
    assert frame.energy == pytest.approx(results["energy"] * kcal / mol, rel=1e-7)
    np.testing.assert_allclose(frame.positions, atoms.positions * Bohr, rtol=1e-6)
    np.testing.assert_allclose(frame.forces, results["forces"] * kcal / mol / Bohr, rtol=1e-6)
    np.testing.assert_allclose(frame.dipole, results["dipole"] * Debye, rtol=1e-6)
    expected = atoms.info["polarizability"].reshape(3, 3) / coulomb_constant
    np.testing.assert_allclose(frame.polarizability, expected, rtol=1e-7)


def test_forces_may_have_a_unit_of_their_own(tmp_path: Path) -> None:
    (atoms,) = labelled(1)
    ase.io.write(tmp_path / "a.extxyz", atoms)
    units = UnitsSpec(energy="Hartree", forces="Hartree/Bohr", polarizability="a.u.")
    (frame,) = read_frames(tmp_path / "a.extxyz", units=units)
    np.testing.assert_allclose(
        frame.forces, atoms.calc.results["forces"] * Hartree / Bohr, rtol=1e-6
    )
    expected = atoms.info["polarizability"].reshape(3, 3) * Bohr**3 / coulomb_constant
    np.testing.assert_allclose(frame.polarizability, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("label", "unit", "factor"),
    [
        ("energy", "kJ/mol", kJ / mol),
        ("energy", "Hartree", Hartree),
        ("forces", "kcal/mol/Angstrom", kcal / mol),
        ("forces", "Hartree/Angstrom", Hartree),
        ("stress", "GPa", GPa),
        ("dipole", "Debye", Debye),
        ("dipole", "a.u.", Bohr),
        ("polarizability", "Angstrom^3", 1 / coulomb_constant),
        ("polarizability", "a.u.", Bohr**3 / coulomb_constant),
        ("polarizability", "e^2*Angstrom^2/eV", 1.0),
    ],
)
def test_every_unit_is_the_one_of_ase(label: str, unit: str, factor: float) -> None:
    assert UnitsSpec(**{label: unit}).factor(label) == pytest.approx(factor, rel=1e-7)
    assert UnitsSpec(**{label: unit}).name_of(label) == unit


def test_forces_and_stress_follow_the_units_of_energy_and_length() -> None:
    units = UnitsSpec(energy="kcal/mol", length="Bohr")
    assert units.factor("forces") == pytest.approx(kcal / mol / Bohr, rel=1e-7)
    assert units.factor("stress") == pytest.approx(kcal / mol / Bohr**3, rel=1e-7)
    assert units.name_of("forces") == "kcal/mol/Bohr"
    assert units.name_of("polarizability") == "?"


def test_a_file_says_under_which_keys_its_labels_are(tmp_path: Path) -> None:
    images = labelled(2)
    write_npz(tmp_path / "a.npz", images, theory=np.array([1, 2]))
    found = read_file(tmp_path / "a.npz", units=EV)
    assert found.keys == {"energy": "E", "forces": "F"}
    assert found.unread == ("theory",)
    ase.io.write(tmp_path / "a.traj", images)
    found = read_file(tmp_path / "a.traj", units=CUBIC)
    assert found.keys["polarizability"] == "polarizability"
    assert found.unread == ()


def test_polarizability_without_a_stated_unit_is_refused(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.extxyz", labelled(1))
    with pytest.raises(DataError, match="unit is not stated"):
        read_frames(tmp_path / "a.extxyz")


def test_an_archive_is_asked_for_its_unit_of_energy(tmp_path: Path) -> None:
    """MD17's hold kcal/mol and look like any other."""
    images = labelled(2)
    path = write_npz(tmp_path / "md17.npz", images)
    with pytest.raises(DataError, match=r"MD17 .*kcal/mol"):
        read_frames(path)
    frame = read_frames(path, units=UnitsSpec(energy="kcal/mol"))[0]
    results = images[0].calc.results
    assert frame.energy == pytest.approx(results["energy"] * kcal / mol, rel=1e-7)
    np.testing.assert_allclose(frame.forces, results["forces"] * kcal / mol, rtol=1e-7)


def write_database(path: Path, images: list[Atoms], units: dict[str, str], distance: str) -> Path:
    """As SchNetPack writes them."""
    with connect(path) as database:
        for atoms in images:
            results = atoms.calc.results
            data = {"energy": np.array([results["energy"]]), "forces": results["forces"]}
            data["dipole_moment"] = results["dipole"]
            database.write(Atoms(atoms.numbers, atoms.positions), data=data)
        database.metadata = {"_property_unit_dict": units, "_distance_unit": distance}
    return path


def test_units_in_a_databases_metadata_are_read(tmp_path: Path) -> None:
    images = labelled(2)
    units = {"energy": "kcal/mol", "forces": "kcal/mol/Ang", "dipole_moment": "Debye"}
    path = write_database(tmp_path / "a.db", images, units, "Bohr")
    keys = KeysSpec(dipole="dipole_moment")
    found = read_file(path, keys)
    results, frame = images[0].calc.results, found.frames[0]
    assert frame.energy == pytest.approx(results["energy"] * kcal / mol, rel=1e-7)
    np.testing.assert_allclose(frame.forces, results["forces"] * kcal / mol, rtol=1e-7)
    np.testing.assert_allclose(frame.dipole, results["dipole"] * Debye, rtol=1e-7)
    np.testing.assert_allclose(frame.positions, images[0].positions * Bohr, rtol=1e-6)
    with pytest.raises(DataError, match="says its units"):
        read_file(path, keys, UnitsSpec(energy="eV"))


def test_an_unknown_unit_in_a_databases_metadata_is_named(tmp_path: Path) -> None:
    path = write_database(tmp_path / "a.db", labelled(1), {"energy": "furlong"}, "Ang")
    with pytest.raises(DataError, match="furlong"):
        read_frames(path)


@pytest.mark.parametrize(
    ("order", "components"),
    [
        ("voigt", ("xx", "yy", "zz", "yz", "xz", "xy")),
        ("vasp", ("xx", "yy", "zz", "xy", "yz", "xz")),
        ("lammps", ("xx", "yy", "zz", "xy", "xz", "yz")),
        ("rows", ("xx", "xy", "xz", "yy", "yz", "zz")),
    ],
)
def test_six_numbers_are_read_in_the_order_that_is_named(
    tmp_path: Path, order: str, components: tuple[str, ...]
) -> None:
    (atoms,) = labelled(1, periodic=True)
    half = np.random.default_rng(4).normal(size=(3, 3))
    tensor = half + half.T
    six = [tensor["xyz".index(a), "xyz".index(b)] for a, b in components]
    atoms.calc = None
    atoms.info = {"polarizability": six, "my_stress": six}
    ase.io.write(tmp_path / "a.extxyz", atoms)
    units = UnitsSpec(polarizability="e^2*Angstrom^2/eV", order=order)
    (frame,) = read_frames(tmp_path / "a.extxyz", KeysSpec(stress="my_stress"), units)
    np.testing.assert_allclose(frame.polarizability, tensor, atol=1e-7)
    np.testing.assert_allclose(frame.stress, tensor, atol=1e-7)


def test_a_virial_becomes_a_stress_where_it_is_named(tmp_path: Path) -> None:
    (atoms,) = labelled(1, periodic=True)
    stress = atoms.calc.results.pop("stress")[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
    atoms.info["virials"] = (-stress * atoms.get_volume()).reshape(9)
    ase.io.write(tmp_path / "a.extxyz", atoms)
    found = read_file(tmp_path / "a.extxyz", KeysSpec(virial="virials"), CUBIC)
    np.testing.assert_allclose(found.frames[0].stress, stress, atol=1e-7)
    assert found.keys["stress"] == "virials"
    plain = read_file(tmp_path / "a.extxyz", units=CUBIC)
    assert plain.frames[0].stress is None
    assert plain.unread == ("virials",)


@pytest.mark.parametrize("pbc", [(False, False, False), (True, True, False)])
def test_the_stress_of_what_has_no_volume_is_left_out_and_counted(
    tmp_path: Path, pbc: tuple[bool, bool, bool]
) -> None:
    images = labelled(3, periodic=True)
    images[1].pbc = images[1].calc.atoms.pbc = pbc
    ase.io.write(tmp_path / "a.traj", images)
    found = read_file(tmp_path / "a.traj", units=CUBIC)
    assert [f.stress is not None for f in found.frames] == [True, False, True]
    assert found.without_volume == 1


def test_the_total_charge_is_read_under_both_names_and_two_of_them_are_a_question(
    tmp_path: Path,
) -> None:
    (atoms,) = labelled(1)
    atoms.info["total_charge"] = -1.0
    ase.io.write(tmp_path / "a.extxyz", atoms)
    found = read_file(tmp_path / "a.extxyz", units=CUBIC)
    assert found.frames[0].charge == -1.0
    assert found.keys["charge"] == "total_charge"
    assert "total_charge" not in found.unread
    atoms.info["charge"] = 1.0
    ase.io.write(tmp_path / "b.extxyz", atoms)
    with pytest.raises(DataError, match="two total charges"):
        read_frames(tmp_path / "b.extxyz", units=CUBIC)
    (said,) = read_frames(tmp_path / "b.extxyz", KeysSpec(charge="total_charge"), CUBIC)
    assert said.charge == -1.0


def test_constraints_do_not_touch_forces(tmp_path: Path) -> None:
    images = labelled(2)
    for atoms in images:
        atoms.set_constraint(FixAtoms([0]))
    ase.io.write(tmp_path / "a.traj", images)
    for frame, atoms in zip(read_frames(tmp_path / "a.traj", units=CUBIC), images, strict=True):
        np.testing.assert_allclose(frame.forces, atoms.calc.results["forces"], atol=1e-12)


def test_stress_is_unfolded_from_voigt_order(tmp_path: Path) -> None:
    images = labelled(1, periodic=True)
    ase.io.write(tmp_path / "a.traj", images)
    (frame,) = read_frames(tmp_path / "a.traj", units=CUBIC)
    xx, yy, zz, yz, xz, xy = images[0].calc.results["stress"]
    np.testing.assert_allclose(frame.stress, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def test_key_map_finds_labels_under_other_names(tmp_path: Path) -> None:
    (atoms,) = labelled(1)
    atoms.info = {"REF_energy": 1.5}
    atoms.arrays["REF_forces"] = np.full((3, 3), 0.5)
    atoms.calc = None
    ase.io.write(tmp_path / "a.extxyz", atoms)
    keys = KeysSpec(energy="REF_energy", forces="REF_forces")
    (frame,) = read_frames(tmp_path / "a.extxyz", keys)
    assert frame.energy == 1.5
    assert np.all(frame.forces == 0.5)


@pytest.mark.parametrize("name", ["a.extxyz", "a.npz"])
def test_misspelt_key_lists_what_the_file_has(tmp_path: Path, name: str) -> None:
    images = labelled(2)
    ase.io.write(tmp_path / "a.extxyz", images)
    write_npz(tmp_path / "a.npz", images)
    with pytest.raises(DataError, match=r"'forxes'.*(forces|F \()"):
        read_frames(tmp_path / name, KeysSpec(forces="forxes"), labels=("energy", "forces"))


def test_frames_may_lack_some_labels(tmp_path: Path) -> None:
    images = labelled(3)
    del images[1].calc.results["dipole"]
    del images[2].calc.results["forces"]
    ase.io.write(tmp_path / "a.traj", images)
    counts = label_counts(read_frames(tmp_path / "a.traj", units=CUBIC))
    assert (counts["energy"], counts["forces"], counts["dipole"]) == (3, 2, 2)


@pytest.mark.parametrize("what", ["energy", "forces", "positions"])
def test_a_frame_with_nan_is_named(tmp_path: Path, what: str) -> None:
    images = labelled(3)
    arrays = {
        "energy": np.array([a.calc.results["energy"] for a in images]),
        "forces": np.array([a.calc.results["forces"] for a in images]),
        "positions": np.array([a.positions for a in images]),
    }
    arrays[what].reshape(3, -1)[1, 0] = np.nan
    np.savez(tmp_path / "a.npz", z=images[0].numbers, **arrays)
    with pytest.raises(DataError, match=r"a.npz\[1\]"):
        read_frames(tmp_path / "a.npz")


def test_padded_archives_are_cut_to_the_real_atoms(tmp_path: Path) -> None:
    positions = np.random.default_rng(0).normal(size=(2, 4, 3))
    numbers = np.array([[8, 1, 1, 0], [6, 1, 1, 1]])
    np.savez(tmp_path / "a.npz", R=positions, Z=numbers, E=np.zeros((2, 1)), F=0 * positions)
    first, second = read_frames(tmp_path / "a.npz", units=EV)
    assert (first.n_atoms, second.n_atoms) == (3, 4)
    assert first.forces is not None
    assert first.forces.shape == (3, 3)


@pytest.mark.parametrize("labels", [{"F": np.zeros((2, 3, 3))}, {"E": 0.0}, {"E": np.zeros(3)}])
def test_labels_of_another_number_are_named(
    tmp_path: Path, labels: dict[str, np.ndarray | float]
) -> None:
    arrays = {"E": np.zeros(2), "F": np.zeros((2, 4, 3)), **labels}
    np.savez(
        tmp_path / "a.npz", R=np.random.default_rng(0).random((2, 4, 3)), z=[6, 1, 1, 1], **arrays
    )
    with pytest.raises(DataError, match="must begin with"):
        read_frames(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npz", b"PK\x03\x04 cut"),
        ("a.extxyz", b"3\n\nO 0 0"),
        ("a.db", b"no database"),
        ("b", b""),
    ],
)
def test_broken_files_are_data_errors(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError):
        read_frames(tmp_path / name)
    with pytest.raises(DataError, match="not a file"):
        read_frames(tmp_path / "absent.extxyz")


def test_pickled_archives_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", R=np.array([{"a": 1}], dtype=object), z=np.array([1]))
    with pytest.raises(DataError, match="pickle"):
        read_frames(tmp_path / "a.npz")


def test_hash_sees_labels_and_not_the_file(tmp_path: Path) -> None:
    images = labelled(2)
    write_npz(tmp_path / "a.npz", images)
    write_npz(tmp_path / "b.npz", images)
    first = read_frames(tmp_path / "a.npz", units=EV)
    assert frames_hash(first) == frames_hash(read_frames(tmp_path / "b.npz", units=EV))
    assert frames_hash(first) != frames_hash(first[::-1])
    with pytest.raises(DataError):
        frames_hash([])


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_packed_files_are_read_as_they_are(tmp_path: Path, suffix: str) -> None:
    import bz2
    import gzip
    import lzma

    plain = write_frames(tmp_path / "a.extxyz", make_springs(5, np.random.default_rng(0)))
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix]
    packed = tmp_path / f"b.extxyz.{suffix}"
    packed.write_bytes(pack(plain.read_bytes()))
    for one, other in zip(read_frames(packed), read_frames(plain), strict=True):
        assert one.energy == other.energy
        np.testing.assert_array_equal(one.forces, other.forces)
