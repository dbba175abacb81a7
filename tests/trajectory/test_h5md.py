"""The trajectory file as other programs see it: H5MD 1.1, checked with h5py alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import resource
import signal
import time
from pathlib import Path

import ase.units
import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory import System, TrajectoryReader, TrajectoryWriter
from painn_ase.trajectory.channels import CHANNELS, channel_factor
from painn_ase.trajectory.journal import JournaledFile, journal_path

STRIDES = {"positions": 5, "velocities": 5, "dipole": 1, "dipole_flux": 1, "polarizability": 2}


def _frame(atoms: Atoms, step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    return {
        "positions": rng.normal(size=(len(atoms), 3)),
        "velocities": rng.normal(size=(len(atoms), 3)),
        "dipole": rng.normal(size=3),
        "dipole_flux": rng.normal(size=3),
        "polarizability": rng.normal(size=(3, 3)),
    }


def _write(path: Path, n_steps: int = 21, first: int = 0) -> Atoms:
    atoms = molecule("CH3CH2OH")
    writer = (
        TrajectoryWriter.append(path)
        if first
        else TrajectoryWriter.create(
            path, System.of(atoms), STRIDES, provenance={"run": {"seed": 3}}, author="Ada"
        )
    )
    with writer:
        for step in range(first, n_steps):
            writer.write(step, 0.5 * step, _frame(atoms, step))
    return atoms


def test_layout_is_h5md_1_1(tmp_path: Path) -> None:
    atoms = _write(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1]
        assert file["h5md/author"].attrs["name"] == "Ada"
        assert {"name", "version"} <= set(file["h5md/creator"].attrs)
        assert file["h5md/modules/units"].attrs["version"].tolist() == [1, 0]
        group = file["particles/all"]
        assert group["species"][:].tolist() == atoms.numbers.tolist()
        assert group["box"].attrs["dimension"] == 3
        assert list(group["box"].attrs["boundary"]) == ["none"] * 3
        assert set(group["position"]) == {"step", "time", "value"}
        assert group["position/value"].shape == (5, 9, 3)
        assert group["position/value"].attrs["unit"] == "Angstrom"
        assert group["velocity/value"].attrs["unit"] == "Angstrom fs-1"
        assert group["position/time"].attrs["unit"] == "fs"
        assert group["position/step"][:].tolist() == [0, 5, 10, 15, 20]
        assert file["observables/dipole/value"].shape == (21, 3)
        assert file["observables/polarizability/step"][-1] == 20
        # quantities of one stride share one time axis (hard links)
        assert group["position/step"].id.get_offset() == group["velocity/step"].id.get_offset()
        assert json.loads(file["parameters/painn_ase"].attrs["provenance_run"]) == {"seed": 3}
    assert not journal_path(tmp_path / "run.h5").exists()


def test_values_come_back_in_ase_units(tmp_path: Path) -> None:
    atoms = _write(tmp_path / "run.h5")
    with TrajectoryReader(tmp_path / "run.h5") as reader, h5py.File(tmp_path / "run.h5") as raw:
        expected = _frame(atoms, 10)
        for name in ("positions", "velocities"):
            np.testing.assert_allclose(reader.read(name)[2], expected[name], rtol=1e-14)
        np.testing.assert_allclose(reader.read("dipole_flux")[10], expected["dipole_flux"])
        velocities = raw["particles/all/velocity/value"][2]
        np.testing.assert_allclose(velocities, expected["velocities"] * ase.units.fs, rtol=1e-6)
        assert reader.timestep("polarizability") == pytest.approx(1.0)
        frame = reader.atoms(2)
        np.testing.assert_allclose(frame.get_velocities(), expected["velocities"], rtol=1e-12)
        np.testing.assert_allclose(frame.get_dipole_moment(), expected["dipole"])
        assert frame.info["time_fs"] == 5.0
        assert sum(len(b) for b in reader.blocks("dipole", 4)) == 21
        assert reader.provenance == {"run": {"seed": 3}}


def test_periodic_box_and_changing_cell(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True)
    strides = {"positions": 1, "cell": 1}
    with TrajectoryWriter.create(tmp_path / "npt.h5", System.of(atoms), strides) as writer:
        for step in range(3):
            writer.write(step, step, {"positions": atoms.positions, "cell": atoms.cell[:] + step})
    with h5py.File(tmp_path / "npt.h5") as file:
        box = file["particles/all/box"]
        assert list(box.attrs["boundary"]) == ["periodic"] * 3
        assert box["edges/value"].shape == (3, 3, 3)
        assert box["edges/step"].id.get_offset() == (
            file["particles/all/position/step"].id.get_offset()
        )
    with TrajectoryReader(tmp_path / "npt.h5") as reader:
        np.testing.assert_allclose(reader.atoms(2).cell[:], atoms.cell[:] + 2)


def test_fixed_box_stands_with_every_frame_or_once_where_there_are_none(tmp_path: Path) -> None:
    atoms = bulk("Cu")
    with TrajectoryWriter.create(tmp_path / "a.h5", System.of(atoms), {"positions": 1}) as writer:
        for step in range(2):
            writer.write(step, step, {"positions": atoms.positions})
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["particles/all/box/edges/value"][:], [atoms.cell[:]] * 2)
    with TrajectoryWriter.create(tmp_path / "b.h5", System.of(atoms), {"dipole": 1}) as writer:
        writer.write(0, 0.0, {"dipole": np.zeros(3)})
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file["particles/all/box/edges"][:], atoms.cell[:])


def test_replicas_share_the_particle_axis(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    strides = {"positions": 2, "dipole_flux": 1}
    system = System.of(atoms, n_replicas=4)
    fluxes = np.random.default_rng(0).normal(size=(3, 4, 3))
    positions = np.random.default_rng(1).normal(size=(4, 3, 3))
    with TrajectoryWriter.create(tmp_path / "k.h5", system, strides) as writer:
        for step in range(3):
            writer.write(step, step, {"positions": positions, "dipole_flux": fluxes[step]})
    with h5py.File(tmp_path / "k.h5") as file:
        assert file["particles/all/position/value"].shape == (2, 12, 3)
        assert file["particles/all/replica"][:].tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    with TrajectoryReader(tmp_path / "k.h5") as reader:
        np.testing.assert_allclose(reader.read("dipole_flux"), fluxes, rtol=1e-14)
        np.testing.assert_allclose(reader.read("positions")[1], positions)
        np.testing.assert_allclose(reader.atoms(1, replica=3).positions, positions[3])


def test_continued_file_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    _write(tmp_path / "whole.h5", 40)
    _write(tmp_path / "parts.h5", 23)
    with TrajectoryWriter.append(tmp_path / "parts.h5") as writer:
        writer.truncate_after(17)
        assert writer.last_step == 17
    _write(tmp_path / "parts.h5", 40, first=18)
    with (
        TrajectoryReader(tmp_path / "whole.h5") as whole,
        TrajectoryReader(tmp_path / "parts.h5") as parts,
    ):
        for name in STRIDES:
            np.testing.assert_array_equal(whole.steps(name), parts.steps(name))
            np.testing.assert_array_equal(whole.read(name), parts.read(name))


def test_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    _write(path)
    with TrajectoryWriter.append(path):
        with pytest.raises(TrajectoryError, match="another run"):
            TrajectoryWriter.append(path)
        with pytest.raises(TrajectoryError, match="another run"):
            TrajectoryWriter.create(path, System.of(molecule("H2O")), STRIDES, overwrite=True)
        with TrajectoryReader(path) as reader:
            assert reader.n_frames("dipole") == 21
        with h5py.File(path) as file:
            assert len(file["observables/dipole/value"]) == 21
    with TrajectoryWriter.append(path) as writer:
        assert writer.last_step == 20


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    _write(tmp_path / "run.h5")
    with pytest.raises(TrajectoryError, match="exists"):
        _write(tmp_path / "run.h5")


def _write_until_killed(path: Path) -> None:
    atoms = molecule("CH3CH2OH")
    if path.exists() and path.stat().st_size:
        writer = TrajectoryWriter.append(path)
    else:
        writer = TrajectoryWriter.create(path, System.of(atoms), STRIDES)
    step = writer.last_step + 1
    while True:
        writer.write(step, 0.5 * step, _frame(atoms, step))
        if step % 7 == 0:
            writer.flush()
        step += 1


@pytest.mark.parametrize("n_kills", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_no_frame_and_tear_none(tmp_path: Path, n_kills: int) -> None:
    path = tmp_path / "run.h5"
    rng = np.random.default_rng(0)
    context = multiprocessing.get_context("fork")
    lengths, pause = [0], 0.1
    for _ in range(n_kills):
        pause *= 1 if lengths[-1] else 1.5  # a busy machine comes to no frame so soon
        process = context.Process(target=_write_until_killed, args=(path,))
        process.start()
        time.sleep(pause * (0.5 + rng.random()))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if not path.exists() or path.stat().st_size == 0:
            continue
        with TrajectoryReader(path) as reader:
            n = reader.n_frames("dipole")
            assert n >= lengths[-1]
            lengths.append(n)
            np.testing.assert_array_equal(reader.steps("dipole"), np.arange(n))
    assert lengths[-1] > 0
    atoms = molecule("CH3CH2OH")
    with TrajectoryReader(path) as reader:
        for name, stride in STRIDES.items():
            for k in range(0, reader.n_frames(name), 10):
                expected = _frame(atoms, k * stride)[name]
                np.testing.assert_allclose(reader.read(name, k, k + 1)[0], expected, rtol=1e-14)


@pytest.mark.parametrize("survivor", ["journal written", "half applied", "torn journal"])
def test_death_inside_a_commit(tmp_path: Path, survivor: str, monkeypatch) -> None:
    path = tmp_path / "run.h5"
    atoms = _write(path, 11)
    before = path.read_bytes()
    writer = TrajectoryWriter.append(path)
    for step in range(11, 31):
        writer.write(step, 0.5 * step, _frame(atoms, step))
    saved: dict[str, bytes] = {}

    def keep_journal(*args):
        saved["journal"] = journal_path(path).read_bytes()
        raise OSError("the process dies here")

    with monkeypatch.context() as patch:
        patch.setattr("painn_ase.trajectory.journal._apply", keep_journal)
        with pytest.raises(TrajectoryError):
            writer.flush()
    writer.abandon()
    journal = saved["journal"]
    if survivor == "torn journal":
        journal_path(path).write_bytes(journal[: len(journal) // 2])
        expected = 11
    else:
        journal_path(path).write_bytes(journal)
        expected = 31
    if survivor == "half applied":
        path.write_bytes(before[:2000] + os.urandom(1000) + before[3000:])
    with TrajectoryReader(path) as reader:  # a reader sees the finished commit ...
        assert reader.n_frames("dipole") == expected
    with TrajectoryWriter.append(path) as writer:  # ... and the next writer finishes it
        assert writer.last_step == expected - 1
    with h5py.File(path) as file:
        assert len(file["observables/dipole/value"]) == expected


def test_file_size_limit_is_named_and_the_run_goes_on_when_it_is_lifted(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    atoms = _write(path, 11)
    writer = TrajectoryWriter.append(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1000, limits[1]))
    try:
        for step in range(11, 2000):
            writer.write(step, 0.5 * step, _frame(atoms, step))
        with pytest.raises(TrajectoryError, match="limit"):
            writer.flush()
        with h5py.File(path) as file:
            assert len(file["observables/dipole/value"]) == 11
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    writer.close()
    with TrajectoryReader(path) as reader:
        np.testing.assert_array_equal(reader.steps("dipole"), np.arange(2000))


@pytest.mark.parametrize("keep", [0, 7, 100, 0.3, 0.9])
def test_truncated_file_is_our_error(tmp_path: Path, keep: float) -> None:
    _write(tmp_path / "run.h5")
    content = (tmp_path / "run.h5").read_bytes()
    n = int(keep * len(content)) if isinstance(keep, float) else keep
    (tmp_path / "cut.h5").write_bytes(content[:n])
    for opener in (TrajectoryReader, TrajectoryWriter.append):
        with pytest.raises(TrajectoryError, match="cut.h5"):
            opener(tmp_path / "cut.h5")


@pytest.mark.parametrize("damage", [bytes(16), b"\x01\0\0\0\0\0\0\0" + b"\xf0" + 7 * b"\xff"])
def test_a_heap_of_strings_on_which_hdf5_would_hang_is_refused(
    tmp_path: Path, damage: bytes
) -> None:
    _write(tmp_path / "run.h5")
    content = bytearray((tmp_path / "run.h5").read_bytes())
    heaps = [m.start() for m in re.finditer(rb"GCOL\x01\0\0\0", content)]
    assert heaps  # the box's boundary is an array of strings
    for at in heaps:
        content[at + 16 : at + 32] = damage
    (tmp_path / "run.h5").write_bytes(content)
    for opener in (TrajectoryReader, TrajectoryWriter.append):
        with pytest.raises(TrajectoryError, match="heap of strings"):
            opener(tmp_path / "run.h5").read("positions")


def test_a_type_on_which_hdf5_would_crash_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "run.h5")
    content = bytearray((tmp_path / "run.h5").read_bytes())
    at = content.index(b"\x19\x01", content.index(b"boundary\0"))  # variable length, of strings
    content[at + 1] = 0xFF  # ... of something that there is not
    (tmp_path / "run.h5").write_bytes(content)
    with pytest.raises(TrajectoryError, match="neither numbers nor strings"):
        TrajectoryReader(tmp_path / "run.h5")


@pytest.mark.parametrize("edges", [np.ones(4), np.ones((2, 3)), np.float64(1.0)])
def test_a_cell_of_another_shape_is_refused(tmp_path: Path, edges: np.ndarray) -> None:
    _write(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        box = file["particles/all/box"]
        if "edges" in box:
            del box["edges"]
        box["edges"] = edges
    with pytest.raises(TrajectoryError, match=r"run\.h5"):
        TrajectoryReader(tmp_path / "run.h5").atoms(0)


@pytest.mark.parametrize(("key", "value"), [("step", np.nan), ("time", np.nan), ("step", 1e300)])
def test_steps_and_times_that_are_no_numbers_are_refused(
    tmp_path: Path, key: str, value: float
) -> None:
    _write(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        group = file["particles/all/position"]
        values = group[key][()].astype(float)
        values[1] = value
        del group[key]
        group[key] = values
    with pytest.raises(TrajectoryError, match="not numbers"):
        TrajectoryReader(tmp_path / "run.h5")


@pytest.mark.parametrize(
    ("key", "value"), [("species", np.nan), ("species", 6.5), ("mass", np.inf), ("mass", -1.0)]
)
def test_atoms_that_cannot_be_are_refused(tmp_path: Path, key: str, value: float) -> None:
    _write(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        values = file[f"particles/all/{key}"][()].astype(float)
        values[1] = value
        del file[f"particles/all/{key}"]
        file[f"particles/all/{key}"] = values
    with pytest.raises(TrajectoryError, match="atomic numbers|masses"):
        TrajectoryReader(tmp_path / "run.h5")


def test_bytes_that_look_like_a_heap_by_accident_are_data(tmp_path: Path) -> None:
    values = np.frombuffer(b"GCOL\x02\0\0\0" + bytes(16), dtype=np.float64)
    with TrajectoryWriter.create(tmp_path / "a.h5", System.of(molecule("H2")), {"dipole": 1}) as w:
        w.write(0, 0.0, {"dipole": values})
    with TrajectoryReader(tmp_path / "a.h5") as reader:
        np.testing.assert_array_equal(reader.read("dipole", ase_units=False)[0], values)


def test_links_to_other_files_and_empty_claims_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        del file["particles/all/species"]
        file["particles/all/species"] = h5py.ExternalLink("/etc/passwd", "/species")
    with pytest.raises(TrajectoryError, match="link"):
        TrajectoryReader(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        del file["particles/all/species"]
        file["particles/all"].create_dataset("species", (10**13,), dtype="i4", chunks=(1024,))
    with pytest.raises(TrajectoryError, match="claims"):
        TrajectoryReader(tmp_path / "run.h5")


def test_other_programs_h5md_with_fixed_steps_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_group("h5md").attrs["version"] = [1, 0]
        group = file.create_group("particles/water")
        group["species"] = [8, 1, 1]
        group.create_group("box").attrs["boundary"] = np.array(["periodic"] * 3, dtype="S8")
        group["box/edges"] = [1.0, 1.1, 1.2]
        group["box/edges"].attrs["unit"] = "nm"
        group["position/value"] = np.ones((4, 3, 3))
        group["position/value"].attrs["unit"] = "nm"
        group["position/step"] = 10
        group["position/time"] = 0.02
        group["position/time"].attrs["unit"] = "ps"
    with TrajectoryReader(tmp_path / "other.h5") as reader:
        assert reader.timestep("positions") == pytest.approx(20.0)
        np.testing.assert_allclose(reader.system.cell, np.diag([10, 11, 12]))
        np.testing.assert_allclose(reader.atoms(1).positions, 10.0)


@pytest.mark.parametrize("seed", range(20))
def test_journaled_file_behaves_like_a_plain_one(tmp_path: Path, seed: int) -> None:
    """Random writes, truncations and commits against an ordinary bytes buffer."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "f"
    journaled, plain = JournaledFile(path, "w"), bytearray()
    for _ in range(60):
        kind = rng.integers(4)
        if kind <= 1:
            at = int(rng.integers(0, len(plain) + 5000))
            data = rng.bytes(int(rng.integers(1, 9000)))
            journaled.seek(at)
            journaled.write(data)
            plain.extend(bytes(max(0, at + len(data) - len(plain))))
            plain[at : at + len(data)] = data
        elif kind == 2 and plain:
            size = int(rng.integers(0, len(plain)))
            journaled.truncate(size)
            del plain[size:]
        else:
            journaled.commit()
            assert path.read_bytes() == plain
        journaled.seek(0)
        assert journaled.read() == bytes(plain)
    journaled.close()


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=lambda c: c.name)
def test_every_channel_has_a_unit_that_is_known(channel) -> None:
    assert channel_factor(channel.unit, channel.name, channel.path) > 0
