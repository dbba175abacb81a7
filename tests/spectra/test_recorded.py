"""Spectra of a time series with its units, and of arrays that state theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from painn_ase.errors import DataError, PaiNNWarning
from painn_ase.spectra import infrared, power, raman
from painn_ase.trajectory import TimeSeries
from painn_ase.units import ase_time_to_fs, e2_angstrom2_per_ev_to_angstrom3
from painn_ase.workflow import compute_spectra

N, DT = 4000, 0.5
WAVE = np.cos(2 * np.pi * 2.99792458e-5 * 1700.0 * DT * np.arange(N))
DIPOLE = 0.01 * WAVE[:, None] * [0.0, 0.6, 0.8]
ALPHA = 0.02 * WAVE[:, None, None] * np.eye(3)  # e²Å²/eV
SETTINGS = {"temperature": 300.0, "resolution": 60.0}


def test_a_raman_spectrum_is_the_same_from_a_series_and_in_any_stated_unit() -> None:
    """Taken as Å³, e²Å²/eV would be 207 times too weak."""
    truth = raman(TimeSeries(timestep=DT, polarizability=ALPHA), **SETTINGS)
    for unit, factor in (("Å^3", e2_angstrom2_per_ev_to_angstrom3), ("e^2*Å^2/eV", 1.0),
                         ("a.u.", e2_angstrom2_per_ev_to_angstrom3 / 0.14818471)):  # fmt: skip
        given = raman(polarizability=factor * ALPHA, input_unit=unit, timestep=DT, **SETTINGS)
        np.testing.assert_allclose(given.intensity, truth.intensity, rtol=1e-6)
    with pytest.raises(DataError, match=r"in which unit is the polarizability\?.*input_unit="):
        raman(polarizability=ALPHA, timestep=DT, **SETTINGS)
    with pytest.raises(DataError, match="no unit of polarizability"):
        raman(polarizability=ALPHA, input_unit="Debye", timestep=DT, **SETTINGS)


def test_an_infrared_spectrum_is_the_same_from_a_series_and_in_any_stated_unit() -> None:
    series = TimeSeries(timestep=DT, dipole=DIPOLE, temperature=300.0, source="run.h5")
    truth = infrared(series, resolution=60.0)
    assert truth.provenance["source"] == "run.h5"
    assert "4000 frames" in str(truth.provenance["input"])
    for unit, factor in (("e*Å", 1.0), ("Debye", 1 / 0.20819434), ("C·m", 1.602176634e-29)):
        given = infrared(dipole=factor * DIPOLE, input_unit=unit, timestep=DT, **SETTINGS)
        np.testing.assert_allclose(given.intensity, truth.intensity, rtol=1e-6, atol=1e-12)
    with pytest.raises(DataError, match=r"in which unit is the dipole\?"):
        infrared(dipole=DIPOLE, timestep=DT, **SETTINGS)


def test_fluxes_per_ase_time_and_per_fs_agree() -> None:
    flux = np.gradient(DIPOLE, DT, axis=0)  # e·Å/fs
    series = TimeSeries(timestep=DT, dipole_flux=flux * ase_time_to_fs, dipole=DIPOLE)
    truth = infrared(series, **SETTINGS).intensity
    for unit, factor in (("e*Å/fs", 1.0), ("e*Å/ase_time", ase_time_to_fs), ("e*Å/ps", 1e3)):
        given = infrared(flux=factor * flux, input_unit=unit, timestep=DT, **SETTINGS)
        np.testing.assert_allclose(given.intensity, truth, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dipole": DIPOLE, "input_unit": "D"}, "timestep"),
        ({"dipole": DIPOLE, "input_unit": "D", "timestep": DT}, "temperature"),
        ({"series": DIPOLE}, "read_time_series"),
        ({"series": TimeSeries(timestep=DT, dipole=DIPOLE)}, "names no temperature"),
        ({"series": TimeSeries(timestep=DT, polarizability=ALPHA), "temperature": 300.0},
         "neither dipole nor its flux"),
        ({"series": TimeSeries(timestep=DT, dipole=DIPOLE), "timestep": 1.0}, "says timestep"),
        ({"series": TimeSeries(timestep=DT, dipole=DIPOLE), "input_unit": "D"}, "leave them out"),
    ],
)  # fmt: skip
def test_what_is_missing_or_said_twice_is_an_error(arguments: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        infrared(**arguments)


def test_frames_too_far_apart_for_hydrogen_name_the_largest_spacing() -> None:
    """At 10 fs, 3000 cm⁻¹ shows up at 336."""
    wave = np.cos(2 * np.pi * 2.99792458e-5 * 3000.0 * 10.0 * np.arange(N))
    dipole = 0.01 * wave[:, None] * [0.0, 0.6, 0.8]
    for numbers, words in ((np.array([8, 1, 1]), "hydrogen vibrates"), (None, "if there is some")):
        series = TimeSeries(timestep=10.0, dipole=dipole, numbers=numbers)
        with pytest.warns(PaiNNWarning, match=rf"below 1668 cm.*{words}.*at most 4\.2 fs apart"):
            spectrum = infrared(series, temperature=300.0, resolution=10.0)
        assert spectrum.peaks()[0].frequency == pytest.approx(336.0, abs=1.0)


@pytest.mark.filterwarnings("error::painn_ase.errors.PaiNNWarning")
def test_silicon_at_ten_femtoseconds_is_no_reason_to_warn() -> None:
    wave = np.cos(2 * np.pi * 2.99792458e-5 * 500.0 * 10.0 * np.arange(N))
    series = TimeSeries(timestep=10.0, dipole=0.01 * wave[:, None] * [0.0, 0.6, 0.8],
                        numbers=np.array([14, 14]))  # fmt: skip
    infrared(series, temperature=300.0, resolution=10.0)


def test_a_power_spectrum_takes_masses_and_velocities_from_the_series() -> None:
    velocities = np.random.default_rng(0).normal(size=(2000, 3, 3))
    masses = np.array([16.0, 1.0, 1.0])
    series = TimeSeries(timestep=DT, velocities=velocities, masses=masses)
    given = power(velocities, masses, timestep=DT, resolution=200.0)
    ours = power(series, resolution=200.0)
    np.testing.assert_allclose(ours.intensity, given.intensity, rtol=1e-9)
    assert ours.band_area().value == pytest.approx(9.0)
    with pytest.raises(DataError, match="masses"):
        power(TimeSeries(timestep=DT, velocities=velocities))
    assert "temperature_K" not in ours.provenance  # nobody named one
    assert "T = " not in str(ours.provenance["input"])
    told = power(series, resolution=200.0, temperature=300.0)
    assert told.provenance["temperature_K"] == 300.0


def test_the_words_about_the_input_name_the_temperature_and_volume_that_were_used() -> None:
    series = TimeSeries(
        timestep=DT,
        dipole=DIPOLE,
        temperature=300.0,
        volume=1000.0,
        origins={"temperature": "T = 300 K (from the file)", "volume": "volume 1000 Å³ (a cell)"},
    )
    plain = str(infrared(series, resolution=60.0).provenance["input"])
    assert "T = 300 K (from the file), volume 1000 Å³ (a cell)" in plain
    other = infrared(series, resolution=60.0, temperature=310.0, volume=2000.0)
    assert other.provenance["temperature_K"] == 310.0
    assert "T = 310 K (as given), volume 2000 Å³ (as given)" in str(other.provenance["input"])


def test_another_temperature_than_the_runs_is_refused_as_on_the_command_line() -> None:
    """600 K for a run at 300 K would halve every intensity, without a word."""
    series = TimeSeries(timestep=DT, dipole=DIPOLE, polarizability=ALPHA, temperature=300.0)
    asked: tuple[tuple[Any, dict[str, Any]], ...] = (
        (infrared, {}), (raman, {"laser_wavenumber": 18_800.0}), (compute_spectra, {}),
    )  # fmt: skip
    for make, more in asked:
        with pytest.raises(DataError, match=r"run at 300 K, 600 K was given.*factor of 0\.5"):
            make(series, temperature=600.0, **more)
    # three atoms measured once may be off by as much
    measured = replace(series, measured_temperature=300.0, numbers=np.array([8, 1, 1]))
    assert infrared(measured, resolution=60.0, temperature=600.0).provenance["temperature_K"] == 600
