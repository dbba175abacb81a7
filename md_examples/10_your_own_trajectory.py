# %% [markdown]
# # Your own `.traj` with dipoles becomes a spectrum by one command
#
# ASE writes into a `.traj` file what the calculator has computed for the frame, so asking for the
# dipole before writing puts it there. Any calculator with dipoles will do.

# %%
import subprocess
import sys

import numpy as np
from ase import units
from ase.build import molecule
from ase.io.trajectory import Trajectory
from ase.md.velocitydistribution import Stationary, ZeroRotation
from ase.md.verlet import VelocityVerlet

from painn_ase import PaiNNCalculator
from painn_ase.md.velocities import draw_velocities

ethanol = molecule("CH3CH2OH")
ethanol.calc = PaiNNCalculator("ethanol")
ethanol.set_velocities(draw_velocities(ethanol.get_masses(), 300, np.random.default_rng(0)))
Stationary(ethanol)
ZeroRotation(ethanol)
dynamics = VelocityVerlet(ethanol, 0.5 * units.fs)
with Trajectory("run.traj", "w", ethanol) as file:
    for _ in range(1000):
        dynamics.run(4)
        ethanol.get_dipole_moment()
        file.write()

# %% [markdown]
# `--timestep` is the time between frames, because a `.traj` file does not say it. Written are
# `infrared.csv` and `spectra.png`; with polarizabilities in the file, `raman.csv` too.

# %%
command = "spectrum run.traj --timestep 2 --temperature 300 --resolution 30 -o mine --overwrite"
done = subprocess.run(
    [sys.executable, "-m", "painn_ase", *command.split()], capture_output=True, text=True
)
print(done.stdout, done.stderr)

# %% [markdown]
# The file keeps its units and its history; reading it back needs no model.

# %%
from painn_ase.spectra import load_spectrum

spectrum = load_spectrum("mine/infrared.csv")
print(f"{len(spectrum)} wavenumbers, {spectrum.unit}, resolution {spectrum.fwhm:.0f} cm⁻¹")
