"""Trajectories as MDAnalysis and pyh5md read them; skipped where these are not installed."""

from __future__ import annotations

from pathlib import Path

import ase.units
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from painn_ase.trajectory import System, TrajectoryWriter


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
