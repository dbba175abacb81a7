# %% [markdown]
# # Dynamics that is recorded, stopped and continued
#
# `run_md` drives any ASE calculator with ASE's integrators, records into an H5MD file that survives
# kills, and continues bit for bit. Here a thermostat warms ethanol to 300 K while dipoles and their
# time derivatives are recorded.

# %%
from ase.build import molecule

from painn_ase import PaiNNCalculator
from painn_ase.md import MDConfig, RecordConfig, run_md

start = molecule("CH3CH2OH")

# %%
config = MDConfig(
    steps=400,
    ensemble="langevin",
    temperature=300.0,
    friction=0.02,
    timestep=0.5,
    seed=1,
    record=RecordConfig(positions=20, velocities=20, energies=5, dipole=2, dipole_flux=2),
)

# %% [markdown]
# `steps` is the total, so a run of 200 is half of it; `restart=True` does the rest.

# %%
atoms = start.copy()
atoms.calc = PaiNNCalculator("ethanol")
half = run_md(atoms, MDConfig(**{**vars(config), "steps": 200}), trajectory="run.h5")
whole = run_md(atoms, config, trajectory="run.h5", restart=True)
print(f"stopped at {half.step}, continued to {whole.step}, mean {whole.temperature:.0f} K")

# %% [markdown]
# Uninterrupted, it would have gone the same way, to the last bit:

# %%
again = start.copy()
again.calc = PaiNNCalculator("ethanol")
run_md(again, config, trajectory="uninterrupted.h5")
print("largest difference of a position:", abs(again.positions - atoms.positions).max(), "Å")

# %% [markdown]
# The file is H5MD, which other tools read too; its reader gives ASE's units back.

# %%
from painn_ase.plotting import new_figure, plot_temperature
from painn_ase.trajectory import TrajectoryReader

with TrajectoryReader("run.h5") as run:
    for name in run.names:
        print(f"{name:18s} {run.n_frames(name):4d} frames, {run.timestep(name):g} fs apart")
    figure, (panel,) = new_figure()
    plot_temperature(panel, 1e-3 * run.times("temperature"), run.read("temperature"), target=300)
    figure.savefig("temperature.png", dpi=150)
    last = run.atoms(-1)
print("last frame:", last)
