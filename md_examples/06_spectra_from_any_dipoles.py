# %% [markdown]
# # A spectrum from anybody's dipoles
#
# `painn_ase.spectra` needs NumPy and SciPy alone: a dipole along time from any program becomes an
# absolute infrared spectrum. Here the "program" is a pair of harmonic oscillators whose intensities
# are known exactly: a vibration with charge q and reduced mass m absorbs 974.88 q²/m km/mol.

# %%
import numpy as np

from painn_ase.spectra import infrared
from painn_ase.units import boltzmann_constant, e2_per_amu_to_km_per_mol, fs_to_ase_time

rng = np.random.default_rng(0)
temperature, timestep = 300.0, 0.5  # K, fs
n_runs, n_frames = 400, 4096
bands = {1000.0: 0.30, 1700.0: 0.10}  # cm⁻¹ → charge in e, of a reduced mass of 1 amu
time = timestep * np.arange(n_frames)


def thermal_run() -> np.ndarray:
    """The dipole (n_frames, 3) of oscillators that start with velocities of 300 K, e·Å."""
    dipole = np.zeros((n_frames, 3))
    for wavenumber, charge in bands.items():
        omega = 2 * np.pi * 2.99792458e-5 * wavenumber  # rad/fs
        width = np.sqrt(boltzmann_constant * temperature) * fs_to_ase_time / omega  # Å
        a, b = rng.normal(scale=width, size=2)
        dipole[:, 2] += charge * (a * np.cos(omega * time) + b * np.sin(omega * time))
    return dipole


# %% [markdown]
# Independent runs give the band areas their errors:

# %%
dipoles = np.stack([thermal_run() for _ in range(n_runs)])
spectrum = infrared(
    input_unit="e*Angstrom",
    dipole=dipoles,
    timestep=timestep,
    temperature=temperature,
    resolution=30.0,
)
print(f"resolution {spectrum.fwhm:.1f} cm⁻¹, unit {spectrum.unit}")
for wavenumber, charge in bands.items():
    area = spectrum.band_area(wavenumber - 150, wavenumber + 150)
    exact = e2_per_amu_to_km_per_mol * charge**2
    print(
        f"{wavenumber:6.0f} cm⁻¹: {area.value:7.3f} ± {area.error:.3f} km/mol, exact {exact:7.3f}"
    )
    assert abs(area.value - exact) < 4 * area.error + 0.02 * exact

# %%
from painn_ase.plotting import new_figure, plot_spectrum

figure, (panel,) = new_figure()
plot_spectrum(panel, spectrum, range_invcm=(500, 2200))
figure.savefig("two_bands.png", dpi=150)

# %% [markdown]
# Files of other programs are read by `read_time_series` (ASE `.traj`, extxyz, `.npz`, `.csv`), and
# spectra written as CSV, NPZ or JCAMP-DX:

# %%
from painn_ase.spectra import load_spectrum, save_spectrum
from painn_ase.trajectory import read_time_series

np.savez("dipoles.npz", dipole=dipoles[0], timestep=timestep)
series = read_time_series("dipoles.npz", dipole_unit="e*Angstrom", temperature=temperature)
print(series.summary)
save_spectrum(spectrum, "two_bands.csv")
again = load_spectrum("two_bands.csv")
print(f"read {len(series.dipole)} frames {series.timestep} fs apart, and {len(again)} wavenumbers")
