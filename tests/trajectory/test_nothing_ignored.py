"""Whatever is said beside a file acts, or is refused with a word on what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from known_signal import TIMESTEP, nwchem_qmd
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import TrajectoryError
from painn_ase.trajectory import System, TrajectoryWriter, read_motion, read_time_series

RNG = np.random.default_rng(0)
N = 400
DIPOLE = 0.1 * RNG.normal(size=(N, 3))
ALPHA = 3.0 * np.eye(3) + 0.1 * RNG.normal(size=(N, 3, 3))
ALPHA = ALPHA + ALPHA.swapaxes(1, 2)


@pytest.fixture
def dipoles(tmp_path: Path) -> Path:
    return _npz(tmp_path / "mu.npz", dipole=DIPOLE, dipole_unit="e*Angstrom")


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    return _npz(tmp_path / "alpha.npz", polarizability=ALPHA, polarizability_unit="Angstrom^3")


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, timestep=1.0, temperature=300.0, **arrays)
    return path


# -- volume, cell, molecule ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [{"volume": 1000.0}, {"cell": [10.0] * 3}, {"molecule": True}, {"molecule": False}]
)
def test_a_volume_means_nothing_for_raman_alone(tensors: Path, said: dict[str, Any]) -> None:
    (name,) = said
    with pytest.raises(TrajectoryError, match=rf"Raman intensities do not depend.*--{name}"):
        read_time_series(tensors, **said)


def test_raman_alone_asks_nothing_about_a_box(tmp_path: Path) -> None:
    """One molecule in a box is a question for the absorption of the bulk, n·α, alone."""
    path = tmp_path / "a.h5"
    water = np.array([[0.0, 0.0, 0.0], [0.0, 0.76, 0.6], [0.0, -0.76, 0.6]])
    system = System(
        numbers=np.array([8, 1, 1]), masses=np.array([16.0, 1.0, 1.0]),
        cell=20.0 * np.eye(3), pbc=(True, True, True),
    )  # fmt: skip
    strides = {"positions": 1, "polarizability": 1, "dipole": 1}
    with TrajectoryWriter.create(path, system, strides) as writer:
        for k in range(20):
            values = {"positions": water, "polarizability": ALPHA[k], "dipole": DIPOLE[k]}
            writer.write(k, 1.0 * k, values)
    with pytest.raises(TrajectoryError, match="one molecule with vacuum around it"):
        read_time_series(path)
    series = read_time_series(path, quantities=("polarizability",))
    np.testing.assert_allclose(series.polarizability, ALPHA[:20], rtol=1e-6)


def test_a_molecules_dipole_may_be_followed_through_a_cell(tmp_path: Path, dipoles: Path) -> None:
    """The cell says how a dipole is folded, whatever the spectrum is of."""
    series = read_time_series(dipoles, molecule=True, cell=[8.0, 9.0, 10.0])
    assert series.volume is None
    np.testing.assert_allclose(series.cell, np.diag([8.0, 9.0, 10.0]))
    with pytest.raises(TrajectoryError, match="molecule has no volume"):
        read_time_series(dipoles, molecule=True, volume=1000.0)
    folded, jumps = _folded(tmp_path)
    said = ["spectrum", str(folded), "--molecule", "--cell", "8 8 8", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, said)
    assert result.exit_code == 0, (result.output, result.exception)
    assert f"jumped {jumps} times" in result.output
    assert "km/mol" in result.output


def _folded(tmp_path: Path) -> tuple[Path, int]:
    t = np.arange(3000)[:, None]
    path = 9.0 * np.cos(2e-3 * t + [0.0, 1.0, 2.0]) + 0.05 * np.cos(0.3 * t + [0.3, 0.5, 0.7])
    folded = path - 8.0 * np.rint(path / 8.0)
    jumps = int(np.any(np.abs(np.diff(folded, axis=0)) > 4.0, axis=1).sum())
    assert jumps
    return _npz(tmp_path / "folded.npz", dipole=folded, dipole_unit="e*Angstrom"), jumps


@pytest.mark.parametrize("said", [{"volume": 10.0}, {"molecule": True}, {"cell": [9.0] * 3}])
def test_a_density_of_states_needs_no_size(tmp_path: Path, said: dict[str, Any]) -> None:
    path = tmp_path / "v.h5"
    system = System(numbers=np.array([8]), masses=np.array([16.0]))
    with TrajectoryWriter.create(path, system, {"velocities": 1}) as writer:
        for k in range(20):
            writer.write(k, 1.0 * k, {"velocities": RNG.normal(size=(1, 3))})
    assert read_motion(path).velocities is not None
    (name,) = said
    with pytest.raises(TrajectoryError, match=rf"needs no {name} \(--{name}\)"):
        read_motion(path, **said)


# -- temperature, laser ----------------------------------------------------------------------------


def test_a_reason_without_a_difference_is_refused(tmp_path: Path, dipoles: Path) -> None:
    with pytest.raises(TrajectoryError, match=r"none was given. Say -T too"):
        read_time_series(dipoles, temperature_reason="a warm day")
    for kelvin in (300.0, 304.0):
        with pytest.raises(TrajectoryError, match=r"is a run at 300 K.*nothing to explain"):
            read_time_series(dipoles, temperature=kelvin, temperature_reason="a warm day")
    silent = tmp_path / "silent.npz"
    np.savez(silent, timestep=1.0, dipole=DIPOLE, dipole_unit="D")
    with pytest.raises(TrajectoryError, match="names no temperature, from which 300 K"):
        read_time_series(silent, units={"time": "fs"}, temperature=300.0, temperature_reason="why")
    series = read_time_series(dipoles, temperature=600.0, temperature_reason="a warm day")
    assert "a warm day" in series.origins["temperature"]


def test_a_laser_needs_a_polarizability(dipoles: Path, tensors: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "out")
    refused = CliRunner().invoke(app, ["spectrum", str(dipoles), "--laser", "600", "-o", folder])
    assert refused.exit_code != 0
    assert "no polarizability" in str(refused.exception)
    assert "--laser" in str(refused.exception)
    assert not (tmp_path / "out").exists()
    result = CliRunner().invoke(app, ["spectrum", str(tensors), "--laser", "600", "-o", folder])
    assert result.exit_code == 0, (result.output, result.exception)


# -- quantity, keys, arrays ------------------------------------------------------------------------


def test_a_quantity_is_said_of_numbers_without_names_alone(tmp_path: Path, dipoles: Path) -> None:
    with pytest.raises(TrajectoryError, match=r"quantity='dipole_flux' says.*each quantity has"):
        read_time_series(dipoles, quantity="dipole_flux")
    np.savetxt(tmp_path / "a.csv", DIPOLE, delimiter=",", header="mu_x,mu_y,mu_z")
    with pytest.raises(TrajectoryError, match=r"columns are named dipole\. Leave it out"):
        read_time_series(tmp_path / "a.csv", quantity="dipole_flux", timestep=1.0)
    np.savetxt(tmp_path / "b.csv", DIPOLE, delimiter=",")
    said = {"timestep": 1.0, "units": {"dipole_flux": "e*Angstrom/fs"}}
    assert read_time_series(tmp_path / "b.csv", quantity="dipole_flux", **said).dipole is None


def test_an_array_of_three_by_three_is_asked_about_where_it_may_be_dipoles(tmp_path: Path) -> None:
    """Three molecules' dipoles have the shape of a polarizability, and none of its symmetry."""
    tensor, molecules = tmp_path / "alpha.npy", tmp_path / "mu.npy"
    np.save(tensor, ALPHA)
    dipoles = RNG.normal(size=(N, 3, 3))
    np.save(molecules, dipoles)
    said: dict[str, Any] = {"timestep": 1.0, "polarizability_unit": "Angstrom^3"}
    assert read_time_series(tensor, **said).polarizability is not None
    with pytest.raises(TrajectoryError, match=r"not symmetric. Are these the dipoles of three"):
        read_time_series(molecules, **said)
    series = read_time_series(molecules, timestep=1.0, axes="molecules", dipole_unit="e*Angstrom")
    np.testing.assert_allclose(series.dipole, dipoles.sum(axis=1))
    forced = read_time_series(molecules, quantity="polarizability", **said)
    assert forced.polarizability.shape == (N, 3, 3)


