"""Other programs' files: one known signal in each format, and what damaged files say."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import known_signal
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_signal import CASES, DIPOLE, FLUX, LINES, N_FRAMES, TEMPERATURE, TIMESTEP

from painn_ase.errors import MissingDependencyError, TrajectoryError
from painn_ase.trajectory import TimeSeries, read_time_series
from painn_ase.trajectory.charges import (
    add_dipole_of_charges,
    follow_through_cell,
    parse_charges,
    read_born_charges,
)
from painn_ase.trajectory.formats import FORMATS, identify, read_foreign
from painn_ase.trajectory.formats import text as text_files
from painn_ase.trajectory.formats.text import number
from painn_ase.trajectory.raw import RawChannel, RawSeries
from painn_ase.unit_names import unit_factor
from painn_ase.units import fs_to_ase_time
from painn_ase.workflow import compute_spectra


@pytest.fixture(scope="module")
def pdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A topology for the formats that know no elements."""
    return known_signal.topology(tmp_path_factory.mktemp("topology"))


def _check_areas(series: TimeSeries) -> None:
    spectrum = compute_spectra(series, resolution=100.0)[0]
    assert spectrum is not None
    for wavenumber, area in LINES.items():
        found = spectrum.band_area(wavenumber - 250.0, wavenumber + 250.0).value
        assert found == pytest.approx(area, rel=0.01)
        peak = spectrum.cropped(wavenumber - 250.0, wavenumber + 250.0)
        at = peak.frequency[np.argmax(peak.intensity)]
        assert at == pytest.approx(wavenumber, abs=20.0)


