# %% [markdown]
# # Quantum nuclei: what a proton has that a classical one lacks
#
# At room temperature a C–H stretch has seven times its classical energy. A ring polymer has it:
# copies of the molecule, the beads, bound by springs, all in one batch. Beads go farther than
# classical atoms; where the model was not trained so far, the guard warns.

# %%
from ase.build import molecule
from ase.optimize import BFGS

from painn_ase import PaiNNCalculator, ReplicaConfig, run_replicas
from painn_ase.md import quantum_averages
from painn_ase.spectra import harmonic
from painn_ase.units import ev_to_invcm
from painn_ase.workflow.quantum import choose_beads, harmonic_share

calculator = PaiNNCalculator("formaldehyde")
atoms = molecule("H2CO")
atoms.calc = PaiNNCalculator("formaldehyde", dtype="float64")
BFGS(atoms, logfile=None).run(fmax=1e-3)
lowest = atoms.get_potential_energy()
modes = harmonic(atoms, atoms.calc)
print(f"beads for all but 2 % of the stiffest mode: {choose_beads(0, atoms, modes, 300.0)}")
for n_beads in (1, 16, 32, 64):
    share = harmonic_share(modes, n_beads, 300.0)
    print(f"{n_beads:3} beads: {100 * share:5.1f} % of the harmonic energy")

# %% [markdown]
# Path-integral dynamics of four rings of 16 beads, short enough for an example: real runs take ten
# times the beads and the picoseconds. Energies are virial estimates, counted from the minimum.

# %%
config = ReplicaConfig(
    steps=600, ensemble="pimd", beads=16, temperature=300.0, friction=0.05, record=(),
    energy_stride=5,
)  # fmt: skip
run_replicas(calculator, [atoms] * 4, config, trajectory="beads.h5")
found = quantum_averages("beads.h5", skip=0.1)
energy, error = ((found.energy.value - lowest) * ev_to_invcm, found.energy.error * ev_to_invcm)
classical = 9 * 300.0 * 0.695035  # kT for each of six modes, half of it for each rigid motion
print(f"energy: {energy:.0f} ± {error:.0f} cm⁻¹, a classical molecule's {classical:.0f}")
for symbol, width, kinetic in zip(
    atoms.symbols, found.radius_of_gyration, found.kinetic_by_atom, strict=True
):
    ratio = kinetic / (1.5 * 8.617333e-5 * 300.0)
    print(
        f"{symbol}: beads {width:.3f} Å from their centroid, {ratio:.1f} × classical kinetic energy"
    )

# %% [markdown]
# Spectra by thermostatted ring-polymer dynamics are one command:
# `painn-ase spectrum formaldehyde H2CO --nuclei trpmd --beads 32`.
