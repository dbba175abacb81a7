"""Estimators: Parseval, widths, streaming, errors that mean what they say, and advice."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.errors import DataError, NonFiniteError, PaiNNWarning
from painn_ase.spectra import infrared, power, raman, window_fwhm
from painn_ase.spectra.estimators import autocorrelation, spectral_density
from painn_ase.spectra.series import ComponentStream, grouped_sum, open_series
from painn_ase.spectra.windows import taper
from painn_ase.units import invcm_to_radians_per_fs

WINDOWS = ["hann", "blackman", "gaussian", "none"]


def stream_of(values: np.ndarray, timestep: float = 1.0) -> ComponentStream:
    n = values.shape[-1]
    pair = grouped_sum(np.zeros(n, dtype=np.int64))
    return ComponentStream(
        open_series(values, (n,), "series"), timestep, lambda f: f.T.copy(), pair, n, 1
    )


@pytest.mark.parametrize("window", WINDOWS)
def test_whole_spectrum_sums_to_the_mean_square(window: str) -> None:
    """Parseval to rounding: Σ S df over both signs is C(0) of the tapered segments."""
    values = np.random.default_rng(0).normal(size=(64, 3))
    density = spectral_density(stream_of(values), window=window, depth=64)
    step = density.frequency[1] * invcm_to_radians_per_fs / (2.0 * np.pi)
    whole = (2.0 * density.density[0].sum() - density.density[0, 0]) * step
    if density.frequency[-1] > density.nyquist * 0.9999:
        whole -= density.density[0, -1] * step
    weights = taper(window, 64)
    expected = np.sum((weights[:, None] * values) ** 2) / np.sum(weights**2)
    assert whole == pytest.approx(expected, rel=1e-13)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(20, 300), lags=st.integers(4, 20), seed=st.integers(0, 99))
def test_correlation_function_is_the_plain_sum(n: int, lags: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(n, 2))
    ours = autocorrelation(stream_of(values), 0, lags)[0]
    plain = [np.sum(values[: n - k] * values[k:]) / (n - k) for k in range(lags)]
    np.testing.assert_allclose(ours, plain, rtol=1e-10, atol=1e-12)


def test_correlation_function_does_not_depend_on_the_stretch(monkeypatch) -> None:
    values = np.random.default_rng(1).normal(size=(5000, 3))
    whole = autocorrelation(stream_of(values), 0, 64)
    monkeypatch.setattr("painn_ase.spectra.estimators.BATCH_BUDGET", 600)
    np.testing.assert_allclose(autocorrelation(stream_of(values), 0, 64), whole, rtol=1e-11)


@pytest.mark.parametrize("estimator", ["segments", "lag"])
@pytest.mark.parametrize("window", WINDOWS)
def test_stated_width_is_the_width_of_a_sharp_line(window: str, estimator: str) -> None:
    t = np.arange(60_000) * 1.0
    flux = np.zeros((len(t), 3))
    # a circle in the plane: no beat with its mirror image at negative frequency
    flux[:, 0] = np.cos(1500.0 * invcm_to_radians_per_fs * t)
    flux[:, 1] = np.sin(1500.0 * invcm_to_radians_per_fs * t)
    spectrum = infrared(
        input_unit="e*Angstrom/fs",
        flux=flux,
        timestep=1.0,
        temperature=300.0,
        window=window,
        estimator=estimator,
        resolution=12.0,
    )
    assert spectrum.fwhm == pytest.approx(12.0, rel=2e-3)
    line = max(spectrum.cropped(1400.0, 1600.0).peaks(), key=lambda p: p.intensity)
    # five points across the line, joined straight; the square window's lobes lower its foot
    assert line.fwhm == pytest.approx(12.0, rel=0.15 if window == "none" else 0.06)
    assert line.frequency == pytest.approx(1500.0, abs=0.4)


def test_hann_lag_window_has_the_width_of_its_formula() -> None:
    assert window_fwhm("hann", 1001, 2.0, "lag") == pytest.approx(33356.41 / 2000.0, rel=1e-6)
    assert window_fwhm("hann", 1000, 2.0, "segments") == pytest.approx(
        1.4406 * 33356.41 / 2000.0, rel=1e-3
    )


@pytest.mark.filterwarnings("ignore::painn_ase.errors.PaiNNWarning")
def test_errors_of_overlapping_segments_are_those_seen_over_repetitions() -> None:
    """100 repetitions: the scatter of a band area equals the stated standard error."""
    rng = np.random.default_rng(2)
    values, errors = [], []
    for _ in range(100):
        spectrum = infrared(
            input_unit="e*Angstrom/fs",
            flux=rng.normal(size=(6000, 3)),
            timestep=1.0,
            temperature=300.0,
            depth=300,
        )
        area, error = spectrum.band_area(4000.0, 4300.0)
        values.append(area)
        errors.append(error)
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.25)


def test_errors_of_runs_see_what_segments_of_one_run_cannot() -> None:
    """One molecule in NVE keeps its mode energy: only other runs tell the scatter."""
    rng = np.random.default_rng(3)
    t = np.arange(8000)
    wave = np.cos(1000.0 * invcm_to_radians_per_fs * t)
    energies = rng.exponential(size=40)
    flux = np.sqrt(energies)[:, None, None] * wave[None, :, None] * np.ones(3)
    many = infrared(
        input_unit="e*Angstrom/fs", flux=flux, timestep=1.0, temperature=300.0, depth=1500
    )
    area, error = many.band_area(900.0, 1100.0)
    assert error / area == pytest.approx(
        energies.std(ddof=1) / energies.mean() / np.sqrt(40), rel=1e-6
    )
    with pytest.warns(PaiNNWarning, match="segments"):
        one = infrared(
            input_unit="e*Angstrom/fs", flux=flux[0], timestep=1.0, temperature=300.0, depth=4000
        )
    assert one.band_area(900.0, 1100.0).error < 1e-3 * area


# ---------------------------------------------------------------------- streaming


@pytest.mark.parametrize("estimator", ["segments", "lag"])
def test_a_dataset_on_disk_gives_what_the_array_gives(tmp_path: Path, estimator: str) -> None:
    alpha = np.random.default_rng(4).normal(size=(3, 3000, 3, 3)).astype(np.float32)
    settings = {"timestep": 1.0, "temperature": 300.0, "estimator": estimator, "depth": 256}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["alpha"] = alpha
        with pytest.warns(PaiNNWarning):
            stored = raman(input_unit="Angstrom^3", polarizability=file["alpha"], **settings)
    with pytest.warns(PaiNNWarning):
        held = raman(input_unit="Angstrom^3", polarizability=alpha, **settings)
    np.testing.assert_array_equal(stored.intensity, held.intensity)


class Endless:
    """A million frames that exist only while they are read."""

    shape = (1_000_000, 3, 3)
    dtype = np.dtype(np.float64)

    def __init__(self) -> None:
        self.largest = 0
        self.block = np.random.default_rng(5).normal(size=(4096, 3, 3))

    def __getitem__(self, key: slice) -> np.ndarray:
        self.largest = max(self.largest, key.stop - key.start)
        return self.block[np.arange(key.start, min(key.stop, len(self))) % 4096]

    def __len__(self) -> int:
        return self.shape[0]


@pytest.mark.parametrize("estimator", ["segments", "lag"])
@pytest.mark.filterwarnings("ignore::painn_ase.errors.PaiNNWarning")
def test_a_million_frames_take_seconds_and_bounded_memory(estimator: str) -> None:
    source = Endless()
    tracemalloc.start()
    begin = time.perf_counter()
    raman(
        input_unit="Angstrom^3/fs",
        flux=source,
        timestep=1.0,
        temperature=300.0,
        estimator=estimator,
    )
    seconds = time.perf_counter() - begin
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # the whole series would be 72 MB, its transform 144 MB and more
    assert source.largest < 300_000
    assert peak < 120e6
    assert seconds < 30.0


def test_spectra_need_neither_torch_nor_ase() -> None:
    code = (
        "import sys, painn_ase.spectra; "
        "assert not {'torch', 'ase', 'matplotlib'} & set(sys.modules), 'heavy imports'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ---------------------------------------------------------------------- advice and refusals

NOISE = np.random.default_rng(6).normal(size=(2000, 3))


@pytest.mark.parametrize(
    ("facts", "advice"),
    [
        ({"depth": 1500}, "there is no error bar"),
        ({"depth": 800}, "independent segments: the standard error is rough"),
        ({"depth": 100, "charge": 1.0}, "origin"),
        ({"depth": 100, "measured_temperature": [350.0, 360.0]}, "355.0 K"),
        ({"depth": 1000, "friction": 0.01}, "53.1 cm"),
        ({"depth": 100}, "Nyquist"),
    ],
)
def test_advice_is_given(facts: dict, advice: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        infrared(input_unit="e*Angstrom/fs", flux=NOISE, timestep=1.0, temperature=300.0, **facts)
    assert any(issubclass(w.category, PaiNNWarning) and advice in str(w.message) for w in caught)
    assert all(Path(w.filename) == Path(__file__) for w in caught)


@pytest.mark.parametrize("kind", ["infrared", "raman", "power"])
@pytest.mark.filterwarnings("ignore:the highest band")
def test_one_segment_has_no_error_bar_and_says_how_to_get_one(kind: str) -> None:
    make = {
        "infrared": lambda x, **k: infrared(
            input_unit="e*Angstrom/fs", flux=x, temperature=300.0, **k
        ),
        "raman": lambda x, **k: raman(
            input_unit="Angstrom^3/fs",
            flux=x[..., None] * np.eye(3),
            temperature=300.0,
            laser_wavenumber=18797.0,
            **k,
        ),
        "power": lambda x, **k: power(x[..., None, :], np.ones(1), **k),
    }[kind]
    slow = {"timestep": 0.1}
    with pytest.warns(PaiNNWarning, match=r"no error bar: .* several independent runs .* coarser"):
        assert make(NOISE, depth=2000, **slow).error is None
    # each of the ways it names leads to one
    for series, depth in ((np.stack([NOISE] * 8), 2000), (NOISE, 200)):
        assert make(series, depth=depth, **slow).error is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of dipole or flux"),
        ({"dipole": NOISE, "flux": NOISE}, "exactly one"),
        ({"flux": NOISE[:, :2]}, r"\(n_frames, 3\)"),
        ({"flux": NOISE[:3]}, "8 frames"),
        ({"flux": [["a"]]}, "rectangular"),
        ({"flux": NOISE + 1j}, "complex"),
        ({"flux": NOISE, "timestep": 0.0}, "timestep"),
        ({"flux": NOISE, "timestep": "1fs"}, "timestep"),
        ({"flux": NOISE, "temperature": -1.0}, "temperature"),
        ({"flux": NOISE, "window": "hamming"}, "hann, blackman"),
        ({"flux": NOISE, "estimator": "welch"}, "'segments' and 'lag'"),
        ({"flux": NOISE, "correction": "classic"}, "harmonic"),
        ({"flux": NOISE, "depth": 5000}, "4 to 2000"),
        ({"flux": NOISE, "depth": 100.5}, "whole number"),
        ({"flux": NOISE, "depth": "long"}, "whole number"),
        ({"flux": NOISE, "temperature": 1e-300}, "1e-6 K"),
        ({"flux": NOISE, "measured_temperature": "hot"}, "measured_temperature"),
        ({"flux": NOISE, "resolution": 1.0}, "run longer"),
        ({"flux": NOISE, "resolution": 50.0, "depth": 10}, "not both"),
        ({"flux": NOISE, "unit": "n_alpha"}, "volume"),
        ({"flux": NOISE, "volume": 0.0}, "volume"),
        ({"flux": NOISE, "verlet_timestep": 2.0}, "longer"),
        ({"flux": NOISE, "temperature": 1.0, "correction": "schofield"}, "overflows"),
    ],
)
@pytest.mark.filterwarnings("ignore::painn_ase.errors.PaiNNWarning")
def test_what_does_not_fit_is_refused_with_the_remedy(arguments: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        infrared(
            **{"timestep": 1.0, "temperature": 300.0, "input_unit": "e*Angstrom/fs", **arguments}
        )


@pytest.mark.filterwarnings("error::painn_ase.errors.PaiNNWarning")
def test_a_short_run_has_error_bars_unasked() -> None:
    t = np.arange(3000)[:, None]
    flux = np.cos(1000.0 * invcm_to_radians_per_fs * t) * np.ones(3)
    spectrum = infrared(input_unit="e*Angstrom/fs", flux=flux, timestep=1.0, temperature=300.0)
    assert spectrum.error is not None
    assert spectrum.fwhm == pytest.approx(1.4406 * 33356.41 / 600.0, rel=1e-3)


@pytest.mark.filterwarnings("ignore::painn_ase.errors.PaiNNWarning")
@pytest.mark.parametrize("estimator", ["segments", "lag"])
def test_a_whole_run_may_be_asked_for_by_its_frames(estimator: str) -> None:
    spectrum = infrared(
        input_unit="e*Angstrom",
        dipole=NOISE,
        timestep=1.0,
        temperature=300.0,
        depth=2000,
        estimator=estimator,
    )
    assert spectrum.provenance["depth_frames"] == (1999 if estimator == "segments" else 1998)


def test_broken_frames_are_named() -> None:
    broken = NOISE.copy()
    broken[1234, 1] = np.nan
    with pytest.raises(NonFiniteError, match="frame 1234 of run 0"):
        infrared(
            input_unit="e*Angstrom/fs", flux=broken, timestep=1.0, temperature=300.0, depth=100
        )


@pytest.mark.filterwarnings("ignore::painn_ase.errors.PaiNNWarning")
def test_raman_and_power_refuse_nonsense() -> None:
    with pytest.raises(DataError, match="unpolarised, iso"):
        raman(
            input_unit="Angstrom^3/fs",
            flux=np.zeros((20, 3, 3)),
            timestep=1.0,
            temperature=300.0,
            component="hv",
        )
    with pytest.raises(DataError, match=r"532 nm is 18797\.0"):
        raman(
            input_unit="Angstrom^3/fs",
            flux=np.zeros((20, 3, 3)),
            timestep=1.0,
            temperature=300.0,
            laser_wavenumber=532.0,
        )
    with pytest.raises(DataError, match="masses"):
        power(np.zeros((20, 2, 3)), [1.0, -1.0], timestep=1.0)
    with pytest.raises(DataError, match="zero throughout"):
        power(np.zeros((20, 2, 3)), [1.0, 1.0], timestep=1.0)
    with pytest.raises(DataError, match="shape"):
        power(np.zeros((20, 2, 3)), [1.0], timestep=1.0)
