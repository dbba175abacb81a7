# %% [markdown]
# # Infrared and Raman spectra of a run that another program made
#
# The forces may come from anywhere: what a spectrum needs beside the positions and velocities are
# dipoles and polarizabilities, and those a model gives afterwards, in batches. Here ASE writes a
# `.traj` file of water with positions and velocities and nothing else.

# %%
import numpy as np
from ase import units
from ase.build import molecule
from ase.io.trajectory import Trajectory
from ase.md.velocitydistribution import Stationary, ZeroRotation
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from painn_ase import PaiNNCalculator
from painn_ase.md.velocities import draw_velocities

calculator = PaiNNCalculator("water")
water = molecule("H2O")
water.calc = calculator
BFGS(water, logfile=None).run(fmax=1e-3, steps=200)
water.set_velocities(draw_velocities(water.get_masses(), 600, np.random.default_rng(0)))
Stationary(water)
ZeroRotation(water)
dynamics = VelocityVerlet(water, 0.5 * units.fs)
with Trajectory("somebody.traj", "w") as file:
    for _ in range(2000):
        dynamics.run(2)
        frame = water.copy()  # a copy has no calculator: no dipoles go into the file
        file.write(frame)

# %% [markdown]
# `painn-ase evaluate water somebody.traj --timestep 1` does the following on the command line. The
# frames have velocities, so the model gives the time derivatives of dipole and polarizability too.

# %%
from painn_ase.annotate import annotate_trajectory

n_frames = annotate_trajectory(
    calculator, "somebody.traj", "evaluated.h5", timestep=1.0, overwrite=True
)
print(f"{n_frames} frames evaluated")

# %% [markdown]
# And `painn-ase spectrum evaluated.h5 --temperature 300 --resolution 40` this:

# %%
from painn_ase.trajectory import read_time_series
from painn_ase.workflow import compute_spectra

series = read_time_series("evaluated.h5")
infrared, raman, depolarisation = compute_spectra(series, temperature=300.0, resolution=40.0)
for name, spectrum in (("infrared", infrared), ("Raman", raman)):
    strongest = sorted(spectrum.peaks(), key=lambda p: -p.intensity)[:3]
    places = ", ".join(f"{p.frequency:.0f}" for p in sorted(strongest, key=lambda p: p.frequency))
    print(f"{name}: strongest at {places} cm⁻¹, resolution {spectrum.fwhm:.0f} cm⁻¹")

# %% [markdown]
# The places of the bands are right after 2 ps. Their areas are those of the mode energies that one
# set of velocities happened to have, because nothing exchanges energy in a single small molecule:
# band areas need many runs, as `painn-ase spectrum water H2O` makes them.
