"""Analytic truths about infrared and Raman spectra: each test is a statement of physics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import constants
from scipy.integrate import trapezoid
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from painn_ase import units
from painn_ase.errors import PaiNNWarning
from painn_ase.spectra import (
    atomic_flux,
    depolarisation_ratio,
    infrared,
    infrared_by_atom,
    power,
    power_by_atom,
    raman,
)

pytestmark = pytest.mark.filterwarnings("ignore::painn_ase.errors.PaiNNWarning")

KT = units.boltzmann_constant * 300.0
#: amu Å²/fs² in eV
AMU_ANGSTROM2_PER_FS2 = 1.0 / units.fs_to_ase_time**2


def thermal_speed(mass: float, temperature: float) -> float:
    """Root mean square velocity along one axis, Å/fs."""
    return math.sqrt(units.boltzmann_constant * temperature / mass / AMU_ANGSTROM2_PER_FS2)


def omega(wavenumber: float) -> float:
    return wavenumber * units.invcm_to_radians_per_fs


# ---------------------------------------------------------------------- A


def test_f_sum_rule_holds_for_any_born_charges() -> None:
    """A: for Maxwell–Boltzmann velocities the whole area is N_A/(12 ε0 c²) Σ Z²/m."""
    rng = np.random.default_rng(0)
    masses = np.array([15.999, 12.011, 1.008, 1.008])
    born = rng.normal(size=(4, 3, 3))
    speeds = np.array([thermal_speed(m, 300.0) for m in masses])
    velocities = rng.normal(size=(60_000, 4, 3)) * speeds[:, None]
    flux = atomic_flux(born, velocities)
    total = infrared(
        input_unit="e*Angstrom/fs",
        flux=flux.sum(axis=1),
        timestep=1.0,
        temperature=300.0,
        resolution=50.0,
    )
    expected = units.e2_per_amu_to_km_per_mol * np.sum(born**2 / masses[:, None, None])
    assert total.band_area().value == pytest.approx(expected, rel=0.02)


def test_shares_of_atoms_add_up_to_the_infrared_spectrum() -> None:
    rng = np.random.default_rng(1)
    flux = rng.normal(size=(3000, 3, 3))
    arguments = {"timestep": 1.0, "temperature": 300.0, "depth": 500}
    total = infrared(input_unit="e*Angstrom/fs", flux=flux.sum(axis=1), **arguments)
    shares = infrared_by_atom(
        input_unit="e*Angstrom/fs", flux=flux, labels=["O", "H", "H"], **arguments
    )
    assert list(shares) == ["O", "H"]
    np.testing.assert_allclose(
        sum(s.intensity for s in shares.values()), total.intensity, rtol=1e-10, atol=1e-12
    )


# ---------------------------------------------------------------------- D


@pytest.mark.parametrize("temperature", [1.0, 300.0, 2000.0])
def test_harmonic_diatomic_absorbs_the_same_at_any_temperature(temperature: float) -> None:
    """D: A = 974.8801 q²/μ km/mol, for mode energies exactly kT."""
    mass, charge, wavenumber = 0.98, 0.4, 2900.0
    t = np.arange(20_000) * 0.5
    amplitude = math.sqrt(2.0) * thermal_speed(mass, temperature)
    flux = np.zeros((len(t), 3))
    flux[:, 2] = charge * amplitude * np.cos(omega(wavenumber) * t)
    spectrum = infrared(
        input_unit="e*Angstrom/fs",
        flux=flux,
        timestep=0.5,
        temperature=temperature,
        resolution=10.0,
    )
    area = spectrum.band_area(2700.0, 3100.0).value
    assert area == pytest.approx(974.8801 * charge**2 / mass, rel=1e-3)
    assert spectrum.peaks()[-1].frequency == pytest.approx(wavenumber, abs=0.1)


@pytest.mark.parametrize("friction", [0.002, 0.02])
def test_friction_widens_the_line_and_keeps_its_area(friction: float) -> None:
    """D: exact Langevin dynamics of a harmonic diatomic, area within three standard errors."""
    mass, charge, wavenumber, dt = 0.98, 0.4, 1500.0, 1.0
    rng = np.random.default_rng(3)
    w = omega(wavenumber)
    drift = np.array([[0.0, 1.0], [-(w**2), -friction]])
    step = expm(drift * dt)
    v2 = thermal_speed(mass, 300.0) ** 2
    covariance = np.diag([v2 / w**2, v2])
    noise = np.linalg.cholesky(covariance - step @ covariance @ step.T)
    n_runs, n_frames = 192, 4000
    state = rng.normal(size=(n_runs, 2)) * np.sqrt(np.diag(covariance))
    flux = np.zeros((n_runs, n_frames, 3))
    for k in range(n_frames):
        flux[:, k, 0] = charge * state[:, 1]
        state = state @ step.T + rng.normal(size=(n_runs, 2)) @ noise.T
    spectrum = infrared(
        input_unit="e*Angstrom/fs", flux=flux, timestep=dt, temperature=300.0, resolution=20.0
    )
    area, error = spectrum.band_area()
    assert error is not None
    assert error < 0.06 * area
    assert area == pytest.approx(974.8801 * charge**2 / mass, abs=3.5 * error)
    width = spectrum.peaks(threshold=0.3)[0].fwhm
    lorentzian = friction / units.invcm_to_radians_per_fs
    assert width > 0.7 * lorentzian


# ---------------------------------------------------------------------- E


def _ornstein_uhlenbeck(n_runs: int, n_frames: int, decay: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_runs, n_frames, 3)) * math.sqrt(1.0 - decay**2)
    series = np.empty_like(noise)
    state = rng.normal(size=(n_runs, 3))
    for k in range(n_frames):
        series[:, k] = state = decay * state + noise[:, k]
    return series


@pytest.mark.parametrize("estimator", ["segments", "lag"])
def test_ornstein_uhlenbeck_flux_has_its_analytic_spectrum(estimator: str) -> None:
    """E: S = 3 s² Δt (1 − r²)/(1 − 2 r cos ωΔt + r²)."""
    dt, tau = 1.0, 20.0
    r = math.exp(-dt / tau)
    flux = _ornstein_uhlenbeck(64, 4000, r, seed=5)
    spectrum = infrared(
        input_unit="e*Angstrom/fs",
        flux=flux,
        timestep=dt,
        temperature=300.0,
        estimator=estimator,
        resolution=60.0,
    )
    expected = (1.0 - r**2) / (1.0 - 2.0 * r * np.cos(omega(spectrum.frequency) * dt) + r**2)
    scale = units.e2_per_amu_to_km_per_mol  # N_A⟨μ̇²⟩/(12 ε0 c² kT), as an area over wavenumbers
    absolute = scale * 3.0 * AMU_ANGSTROM2_PER_FS2 / KT
    absolute *= 2.0 * (100.0 * constants.c * 1e-15) * dt
    inside = slice(len(expected) // 200, -len(expected) // 50)
    ratio = spectrum.intensity[inside] / (absolute * expected[inside])
    assert ratio.mean() == pytest.approx(1.0, abs=0.02)
    error = spectrum.error[inside] / (absolute * expected[inside])
    # the stated errors are the real ones: z-scores of unit width
    z = (ratio - 1.0) / error
    assert 0.8 < np.sqrt(np.mean(z**2)) < 1.25


def test_white_noise_is_flat_and_its_error_bars_are_honest() -> None:
    """E: a flat spectrum; the scatter over frequency equals the stated standard error."""
    rng = np.random.default_rng(6)
    spectrum = infrared(
        input_unit="e*Angstrom/fs",
        flux=rng.normal(size=(80_000, 3)),
        timestep=1.0,
        temperature=300.0,
        resolution=100.0,
    )
    middle = slice(20, -20)
    mean = spectrum.intensity[middle].mean()
    scatter = spectrum.intensity[middle].std()
    assert scatter == pytest.approx(spectrum.error[middle].mean(), rel=0.15)
    assert np.abs(np.polyfit(spectrum.frequency[middle], spectrum.intensity[middle], 1)[0]) < (
        mean / 16678.0 * 0.05
    )


# ---------------------------------------------------------------------- F, G


def test_rigid_rotor_shows_its_pure_rotation_band() -> None:
    """F: HCl (1.109 D, 1.2746 Å) at 300 K: area 65.31 km/mol, maximum √(3kT/I) = 115.1 cm⁻¹."""
    rng = np.random.default_rng(8)
    mu = 1.109 * units.debye_to_e_angstrom
    mass = 34.96885 * 1.00782503 / (34.96885 + 1.00782503)
    inertia = mass * 1.2746**2
    speed = math.sqrt(KT / inertia / AMU_ANGSTROM2_PER_FS2)  # rad/fs an axis
    n_runs = 3000
    spin = np.hypot(*(rng.normal(size=(2, n_runs)) * speed))
    t = np.arange(1024) * 4.0
    angle = spin[:, None] * t + rng.uniform(0.0, 2.0 * math.pi, n_runs)[:, None]
    flux = np.stack([-np.sin(angle), np.cos(angle), 0.0 * angle], axis=-1)
    flux *= mu * spin[:, None, None]
    spectrum = infrared(
        input_unit="e*Angstrom/fs", flux=flux, timestep=4.0, temperature=300.0, resolution=12.0
    )
    area, error = spectrum.band_area()
    assert error is not None
    assert error < 1.5
    assert area == pytest.approx(65.31, abs=3.0 * error)
    smooth = spectrum.broadened(15.0)
    peak = smooth.frequency[np.argmax(smooth.intensity)]
    assert peak == pytest.approx(115.1, abs=8.0)


def test_morse_oscillator_absorbs_below_its_harmonic_frequency() -> None:
    """G: D = 5 eV, a = 1.9/Å, μ = 0.95 amu at 0.5 eV: 3049.60 cm⁻¹, not 3214.56."""
    depth, a, mass, dt = 5.0, 1.9, 0.95, 0.05 * units.fs_to_ase_time
    x, v = 0.0, math.sqrt(2.0 * 0.5 / mass)

    def acceleration(x: float) -> float:
        e = math.exp(-a * x)
        return -2.0 * depth * a * e * (1.0 - e) / mass

    positions = []
    force = acceleration(x)
    for k in range(160_000):
        if k % 20 == 0:
            positions.append(x)
        v += 0.5 * dt * force
        x += dt * v
        force = acceleration(x)
        v += 0.5 * dt * force
    dipole = np.zeros((len(positions), 3))
    dipole[:, 0] = positions
    spectrum = infrared(input_unit="e*Angstrom", dipole=dipole, timestep=1.0, temperature=300.0)
    strongest = max(spectrum.peaks(), key=lambda p: p.intensity)
    assert strongest.frequency == pytest.approx(3049.60, abs=0.5)


# ---------------------------------------------------------------------- H, I


def _rotor_with_weak_vibration(n_frames: int = 40_000) -> np.ndarray:
    t = np.arange(n_frames) * 1.0
    dipole = np.zeros((n_frames, 3))
    dipole[:, 0] = np.cos(omega(20.0) * t)
    dipole[:, 1] = np.sin(omega(20.0) * t)
    dipole[:, 2] = 1e-4 * np.cos(omega(1000.0) * t)
    return dipole


def test_strong_rotation_does_not_leak_into_a_weak_vibration() -> None:
    """H: the weak line's area within 2 % beside a rotor ten thousand times stronger."""
    both = _rotor_with_weak_vibration()
    alone = both * [0.0, 0.0, 1.0]
    arguments = {"timestep": 1.0, "temperature": 300.0}
    area = (
        infrared(input_unit="e*Angstrom", dipole=both, **arguments).band_area(950.0, 1050.0).value
    )
    expected = (
        infrared(input_unit="e*Angstrom", dipole=alone, **arguments).band_area(950.0, 1050.0).value
    )
    assert area == pytest.approx(expected, rel=0.02)
    # the counter-example: ω² times the power spectrum of the dipole without a taper
    power_spectrum = np.abs(np.fft.rfft(both, axis=0)) ** 2
    grid = np.fft.rfftfreq(len(both), 1.0) / (100.0 * constants.c * 1e-15)
    route = (grid**2)[:, None] * power_spectrum
    band = (grid > 950.0) & (grid < 1050.0)
    assert route[band].sum() > 3.0 * route[band][:, 2].sum()


