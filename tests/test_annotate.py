"""A model evaluated along a trajectory that may not be what it is taken for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import molecule
from known_signal import CASES, FLUX, POSITIONS, TIMESTEP, topology

from painn_ase import PaiNNCalculator
from painn_ase.annotate import annotate_trajectory
from painn_ase.errors import DataError, PaiNNWarning, TrajectoryError
from painn_ase.md import MDConfig, RecordConfig, run_md
from painn_ase.spectra import infrared
from painn_ase.testing import random_potential
from painn_ase.training.distances import formulas
from painn_ase.training.frames import LabeledFrame
from painn_ase.trajectory import System, TrajectoryReader, TrajectoryWriter, read_time_series
from painn_ase.units import fs_to_ase_time

DT = 0.5  # fs


@pytest.fixture(scope="module")
def water() -> PaiNNCalculator:
    return PaiNNCalculator("water")


def _run(
    n: int = 60, time: bool = False, scale: float = 1.0, box: float | None = None
) -> list[Atoms]:
    """Water whose atoms swing at 500 and 3600 cm⁻¹, with exact velocities times `scale`."""
    rng = np.random.default_rng(0)
    start = molecule("H2O")
    slow, fast = 0.03 * rng.normal(size=(2, 3, 3)) * [[[1.0]], [[0.2]]]
    frames = []
    for k in range(n):
        phases = 2 * np.pi * 2.99792458e-5 * DT * k * np.array([500.0, 3600.0])
        rates = 2 * np.pi * 2.99792458e-5 * np.array([500.0, 3600.0]) / units.fs
        atoms = start.copy()
        atoms.positions += slow * np.cos(phases[0]) + fast * np.cos(phases[1])
        velocities = -slow * rates[0] * np.sin(phases[0]) - fast * rates[1] * np.sin(phases[1])
        atoms.set_velocities(scale * velocities)
        if time:
            atoms.info["time_fs"] = DT * k
        frames.append(atoms)
    return frames


def _written(path: Path, frames: list[Atoms]) -> Path:
    ase.io.write(path, frames, format="extxyz")
    return path


def test_positions_and_velocities_that_agree_are_taken(
    water: PaiNNCalculator, tmp_path: Path
) -> None:
    path = _written(tmp_path / "a.extxyz", _run())
    assert annotate_trajectory(water, path, tmp_path / "a.h5", timestep=DT) == 60


@pytest.mark.parametrize(
    ("scale", "step", "factor"),
    [(1e-3, DT, "98"), (1.0, 2 * DT, r"0\.4|0\.5"), (1.0, DT / 2, r"1\.9|2")],
)
def test_velocities_or_steps_in_another_unit_are_refused(
    water: PaiNNCalculator, tmp_path: Path, scale: float, step: float, factor: str
) -> None:
    """1/1000 is what ASE makes of a LAMMPS dump in units real, which it takes for metal."""
    path = _written(tmp_path / "a.extxyz", _run(scale=scale))
    with pytest.raises(TrajectoryError, match=rf"atoms move ({factor})\S* times.*units metal"):
        annotate_trajectory(water, path, tmp_path / "a.h5", timestep=step)


def test_ipi_positions_in_atomic_units_are_read_in_them(
    water: PaiNNCalculator, tmp_path: Path
) -> None:
    """The comment line names Bohr; ASE takes any .xyz for Å."""
    frames, lines = _run(), []
    for k, atoms in enumerate(frames):
        lines += ["3", "# CELL(abcABC): 40.0 40.0 40.0 90.0 90.0 90.0  Step: "
                  f"{k} Bead: 0 positions{{atomic_unit}}  cell{{atomic_unit}}"]  # fmt: skip
        for symbol, row in zip(atoms.symbols, atoms.positions / units.Bohr, strict=True):
            lines.append(f"{symbol} " + " ".join(f"{x:.10e}" for x in row))
    path = tmp_path / "simulation.pos_0.xyz"
    path.write_text("\n".join(lines) + "\n")
    annotate_trajectory(water, path, tmp_path / "a.h5", timestep=DT, properties=["energy"])
    with TrajectoryReader(tmp_path / "a.h5") as run:
        np.testing.assert_allclose(run.read("positions"), [a.positions for a in frames], atol=1e-6)
        np.testing.assert_allclose(run.system.cell, 40.0 * units.Bohr * np.eye(3), atol=1e-6)


def test_lammps_velocities_come_in_the_units_of_the_dump(
    water: PaiNNCalculator, tmp_path: Path
) -> None:
    """Units real, Å/fs: said in the dump, or by the user; ASE would take them for metal's."""
    frames = _run()
    for said in (True, False):
        lines = []
        for k, atoms in enumerate(frames):
            lines += (["ITEM: UNITS", "real"] if said and k == 0 else []) + [
                "ITEM: TIMESTEP", str(k), "ITEM: NUMBER OF ATOMS", "3",
                "ITEM: BOX BOUNDS ff ff ff", *["-9 9"] * 3,
                "ITEM: ATOMS id element xu yu zu vx vy vz",
            ]  # fmt: skip
            velocities = atoms.get_velocities() * units.fs
            for n, symbol in enumerate(atoms.symbols):
                row = [*atoms.positions[n], *velocities[n]]
                lines.append(f"{n + 1} {symbol} " + " ".join(f"{x:.10e}" for x in row))
        path = tmp_path / f"{said}.lammpstrj"
        path.write_text("\n".join(lines) + "\n")
        stated = None
        if not said:
            with pytest.raises(TrajectoryError, match=r"its positions are.*--unit positions=UNIT"):
                annotate_trajectory(water, path, tmp_path / "a.h5", timestep=DT)
            stated = {"velocities": "Å/fs", "positions": "Å", "cell": "Å"}
        n = annotate_trajectory(
            water, path, tmp_path / "a.h5", timestep=DT, units=stated, overwrite=True
        )
        assert n == 60
        with TrajectoryReader(tmp_path / "a.h5") as run:
            expected = [a.get_velocities() for a in frames]
            np.testing.assert_allclose(run.read("velocities"), expected, atol=1e-7)


