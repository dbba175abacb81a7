# %% [markdown]
# # Energy, forces, dipole, polarizability
#
# A PaiNN model is an ASE calculator. Models of ethanol and water come with the package; yours is
# the path of a `.safetensors` file.

# %%
from ase.build import molecule

from painn_ase import PaiNNCalculator
from painn_ase.units import debye_to_e_angstrom, e2_angstrom2_per_ev_to_angstrom3

atoms = molecule("CH3CH2OH")
atoms.calc = PaiNNCalculator("ethanol", dtype="float64")

# %% [markdown]
# What ASE has a name for comes through ASE's own methods; units are ASE's.

# %%
print(f"energy          {atoms.get_potential_energy():12.6f} eV")
print(f"largest force   {abs(atoms.get_forces()).max():12.6f} eV/Å")
print(f"dipole          {atoms.get_dipole_moment().round(4)} e·Å")
print(f"                {(atoms.get_dipole_moment() / debye_to_e_angstrom).round(4)} D")

# %% [markdown]
# The rest are methods of the calculator. Derivatives come from automatic differentiation, not from
# finite differences.

# %%
polarizability = atoms.calc.get_polarizability(atoms) * e2_angstrom2_per_ev_to_angstrom3
born_charges = atoms.calc.get_born_charges(atoms)
hessian = atoms.calc.get_hessian(atoms)
print(f"mean polarizability {polarizability.trace() / 3:8.4f} Å³")
print(
    f"sum of Born charges {abs(born_charges.sum(axis=0)).max():8.1e} e (zero: a neutral molecule)"
)
print(f"rows of the Hessian {abs(hessian.sum(axis=2)).max():8.1e} eV/Å² (zero: nothing holds it)")

# %% [markdown]
# The model says of itself what it can do.

# %%
print("gives:", ", ".join(atoms.calc.implemented_properties))