def test_a_key_means_nothing_for_an_array_without_columns(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ALPHA)
    with pytest.raises(TrajectoryError, match="neither columns nor names"):
        read_time_series(tmp_path / "a.npy", keys={"polarizability": "alpha"}, timestep=1.0)


def _with_columns(path: Path) -> Path:
    """The same dipole in a table, PLUMED's, LAMMPS's, an archive, or the headers of frames."""
    names = ["p_x", "p_y", "p_z"]
    if path.suffix == ".csv":
        rows = np.column_stack([np.arange(N), DIPOLE])
        np.savetxt(path, rows, delimiter=",", header=",".join(["n", *names]), comments="")
    elif path.suffix == ".npz":
        np.savez(path, **dict(zip(names, DIPOLE.T, strict=True)))
    elif path.suffix == ".extxyz":
        atoms = molecule("H2O")
        frames = []
        for row in DIPOLE:
            frames.append(atoms.copy())
            frames[-1].info.update(dict(zip(names, row, strict=True)))
        ase.io.write(path, frames)
    else:
        head = {
            "COLVAR": "#! FIELDS time p_x p_y p_z",
            "ave.dat": "# Time-averaged data for fix p\n# TimeStep p_x p_y p_z",
            "run.xvg": '@ xaxis label "Time (ps)"\n'
            + "\n".join(f'@ s{n} legend "{name}"' for n, name in enumerate(names)),
            "run.out": "\n".join(
                f"# column {n + 1} --> {name} : …" for n, name in enumerate(["step", *names])
            ),
        }[path.name]
        rows = (f"{k} " + " ".join(f"{x:.17g}" for x in row) for k, row in enumerate(DIPOLE))
        path.write_text("\n".join([head, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    "name", ["a.csv", "a.npz", "a.extxyz", "COLVAR", "ave.dat", "run.xvg", "run.out"]
)
@pytest.mark.parametrize("key", ["p_x,p_y,p_z", "p_", "p", "2,3,4"])
def test_a_key_means_the_same_in_every_format(tmp_path: Path, name: str, key: str) -> None:
    """Headings in a list everywhere; what they share and numbers where there are columns."""
    path = _with_columns(tmp_path / name)
    said = {"timestep": 1.0, "dipole_unit": "e*Å", "keys": {"dipole": key}}
    if name in ("a.npz", "a.extxyz") and key != "p_x,p_y,p_z":
        with pytest.raises(TrajectoryError, match=r"no key .* for dipole; the file holds .*p_x"):
            read_time_series(path, **said)
        return
    if key == "p_":  # what the headings share, with or without what divides them
        with pytest.raises(TrajectoryError, match=r"no column 'p_'.*vectors among them: p"):
            read_time_series(path, **said)
        return
    np.testing.assert_allclose(read_time_series(path, **said).dipole, DIPOLE, rtol=1e-7)


@pytest.mark.parametrize(("option", "value"), [("charge", "1"), ("experiment", "x.csv")])
def test_what_is_for_infrared_alone_is_refused_without_a_dipole(
    tmp_path: Path, tensors: Path, option: str, value: str
) -> None:
    said = ["spectrum", str(tensors), f"--{option}", value, "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, said)
    assert result.exit_code != 0
    assert f"holds no dipole, and --{option} {value}" in str(result.exception)


def test_fluxes_know_no_jumps(tmp_path: Path) -> None:
    path = _npz(tmp_path / "flux.npz", dipole_flux=DIPOLE, dipole_flux_unit="e*Angstrom/fs")
    said = ["spectrum", str(path), "--jumps", "keep", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, said)
    assert "leave --jumps out" in str(result.exception)
    assert CliRunner().invoke(app, [*said[:2], *said[4:]]).exit_code == 0


def test_a_unit_of_velocities_acts_only_where_they_are_used(tmp_path: Path) -> None:
    path = nwchem_qmd(tmp_path)
    said: dict[str, Any] = {"timestep": TIMESTEP, "units": {"velocities": "nm/ps"}}
    with pytest.raises(TrajectoryError, match=r"unit of velocities was given, .* made of its dip"):
        read_time_series(path, **said)
    right = read_time_series(path, timestep=TIMESTEP, charges="O=-1,H=1")
    other = read_time_series(path, charges="O=-1,H=1", **said)
    np.testing.assert_allclose(other.dipole_flux, 0.01 * right.dipole_flux, rtol=1e-6)
    assert any("velocities are taken in nm/ps" in note for note in other.notes)