def test_gaps_and_restarts_of_the_source_are_refused(
    water: PaiNNCalculator, tmp_path: Path
) -> None:
    frames = _run(time=True)
    for order, where in ((np.r_[:40, 45:60], 40), (np.r_[:30, 20:60], 30)):
        path = _written(tmp_path / "a.extxyz", [frames[k] for k in order])
        with pytest.raises(TrajectoryError, match=rf"frame {where} is at .* a restart or a gap"):
            annotate_trajectory(water, path, tmp_path / "a.h5")
    n = annotate_trajectory(water, path, tmp_path / "a.h5", timestep=DT)
    assert n == 70


@pytest.mark.parametrize("factor", [1 / 0.529177, 0.1])
def test_positions_in_another_unit_are_asked_about(
    water: PaiNNCalculator, tmp_path: Path, factor: float
) -> None:
    frames = _run(5)
    for atoms in frames:
        atoms.positions *= factor
        atoms.set_velocities(factor * atoms.get_velocities())
    path = _written(tmp_path / "a.extxyz", frames)
    with pytest.raises(DataError, match=r"in the model's training .* another unit \(Bohr, nm\)"):
        annotate_trajectory(water, path, tmp_path / "a.h5", timestep=DT)


def test_another_molecule_than_the_trainings_is_refused_unless_told(
    water: PaiNNCalculator, tmp_path: Path
) -> None:
    two = molecule("H2O")
    other = molecule("H2O")
    other.translate([2.9, 0.0, 0.0])
    two.extend(other)
    path = _written(tmp_path / "a.extxyz", [two, two])
    with pytest.raises(DataError, match=r"O and O are never within the cutoff.*--other-molecule"):
        annotate_trajectory(water, path, tmp_path / "a.h5", timestep=DT)
    assert (
        annotate_trajectory(water, path, tmp_path / "a.h5", timestep=DT, other_molecule=True) == 2
    )


def test_formulas_of_the_training_data_are_listed_by_frequency() -> None:
    def frame(name: str) -> LabeledFrame:
        atoms = molecule(name)
        return LabeledFrame(
            numbers=atoms.numbers, positions=atoms.positions, cell=np.zeros((3, 3)),
            pbc=np.zeros(3, dtype=bool), charge=0.0, source=name,
        )  # fmt: skip

    frames = [frame("H2O"), frame("CH3CH2OH"), frame("CH3OCH3"), frame("CH4")]
    assert formulas(frames) == ["C2H6O", "CH4", "H2O"]


# -- files of other programs, their times and units ------------------------------------------------


@pytest.fixture(scope="module")
def hydroxyl() -> PaiNNCalculator:
    """Of any O and H, also in a cell, with a dipole."""
    drawn = random_potential(8, 1, 6, 4.0, heads=("energy", "dipole:local"), dtype=torch.float64)
    return PaiNNCalculator(drawn, backend="eager")