def _three_lines(scale: float = 1.0) -> np.ndarray:
    t = np.arange(30_000) * 1.0
    columns = [
        a * np.cos(omega(nu) * t)
        for nu, a in zip((1000.0, 2000.0, 3000.0), (1.0, 0.5, 0.1), strict=True)
    ]
    return scale * np.stack(columns, axis=1)


def _line_areas(spectrum) -> np.ndarray:
    return np.array([spectrum.band_area(nu - 100, nu + 100).value for nu in (1000, 2000, 3000)])


@pytest.mark.parametrize("estimator", ["segments", "lag"])
def test_line_areas_go_with_amplitude_and_frequency_squared(estimator: str) -> None:
    """I: amplitudes 1, 0.5, 0.1 at 1000, 2000, 3000 give areas (aν)²; ten times the dipole, 100."""
    arguments = {"timestep": 1.0, "temperature": 300.0, "estimator": estimator}
    areas = _line_areas(infrared(input_unit="e*Angstrom", dipole=_three_lines(), **arguments))
    expected = (np.array([1.0, 0.5, 0.1]) * [1000.0, 2000.0, 3000.0]) ** 2
    np.testing.assert_allclose(areas / areas[0], expected / expected[0], rtol=2e-3)
    ten = _line_areas(infrared(input_unit="e*Angstrom", dipole=_three_lines(10.0), **arguments))
    np.testing.assert_allclose(ten / areas, 100.0, rtol=1e-9)


