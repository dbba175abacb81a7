"""A picture of spectra: one axis for all, curves named, smooth, no false signal at zero."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib import rcParams
from scipy import fft

from painn_ase.errors import DataError, PaiNNWarning
from painn_ase.plotting import Panel, draw_panels, label_peaks, new_figure, plot_spectrum
from painn_ase.plotting.curves import smooth_curve
from painn_ase.spectra import (
    HarmonicResult,
    Spectrum,
    harmonic_lines,
    infrared,
)
from painn_ase.spectra.shown import edge_of_zero, shown_range
from painn_ase.spectra.windows import reciprocal_fs_to_invcm, taper
from painn_ase.units import invcm_to_radians_per_fs

X = np.arange(0.0, 9000.0, 2.0)
FACTS: dict[str, Any] = {"temperature_K": 300.0, "timestep_fs": 1.0, "n_frames_per_run": 5000}


def lines(*bands: tuple[float, float], unit: str = "km/mol/cm^-1", **facts: Any) -> Spectrum:
    """Gaussians of FWHM 20 cm⁻¹ with the given heights."""
    y = sum(h * np.exp(-4.0 * np.log(2.0) * ((X - c) / 20.0) ** 2) for c, h in bands)
    quantity = "Raman cross section" if unit.startswith("1e-40") else "molar absorption"
    return Spectrum(X, y, unit=unit, quantity=quantity, fwhm=20.0, provenance={**FACTS, **facts})


def raman(*bands: tuple[float, float], component: str = "unpolarised") -> Spectrum:
    laser = {"laser_invcm": 1e7 / 633.0, "component": component}
    return lines(*bands, unit="1e-40 m^2/sr/cm^-1", **laser)


# -- one axis ------------------------------------------------------------------------------------


def test_all_panels_share_the_range_of_all_curves_whatever_their_order() -> None:
    narrow, wide, other = lines((800.0, 1.0)), lines((3700.0, 0.1)), raman((1500.0, 5.0))
    seen = set()
    for panels in ([Panel([(narrow, "a"), (wide, "b")]), Panel([(other, "c")])],
                   [Panel([(other, "c")]), Panel([(wide, "b"), (narrow, "a")])]):  # fmt: skip
        axes = draw_panels(panels, direction="descending").axes
        seen |= {ax.get_xlim() for ax in axes}
    assert len(seen) == 1
    high, low = seen.pop()
    assert low == 0.0
    assert 3800.0 < high < 4100.0
    assert draw_panels([Panel([(narrow, "")])], limits=(None, 2000.0)).axes[0].get_xlim()[1] == 2000


def test_an_overtone_does_not_stretch_the_axis_but_near_infrared_has_its_own() -> None:
    assert shown_range(lines((1600.0, 5.0), (3700.0, 2.0), (7500.0, 0.08)))[1] < 4100.0
    assert shown_range(lines((5200.0, 1.0), (7100.0, 0.7)))[1] > 7200.0


def test_sticks_count_for_the_range() -> None:
    sticks = np.array([[500.0, 3.0], [3900.0, 1.0], [8000.0, 1e-4]])
    ax = draw_panels([Panel([(lines((500.0, 1.0)), "")], sticks=sticks)]).axes[0]
    assert ax.get_xlim() == (0.0, 4000.0)


def test_an_empty_range_and_a_range_beside_the_spectra_are_named() -> None:
    panel = Panel([(lines((500.0, 1.0)), "")])
    with pytest.raises(DataError, match="from 900 to 100 cm⁻¹ is empty"):
        draw_panels([panel], limits=(900.0, 100.0))
    with pytest.raises(DataError, match="nothing lies between 9500 and 9900"):
        draw_panels([panel], limits=(9500.0, 9900.0))
    with pytest.raises(DataError, match="nothing to draw"):
        draw_panels([Panel([])])


# -- curves --------------------------------------------------------------------------------------


def test_a_rise_towards_zero_is_neither_drawn_nor_scaled_to() -> None:
    plain = raman((1500.0, 5.0), (3000.0, 3.0))
    rising = Spectrum(
        X[1:],
        (plain.intensity + 4e4 / np.maximum(X, 1.0) ** 2)[1:],
        unit=plain.unit,
        quantity=plain.quantity,
        fwhm=20.0,
        provenance=plain.provenance,
    )
    assert edge_of_zero(rising) == pytest.approx(28.0)
    assert edge_of_zero(plain) == 0.0
    ax = draw_panels([Panel([(rising, "r")])]).axes[0]
    x, y = ax.get_lines()[0].get_data()
    assert x[0] >= 28.0
    assert ax.get_ylim()[1] < 10.0
    assert y.max() > 5.0
    text = " ".join(t.get_text() for t in draw_panels([Panel([(rising, "r")])]).texts)
    assert "below 28 cm⁻¹ not told from zero" in text


def test_low_bands_are_drawn_from_zero_on() -> None:
    ax = draw_panels([Panel([(lines((60.0, 5.0), (1500.0, 1.0)), "")])]).axes[0]
    assert ax.get_lines()[0].get_xdata()[0] == 0.0
    assert ax.get_ylim()[1] > 5.0


def test_the_smooth_line_is_what_more_zero_filling_would_give() -> None:
    rng = np.random.default_rng(3)
    depth, n_runs, step = 500, 12, 1.0
    t = step * np.arange(depth)[:, None]
    runs = np.stack([
        sum(
            rng.normal(0.1, 0.03) * np.cos(invcm_to_radians_per_fs * w * t + rng.uniform(0, 6.3, 3))
            for w in (510.0, 1690.0, 1723.0, 3007.0)
        )
        for _ in range(n_runs)
    ])  # fmt: skip
    flux = np.diff(runs, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaiNNWarning)
        spectrum = infrared(
            flux=flux, input_unit="e*Å/fs", timestep=step, temperature=300.0, depth=depth - 1
        )
    n_fft = 64 * depth
    power = np.abs(fft.rfft(flux * taper("hann", depth - 1)[:, None], n=n_fft, axis=1)) ** 2
    exact = power.sum(axis=(0, 2))
    at = np.arange(len(exact)) * reciprocal_fs_to_invcm / (n_fft * step)
    # one factor for all wavenumbers: the harmonic correction of infrared absorption is 1
    factor = spectrum.intensity.sum() / np.interp(spectrum.frequency, at, exact).sum()
    x, y, error = smooth_curve(spectrum, 100.0, 3500.0)
    expected = factor * np.interp(x, at, exact)
    assert len(x) > 3 * np.sum((spectrum.frequency > 100.0) & (spectrum.frequency < 3500.0))
    straight = np.interp(x, spectrum.frequency, spectrum.intensity)
    assert np.abs(y - expected).max() < 0.02 * expected.max()
    assert np.abs(y - expected).max() < 0.5 * np.abs(straight - expected).max()
    assert y.min() >= 0.0
    assert error is not None
    caption = " ".join(t.get_text() for t in draw_panels([Panel([(spectrum, "md")])]).texts)
    assert "12 × 499 frames, Δt = 1 fs" in caption
    assert "zero-filled 2×), joined by a spline" in caption


def test_measured_points_are_joined_as_they_are() -> None:
    measured = Spectrum(X[::50], lines((1600.0, 1.0)).intensity[::50])
    x, y, _ = smooth_curve(measured, 0.0, 8000.0)
    np.testing.assert_array_equal(y, np.interp(x, measured.frequency, measured.intensity))


def test_curves_without_a_scale_are_brought_to_one_height() -> None:
    a, b = lines((1600.0, 3.0), unit="arbitrary"), lines((1700.0, 800.0), unit="arbitrary")
    ax = draw_panels([Panel([(a, "a"), (b, "b")])]).axes[0]
    assert [line.get_ydata().max() for line in ax.get_lines()] == pytest.approx([1, 1], rel=1e-3)
    assert "each curve" in ax.get_ylabel()


# -- words ---------------------------------------------------------------------------------------


def test_the_legend_names_temperature_laser_resolution_geometry_and_source() -> None:
    ir, vv, vh = lines((1, 1.0)), raman((1500, 5.0), component="vv"), raman((9, 1), component="vh")
    above, below = draw_panels([
        Panel([(ir.scaled_frequencies(0.97).shifted(-5.0), "run.csv")]),
        Panel([(vv, "b"), (vh, "c"), (vv, "d"), (vh, "e")]),
    ]).axes  # fmt: skip
    (text,) = [t.get_text() for t in above.get_legend().get_texts()]
    assert text.startswith("run.csv: 300 K, FWHM 19.4 cm")
    assert "ν̃ × 0.97" in text
    assert "ν̃ -5 cm" in text
    texts = [t.get_text() for t in below.get_legend().get_texts()]
    assert texts[0].startswith("b: VV, 300 K, 633 nm, FWHM 20 cm")
    assert texts[1].startswith("c: VH, 300 K")


def test_peaks_are_labelled_on_request_and_keep_clear_of_each_other() -> None:
    two = lines((1600.0, 5.0), (1630.0, 4.0), (3700.0, 1.0))
    panel = Panel([(two, "a"), (lines((1605.0, 2.0), (900.0, 2.0)), "b")])
    assert not draw_panels([panel]).axes[0].texts
    ax = draw_panels([panel], peaks=True).axes[0]
    assert sorted(t.get_text() for t in ax.texts) == ["1600", "3700", "900"]
    figure, (alone,) = new_figure()
    plot_spectrum(alone, two, range_invcm=(2000.0, 4000.0))
    label_peaks(alone, [two])
    assert [t.get_text() for t in alone.texts] == ["3700"]
    assert figure.axes == [alone]


def test_transmittance_is_of_absorption_alone() -> None:
    draw_panels([Panel([(lines((1600.0, 1.0)), "")])], transmittance=True)
    with pytest.raises(DataError, match="is no absorption"):
        draw_panels([Panel([(raman((1600.0, 1.0)), "r")])], transmittance=True)


# -- sticks on the scale of the curve ------------------------------------------------------------


@pytest.fixture(scope="module")
def water() -> HarmonicResult:
    """RHF/6-31G* water: frequencies and intensities of PySCF, see tests/spectra."""
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 3)))
    return HarmonicResult(
        frequencies=np.array([1826.506, 4056.397, 4174.511]),
        modes=turn.T.reshape(3, 3, 3),
        masses=np.array([15.995, 1.008, 1.008]),
        positions=np.eye(3),
        symbols=("O", "H", "H"),
        infrared=np.array([110.0935, 18.2996, 59.7406]),
        raman=np.array([5.6133, 73.8314, 38.9227]),
        depolarisation=np.array([0.5263, 0.1904, 0.75]),
    )


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
@pytest.mark.parametrize("component", ["infrared", "unpolarised", "vv", "vh", "iso", "aniso"])
def test_a_stick_is_as_long_as_its_line_is_high(
    water: HarmonicResult, shape: str, component: str
) -> None:
    grid = np.arange(0.0, 5000.0, 0.25)
    if component == "infrared":
        curve = water.infrared_spectrum(8.0, shape=shape, frequency=grid)
    else:
        curve = water.raman_spectrum(8.0, shape=shape, frequency=grid, component=component)
    sticks = harmonic_lines(water, curve)
    ax = draw_panels([Panel([(curve, "")], sticks=sticks)]).axes[0]
    depths = [-s[:, 1].min() for s in ax.collections[-1].get_segments()]
    heights = [curve.intensity[np.argmin(np.abs(grid - f))] for f in sticks[:, 0]]
    divided = ax.get_legend().get_texts()[-1].get_text()
    assert divided.startswith("harmonic (÷ ")
    divisor = float(divided.removeprefix("harmonic (÷ ").removesuffix(")"))
    # the foot of a neighbour's Lorentzian stands under a weak line
    foot = 0.02 * max(heights) if shape == "lorentzian" else 1e-6 * max(heights)
    np.testing.assert_allclose(np.array(depths) * divisor, heights, rtol=2e-3, atol=foot)
    assert -ax.get_ylim()[0] > max(depths)


def test_harmonic_cross_sections_have_the_modes_depolarisation(water: HarmonicResult) -> None:
    areas = {c: water.raman_cross_sections(component=c)[:, 1] for c in ("vv", "vh", "unpolarised")}
    np.testing.assert_allclose(areas["vh"] / areas["vv"], water.depolarisation, rtol=1e-9)
    np.testing.assert_allclose(areas["vh"] + areas["vv"], areas["unpolarised"], rtol=1e-9)


def test_lines_of_cross_section_and_bulk_are_those_per_mole(water: HarmonicResult) -> None:
    molar = harmonic_lines(water, lines((1, 1)))
    single = harmonic_lines(water, lines((1, 1), unit="cm^2"))
    np.testing.assert_allclose(single[:, 1] / molar[:, 1], 1.660539e-19, rtol=1e-6)
    bulk = harmonic_lines(water, lines((1, 1), unit="cm^-1", volume_angstrom3=30.0))
    np.testing.assert_allclose(bulk[:, 1] / single[:, 1], 1.0 / 30e-24, rtol=1e-9)
    with pytest.raises(DataError, match="does not say its volume"):
        harmonic_lines(water, lines((1, 1), unit="cm^-1"))
    with pytest.raises(DataError, match="no areas on the scale"):
        harmonic_lines(water, lines((1, 1), unit="modes/cm^-1"))


def test_shifts_move_and_keep_areas() -> None:
    spectrum = lines((1600.0, 5.0))
    moved = spectrum.shifted(-40.0)
    assert moved.peaks()[0].frequency == pytest.approx(1560.0, abs=0.1)
    assert moved.band_area().value == pytest.approx(spectrum.band_area().value, rel=1e-9)
    assert moved.frequency[0] == 0.0
    for wrong in (float("nan"), -1e5):
        with pytest.raises(DataError, match=r"shift"):
            spectrum.shifted(wrong)


def test_what_panels_of_one_run_share_stands_once_in_the_caption() -> None:
    """Infrared and Raman of the same segments: one source, one time step."""
    facts = {"source": "run.h5", "input": "9 frames, Δt = 1 fs"}
    ir = lines((800.0, 1.0), **facts)
    scattered = replace(
        raman((800.0, 1.0)), provenance={**FACTS, **facts, "jumps_unfolded": 3.0, "component": "vv"}
    )
    figure = draw_panels([Panel([(ir, "dynamics")]), Panel([(scattered, "dynamics")])])
    text = " ".join(" ".join(t.get_text() for t in figure.texts).split())
    assert text.count("run.h5; 9 frames, Δt = 1 fs") == 1
    assert "Raman cross section: 3 jumps of the dipole unfolded" in text


def test_a_talk_has_larger_letters_and_thicker_lines_and_leaves_the_settings_alone() -> None:
    before = dict(rcParams)
    paper, talk = (
        draw_panels([Panel([(lines((1700.0, 3.0)), "A")])], peaks=True, style=style)
        for style in ("paper", "talk")
    )
    for figure in (paper, talk):
        figure.canvas.draw()
    (small, large) = (figure.axes[0] for figure in (paper, talk))
    assert large.lines[0].get_linewidth() == 2 * small.lines[0].get_linewidth()
    assert large.yaxis.label.get_fontsize() == 1.6 * small.yaxis.label.get_fontsize()
    labels = [ax.texts[0].get_fontsize() for ax in (small, large)]
    assert labels[1] == pytest.approx(1.6 * labels[0])
    assert dict(rcParams) == before
