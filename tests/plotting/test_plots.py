"""Plots draw what they are given, into the Axes they are given, and touch nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from painn_ase.errors import DataError
from painn_ase.plotting import (
    new_figure,
    plot_energy_drift,
    plot_experiment,
    plot_parity,
    plot_spectrum,
    plot_sticks,
    plot_temperature,
    plot_transmittance,
)
from painn_ase.spectra import Spectrum

X = np.linspace(0.0, 6000.0, 3001)
BANDS = np.array([[1600.0, 70.0], [3700.0, 10.0]])


def bell(centre: float) -> np.ndarray:
    return np.exp(-(((X - centre) / 20.0) ** 2))


@pytest.fixture
def spectrum() -> Spectrum:
    rng = np.random.default_rng(0)
    samples = (7.0 * bell(1600.0) + bell(3700.0)) * rng.normal(1.0, 0.1, size=(12, 1))
    return Spectrum.from_samples(
        X, samples.mean(axis=0), samples, unit="km/mol/cm^-1", quantity="molar absorption"
    )


@pytest.fixture
def figure() -> Figure:
    return new_figure(1)[0]


def test_spectrum_is_drawn_with_its_error_band(figure: Figure, spectrum: Spectrum) -> None:
    ax = figure.axes[0]
    assert plot_spectrum(ax, spectrum, label="MD") is ax
    (line,) = ax.get_lines()
    assert np.max(line.get_ydata()) == pytest.approx(spectrum.intensity.max())
    band = ax.collections[0].get_paths()[0].vertices
    peak = np.argmax(spectrum.intensity)
    top = spectrum.intensity[peak] + 2.0 * spectrum.error[peak]
    assert band[:, 1].max() == pytest.approx(top)
    assert ax.get_ylim()[1] > top
    assert ax.get_xlim() == (0.0, 4000.0)
    assert "km mol" in ax.get_ylabel()
    assert "cm$^{-1}$" in ax.get_xlabel()


def test_high_wavenumbers_stand_left_on_request(figure: Figure, spectrum: Spectrum) -> None:
    ax = figure.axes[0]
    plot_spectrum(ax, spectrum, direction="descending", range_invcm=(500.0, 4000.0))
    assert ax.get_xlim() == (4000.0, 500.0)
    with pytest.raises(DataError, match="ascending"):
        plot_spectrum(ax, spectrum, direction="left")  # type: ignore[arg-type]


def test_sticks_hang_in_proportion_and_hide_nothing(figure: Figure, spectrum: Spectrum) -> None:
    ax = figure.axes[0]
    plot_spectrum(ax, spectrum)
    top = ax.get_ylim()[1]
    plot_sticks(ax, BANDS)
    sticks = ax.collections[-1].get_segments()
    depths = [-s[:, 1].min() for s in sticks]
    assert depths[1] / depths[0] == pytest.approx(1.0 / 7.0)
    assert ax.get_ylim()[1] == top
    assert max(depths) < -ax.get_ylim()[0]
    assert min(ax.get_yticks()) >= 0.0


def test_experiment_is_scaled_to_the_simulation(
    figure: Figure, spectrum: Spectrum, tmp_path: Path
) -> None:
    ax = figure.axes[0]
    plot_spectrum(ax, spectrum)
    measured = Spectrum(X, 100.0 * spectrum.intensity, unit="ABSORBANCE", quantity="gas")
    measured.save(tmp_path / "measured.jdx")
    plot_experiment(ax, tmp_path / "measured.jdx", match=spectrum)
    ours, theirs = ax.get_lines()
    assert np.max(theirs.get_ydata()) == pytest.approx(np.max(ours.get_ydata()), rel=1e-3)
    assert theirs.get_label() == "experiment (scaled)"
    tall = Spectrum(X, 3.0 * spectrum.intensity)
    plot_experiment(ax, tall)
    assert ax.get_ylim()[1] > tall.intensity.max()
    percent = Spectrum(X, 100.0 * 10.0 ** (-bell(1600.0)), unit="% TRANSMITTANCE")
    plot_experiment(ax, percent)
    assert np.max(ax.get_lines()[-1].get_ydata()) == pytest.approx(1.0, rel=1e-6)


def test_transmittance_follows_lambert_and_beer(figure: Figure, spectrum: Spectrum) -> None:
    ax = plot_transmittance(figure.axes[0], spectrum, strongest=0.9)
    (line,) = ax.get_lines()
    assert np.min(line.get_ydata()) == pytest.approx(10.0)
    weak = line.get_ydata()[np.argmin(np.abs(line.get_xdata() - 3700.0))]
    assert weak == pytest.approx(100.0 * 0.1 ** (1.0 / 7.0), rel=1e-3)
    assert ax.get_xlim()[0] > ax.get_xlim()[1]
    with pytest.raises(DataError, match="between 0 and 1"):
        plot_transmittance(ax, spectrum, strongest=2.0)


def test_drift_and_temperature_are_named_in_the_legends() -> None:
    _, (above, below) = new_figure(2)
    t = np.linspace(0.0, 10.0, 200)
    plot_energy_drift(above, t, 5.0 + 0.009 * t, n_atoms=9)
    assert "drift +1 meV/atom/ps" in above.get_legend().get_texts()[0].get_text()
    plot_temperature(below, t, np.full((3, 200), 310.0), target=300.0)
    texts = [text.get_text() for text in below.get_legend().get_texts()]
    assert texts == ["mean 310.0 K", "target 300 K"]
    with pytest.raises(DataError, match="shape"):
        plot_temperature(below, t, np.zeros(5))


@pytest.mark.parametrize("n", [50, 30_000])
def test_parity_states_the_errors(figure: Figure, n: int) -> None:
    x = np.linspace(-1.0, 1.0, n)
    ax = plot_parity(figure.axes[0], x, x + 0.1, name="force", unit="eV/Å")
    assert "MAE 0.1 eV/Å" in ax.texts[0].get_text()
    with pytest.raises(DataError, match="equal"):
        plot_parity(ax, x, x[1:], name="force", unit="eV/Å")
    with pytest.raises(DataError, match="NaN"):
        plot_parity(ax, x, x * np.nan, name="force", unit="eV/Å")


def test_plotting_leaves_pyplot_alone() -> None:
    code = (
        "import sys, numpy as np; from painn_ase.plotting import new_figure, plot_spectrum; "
        "from painn_ase.spectra import Spectrum; f, (a,) = new_figure(); "
        "plot_spectrum(a, Spectrum(np.arange(9.0), np.ones(9))); "
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