def test_components_divided_by_their_own_deviation_lose_all_intensities() -> None:
    """I, the counter-example: normalising each component first makes unequal lines equal."""
    flux = np.gradient(_three_lines(), axis=0)
    normalised = flux / flux.std(axis=0)
    areas = _line_areas(
        infrared(input_unit="e*Angstrom/fs", flux=normalised, timestep=1.0, temperature=300.0)
    )
    np.testing.assert_allclose(areas / areas[0], 1.0, rtol=0.01)
    honest = _line_areas(
        infrared(input_unit="e*Angstrom/fs", flux=flux, timestep=1.0, temperature=300.0)
    )
    assert honest[2] / honest[0] < 0.15


def test_constant_component_of_the_polarizability_gives_no_nan() -> None:
    """I: α_xy without motion; a mode of the mean alone has ρ = 0, one without a mean ¾."""
    t = np.arange(12_000) * 1.0
    alpha = np.zeros((len(t), 3, 3))
    alpha[:, 0, 1] = alpha[:, 1, 0] = 0.7
    wave = np.cos(omega(1000.0) * t)
    other = np.cos(omega(2000.0) * t)
    alpha += wave[:, None, None] * np.eye(3)
    alpha += other[:, None, None] * np.diag([1.0, 1.0, -2.0])
    arguments = {"polarizability": alpha, "timestep": 1.0, "temperature": 300.0}
    arguments["input_unit"] = "Angstrom^3"
    vv, vh = (raman(**arguments, component=c) for c in ("vv", "vh"))
    for spectrum in (vv, vh):
        assert np.isfinite(spectrum.intensity).all()
    assert depolarisation_ratio(vh, vv, 950.0, 1050.0).value == pytest.approx(0.0, abs=1e-9)
    assert depolarisation_ratio(vh, vv, 1950.0, 2050.0).value == pytest.approx(0.75, abs=1e-6)


