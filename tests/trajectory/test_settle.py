"""What a file says, what a user says, and the questions in between."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import TrajectoryError
from painn_ase.trajectory import (
    System,
    TrajectoryWriter,
    iterate_frames,
    read_motion,
    read_time_series,
)
from painn_ase.units import e2_angstrom2_per_ev_to_angstrom3

RNG = np.random.default_rng(0)
DIPOLES = RNG.normal(size=(40, 3))
TENSORS = RNG.normal(size=(40, 3, 3))


def _frames(info: dict[str, np.ndarray], atoms: Atoms | None = None) -> list[Atoms]:
    frames = []
    for k in range(40):
        frame = (atoms or molecule("H2O")).copy()
        frame.info.update({key: v if isinstance(v, str) else v[k] for key, v in info.items()})
        frames.append(frame)
    return frames


def _write(path: Path, info: dict[str, np.ndarray], atoms: Atoms | None = None) -> Path:
    ase.io.write(path, _frames(info, atoms), format="extxyz")
    return path


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["REF_dipole", "mu", "dipole_moment", "dipoles", "DFT_dipole"])
def test_the_names_people_give_a_dipole_are_found_and_its_unit_asked_for(
    tmp_path: Path, key: str
) -> None:
    path = _write(tmp_path / "a.extxyz", {key: DIPOLES})
    with pytest.raises(TrajectoryError, match=rf"unit its dipole \(key '{key}'\).*--dipole-unit"):
        read_time_series(path, timestep=1.0)
    series = read_time_series(path, timestep=1.0, dipole_unit="D")
    np.testing.assert_allclose(series.dipole, 0.2081943 * DIPOLES, rtol=1e-6)
    stated = _write(tmp_path / "b.extxyz", {key: DIPOLES, f"{key}_unit": "Debye"})
    assert "dipole in Debye" in read_time_series(stated, timestep=1.0).summary


def test_a_message_lists_what_the_file_holds_and_a_key_names_it(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.extxyz", {"p_total": DIPOLES, "temperature_K": DIPOLES[:, 0]})
    with pytest.raises(TrajectoryError, match=r"holds .*p_total.*--key dipole="):
        read_time_series(path, timestep=1.0)
    series = read_time_series(path, timestep=1.0, keys={"dipole": "p_total"}, dipole_unit="a.u.")
    np.testing.assert_allclose(series.dipole, 0.529177 * DIPOLES, rtol=1e-5)
    with pytest.raises(TrajectoryError, match=r"no key 'p_totl' for dipole.*p_total"):
        read_time_series(path, timestep=1.0, keys={"dipole": "p_totl"})
    with pytest.raises(TrajectoryError, match=r"key for 'dipol'.*dipole"):
        read_time_series(path, timestep=1.0, keys={"dipol": "p_total"})


def test_two_candidates_are_asked_about(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.extxyz", {"REF_dipole": DIPOLES, "MACE_dipole": 2 * DIPOLES})
    with pytest.raises(TrajectoryError, match=r"REF_dipole and MACE_dipole: which.*--key dipole="):
        read_time_series(path, timestep=1.0)


def test_columns_are_named_by_number_or_heading(tmp_path: Path) -> None:
    table = np.column_stack([np.arange(40), DIPOLES[:, 0], DIPOLES, DIPOLES[:, 1]])
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header="n,E,a,b,c,T", comments="")
    with pytest.raises(TrajectoryError, match=r"a, b, c.*--key dipole=2,3,4"):
        read_time_series(tmp_path / "a.csv", timestep=1.0, dipole_unit="D")
    for key in ("3,4,5", "a,b,c"):
        series = read_time_series(
            tmp_path / "a.csv", timestep=1.0, dipole_unit="e*Å", keys={"dipole": key}
        )
        np.testing.assert_allclose(series.dipole, DIPOLES)
    with pytest.raises(TrajectoryError, match="no column 'x'; its columns are n, E, a"):
        read_time_series(tmp_path / "a.csv", timestep=1.0, keys={"dipole": "x,b,c"})


# -- units -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("Å³", 1.0), ("bohr^3", 0.1481847), ("a.u.", 0.1481847), ("e^2*Å^2/eV", 14.399645)],
)
def test_a_polarizability_has_no_default_unit(tmp_path: Path, unit: str, factor: float) -> None:
    path = _write(tmp_path / "a.extxyz", {"polarizability": TENSORS.reshape(-1, 9)})
    with pytest.raises(
        TrajectoryError, match=r"polarizability.*--polarizability-unit.*Angstrom\^3"
    ):
        read_time_series(path, timestep=1.0)
    series = read_time_series(path, timestep=1.0, polarizability_unit=unit)
    volumes = series.polarizability * e2_angstrom2_per_ev_to_angstrom3
    np.testing.assert_allclose(volumes, factor * TENSORS, rtol=1e-6)


def test_a_unit_of_something_else_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", DIPOLES)
    for unit in ("Å", "debbie"):
        with pytest.raises(TrajectoryError, match=rf"{unit}.*e\*Angstrom, Debye, a\.u\."):
            read_time_series(tmp_path / "d.npy", timestep=1.0, dipole_unit=unit)
    with pytest.raises(TrajectoryError, match=r"unit of 'dipol'"):
        read_time_series(tmp_path / "d.npy", timestep=1.0, units={"dipol": "D"})


def test_columns_of_different_units_are_refused(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "a.csv", DIPOLES, delimiter=",", header="x(D),y(D),z(eA)", comments="")
    with pytest.raises(TrajectoryError, match="different units"):
        read_time_series(tmp_path / "a.csv", timestep=1.0)


# -- what an array's axes are --------------------------------------------------------------------


def test_runs_and_molecules_are_told_apart_by_asking(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", RNG.normal(size=(2000, 16, 3)))
    with pytest.raises(
        TrajectoryError, match=r"2000 runs of 16 frames, or 2000 frames of 16 molecules\?.*--axes"
    ):
        read_time_series(tmp_path / "d.npy", timestep=1.0, dipole_unit="D")
    runs = read_time_series(tmp_path / "d.npy", timestep=1.0, dipole_unit="D", axes="runs")
    assert runs.shape == (2000, 16)
    total = read_time_series(tmp_path / "d.npy", timestep=1.0, dipole_unit="e*Å", axes="molecules")
    assert total.shape == (1, 2000)
    np.testing.assert_allclose(total.dipole, np.load(tmp_path / "d.npy").sum(axis=1))
    with pytest.raises(TrajectoryError, match="runs, molecules"):
        read_time_series(tmp_path / "d.npy", timestep=1.0, dipole_unit="D", axes="frames")


# -- spectra are no trajectories -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["infrared.csv", "infrared.npz", "infrared.jdx"])
def test_our_own_spectra_are_refused(tmp_path: Path, name: str) -> None:
    from painn_ase.spectra import Spectrum, save_spectrum

    grid = np.linspace(0.0, 4000.0, 50)
    save_spectrum(Spectrum(grid, np.ones(50), np.full(50, 0.1)), tmp_path / name)
    with pytest.raises(TrajectoryError, match=r"is a spectrum, not a trajectory.*painn-ase plot"):
        read_time_series(tmp_path / name, timestep=1.0, dipole_unit="D")


@pytest.mark.parametrize(
    "header", ["Wavenumber (cm^-1);  Intensity; Integral", "#freq;int;integral", "cm-1;a;b"]
)
def test_spectra_of_others_are_refused(tmp_path: Path, header: str) -> None:
    table = np.column_stack([np.linspace(0, 4000, 40), DIPOLES[:, :2]])
    np.savetxt(tmp_path / "a.csv", table, delimiter=";", header=header, comments="")
    with pytest.raises(TrajectoryError, match="is a spectrum, not a trajectory"):
        read_time_series(tmp_path / "a.csv", timestep=1.0, dipole_unit="D")
    np.savetxt(tmp_path / "b.txt", table)
    with pytest.raises(TrajectoryError, match="first ascends evenly: a spectrum, or times"):
        read_time_series(tmp_path / "b.txt", timestep=1.0, dipole_unit="D")


# -- temperature -----------------------------------------------------------------------------------


def _run_at(path: Path, kelvin: float, atoms: Atoms | None = None, **provenance: object) -> Path:
    system = System.of(atoms or molecule("CH3CH2OH"), n_replicas=8)
    strides = {"dipole_flux": 1, "temperature": 1}
    writer = TrajectoryWriter.create(path, system, strides, provenance=provenance)
    with writer:
        for k in range(40):
            flux = RNG.normal(size=(8, 3))
            writer.write(k, 0.5 * k, {"dipole_flux": flux, "temperature": np.full(8, kelvin)})
    return path


def test_another_temperature_than_the_runs_needs_a_reason(tmp_path: Path) -> None:
    path = _run_at(tmp_path / "a.h5", 300.0)
    assert "T = 300 K (from mean of the file's temperature)" in read_time_series(path).summary
    with pytest.raises(TrajectoryError, match=r"a run at 300 K.*600 K was given.*factor of 0\.5"):
        read_time_series(path, temperature=600.0)
    assert read_time_series(path, temperature=310.0).temperature == 310.0
    series = read_time_series(path, temperature=600.0, temperature_reason="hot modes only")
    assert series.temperature == 600.0
    assert "the file says 300 K: hot modes only" in series.summary
    with pytest.raises(TrajectoryError, match="positive"):
        read_time_series(path, temperature=-3.0)


def test_what_a_runs_settings_mean_is_said(tmp_path: Path) -> None:
    config = {"ensemble": "langevin", "friction": 0.02, "temperature": 300.0}
    assert read_time_series(_run_at(tmp_path / "a.h5", 300.0, config=config)).friction == 0.02
    system, config = System.of(molecule("H2O")), {"ensemble": "nve", "temperature": 300.0}
    writer = TrajectoryWriter.create(
        tmp_path / "b.h5", system, {"dipole": 1}, provenance={"config": config}
    )
    with writer:
        for k in range(40):
            writer.write(k, 0.5 * k, {"dipole": DIPOLES[k]})
    notes = read_time_series(tmp_path / "b.h5", temperature=300.0).notes
    assert any("each mode keeps the energy" in note for note in notes)


# -- molecule or bulk ------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [12.0, 24.0])
@pytest.mark.parametrize("shift", [0.0, 5.9])
def test_a_molecule_in_a_box_is_asked_about(tmp_path: Path, box: float, shift: float) -> None:
    atoms = molecule("CH3CH2OH", cell=[box] * 3, pbc=True)
    atoms.positions += shift
    atoms.wrap()  # cut by the border of the cell, as many programs write it
    path = _write(tmp_path / "a.extxyz", {"dipole": DIPOLES}, atoms)
    with pytest.raises(TrajectoryError, match=r"one molecule with vacuum.*--molecule.*--bulk"):
        read_time_series(path, timestep=1.0)
    alone = read_time_series(path, timestep=1.0, molecule=True)
    assert alone.volume is None
    assert "one molecule (as given)" in alone.summary
    bulk = read_time_series(path, timestep=1.0, molecule=False)
    assert bulk.volume == pytest.approx(box**3)
    assert f"volume {box**3:.6g} Å³ (from the frames)" in bulk.summary


def test_liquids_crystals_and_polymers_are_bulks(tmp_path: Path) -> None:
    from ase.build import bulk

    water = molecule("H2O", cell=[3.1] * 3, pbc=True).repeat(3)
    places = [[0, 0, 0], [1.25, 0.8, 0], [0, -0.7, 0.9], [0, -0.7, -0.9]]
    places += [[1.25, 1.5, 0.9], [1.25, 1.5, -0.9]]
    chain = Atoms("C2H4", places, cell=[2.5, 9, 9], pbc=True)
    for atoms in (water, bulk("NaCl", "rocksalt", 5.64), chain):
        path = _write(tmp_path / "a.extxyz", {"dipole": DIPOLES}, atoms)
        assert read_time_series(path, timestep=1.0).volume == pytest.approx(atoms.get_volume())


def test_a_bulk_in_a_text_file_takes_its_volume_or_cell(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", DIPOLES)
    said = {"timestep": 1.0, "dipole_unit": "D"}
    plain = read_time_series(tmp_path / "d.npy", **said)
    assert plain.volume is None
    assert "one molecule (no periodic cell in the file)" in plain.summary
    assert read_time_series(tmp_path / "d.npy", **said, volume=1000.0).volume == 1000.0
    slanted = read_time_series(tmp_path / "d.npy", **said, cell=[[10, 0, 0], [5, 10, 0], [0, 0, 9]])
    assert slanted.volume == pytest.approx(900.0)
    assert slanted.cell is not None
    right = read_time_series(tmp_path / "d.npy", **said, cell=[10, 10, 9])
    assert right.volume == pytest.approx(900.0)
    for wrong, words in (
        ({"volume": -1.0}, "positive"),
        ({"cell": [1.0, 2.0]}, "three lengths"),
        ({"cell": [1.0, 2.0, 0.0]}, "no volume"),
        ({"volume": 10.0, "cell": [1.0, 1.0, 10.0]}, "not both"),
        ({"volume": 10.0, "molecule": True}, "molecule has no volume"),
        ({"molecule": False}, "--volume"),
    ):
        with pytest.raises(TrajectoryError, match=words):
            read_time_series(tmp_path / "d.npy", **said, **wrong)


# -- what a user says acts, or is refused ----------------------------------------------------------


def test_a_unit_of_time_that_is_given_wins_over_the_formats(tmp_path: Path) -> None:
    """PLUMED's `UNITS TIME=fs` does not show in its COLVAR."""
    path = tmp_path / "COLVAR"
    rows = np.column_stack([0.5 * np.arange(40), DIPOLES])
    np.savetxt(path, rows, header="! FIELDS time dip.x dip.y dip.z", comments="#", fmt="%.6f")
    assert read_time_series(path).timestep == pytest.approx(500.0)
    series = read_time_series(path, units={"time": "fs"})
    assert series.timestep == pytest.approx(0.5)
    assert "unit as given" in series.origins["timestep"]
    assert any("taken in fs, as you say, not in ps" in note for note in series.notes)