@pytest.mark.parametrize(
    ("name", "moving"),
    [("cp2k positions", False), ("i-pi positions", False), ("orca positions", False),
     ("nwchem qmd", True), ("vasp xdatcar", False), ("schnetpack", True), ("gromacs xtc", False),
     ("gromacs trr", True), ("dcd", False), ("amber netcdf", False)],
)  # fmt: skip
def test_a_model_is_evaluated_along_other_programs_files(
    hydroxyl: PaiNNCalculator, tmp_path: Path, name: str, moving: bool
) -> None:
    """Times and units are the file's, elements the topology's where the file has none."""
    case = CASES[name]
    said = {k: v for k, v in case.options.items() if k == "timestep"}
    if case.library is not None:
        pytest.importorskip(case.library)
        with pytest.raises(TrajectoryError, match="does not say the elements.*--topology"):
            annotate_trajectory(hydroxyl, case.write(tmp_path), tmp_path / "a.h5", **said)
        said["topology"] = topology(tmp_path)
    path = case.write(tmp_path)
    annotate_trajectory(hydroxyl, path, tmp_path / "a.h5", other_molecule=True, **said)
    with TrajectoryReader(tmp_path / "a.h5") as run:
        assert run.timestep("dipole") == pytest.approx(TIMESTEP, rel=1e-5)
        assert run.n_frames("dipole") == len(POSITIONS)
        found = run.read("positions")
        assert ("dipole_flux" in run.names) is moving
        if not moving:
            return
        velocities = run.read("velocities")
        flux = run.read("dipole_flux")
    change = found - found[0] - (POSITIONS - POSITIONS[0])
    np.testing.assert_allclose(change, 0.0, atol=1e-5)
    np.testing.assert_allclose(velocities[:, 1] * units.fs, FLUX, atol=1e-5)
    for k in (0, 700):  # Σ Z* v: the model's Born charges times the file's velocities
        atoms = Atoms("OH", found[k])
        born = hydroxyl.get_born_charges(atoms)
        np.testing.assert_allclose(flux[k], np.einsum("iab,ib->a", born, velocities[k]), atol=1e-9)


def test_the_flux_of_born_charges_gives_the_spectrum_of_a_foreign_run(
    water: PaiNNCalculator, tmp_path: Path
) -> None:
    """Velocities of another program times our model's charges, against the dipole's own change."""
    path = _written(tmp_path / "a.extxyz", _run(4000, time=True))
    annotate_trajectory(
        water, path, tmp_path / "a.h5", properties=["dipole", "dipole_flux"], other_molecule=True
    )
    series = read_time_series(tmp_path / "a.h5")
    assert series.dipole is not None
    rate = np.gradient(series.dipole, DT * fs_to_ase_time, axis=0)[5:-5]
    scale = np.abs(rate).max()
    np.testing.assert_allclose(series.dipole_flux[5:-5], rate, atol=0.04 * scale)
    areas = []
    for part in (series, dataclasses.replace(series, dipole_flux=None)):
        found = infrared(part, temperature=300.0, resolution=100.0)
        areas.append([found.band_area(a, a + 400.0).value for a in (300.0, 3400.0)])
    np.testing.assert_allclose(*areas, rtol=0.03)


@pytest.mark.parametrize(("key", "factor"), [("time_fs", 1.0), ("time_ps", 1e-3), ("time", 1e-3)])
def test_times_count_under_the_names_they_have(
    water: PaiNNCalculator, tmp_path: Path, key: str, factor: float
) -> None:
    frames = _run()
    for k, atoms in enumerate(frames):
        atoms.info[key] = factor * DT * k
    path = _written(tmp_path / "a.extxyz", frames)
    said = {}
    if key == "time":
        told = r"does not say how far apart .* times \('time'\) have no unit.*--unit time=ps"
        with pytest.raises(TrajectoryError, match=told):
            annotate_trajectory(water, path, tmp_path / "a.h5")
        said["units"] = {"time": "ps"}
    annotate_trajectory(water, path, tmp_path / "a.h5", **said)
    with TrajectoryReader(tmp_path / "a.h5") as run:
        assert run.timestep("dipole") == pytest.approx(DT)


def test_rounded_times_are_even_and_the_first_two_are_not_trusted(
    water: PaiNNCalculator, tmp_path: Path
) -> None:
    """0.5 fs in two digits of a longer step, or a first frame that was written late."""
    frames = _run()
    for k, atoms in enumerate(frames):
        atoms.info["time_fs"] = round(0.4837 * k, 1)
    path = _written(tmp_path / "a.extxyz", frames)
    annotate_trajectory(water, path, tmp_path / "a.h5", properties=["energy"])
    with TrajectoryReader(tmp_path / "a.h5") as run:
        assert run.timestep("potential_energy") == pytest.approx(0.4837, rel=2e-3)
    late = _run(time=True)
    late[0].info["time_fs"] = -3.0
    path = _written(tmp_path / "b.extxyz", late)
    with pytest.raises(TrajectoryError, match=r"frame 1 is at 0.5 fs, .*others are 0.5 fs apart"):
        annotate_trajectory(water, path, tmp_path / "b.h5")


def test_a_change_of_step_far_behind_is_found(water: PaiNNCalculator, tmp_path: Path) -> None:
    frames = _run(600)
    for k, atoms in enumerate(frames):
        atoms.info["time_fs"] = DT * k if k < 400 else DT * (400 + 1.2 * (k - 400))
    path = _written(tmp_path / "a.extxyz", frames)
    with pytest.raises(TrajectoryError, match="not equally spaced|at the beginning"):
        annotate_trajectory(water, path, tmp_path / "a.h5", properties=["energy"])


