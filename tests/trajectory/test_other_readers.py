"""Our trajectories as MDAnalysis and pyh5md read them, and theirs as we do; else skipped."""

from __future__ import annotations

import re
from pathlib import Path

import ase.io
import ase.units
import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory import (
    System,
    TrajectoryReader,
    TrajectoryWriter,
    iterate_frames,
    read_motion,
    read_time_series,
)


@pytest.fixture(params=["molecule", "crystal"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Atoms, list[dict]]:
    """A file of five frames, 2.5 fs apart, and what was written into it."""
    atoms = molecule("CH3CH2OH") if request.param == "molecule" else bulk("Cu")
    names = ("positions", "velocities", "forces")
    strides = {**dict.fromkeys((*names, "potential_energy"), 5), "dipole": 1}
    rng = np.random.default_rng(1)
    frames = []
    with TrajectoryWriter.create(tmp_path / "run.h5", System.of(atoms), strides) as writer:
        for step in range(21):
            frame = {name: rng.normal(size=(len(atoms), 3)) for name in names}
            frame |= {"dipole": rng.normal(size=3), "potential_energy": rng.normal()}
            writer.write(step, 0.5 * step, frame)
            if step % 5 == 0:
                frames.append(frame)
    return tmp_path / "run.h5", atoms, frames


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_mdanalysis_reads_frames_times_cells_and_units(run) -> None:
    mda = pytest.importorskip("MDAnalysis")
    path, atoms, frames = run
    universe = mda.Universe.empty(len(atoms), trajectory=True)
    universe.load_new(str(path), format="H5MD")
    assert len(universe.trajectory) == 5
    kj_per_mol = ase.units.kJ / ase.units.mol
    per_ps = 1000 * ase.units.fs
    for n, (seen, written) in enumerate(zip(universe.trajectory, frames, strict=True)):
        assert seen.time == pytest.approx(2.5e-3 * n)  # ps
        assert seen.data["step"] == 5 * n
        assert seen.data["potential_energy"] == pytest.approx(written["potential_energy"])
        np.testing.assert_allclose(seen.positions, written["positions"], rtol=1e-6)
        np.testing.assert_allclose(seen.velocities, written["velocities"] * per_ps, rtol=1e-5)
        np.testing.assert_allclose(seen.forces, written["forces"] / kj_per_mol, rtol=1e-5)
        if any(atoms.pbc):
            np.testing.assert_allclose(seen.dimensions, atoms.cell.cellpar(), rtol=1e-6)
        else:
            assert seen.dimensions is None


def test_pyh5md_reads_every_element(run) -> None:
    pyh5md = pytest.importorskip("pyh5md")
    path, atoms, frames = run
    with pyh5md.File(str(path), "r") as file:
        particles = file.particles_group("all")
        position = pyh5md.element(particles, "position")
        assert position.step[:].tolist() == [0, 5, 10, 15, 20]
        assert position.time[:].tolist() == [0.0, 2.5, 5.0, 7.5, 10.0]
        np.testing.assert_array_equal(position.value[:], [f["positions"] for f in frames])
        species = pyh5md.element(particles, "species").value
        assert species[:].tolist() == atoms.numbers.tolist()
        dipole = pyh5md.element(file["observables"], "dipole")
        assert dipole.value.shape == (21, 3)
        if any(atoms.pbc):
            edges = pyh5md.element(particles["box"], "edges")
            np.testing.assert_allclose(edges.value[3], atoms.cell[:])


# -- H5MD files that others write ------------------------------------------------------------------

WATER = molecule("H2O").positions + 0.02 * np.random.default_rng(2).normal(size=(40, 3, 3))
VELOCITIES = 0.01 * np.random.default_rng(3).normal(size=(40, 3, 3))  # Å/fs
DIPOLES = np.random.default_rng(4).normal(size=(40, 3))  # Debye


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_what_mdanalysis_writes_is_read_with_a_topology(tmp_path: Path) -> None:
    """It writes no elements; units and times are in the file."""
    mda = pytest.importorskip("MDAnalysis")
    path, topology = tmp_path / "run.h5md", tmp_path / "water.pdb"
    ase.io.write(topology, molecule("H2O"))
    universe = mda.Universe.empty(3, trajectory=True, velocities=True)
    units = {"lengthunit": "nm", "timeunit": "ps", "velocityunit": "nm/ps"}
    with mda.Writer(str(path), 3, positions=True, velocities=True, **units) as writer:
        for k in range(40):
            frame = universe.trajectory.ts
            frame.positions, frame.velocities = WATER[k], 1e3 * VELOCITIES[k]
            frame.time, frame.frame, frame.dimensions = 5e-4 * k, k, None
            frame.data["step"] = k
            writer.write(universe.atoms)
        writer.h5md_file.close()  # it leaves its file open
    with pytest.raises(TrajectoryError, match=r"species' is missing.*--topology"):
        read_motion(path)
    series = read_motion(path, topology=topology)
    assert series.timestep == pytest.approx(0.5)
    np.testing.assert_allclose(series.velocities * ase.units.fs, VELOCITIES, rtol=1e-5)
    frames = list(iterate_frames(path, topology=topology))
    assert frames[0].get_chemical_formula() == "H2O"
    np.testing.assert_allclose([a.positions for a in frames], WATER, atol=1e-5)
    assert frames[7].info["time_fs"] == pytest.approx(3.5)


def _of_pyh5md(path: Path, name: str) -> Path:
    pyh5md = pytest.importorskip("pyh5md")
    with pyh5md.File(str(path), "w", creator="somebody", author="else") as file:
        group = file.particles_group("atoms")
        group.create_box(
            dimension=3, boundary=["periodic"] * 3, store="fixed", data=np.array([9.0, 9.0, 9.0])
        )
        linear = {"store": "linear", "dtype": float, "step": 10, "time": 0.5}
        position = pyh5md.element(group, "position", shape=(3, 3), **linear)
        pyh5md.element(group, "species", data=np.array([8, 1, 1]), store="fixed")
        where = file.require_group("observables/atoms")
        dipole = pyh5md.element(where, name, shape=(3,), **linear)
        for k in range(40):
            position.append(WATER[k])
            dipole.append(DIPOLES[k])
    return path


def test_what_pyh5md_writes_is_read_and_its_units_asked_for(tmp_path: Path) -> None:
    """No units anywhere, steps and times as an increment, a dipole under the particles' name."""
    path = _of_pyh5md(tmp_path / "run.h5", "mu")
    said = {"dipole_unit": "Debye", "units": {"time": "fs"}, "molecule": True}
    with pytest.raises(TrajectoryError, match="unit its dipole .*--dipole-unit"):
        read_time_series(path, units={"time": "fs"}, molecule=True)
    series = read_time_series(path, **said)
    assert series.timestep == pytest.approx(0.5)
    np.testing.assert_allclose(series.dipole, 0.2081943 * DIPOLES, rtol=1e-6)
    with pytest.raises(TrajectoryError, match="unit its cell"):  # where the volume matters
        read_time_series(path, dipole_unit="Debye", units={"time": "fs"})
    units = {"positions": "Å", "cell": "Å", "time": "fs"}
    atoms = next(iterate_frames(path, units=units))
    np.testing.assert_allclose(atoms.cell, 9.0 * np.eye(3))
    with pytest.raises(TrajectoryError, match=r"unit its box/edges.*--unit cell"):
        next(iterate_frames(path, units={"positions": "Å", "time": "fs"}))
    assert read_motion(path, timestep=0.5).positions is not None  # no unit needed, nor a cell's


def test_a_key_names_a_place_in_an_h5md_file(tmp_path: Path) -> None:
    path = _of_pyh5md(tmp_path / "run.h5", "p_total")
    said = {"dipole_unit": "Debye", "units": {"time": "fs"}, "molecule": True}
    with pytest.raises(TrajectoryError, match=r"holds .*atoms/p_total, but none.*--key dipole="):
        read_time_series(path, **said)
    for key in ("observables/atoms/p_total", "atoms/p_total"):
        series = read_time_series(path, keys={"dipole": key}, **said)
        np.testing.assert_allclose(series.dipole, 0.2081943 * DIPOLES, rtol=1e-6)
    with pytest.raises(TrajectoryError, match=r"no 'p_totl' for the dipole.*atoms/p_total"):
        read_time_series(path, keys={"dipole": "p_totl"}, **said)
    with pytest.raises(TrajectoryError, match="time of an H5MD file stand beside"):
        read_time_series(path, keys={"time": "t"}, **said)
    with TrajectoryReader(path, keys={"dipole": "atoms/p_total"}) as reader:
        assert reader.observables == ("atoms/p_total",)


def _of_an_engine(path: Path, species: object, moving: bool) -> Path:
    """As engines write H5MD: a cuboid box at every step, types or names of elements."""
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = [1, 1]
        group = file.create_group("particles/all")
        box = group.create_group("box")
        box.attrs["boundary"], box.attrs["dimension"] = ["periodic"] * 3, 3
        elements = {
            "box/edges": 9.0 + 0.01 * np.arange(40)[:, None] * [1.0, 0.0, -1.0],
            "position": WATER,
        }
        if moving:
            elements["species"] = np.tile(np.asarray(species), (40, 1))
        else:
            group["species"] = species
        for name, values in elements.items():
            element = group.create_group(name)
            element["step"], element["time"] = np.arange(40), 0.5 * np.arange(40)
            element["value"] = values
            element["time"].attrs["unit"] = "fs"
            if name != "species":
                element["value"].attrs["unit"] = "Angstrom"
        dipole = file.create_group("observables/dipole")
        dipole["step"], dipole["time"], dipole["value"] = (
            np.arange(40),
            np.arange(40) * 0.5,
            DIPOLES,
        )
        dipole["value"].attrs["unit"], dipole["time"].attrs["unit"] = "Debye", "fs"
    return path


@pytest.mark.parametrize("moving", [False, True])
def test_types_of_an_engine_are_not_taken_for_elements_without_a_word(
    tmp_path: Path, moving: bool
) -> None:
    """Types 2 1 1 of water would be helium and hydrogen."""
    path = _of_an_engine(tmp_path / "run.h5", np.array([2, 1, 1]), moving)
    series = read_time_series(path, molecule=True)
    assert any(re.search(r"taken for elements \(H, He\).*--topology", n) for n in series.notes)
    pytest.importorskip("MDAnalysis")
    topology = tmp_path / "water.pdb"
    ase.io.write(topology, molecule("H2O"))
    series = read_time_series(path, molecule=True, topology=topology)
    assert series.numbers.tolist() == [8, 1, 1]
    assert not any("taken for elements" in note for note in series.notes)
    np.testing.assert_allclose(series.dipole, 0.2081943 * DIPOLES, rtol=1e-6)
    frames = list(iterate_frames(path, topology=topology))
    assert frames[0].get_chemical_formula() == "H2O"
    assert frames[20].get_masses()[0] == pytest.approx(15.999)


def test_elements_by_name_and_cuboid_boxes_are_read(tmp_path: Path) -> None:
    named = h5py.enum_dtype({"O": 7, "H": 3}, basetype="i4")
    path = _of_an_engine(tmp_path / "run.h5", np.array([7, 3, 3], dtype=named), moving=False)
    frames = list(iterate_frames(path))
    assert frames[0].get_chemical_formula() == "H2O"
    np.testing.assert_allclose(frames[20].cell, np.diag([9.2, 9.0, 8.8]))
    with TrajectoryReader(path) as reader:
        assert not reader.may_be_types
    series = read_time_series(path, molecule=False)
    lengths = 9.0 + 0.01 * np.arange(40)
    volume = np.mean(lengths * 9.0 * (18.0 - lengths))
    assert series.volume == pytest.approx(volume)
    strange = _of_an_engine(tmp_path / "b.h5", np.array([0, 1, 1]), moving=False)
    with pytest.raises(TrajectoryError, match=r"not atomic numbers.*types.*--topology"):
        read_time_series(strange, molecule=True)
