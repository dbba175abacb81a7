# %% [markdown]
# # Many structures in one call
#
# `evaluate` puts structures of any size, cell and periodicity into batches and gives back one
# record each: the numbers that one at a time would give, with less overhead.

# %%
import time

import numpy as np
from ase.build import bulk, molecule

from painn_ase import PaiNNCalculator, evaluate
from painn_ase.testing import random_potential

model = random_potential(n_features=32, heads=("energy", "dipole:local"))
structures = []
for n in range(10):
    for atoms in (molecule("CH3CH2OH"), molecule("H2O"), bulk("C")):
        atoms.rattle(0.05, seed=n)
        structures.append(atoms)

# %%
start = time.perf_counter()
batched = evaluate(model, structures, ["energy", "forces", "dipole"])
together = time.perf_counter() - start

# %%
calculator = PaiNNCalculator(model)
start = time.perf_counter()
single = [calculator.get_property("forces", atoms) for atoms in structures]
one_by_one = time.perf_counter() - start

difference = max(abs(b["forces"] - f).max() for b, f in zip(batched, single, strict=True))
print(f"{len(structures)} structures: {together:.2f} s together, {one_by_one:.2f} s one by one")
print(f"largest difference in a force: {difference:.1e} eV/Å")
print("mean energy per atom:", np.mean([b["energy"] / len(b["forces"]) for b in batched]), "eV")