@pytest.mark.parametrize("name", CASES)
def test_the_known_lines_have_their_areas_in_every_format(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    case = CASES[name]
    options = dict(case.options)
    if case.library is not None:
        pytest.importorskip(case.library)
        options["topology"] = request.getfixturevalue("pdb")
    path = case.write(tmp_path)
    options |= {"charges": case.charges, "temperature": TEMPERATURE, "molecule": True}
    series = read_time_series(path, **options)
    assert series.timestep == pytest.approx(TIMESTEP, rel=1e-4)
    assert series.shape == (1, N_FRAMES)
    assert series.dipole is not None
    change = series.dipole - series.dipole[0]
    np.testing.assert_allclose(change, DIPOLE - DIPOLE[0], atol=2e-6 + 2 * case.rounding)
    if series.dipole_flux is not None:  # spectra are made of fluxes where there are some
        np.testing.assert_allclose(series.dipole_flux * fs_to_ase_time, FLUX, atol=1e-5)
        _check_areas(dataclasses.replace(series, dipole_flux=None))
    _check_areas(series)
    assert "Δt = 0.5 fs" in series.summary
    assert "dipole in" in series.summary


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.options])
def test_what_a_file_does_not_say_is_asked_for(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = case.write(tmp_path)
    for left_out in case.options:
        options = {k: v for k, v in case.options.items() if k != left_out}
        with pytest.raises(TrajectoryError, match=f"--{left_out.replace('_', '-')}"):
            read_time_series(path, **options, charges=case.charges, molecule=True)


def test_gpumds_dpdt_has_the_flux_too(tmp_path: Path) -> None:
    raw = read_foreign(known_signal.gpumd_dpdt(tmp_path))
    assert raw is not None
    factor = unit_factor(raw.channels["dipole_flux"].unit or "", "dipole_flux")
    np.testing.assert_allclose(
        raw.channels["dipole_flux"].values * factor * fs_to_ase_time, FLUX, rtol=1e-6, atol=1e-12
    )


def test_cp2k_berry_dipoles_come_with_their_cell(tmp_path: Path) -> None:
    raw = read_foreign(known_signal.cp2k_moments(tmp_path))
    assert raw is not None
    assert raw.pbc == (True, True, True)
    cell = raw.channels["cell"].values[0]
    # 46.55 Debye is e times 9.69 Å
    np.testing.assert_allclose(np.diag(cell), [9.692, 11.339, 11.341], atol=1e-3)


def test_cp2ks_files_of_one_step_each_are_read_in_the_order_of_their_steps(tmp_path: Path) -> None:
    raw = read_foreign(known_signal.cp2k_step_files(tmp_path))
    assert raw is not None
    np.testing.assert_array_equal(raw.steps, np.arange(120))
    found = raw.channels["dipole"].values * unit_factor("Debye", "dipole")
    np.testing.assert_allclose(found, DIPOLE[:120], atol=1e-7)


def test_cp2k_polarizabilities_are_read_once_in_their_first_unit(tmp_path: Path) -> None:
    tensor = np.array([[9.0, 0.1, 0.2], [0.3, 8.0, 0.4], [0.5, 0.6, 7.0]])
    lines = []
    for n in range(3):
        for unit, values in (("a.u.", tensor + n), ("Angstrom^3", 0.148 * (tensor + n))):
            a = values
            lines += [
                f" POLAR| Polarizability tensor [{unit}]",
                f" POLAR| xx,yy,zz   {a[0, 0]:18.12f} {a[1, 1]:18.12f} {a[2, 2]:18.12f}",
                f" POLAR| xy,xz,yz   {a[0, 1]:18.12f} {a[0, 2]:18.12f} {a[1, 2]:18.12f}",
                f" POLAR| yx,zx,zy   {a[1, 0]:18.12f} {a[2, 0]:18.12f} {a[2, 1]:18.12f}",
            ]
    path = tmp_path / "polar.out"
    path.write_text("\n".join(lines) + "\n")
    raw = read_foreign(path)
    assert raw is not None
    alpha = raw.channels["polarizability"]
    assert alpha.unit == "a.u."
    np.testing.assert_allclose(alpha.values, [tensor, tensor + 1, tensor + 2])


def test_cp2ks_classical_dipoles_are_read_once_in_their_first_unit(tmp_path: Path) -> None:
    path = tmp_path / "ff.out"
    path.write_text(
        "".join(
            f" MM_DIPOLE| Moment [a.u.]      {n}.0    2.0   3.0   4.0\n"
            f" MM_DIPOLE| Moment [Debye]     {2.54 * n}    5.0   7.6  10.0\n"
            for n in range(3)
        )
    )
    raw = read_foreign(path)
    assert raw is not None
    assert raw.channels["dipole"].unit == "a.u."
    np.testing.assert_allclose(raw.channels["dipole"].values[:, 0], [0.0, 1.0, 2.0])


def test_gpumds_polarizability_has_its_six_components_in_place(tmp_path: Path) -> None:
    path = tmp_path / "polarizability.out"
    path.write_text("0 1 2 3 4 5 6\n10 1 2 3 4 5 7\n")
    raw = read_foreign(path)
    assert raw is not None
    xx, yy, zz, xy, yz, zx = 1, 2, 3, 4, 5, 6
    expected = [[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]
    np.testing.assert_array_equal(raw.channels["polarizability"].values[0], expected)
    assert raw.channels["polarizability"].unit is None


_DUMP = (
    "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{}\nITEM: BOX BOUNDS pp pp pp\n0 1\n0 1\n0 1\n"
    "ITEM: ATOMS "
)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("COLVAR", "#! FIELDS time p.x p.y p.z\n0 1 2 3\n1 1 2 3\n", "--key dipole=p"),
        ("COLVAR", "#! FIELDS time d1\n0 1\n1 1\n", "none belong together"),
        ("COLVAR", "#! FIELDS time mu.x mu.y mu.z dip.x dip.y dip.z\n" + "0 1 2 3 4 5 6\n" * 2,
         "several columns"),
        ("COLVAR", "#! FIELDS time mu.x mu.y mu.z\n0 1 2 3\n1 2\n2 1 2 3\n", "line 3: 2 columns"),
        ("COLVAR", "#! FIELDS time mu.x mu.y mu.z\n0 1 2 3\n1 1 2 nan\n", "not finite"),
        ("COLVAR", "#! FIELDS time mu.x mu.y mu.z\n0 1 2 3\n1 1 2 ****\n", "Fortran writes stars"),
        ("COLVAR", "#! FIELDS time mu.x mu.y mu.z\n", "no row"),
        ("COLVAR", "#! FIELDS time mu.x mu.y\n0 1 2 3\n1 1 2 3\n", "header names 3 columns"),
        ("COLVAR", "#! FIELDS time mu.x mu.y mu.z\n0 1 2 3\n#! FIELDS time x\n1 2\n", "restart"),
        ("m.xvg", '@ xaxis label "Time (ps)"\n0 1 2 3\n&\n0 1 2 3\n', "second data set"),
        ("a.dat", "# Time-averaged data for fix 1\n# TimeStep Number-of-rows\n# Row c\n0 3\n1 3\n",
         "mode `vector`"),
        ("a.dat", "# Fix print output for fix 1\n0 1 2 3\n1 1 2 3\n", "title"),
        ("dump", _DUMP.format(2) + "id x y z\n1 0 0 0\n", "truncated"),
        ("dump", "ITEM: TIMESTEP\n0\nITEM: ATOMS id x y z\n1 0 0 0\n", "ATOMS is missing"),
        ("dump", _DUMP.format(1) + "id type\n1 1\n", "are needed"),
        ("dump", "ITEM: UNITS\nlj\n" + _DUMP.format(1) + "id x y z\n1 0 0 0\n", "units lj"),
        ("p.xyz", "1\n i = 0, time = 0.0, E = -1.0\nH 0 0\n", "no whole frame"),
        ("p.xyz", "1\n i = 0, time = 0.0, E = -1.0\nH 0 0 0\nx\n", "no number of atoms"),
        ("p.xyz", "1\n i = 0, time = 0.0, E = -1.0\nH 0 0 0\n1\nother\nH 0 0 0\n",
         "unlike the first"),
        ("p.xyz", "1\n i = 0, time = 0.0, E = -1.0\nH 0 0 0\n1\n i = 1, time = 1.0, E = -1.0\n"
         "O 0 0 0\n", "other atoms"),
        ("dip_0", "#EXTRAS(dipole)# Step: 0\n1 2 3 4\n", "4 numbers"),
        ("dip_0", "#EXTRAS(dipole)# Step: 0\n1 2 3\n#EXTRAS(dipole)# Step: 1\n1 2\n"
         "#EXTRAS(dipole)# Step: 2\n1 2 3\n", "step 1 has 2 numbers"),
        ("m.dat", "  Dipole moment [Debye]\n", "holds no dipole"),
    ],
)  # fmt: skip
def test_damaged_and_ambiguous_files_say_what_is_wrong(
    name: str, text: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(TrajectoryError, match=words):
        read_foreign(path)


@pytest.mark.parametrize(
    "write", [known_signal.colvar, known_signal.lammps_unwrapped, known_signal.cp2k_positions,
              known_signal.ipi_extras, known_signal.gpumd, known_signal.orca_positions]
)  # fmt: skip
def test_a_run_that_was_killed_while_writing_loses_its_last_frame_only(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = write(tmp_path)
    whole = read_foreign(path)
    path.write_bytes(path.read_bytes()[:-7])
    cut = read_foreign(path)
    assert whole is not None
    assert cut is not None
    name = next(iter(whole.channels))
    np.testing.assert_array_equal(cut.channels[name].values, whole.channels[name].values[:-1])
    assert any("cut short and was left out" in note for note in cut.notes)


def test_a_dcd_of_an_unknown_program_has_no_times(tmp_path: Path) -> None:
    """LAMMPS writes its own time unit where the format has another."""
    pytest.importorskip("MDAnalysis")
    path = known_signal.dcd(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"NAMD", b"    "))
    raw = read_foreign(path)
    assert raw is not None
    assert raw.time is None
    assert any("which program" in note for note in raw.notes)


def test_a_missing_library_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.xtc"
    path.write_bytes(b"\x00\x00\x07\xcb" + bytes(100))
    monkeypatch.setitem(sys.modules, "MDAnalysis", None)
    monkeypatch.setitem(sys.modules, "MDAnalysis.coordinates", None)
    monkeypatch.setitem(sys.modules, "MDAnalysis.coordinates.XTC", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'painn_ase\[formats\]'"):
        read_foreign(path)


@pytest.mark.parametrize("name", ["xtc", "trr", "dcd", "netcdf", "schnetpack_md"])
def test_a_damaged_binary_file_is_our_error(name: str, tmp_path: Path) -> None:
    if name != "schnetpack_md":
        pytest.importorskip("MDAnalysis")
    path = getattr(known_signal, name)(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:600])
    with contextlib.suppress(TrajectoryError):
        read_foreign(path)
    path.write_bytes(data[:40])
    if identify(path) is not None:
        with pytest.raises(TrajectoryError, match=r"truncated|damaged"):
            read_foreign(path)


def test_a_key_names_the_columns_that_are_the_dipole(tmp_path: Path) -> None:
    path = tmp_path / "COLVAR"
    path.write_text("#! FIELDS time p.x p.y p.z dip.x dip.y dip.z\n0 1 2 3 4 5 6\n1 1 2 3 4 5 6\n")
    raw = read_foreign(path, {"dipole": "p"})
    assert raw is not None
    np.testing.assert_array_equal(raw.channels["dipole"].values[0], [1, 2, 3])
    with pytest.raises(TrajectoryError, match=r"no column 'q'; .*vectors among them: p, dip"):
        read_foreign(path, {"dipole": "q"})


def test_plain_tables_and_our_own_files_are_left_alone(tmp_path: Path) -> None:
    for name, text in (
        ("a.csv", "t,x,y,z\n0,1,2,3\n"),
        ("a.txt", "# step size 3\n0 1 2 3\n"),
        ("a.extxyz", '1\nProperties=species:S:1:pos:R:3 dipole="0 0 1"\nH 0 0 0\n'),
        ("a.h5", "\0\0"),
        ("dipole.out", "1 2 3\n"),
        ("b.txt", "# step time[ps] mu_x[D] mu_y[D] mu_z[D]\n0 0 1 2 3\n"),
        ("c.txt", "# Step, time (fs), x, y, z\n0 0 1 2 3\n"),
    ):
        (tmp_path / name).write_text(text)
        if name != "a.txt":
            assert identify(tmp_path / name) is None


def test_every_format_says_what_it_is_and_gives() -> None:
    for found in FORMATS:
        assert found.program
        assert found.files
        assert found.mark
        assert found.gives
        assert found.extra in (None, "formats")


# -- charges ---------------------------------------------------------------------------------------


def _moving(values: np.ndarray, **facts: object) -> RawSeries:
    return RawSeries("a run", {"positions": RawChannel(values, "Angstrom", "x")}, **facts)


def test_born_charges_are_read_with_the_field_along_the_rows(tmp_path: Path) -> None:
    block = (
        " BORN EFFECTIVE CHARGES (including local field effects) (in |e|, cumulative output)\n"
        " --------------------------------------------------------------------------------\n"
        "  ion    1\n    1   1.0  0.5  0.0\n    2   0.0  2.0  0.0\n    3   0.0  0.0  3.0\n"
        "  ion    2\n    1  -1.0  0.0  0.0\n    2   0.0 -2.0  0.0\n    3   0.0  0.0 -2.9\n"
        "\n\n--------\n"
    )
    path = tmp_path / "OUTCAR"
    path.write_text(block.replace("1.0", "9.0") + "text\n" + block)
    tensors = read_born_charges(path)
    assert tensors.shape == (2, 3, 3)
    assert tensors[0, 0, 1] == 0.5
    # moving atom 1 along y changes the dipole along x by Z_xy
    positions = np.zeros((2, 2, 3))
    positions[1, 0, 1] = 0.2
    raw = add_dipole_of_charges(_moving(positions, numbers=np.array([12, 8])), path)
    change = np.diff(raw.channels["dipole"].values, axis=0)[0]
    np.testing.assert_allclose(change, [0.2 * (0.5 - 0.25), 0.4, 0.0], atol=1e-12)
    assert any("sum up to zero" in note for note in raw.notes)
    (tmp_path / "cut").write_text(block[:300])
    with pytest.raises(TrajectoryError, match="LEPSILON"):
        read_born_charges(tmp_path / "cut")


def test_a_charged_systems_dipole_does_not_move_with_it() -> None:
    rng = np.random.default_rng(0)
    inner = rng.normal(size=(2, 3))
    drift = np.arange(5)[:, None, None] * np.array([1.0, 2.0, 3.0])
    raw = add_dipole_of_charges(
        _moving(inner + drift, numbers=np.array([8, 1])), {"O": -1.5, "H": 0.5}
    )
    np.testing.assert_allclose(
        raw.channels["dipole"].values - raw.channels["dipole"].values[0], 0, atol=1e-12
    )
    assert any("centre of mass" in note for note in raw.notes)


def test_velocities_give_the_flux_of_fixed_charges() -> None:
    velocities = np.random.default_rng(1).normal(size=(4, 2, 3))
    raw = RawSeries(
        "a run", {"velocities": RawChannel(velocities, "Angstrom/fs", "v")}, types=("a", "b")
    )
    flux = add_dipole_of_charges(raw, {"a": 1.0, "b": -1.0}).channels["dipole_flux"]
    assert flux.unit is not None
    per_ase_time = flux.values * unit_factor(flux.unit, "dipole_flux")
    np.testing.assert_allclose(
        per_ase_time * fs_to_ase_time, velocities[:, 0] - velocities[:, 1], atol=1e-12
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"O": -1.0}, "no charge for its atoms H"),
        ({"O": -1.0, "H": 0.5, "C": 1.0}, "given for C"),
        (None, "--charges O=-0.8476"),
    ],
)
def test_charges_of_other_atoms_are_refused(given: dict | None, words: str) -> None:
    with pytest.raises(TrajectoryError, match=words):
        add_dipole_of_charges(_moving(np.zeros((2, 2, 3)), numbers=np.array([8, 1])), given)


