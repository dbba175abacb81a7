"""A model evaluated along a trajectory that may not be what it is taken for."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule

from painn_ase import PaiNNCalculator
from painn_ase.annotate import annotate_trajectory
from painn_ase.errors import DataError, TrajectoryError
from painn_ase.training.distances import formulas
from painn_ase.training.frames import Frame
from painn_ase.trajectory import TrajectoryReader

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
    def frame(name: str) -> Frame:
        atoms = molecule(name)
        return Frame(
            numbers=atoms.numbers, positions=atoms.positions, cell=np.zeros((3, 3)),
            pbc=np.zeros(3, dtype=bool), charge=0.0, source=name,
        )  # fmt: skip

    frames = [frame("H2O"), frame("CH3CH2OH"), frame("CH3OCH3"), frame("CH4")]
    assert formulas(frames) == ["C2H6O", "CH4", "H2O"]