def test_boltzmann_factor_of_the_stokes_side() -> None:
    """Hot and cold ratios follow 1/(T(1 − e^−x)); an exponent off by 2.6e5 would not."""
    t = np.arange(12_000) * 1.0
    alpha = np.cos(omega(1000.0) * t)[:, None, None] * np.eye(3)
    areas = {
        kelvin: raman(
            input_unit="Angstrom^3", polarizability=alpha, timestep=1.0, temperature=kelvin
        )
        .band_area(950.0, 1050.0)
        .value
        for kelvin in (300.0, 3000.0)
    }

    def factor(kelvin: float, slip: float = 1.0) -> float:
        x = 1.438776878 * 1000.0 / kelvin / slip
        return 1.0 / (kelvin * -math.expm1(-x))

    measured = areas[300.0] / areas[3000.0]
    assert measured == pytest.approx(factor(300.0) / factor(3000.0), rel=2e-3)
    wrong = factor(300.0, 2.6e5) / factor(3000.0, 2.6e5)
    assert abs(wrong / measured - 1.0) > 0.5


def test_raman_area_is_placzeks_cross_section_of_the_mode() -> None:
    """(2π)⁴(ν̃0−ν̃)⁴ h (45a'²+7γ'²)/(45·8π²cν̃(1−e^−x)) for a mode at kT, in SI by hand."""
    wavenumber, laser, kelvin, mass = 1200.0, 18000.0, 350.0, 2.5
    mean_slope, shear_slope = 0.8, 0.3  # Å², along the mode
    t = np.arange(20_000) * 1.0
    speed = math.sqrt(2.0) * thermal_speed(mass, kelvin) * np.cos(omega(wavenumber) * t)
    tensor = mean_slope * np.eye(3)
    tensor[0, 1] = tensor[1, 0] = shear_slope
    spectrum = raman(
        input_unit="Angstrom^3/fs",
        flux=speed[:, None, None] * tensor,
        timestep=1.0,
        temperature=kelvin,
        laser_wavenumber=laser,
    )
    activity = (45.0 * mean_slope**2 + 21.0 * shear_slope**2) * 1e-40
    activity /= mass * constants.atomic_mass  # m⁴/kg
    x = constants.h * constants.c * 100.0 * wavenumber / (constants.k * kelvin)
    expected = (2.0 * math.pi) ** 4 * (100.0 * (laser - wavenumber)) ** 4 * constants.h * activity
    expected /= 45.0 * 8.0 * math.pi**2 * constants.c * 100.0 * wavenumber * -math.expm1(-x)
    area = spectrum.band_area(1100.0, 1300.0).value * 1e-40
    assert area == pytest.approx(expected, rel=2e-3)