@pytest.mark.parametrize("text", ["O", "O=x", "=1", "O=1,O=2", "/nowhere"])
def test_charges_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(TrajectoryError):
        parse_charges(text)


def test_atoms_are_followed_through_a_skewed_cell() -> None:
    cell = np.array([[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.5, -1.0, 6.0]])
    rng = np.random.default_rng(2)
    way = np.cumsum(rng.normal(scale=0.3, size=(200, 3, 3)), axis=0)
    wrapped = ((way @ np.linalg.inv(cell)) % 1.0) @ cell
    raw = _moving(wrapped, pbc=(True, True, True))
    raw.channels["cell"] = RawChannel(cell[None], "Angstrom", "c")
    found, jumps = follow_through_cell(raw)
    np.testing.assert_allclose(found - found[0], way - way[0], atol=1e-9)
    assert jumps > 0
    raw.channels["positions"] = RawChannel(wrapped[::40], "Angstrom", "x")
    with pytest.raises(TrajectoryError, match="cannot be told|not clear|jump"):
        follow_through_cell(raw)


# -- VASP ------------------------------------------------------------------------------------------

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
def test_vasp_runs_have_positions_cell_and_time_step(name: str) -> None:
    raw = read_foreign(DATA / name)
    assert raw is not None
    assert raw.timestep == 0.5
    assert raw.time_unit == "fs"
    np.testing.assert_array_equal(raw.numbers, [8, 1])
    heights = raw.channels["positions"].values[:, 1, 2]
    np.testing.assert_allclose(heights, [3.9, 3.91, 3.92], atol=1e-6)
    np.testing.assert_allclose(raw.channels["cell"].values[0], 10.0 * np.eye(3))


@pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
def test_a_relaxation_is_no_molecular_dynamics(name: str, tmp_path: Path) -> None:
    text = (DATA / name).read_text()
    text = text.replace("IBRION =      0", "IBRION =      2")
    text = text.replace('name="IBRION">     0<', 'name="IBRION">     2<')
    (tmp_path / name).write_text(text)
    with pytest.raises(TrajectoryError, match="no molecular dynamics"):
        read_foreign(tmp_path / name)


@pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
def test_a_truncated_vasp_file_is_our_error_or_its_whole_frames(name: str, tmp_path: Path) -> None:
    data = (DATA / name).read_bytes()
    for share in (0.2, 0.4, 0.6, 0.8, 0.95):
        (tmp_path / name).write_bytes(data[: int(share * len(data))])
        with contextlib.suppress(TrajectoryError):
            raw = read_foreign(tmp_path / name)
            assert raw is None or np.isfinite(raw.channels["positions"].values).all()


def test_gaussian_dipoles_that_turn_with_the_molecule_are_refused(tmp_path: Path) -> None:
    path = known_signal.gaussian_bomd(tmp_path)
    head, tail = path.read_text().split(" Summary information for step      2", 1)
    path.write_text(head + "                         Standard orientation:\n" + tail)
    with pytest.raises(TrajectoryError, match="NoSymm"):
        read_foreign(path)