def test_a_time_that_is_a_word_is_our_error(water: PaiNNCalculator, tmp_path: Path) -> None:
    frames = _run()
    for atoms in frames:
        atoms.info["time_fs"] = "later"
    path = _written(tmp_path / "a.extxyz", frames)
    with pytest.raises(TrajectoryError, match="time_fs of a frame is 'later', no number"):
        annotate_trajectory(water, path, tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["velocities", "cell", "time"])
def test_a_unit_of_what_is_not_there_is_refused(
    hydroxyl: PaiNNCalculator, tmp_path: Path, name: str
) -> None:
    unit = {"velocities": "Å/fs", "cell": "Å", "time": "fs"}[name]
    path = tmp_path / "plain.lammpstrj"
    lines = []
    for k in range(3):
        lines += ["ITEM: TIMESTEP", str(k), "ITEM: NUMBER OF ATOMS", "2"]
        lines += ["ITEM: BOX BOUNDS ff ff ff", *["-9 9"] * 3]
        lines += ["ITEM: ATOMS id element xu yu zu", "1 O 0 0 0", "2 H 0 0 0.97"]
    path.write_text("\n".join(lines) + "\n")
    if name != "cell":
        said = {"positions": "Å", "cell": "Å", name: unit}
        with pytest.raises(TrajectoryError, match=rf"unit of {name} was given, but .* has none"):
            annotate_trajectory(hydroxyl, path, tmp_path / "a.h5", timestep=1.0, units=said)
    h5 = tmp_path / "b.h5"
    system = System(numbers=np.array([8, 1]), masses=np.array([16.0, 1.0]))
    with TrajectoryWriter.create(h5, system, {"positions": 1}) as writer:
        for k in range(3):
            writer.write(k, 1.0 * k, {"positions": POSITIONS[k]})
    if name != "time":
        with pytest.raises(TrajectoryError, match=rf"unit of {name} was given, but .* has none"):
            annotate_trajectory(hydroxyl, h5, tmp_path / "a.h5", units={name: unit})


def test_a_unit_against_the_files_counts_and_is_said(
    hydroxyl: PaiNNCalculator, tmp_path: Path
) -> None:
    path = tmp_path / "a.h5"
    system = System(numbers=np.array([8, 1]), masses=np.array([16.0, 1.0]))
    with TrajectoryWriter.create(path, system, {"positions": 1}) as writer:
        for k in range(3):
            writer.write(k, 1.0 * k, {"positions": POSITIONS[k]})
    with pytest.warns(PaiNNWarning, match="positions in nm, as you say, not in Angstrom"):
        annotate_trajectory(
            hydroxyl, path, tmp_path / "b.h5", units={"positions": "nm"}, other_molecule=True
        )
    with TrajectoryReader(tmp_path / "b.h5") as run:
        np.testing.assert_allclose(run.read("positions"), 10.0 * POSITIONS[:3])


def test_settings_and_temperatures_of_our_own_run_come_along(
    water: PaiNNCalculator, tmp_path: Path
) -> None:
    """What the run's file says of its temperature, the evaluated one says too."""
    atoms = molecule("H2O")
    atoms.calc = water
    record = RecordConfig(positions=2, velocities=2, energies=1)
    config = MDConfig(
        steps=12, timestep=DT, ensemble="langevin", temperature=310.0, friction=0.01, record=record
    )
    run_md(atoms, config, trajectory=tmp_path / "run.h5")
    annotate_trajectory(water, tmp_path / "run.h5", tmp_path / "a.h5", properties=["dipole"])
    series = read_time_series(tmp_path / "a.h5")
    assert series.friction == pytest.approx(0.01)
    with TrajectoryReader(tmp_path / "run.h5") as run:
        np.testing.assert_allclose(series.measured_temperature, run.read("temperature")[::2].mean())


def test_species_of_another_programs_h5md_are_named(
    hydroxyl: PaiNNCalculator, tmp_path: Path
) -> None:
    """They may be its types."""
    path = tmp_path / "run.h5"
    system = System(numbers=np.array([8, 1]), masses=np.array([16.0, 1.0]))
    with TrajectoryWriter.create(path, system, {"positions": 1}) as writer:
        for k in range(3):
            writer.write(k, 1.0 * k, {"positions": POSITIONS[k]})
    with h5py.File(path, "a") as file:
        del file["parameters/painn_ase"]  # as if it were not ours
    with pytest.warns(PaiNNWarning, match=r"species are taken for elements \(HO\).*--topology"):
        annotate_trajectory(hydroxyl, path, tmp_path / "a.h5", other_molecule=True)