# ---------------------------------------------------------------------- corrections, liquids


def test_standard_correction_leaves_0139_at_3000_wavenumbers() -> None:
    t = np.arange(20_000) * 0.5
    flux = np.zeros((len(t), 3))
    flux[:, 0] = np.cos(omega(3000.0) * t)
    areas = {
        name: infrared(
            input_unit="e*Angstrom/fs", flux=flux, timestep=0.5, temperature=300.0, correction=name
        )
        .band_area(2900.0, 3100.0)
        .value
        for name in ("none", "standard", "harmonic", "schofield")
    }
    x = 1.438776878 * 3000.0 / 300.0
    assert areas["standard"] / areas["harmonic"] == pytest.approx(0.139, abs=5e-4)
    assert areas["none"] / areas["harmonic"] == pytest.approx(1.0 / x, rel=1e-3)
    assert areas["schofield"] / areas["harmonic"] == pytest.approx(
        2.0 * math.sinh(x / 2.0) / x, rel=2e-2
    )


def test_bulk_absorption_and_permittivity_agree_by_kramers_kronig() -> None:
    """∫ε₂/ω dω = (π/2)(ε(0) − ε(∞)), and ε(0) − ε(∞) = ⟨M²⟩/(3 ε0 V kT) for a relaxing dipole."""
    tau, dt, volume = 40.0, 1.0, 3000.0
    dipole = _ornstein_uhlenbeck(48, 12_000, math.exp(-dt / tau), seed=9)
    arguments = {"dipole": dipole, "timestep": dt, "temperature": 300.0, "resolution": 10.0}
    arguments["input_unit"] = "e*Angstrom"
    permittivity = infrared(**arguments, volume=volume, unit="epsilon2")
    integral = trapezoid(permittivity.intensity / permittivity.frequency, permittivity.frequency)
    # the missing start of the integrand: ε₂/ω is flat there
    integral += permittivity.intensity[0]
    e = constants.e
    fluctuation = 3.0 * (e * 1e-10) ** 2 / (3.0 * constants.epsilon_0 * volume * 1e-30)
    expected = math.pi / 2.0 * fluctuation / (constants.k * 300.0)
    assert integral == pytest.approx(expected, rel=0.05)
    absorption = infrared(**arguments, volume=volume)
    ratio = absorption.intensity[1:] / (
        permittivity.intensity * 2.0 * math.pi * permittivity.frequency
    )
    np.testing.assert_allclose(ratio, 1.0, rtol=1e-9)


# ---------------------------------------------------------------------- power


def test_density_of_states_counts_the_degrees_of_freedom() -> None:
    rng = np.random.default_rng(10)
    masses = np.array([15.999, 1.008, 1.008])
    speeds = np.array([thermal_speed(m, 300.0) for m in masses])
    velocities = rng.normal(size=(8000, 3, 3)) * speeds[:, None]
    arguments = {"timestep": 1.0, "temperature": 300.0, "resolution": 50.0}
    total = power(velocities, masses, **arguments)
    assert total.band_area().value == pytest.approx(9.0, rel=1e-9)
    shares = power_by_atom(velocities, masses, labels=["O", "H", "H"], **arguments)
    assert shares["O"].band_area().value == pytest.approx(3.0, rel=0.03)
    assert shares["H"].band_area().value == pytest.approx(6.0, rel=0.03)
    np.testing.assert_allclose(
        shares["O"].intensity + shares["H"].intensity, total.intensity, rtol=1e-10
    )
    with pytest.warns(PaiNNWarning, match="temperature of"):
        power(velocities * 1.1, masses, **arguments)


# ---------------------------------------------------------------------- Verlet, transfer