def test_a_unit_of_positions_or_cell_that_is_given_acts(tmp_path: Path) -> None:
    frames = _frames({}, molecule("H2O", vacuum=3.0))
    for k, frame in enumerate(frames):
        frame.positions[0, 2] += 0.01 * k
        frame.pbc = True
    path = tmp_path / "a.extxyz"
    ase.io.write(path, frames, format="extxyz")
    said = {"charges": {"O": -0.8, "H": 0.4}, "timestep": 1.0, "molecule": False}
    plain = read_time_series(path, **said)
    bohr = read_time_series(path, **said, units={"positions": "Bohr", "cell": "Bohr"})
    np.testing.assert_allclose(
        np.diff(bohr.dipole, axis=0), 0.529177 * np.diff(plain.dipole, axis=0), rtol=1e-5
    )
    assert bohr.volume == pytest.approx(plain.volume * 0.529177**3, rel=1e-5)
    assert any("positions are taken in Bohr" in note for note in bohr.notes)


def test_wrapped_positions_are_followed_through_a_cell_that_is_given(tmp_path: Path) -> None:
    frames = _frames({}, molecule("H2O"))
    for k, frame in enumerate(frames):
        frame.positions += [0.0, 0.0, 0.25 * k]
        frame.positions[:, 2] %= 5.0
    path = tmp_path / "a.xyz"
    ase.io.write(path, frames, format="xyz")
    said = {"charges": {"O": -0.8, "H": 0.4}, "timestep": 1.0}
    with pytest.raises(TrajectoryError, match="Give the cell"):
        read_time_series(path, **said)
    series = read_time_series(path, **said, cell=[5.0, 5.0, 5.0])
    np.testing.assert_allclose(series.dipole, series.dipole[:1].repeat(40, axis=0), atol=1e-6)
    with pytest.raises(TrajectoryError, match="Give the cell"):
        read_motion(path, timestep=1.0)
    moved = np.diff(read_motion(path, timestep=1.0, cell=[5.0, 5.0, 5.0]).positions, axis=0)
    np.testing.assert_allclose(moved[..., 2], 0.25, atol=1e-6)