# -- numbers ---------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_fortrans_exponents_are_read_as_written(value: float) -> None:
    mantissa, exponent = f"{value:.16E}".split("E")
    assert number(f"{mantissa}D{exponent}", "here") == value
    assert number(f"{mantissa}E{exponent}", "here") == value
    if len(exponent) == 4:  # no room for the letter
        assert number(f"{mantissa}{exponent}", "here") == value


def test_a_long_table_is_read_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "_BLOCK", 64)
    path = known_signal.colvar(tmp_path)
    whole = read_foreign(path)
    assert whole is not None
    np.testing.assert_allclose(whole.channels["dipole"].values, 0.1 * DIPOLE, atol=1e-8)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:500], "0.1 0.2\n", *lines[500:]]))
    with pytest.raises(TrajectoryError, match="line 501: 2 columns"):
        read_foreign(path)


def test_nwchems_output_names_the_file_that_holds_its_dynamics(tmp_path: Path) -> None:
    path = tmp_path / "water.out"
    path.write_text(
        " argument  1 = water.nw\n\n"
        "              Northwest Computational Chemistry Package (NWChem) 7.2.0\n"
        "              --------------------------------------------------------\n"
    )
    with pytest.raises(TrajectoryError, match=r"NWChem's output, .* Give the run's \.xyz file"):
        read_time_series(path)


def test_nwchem_without_a_dipole_says_so(tmp_path: Path) -> None:
    path = known_signal.nwchem_qmd(tmp_path)
    zero = f"{0.0:15.6E}" * 3
    lines = path.read_text().splitlines()
    lines[1::4] = [line[:30] + zero for line in lines[1::4]]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TrajectoryError, match="neither dipoles nor charges"):
        read_time_series(path, timestep=TIMESTEP)
    series = read_time_series(path, timestep=TIMESTEP, charges="O=-1,H=1")
    assert any("wrote zeros" in note for note in series.notes)


def test_means_of_lammps_are_warned_of(tmp_path: Path) -> None:
    """fix ave/time does not say in its file over how many steps each value is a mean."""
    said = {"timestep": TIMESTEP, "dipole_unit": "e*Å"}
    notes = read_time_series(known_signal.lammps_ave_time(tmp_path), **said).notes
    assert any("Nrepeat" in note and "sinc" in note for note in notes)
    printed = read_time_series(known_signal.lammps_print(tmp_path), **said).notes
    assert not any("Nrepeat" in note for note in printed)