def test_velocity_verlet_frequencies_are_corrected() -> None:
    """A harmonic oscillator at 3700 cm⁻¹ in steps of 0.5 fs runs 19 cm⁻¹ fast."""
    true, dt = 3700.0, 0.5
    w = omega(true)
    x, previous = 1.0, math.cos(2.0 * math.asin(w * dt / 2.0))
    positions = []
    for _ in range(24_000):
        positions.append(x)
        x, previous = 2.0 * x - previous - (w * dt) ** 2 * x, x
    dipole = np.zeros((len(positions), 3))
    dipole[:, 0] = positions
    arguments = {"dipole": dipole, "timestep": dt, "temperature": 300.0, "resolution": 10.0}
    arguments["input_unit"] = "e*Angstrom"
    raw = infrared(**arguments)
    mended = infrared(**arguments, verlet_timestep=dt)
    assert raw.peaks()[-1].frequency == pytest.approx(true + 19.0, abs=1.0)
    assert mended.peaks()[-1].frequency == pytest.approx(true, abs=0.1)
    assert mended.band_area(3500, 3900).value == pytest.approx(
        raw.band_area(3500, 3900).value, rel=1e-3
    )


@pytest.mark.parametrize("estimator", ["segments", "lag"])
def test_dipole_and_its_flux_give_one_spectrum(estimator: str) -> None:
    """The finite difference's damping, 0.499 at 3700 cm⁻¹ for 2 fs, is undone."""
    t = np.arange(10_000) * 2.0
    dipole, flux = np.zeros((2, len(t), 3))
    dipole[:, 1] = np.sin(omega(3700.0) * t)
    flux[:, 1] = omega(3700.0) * np.cos(omega(3700.0) * t)
    arguments = {"timestep": 2.0, "temperature": 300.0, "estimator": estimator}
    ours, exact = (
        infrared(**given, **arguments).band_area(3600.0, 3800.0).value
        for given in (
            {"dipole": dipole, "input_unit": "e*Angstrom"},
            {"flux": flux, "input_unit": "e*Angstrom/fs"},
        )
    )
    assert ours == pytest.approx(exact, rel=2e-3)
    assert (math.sin(omega(3700.0) * 2.0) / (omega(3700.0) * 2.0)) ** 2 == pytest.approx(
        0.499, abs=1e-3
    )


# ---------------------------------------------------------------------- J


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    quaternion=st.tuples(*[st.floats(-1.0, 1.0)] * 4).filter(
        lambda q: sum(c * c for c in q) > 1e-2
    ),
    shift=st.floats(-100.0, 100.0),
)
def test_spectra_know_no_direction_in_space(
    seed: int, quaternion: tuple[float, ...], shift: float
) -> None:
    """J: a rotation (Rμ, RαRᵀ) and a constant added to the dipole change nothing."""
    rng = np.random.default_rng(seed)
    turn = Rotation.from_quat(quaternion).as_matrix()
    dipole = rng.normal(size=(400, 3)).cumsum(axis=0)
    alpha = rng.normal(size=(400, 3, 3))
    alpha = alpha + alpha.transpose(0, 2, 1)
    arguments = {"timestep": 1.0, "temperature": 300.0, "depth": 100}
    a = infrared(input_unit="e*Angstrom", dipole=dipole, **arguments)
    b = infrared(input_unit="e*Angstrom", dipole=dipole @ turn.T + shift, **arguments)
    np.testing.assert_allclose(a.intensity, b.intensity, rtol=1e-8, atol=1e-9 * a.intensity.max())
    for component in ("iso", "aniso"):
        a, b = (
            raman(input_unit="Angstrom^3", polarizability=x, component=component, **arguments)
            for x in (alpha, turn @ alpha @ turn.T)
        )
        tolerance = 1e-9 * a.intensity.max()
        np.testing.assert_allclose(a.intensity, b.intensity, rtol=1e-8, atol=tolerance)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(4)), seed=st.integers(0, 1000))
def test_relabelling_atoms_relabels_their_shares(order: list[int], seed: int) -> None:
    """J: the density of states of each atom follows the atom."""
    velocities = np.random.default_rng(seed).normal(size=(200, 4, 3)) * 1e-3
    masses = np.array([1.0, 12.0, 14.0, 16.0])
    a = power_by_atom(velocities, masses, timestep=1.0, depth=50)
    b = power_by_atom(velocities[:, order], masses[order], timestep=1.0, depth=50)
    for new, old in enumerate(order):
        np.testing.assert_allclose(b[new].intensity, a[old].intensity, rtol=1e-10)