def test_a_unit_of_what_is_not_read_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", DIPOLES)
    with pytest.raises(TrajectoryError, match="unit of polarizability was given, but .*d.npy"):
        read_time_series(
            tmp_path / "d.npy", timestep=1.0, dipole_unit="D", polarizability_unit="a.u."
        )


def test_frames_take_no_unit_of_what_they_do_not_hold(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.extxyz", {})
    with pytest.raises(TrajectoryError, match="unit of dipole was given; .*positions, velocities"):
        next(iterate_frames(path, units={"dipole": "D"}))


@pytest.mark.parametrize("option", [["--dipole-unit", "D"], ["--laser", "700"], ["--volume", "9"]])
def test_a_density_of_states_refuses_what_says_nothing_of_it(
    tmp_path: Path, option: list[str]
) -> None:
    path = _write(tmp_path / "a.extxyz", {})
    given = ["spectrum", str(path), "--power", "--timestep", "1", "-o", str(tmp_path / "o")]
    result = CliRunner().invoke(app, [*given, *option])
    assert result.exit_code != 0
    error = str(result.exception or result.output)
    assert option[0] in error
    assert "means nothing for a density of states" in error


def test_what_contradicts_or_has_no_place_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", DIPOLES)
    np.savez(tmp_path / "d.npz", dipole=DIPOLES)
    for name in ("d.npy", "d.npz"):
        with pytest.raises(TrajectoryError, match="none beside frames and components"):
            read_time_series(tmp_path / name, timestep=1.0, dipole_unit="D", axes="molecules")
    with pytest.raises(TrajectoryError, match=r"given twice, D and e\*Å"):
        read_time_series(tmp_path / "d.npy", timestep=1.0, dipole_unit="D", units={"dipole": "e*Å"})
    with pytest.raises(TrajectoryError, match="is a folder"):
        read_time_series(tmp_path, timestep=1.0)


def test_decimal_commas_between_semicolons_are_read(tmp_path: Path) -> None:
    rows = [";".join(f"{v:.6f}" for v in (0.5 * k, *mu)) for k, mu in enumerate(DIPOLES)]
    text = "\n".join(["t [fs];mu_x [D];mu_y [D];mu_z [D]", *rows])
    (tmp_path / "a.csv").write_text(text.replace(".", ","), encoding="utf-8")
    series = read_time_series(tmp_path / "a.csv")
    assert series.timestep == pytest.approx(0.5)
    np.testing.assert_allclose(series.dipole, 0.2081943 * DIPOLES, rtol=1e-5, atol=1e-6)


def test_spectra_name_what_they_wrote_and_refuse_a_laser_of_no_wavelength(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.tile(TENSORS + TENSORS.swapaxes(1, 2), (10, 1, 1)))
    folder = tmp_path / "o"
    folder.mkdir()
    (folder / "infrared.csv").write_text("of another run", encoding="utf-8")
    given = ["spectrum", str(tmp_path / "a.npy"), "--polarizability-unit", "a.u.", "--timestep",
             "1", "-T", "300", "-o", str(folder), "--overwrite", "--jumps", "keep"]  # fmt: skip
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert "(raman.csv, spectra.png" in " ".join(result.output.split())
    wrong = CliRunner().invoke(app, [*given, "--laser", "0"])
    assert "laser wavelength must be a positive number in nm" in str(wrong.exception)
    file = CliRunner().invoke(app, [*given, "-o", str(tmp_path / "a.npy")])
    assert "is a file, and a folder is to be written" in str(file.exception)


def test_a_cell_without_a_unit_is_asked_about_where_the_volume_matters(tmp_path: Path) -> None:
    """A LAMMPS dump may be in Å, Bohr, nm or m."""
    path = tmp_path / "a.lammpstrj"
    lines = []
    for k in range(12):
        lines += ["ITEM: TIMESTEP", str(k), "ITEM: NUMBER OF ATOMS", "2",
                  "ITEM: BOX BOUNDS pp pp pp", *3 * ["0 10"], "ITEM: ATOMS id type q xu yu zu",
                  f"1 1 0.5 {1 + 0.1 * np.sin(k):.6f} 1 1", "2 2 -0.5 2 1 1"]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    said = {"timestep": 1.0, "dipole_unit": "e*bohr"}
    with pytest.raises(TrajectoryError, match=r"unit its cell .*--unit cell=Angstrom"):
        read_time_series(path, **said)
    bohr = read_time_series(path, **said, units={"cell": "Bohr"})
    assert bohr.volume == pytest.approx(1000 * 0.529177**3, rel=1e-5)
    assert read_time_series(path, **said, volume=500.0).volume == 500.0
    alone = read_time_series(path, **said, molecule=True)
    assert alone.volume is None
    assert alone.cell is None


def test_an_atomic_number_that_no_element_has_is_our_error(tmp_path: Path) -> None:
    """ASE's own files are not looked at when they are read."""
    path = tmp_path / "a.traj"
    atoms = molecule("H2O")
    atoms.numbers[0] = 119
    ase.io.write(path, [atoms, atoms])
    with pytest.raises(TrajectoryError, match="atomic number 119"):
        read_time_series(path, timestep=1.0)
