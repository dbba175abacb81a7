"""Tables of spectrometers and of other programs: what their columns mean, and what is asked."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from painn_ase.errors import DataError, PaiNNWarning
from painn_ase.spectra.files import parse_csv
from painn_ase.spectra.foreign import as_absorbance
from painn_ase.spectra.spectrum import Spectrum

#: a baseline with two bands, as absorbance over wavenumbers
GRID = np.linspace(400.0, 4000.0, 200)
BANDS = 0.9 * np.exp(-(((GRID - 1600.0) / 40.0) ** 2)) + 0.4 * np.exp(
    -(((GRID - 3000.0) / 60.0) ** 2)
)


def table(x: np.ndarray, *columns: np.ndarray, head: str = "", separator: str = ",") -> str:
    rows = [separator.join(repr(float(v)) for v in row) for row in zip(x, *columns, strict=True)]
    return "\n".join([*([head] if head else []), *rows]) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        table(GRID, BANDS, head="wavenumber,absorbance"),
        table(GRID[::-1], BANDS[::-1], head="cm-1,Absorbance"),
        table(GRID, 10.0**-BANDS, head="wavenumber,transmittance"),
        table(GRID[::-1], 100.0 * 10.0 ** -BANDS[::-1], head="cm-1,%T"),
        table(GRID, 100.0 * 10.0**-BANDS, head="wavenumber (cm-1)\t%T", separator="\t"),
        table(GRID, 1.0 - 10.0**-BANDS, head="wavenumber;absorptance", separator=";"),
        table(GRID, 100.0 - 100.0 * 10.0**-BANDS, head="wavenumber,absorption (%)"),
        table(1e4 / GRID, BANDS, head="wavelength (um),absorbance"),
        table(1e4 / GRID, 10.0**-BANDS, head="Wavelength (µm) Transmittance", separator=" "),
        table(1e7 / GRID, BANDS, head="wavelength / nm,absorbance"),
        table(GRID / 33.35640951981521, BANDS, head="frequency (THz),absorbance"),
        table(GRID / 8.065543937349212, BANDS, head="energy (meV),absorbance"),
        table(GRID, BANDS, head="# wavenumber (cm^-1); absorbance", separator=";"),
        table(GRID, BANDS, head="wavenumber;absorbance", separator=";").replace(".", ","),
    ],
)
def test_the_same_spectrum_comes_out_of_every_way_to_write_it(text: str) -> None:
    found = as_absorbance(parse_csv(text))
    np.testing.assert_allclose(found.frequency, GRID, rtol=1e-12)
    np.testing.assert_allclose(found.intensity, BANDS, atol=1e-9)
    assert found.unit == "absorbance"


def test_a_third_column_is_an_error_where_it_says_so() -> None:
    for head in ("wavenumber,intensity,error", "cm-1,ir,std_dev", "nu (cm-1),I,I_err", "cm-1,a,±"):
        found = parse_csv(table(GRID, BANDS, 0.1 * BANDS, head=head))
        np.testing.assert_allclose(found.error, 0.1 * BANDS)


@pytest.mark.parametrize(
    ("head", "named"),
    [
        # as TRAVIS heads its spectra
        (
            "#Wavenumber (cm^-1); Spectrum (K*cm*km*mol^-1); Integral (K*km*mol^-1)",
            "Integral",
        ),
        ("wavenumber;intensity;normalised", "normalised"),
        ("", "without heading"),
    ],
)
def test_any_other_third_column_is_left_out_with_a_word(head: str, named: str) -> None:
    integral = np.cumsum(BANDS)
    with pytest.warns(PaiNNWarning, match=f"{named}.* left out: nothing says that it is an error"):
        found = parse_csv(table(GRID, BANDS, integral, head=head, separator=";"))
    assert found.error is None
    assert named in found.history[-1]
    np.testing.assert_allclose(found.intensity, BANDS)
    if "TRAVIS" in head or "K*cm" in head:
        assert found.unit == "K*cm*km*mol^-1"


def test_normalised_curves_keep_that_as_their_unit() -> None:
    assert parse_csv(table(GRID, BANDS, head="cm-1,normalized intensity")).unit == "normalised"
    assert parse_csv(table(GRID, BANDS, head="cm-1,intensity (a.u.)")).unit == "arbitrary"
    assert parse_csv(table(GRID, BANDS, head="cm-1,IR (km/mol/cm^-1)")).unit == "km/mol/cm^-1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (table(1e4 / GRID, BANDS), "looks like wavelengths.*Head the columns"),
        (table(1e4 / GRID, BANDS, head="wavelength,absorbance"), "in which unit"),
        (table(1e7 / GRID, BANDS), "wavelengths in nm"),
        (table(GRID - 400.0, BANDS, head="wavelength (nm),a"), "zero or less"),
    ],
)
def test_an_axis_that_may_be_wavelengths_is_a_question(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse_csv(text)


def test_an_ordinate_that_may_be_transmittance_is_a_question() -> None:
    for factor in (1.0, 100.0):
        unknown = parse_csv(table(GRID, factor * 10.0**-BANDS))
        with pytest.raises(DataError, match=r"bands .* point downwards.*Head the columns"):
            as_absorbance(unknown)
    assert as_absorbance(parse_csv(table(GRID, BANDS))).unit == "arbitrary"
    with pytest.raises(DataError, match="reflectance is no absorption"):
        as_absorbance(parse_csv(table(GRID, BANDS, head="cm-1,reflectance")))


def test_our_own_files_are_taken_at_their_word(tmp_path) -> None:
    ours = Spectrum(np.linspace(1.0, 50.0, 40), np.ones(40), 0.1 * np.ones(40), unit="cm^-1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.save(tmp_path / "far.csv")
        again = Spectrum.load(tmp_path / "far.csv")
    assert again.error is not None
    assert again.unit == "cm^-1"
