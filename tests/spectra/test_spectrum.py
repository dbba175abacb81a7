"""The Spectrum record: measures, arithmetic, and files that come back as they were."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from painn_ase.errors import DataError, PaiNNError
from painn_ase.spectra import Spectrum, depolarisation_ratio, load_spectrum, save_spectrum
from painn_ase.spectra.files import parse_csv
from painn_ase.spectra.jcamp import parse_jcamp


def gaussian(x: np.ndarray, centre: float, fwhm: float) -> np.ndarray:
    return np.exp(-4.0 * np.log(2.0) * ((x - centre) / fwhm) ** 2) / (
        fwhm * np.sqrt(np.pi / 4.0 / np.log(2.0))
    )


@pytest.fixture
def spectrum() -> Spectrum:
    x = np.linspace(0.0, 4000.0, 4001)
    shape = 60.0 * gaussian(x, 1600.0, 20.0) + 40.0 * gaussian(x, 3000.0, 30.0)
    rng = np.random.default_rng(0)
    samples = shape * rng.normal(1.0, 0.2, size=(16, 1))
    return Spectrum.from_samples(
        x,
        samples.mean(axis=0),
        samples,
        unit="km/mol/cm^-1",
        quantity="molar absorption",
        fwhm=20.0,
        provenance={"temperature_K": 300.0, "window": "hann", "depth_frames": 500},
        history=("made for a test, with # and $$ and ## in it",),
    )


def test_band_area_and_its_error_come_from_the_samples(spectrum: Spectrum) -> None:
    area, error = spectrum.band_area(1500.0, 1700.0)
    factors = spectrum.samples[:, 1600] / (60.0 * gaussian(np.array(1600.0), 1600.0, 20.0))
    assert area == pytest.approx(60.0 * factors.mean(), rel=1e-6)
    assert error == pytest.approx(60.0 * factors.std(ddof=1) / 4.0, rel=1e-6)
    # without samples the bound for full correlation, which here is the truth
    bare = Spectrum(spectrum.frequency, spectrum.intensity, spectrum.error)
    assert bare.band_area(1500.0, 1700.0).error == pytest.approx(error, rel=1e-6)
    assert Spectrum(spectrum.frequency, spectrum.intensity).band_area().error is None


def test_bands_of_neighbours_add_up(spectrum: Spectrum) -> None:
    parts = [spectrum.band_area(a, b).value for a, b in ((0, 1599.37), (1599.37, 4000))]
    assert sum(parts) == pytest.approx(spectrum.band_area().value, rel=1e-6)
    with pytest.raises(DataError, match="covers 0 to 4000"):
        spectrum.band_area(5000.0, 6000.0)


def test_peaks_are_found_between_the_points() -> None:
    x = np.arange(0.0, 3000.0, 4.0)
    y = gaussian(x, 1001.3, 25.0) + 0.3 * gaussian(x, 2002.1, 25.0)
    first, second = Spectrum(x, y).peaks()
    assert first.frequency == pytest.approx(1001.3, abs=0.05)
    assert second.frequency == pytest.approx(2002.1, abs=0.05)
    assert first.fwhm == pytest.approx(25.0, rel=0.02)
    assert first.intensity == pytest.approx(gaussian(np.array(0.0), 0.0, 25.0), rel=2e-3)
    assert Spectrum(x, 0.0 * x).peaks() == ()


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_broadening_keeps_areas_and_states_its_width(spectrum: Spectrum, shape: str) -> None:
    wide = spectrum.broadened(15.0, shape)
    assert wide.band_area(800.0, 2300.0).value == pytest.approx(
        spectrum.band_area(800.0, 2300.0).value, rel=0.02
    )
    assert wide.fwhm == pytest.approx(25.0 if shape == "gaussian" else 35.0)
    assert wide.peaks()[0].fwhm == pytest.approx(25.0 if shape == "gaussian" else 28.0, rel=0.05)
    assert "broadened" in wide.history[-1]


def test_arithmetic_has_meaning_only_between_equals(spectrum: Spectrum) -> None:
    double = 2.0 * spectrum
    np.testing.assert_allclose((double - spectrum).intensity, spectrum.intensity, atol=1e-12)
    np.testing.assert_allclose((spectrum + spectrum).error, np.sqrt(2.0) * spectrum.error)
    assert (spectrum / 4.0).band_area().error == pytest.approx(spectrum.band_area().error / 4.0)
    with pytest.raises(DataError, match="interpolated"):
        spectrum + spectrum.cropped(100.0, 200.0)
    with pytest.raises(DataError, match="km/mol"):
        spectrum + Spectrum(spectrum.frequency, spectrum.intensity, unit="cm^2")
    with pytest.raises(DataError, match="extrapolate"):
        spectrum.interpolated([1.0, 5000.0])
    scaled = spectrum.scaled_frequencies(0.96)
    assert scaled.peaks()[0].frequency == pytest.approx(1600.0 * 0.96, abs=0.1)
    assert scaled.band_area().value == pytest.approx(spectrum.band_area().value)
    with pytest.raises(TypeError):
        spectrum * spectrum  # type: ignore[operator]


def test_ratio_of_bands_that_fluctuate_together_is_certain(spectrum: Spectrum) -> None:
    third = spectrum / 3.0
    ratio, error = depolarisation_ratio(third, spectrum, 1500.0, 1700.0)
    assert ratio == pytest.approx(1.0 / 3.0)
    assert error == pytest.approx(0.0, abs=1e-12)


def test_a_spectrum_cannot_be_changed_or_made_of_nonsense(spectrum: Spectrum) -> None:
    with pytest.raises(ValueError, match="read-only"):
        spectrum.intensity[0] = 1.0
    for x, y in (
        ([0.0, 1.0], [1.0, np.nan]),
        ([1.0, 1.0], [0.0, 0.0]),
        ([0.0], [1.0]),
        ([0.0, 1.0], [1.0]),
        (["a", "b"], [0.0, 1.0]),
    ):
        with pytest.raises(DataError):
            Spectrum(np.array(x), np.array(y))


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".jdx"])
def test_files_give_back_what_was_saved(spectrum: Spectrum, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ir{suffix}"
    save_spectrum(spectrum, path)
    again = Spectrum.load(path)
    exact = suffix != ".jdx"
    np.testing.assert_allclose(again.frequency, spectrum.frequency, rtol=1e-14)
    np.testing.assert_allclose(
        again.intensity, spectrum.intensity, rtol=0.0, atol=0.0 if exact else 3e-9
    )
    for name in ("unit", "quantity", "fwhm", "history", "provenance"):
        assert getattr(again, name) == getattr(spectrum, name)
    if suffix == ".csv":
        np.testing.assert_array_equal(again.error, spectrum.error)
    if suffix == ".npz":
        np.testing.assert_array_equal(again.samples, spectrum.samples)
    assert os.listdir(tmp_path) == [path.name]


finite = st.floats(-1e12, 1e12, allow_subnormal=False)


@example(points=[(0.0, 0.0), (1.0, 0.0)], suffix=".csv", title="\x85")
@example(points=[(0.0, 0.0), (1.0, 0.0)], suffix=".jdx", title="a\u2028b")
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    points=st.lists(
        st.tuples(st.floats(0.0, 1e5, allow_subnormal=False), finite),
        min_size=2,
        max_size=40,
        unique_by=lambda p: round(p[0], 3),
    ),
    suffix=st.sampled_from([".csv", ".npz", ".jdx"]),
    title=st.text(max_size=30),
)
def test_any_spectrum_makes_the_round_trip(
    tmp_path: Path, points: list[tuple[float, float]], suffix: str, title: str
) -> None:
    x, y = np.array(sorted(points)).T
    spectrum = Spectrum(x, y, quantity="Raman", history=(title,))
    path = tmp_path / f"any{suffix}"
    spectrum.save(path)
    again = load_spectrum(path)
    np.testing.assert_allclose(again.frequency, x, rtol=1e-9, atol=1e-5)
    np.testing.assert_allclose(again.intensity, y, atol=2e-9 * np.abs(y).max())
    assert again.history == (title,)


def test_experiments_in_plain_columns_are_read() -> None:
    text = "wavenumber;absorbance\n3000;0.2\n2000;0.1;\n\n# remark\n2500 ; 0.4\n"
    spectrum = parse_csv(text)
    np.testing.assert_array_equal(spectrum.frequency, [2000.0, 2500.0, 3000.0])
    np.testing.assert_array_equal(spectrum.intensity, [0.1, 0.4, 0.2])
    repeated = parse_csv("1 2\n1 4\n2 0\n")
    np.testing.assert_array_equal(repeated.intensity, [3.0, 0.0])
    assert "repeated" in repeated.history[-1]


JCAMP = """##TITLE=ethanol, gas
##JCAMP-DX=4.24
##DATA TYPE=INFRARED SPECTRUM
##XUNITS=1/CM
##YUNITS=TRANSMITTANCE
##XFACTOR=1.0
##YFACTOR=0.001
##FIRSTX=400
##LASTX=407
##NPOINTS=8
##XYDATA=(X++(Y..Y)) $$ a remark
{table}
##END=
"""


@pytest.mark.parametrize(
    ("form", "table"),
    [
        ("plain", "400 10 11 12 13\n404 13 13 10 -5"),
        ("packed", "400+10+11+12+13\n404+13+13+10-5"),
        ("squeezed", "400A0A1A2A3\n404A3A3A0e"),
        ("squeezed with repeats", "400A0A1A2A3\n404A3TA0e"),
        ("difference", "400A0JJJ%\n404A3%lj5"),
        ("difference with repeats", "400A0JU%\n404A3%lj5"),
    ],
)
def test_every_form_of_jcamp_table_is_read(form: str, table: str) -> None:
    spectrum = parse_jcamp(JCAMP.format(table=table))
    np.testing.assert_allclose(
        spectrum.intensity, 0.001 * np.array([10, 11, 12, 13, 13, 13, 10, -5]), err_msg=form
    )
    np.testing.assert_allclose(spectrum.frequency, np.arange(400.0, 408.0))
    assert spectrum.unit == "TRANSMITTANCE"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("NPOINTS=8", "NPOINTS=9"), "holds 8 points"),
        (("404 13", "409 13"), "missing"),
        (("1/CM", "M/Z"), "XUNITS"),
        (("##JCAMP-DX=4.24\n", ""), "JCAMP-DX"),
        (("XYDATA=(X++(Y..Y))", "XYDATA=(XYA)"), "unknown"),
        (("FIRSTX=400", "FIRSTX=four"), "FIRSTX"),
        (("##NPOINTS", "##NTUPLES=1\n##NPOINTS"), "compound"),
        (("12 13", "12 ?"), "cannot read"),
        (("404 13", "404T"), "repeats nothing"),
    ],
)
def test_bad_jcamp_is_refused_with_its_reason(change: tuple[str, str], message: str) -> None:
    text = JCAMP.format(table="400 10 11 12 13\n404 13 13 10 -5")
    assert change[0] in text
    with pytest.raises(DataError, match=message):
        parse_jcamp(text.replace(*change))


def test_wavelengths_become_wavenumbers() -> None:
    text = JCAMP.format(table="400 10 11 12 13\n404 13 13 10 -5").replace("1/CM", "MICROMETERS")
    spectrum = parse_jcamp(text)
    assert spectrum.frequency[-1] == pytest.approx(25.0)
    assert spectrum.intensity[-1] == pytest.approx(0.010)


def test_another_jcamp_reader_understands_our_files(spectrum: Spectrum, tmp_path: Path) -> None:
    jcamp = pytest.importorskip("jcamp")
    spectrum.save(tmp_path / "ir.jdx")
    read = jcamp.readfile
    record = read(str(tmp_path / "ir.jdx"))
    np.testing.assert_allclose(record["x"], spectrum.frequency, atol=1e-6)
    np.testing.assert_allclose(record["y"], spectrum.intensity, atol=4e-9)
    uneven = spectrum.interpolated(np.sort(np.random.default_rng(0).uniform(1, 3999, 200)))
    uneven.save(tmp_path / "uneven.jdx")
    record = read(str(tmp_path / "uneven.jdx"))
    np.testing.assert_allclose(record["y"], uneven.intensity, atol=4e-9)


# ---------------------------------------------------------------------- hostile files

fragments = st.sampled_from(
    [
        "##",
        "=",
        "XYDATA",
        "XYPOINTS",
        "(X++(Y..Y))",
        "FIRSTX",
        "LASTX",
        "NPOINTS",
        "TITLE",
        "END",
        "JCAMP-DX",
        "4.24",
        "YFACTOR",
        "\n",
        "\n",
        " ",
        ",",
        "1",
        "-3.5e4",
        "1e999",
        "nan",
        "A0J%T",
        "Z9999999999",
        "?",
        "##$PAINN ASE FACTS=\n{",
        "# painn_ase spectrum {",
        "[" * 50,
        "\x00",
        "é",
    ]
)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(max_size=200), st.lists(fragments, max_size=40).map("".join)))
def test_readers_answer_nonsense_with_our_errors_alone(text: str) -> None:
    for parse in (parse_csv, parse_jcamp):
        try:
            result = parse(text)
        except PaiNNError:
            continue
        assert np.isfinite(result.intensity).all()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_jcamp_gives_our_errors_alone(data: st.DataObject) -> None:
    text = JCAMP.format(table="400A0JU%\n404A3%lj5")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    with contextlib.suppress(PaiNNError):
        parse_jcamp(text[:start] + data.draw(st.text(max_size=8)) + text[end:])


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_archives_give_our_errors_alone(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    Spectrum(np.arange(30.0), np.ones(30)).save(path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with contextlib.suppress(PaiNNError):
        load_spectrum(path)


def test_pickled_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, frequency=np.array([{"a": 1}], dtype=object), intensity=[1.0], facts="{}")
    with pytest.raises(DataError, match=r"evil\.npz"):
        load_spectrum(path)


def test_swollen_archives_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("frequency.npy", "w", force_zip64=True) as handle,
    ):
        for _ in range(520):
            handle.write(bytes(1 << 20))
    with pytest.raises(DataError, match="512 MiB"):
        load_spectrum(path)


def test_absent_files_and_unknown_suffixes_are_named(tmp_path: Path, spectrum: Spectrum) -> None:
    with pytest.raises(DataError, match=r"none\.csv"):
        load_spectrum(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"\.jdx"):
        load_spectrum(tmp_path / "x.xlsx")
    with pytest.raises(DataError, match=r"\.npz"):
        spectrum.save(tmp_path / "x.pdf")
    with pytest.raises(DataError, match="cannot be written"):
        spectrum.save(tmp_path / "no folder" / "x.csv")


def test_header_of_a_csv_is_checked() -> None:
    facts = json.dumps({"fwhm": "wide"})
    with pytest.raises(DataError, match="line 1"):
        parse_csv(f"# painn_ase spectrum {facts}\n1,2\n2,3\n")
