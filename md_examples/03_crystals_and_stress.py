# %% [markdown]
# # Periodic systems: stress, and a cell that relaxes
#
# Stress is (1/V) ∂E/∂ε of the true cell, in ASE's sign and Voigt order. It exists where all three
# directions are periodic; for a slab or a molecule the calculator says so.

# %%
import numpy as np
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from painn_ase import PaiNNCalculator
from painn_ase.errors import PaiNNError
from painn_ase.testing import random_potential
from painn_ase.units import ev_per_angstrom3_to_gpa

model = random_potential(n_features=32, elements=(6,))
diamond = bulk("C", cubic=True)
diamond.rattle(0.02, seed=1)
diamond.calc = PaiNNCalculator(model, dtype="float64")
print("stress:", (diamond.get_stress() * ev_per_angstrom3_to_gpa).round(3), "GPa")

# %% [markdown]
# Automatic differentiation and a finite difference of the energy agree:

# %%
strain = 1e-5
energies = []
for sign in (1, -1):
    strained = diamond.copy()
    strained.calc = diamond.calc
    strained.set_cell(diamond.cell * np.array([1 + sign * strain, 1, 1]), scale_atoms=True)
    energies.append(strained.get_potential_energy())
finite = (energies[0] - energies[1]) / (2 * strain * diamond.get_volume())
print(f"σ_xx: {diamond.get_stress()[0]:.9f} eV/Å³, finite difference {finite:.9f}")

# %% [markdown]
# ASE's cell filters work, here for a few steps (the weights are random, so the minimum means
# nothing):

# %%
relaxation = BFGS(FrechetCellFilter(diamond), logfile=None)
relaxation.run(fmax=0.01, steps=5)
print(f"energy after five steps: {diamond.get_potential_energy():.4f} eV")

# %% [markdown]
# Where a quantity has no meaning, the message says why and what to do:

# %%
slab = diamond.copy()
slab.pbc = (True, True, False)
slab.calc = PaiNNCalculator(model)
try:
    slab.get_stress()
except PaiNNError as error:
    print(f"{type(error).__name__}: {error}")
