# %% [markdown]
# # Normal modes with infrared and Raman intensities
#
# Hessian, Born charges and polarizability derivatives come from automatic differentiation, so a
# harmonic analysis is one call.

# %%
from ase.build import molecule
from ase.optimize import BFGS

from painn_ase import PaiNNCalculator
from painn_ase.spectra import harmonic

water = molecule("H2O")
water.calc = PaiNNCalculator("water", dtype="float64")
BFGS(water, logfile=None).run(fmax=1e-4, steps=300)

# %%
modes = harmonic(water)
print(modes.table())
print(f"zero-point energy {modes.zero_point_energy:.4f} eV")

# %% [markdown]
# The same frequencies by finite differences of the forces:

# %%
from painn_ase.vibrations import compare_with_ase

print(compare_with_ase(water, modes, displacement=1e-3).table())

# %% [markdown]
# Sticks become a spectrum, the spectrum a picture, a mode an animation for any viewer.

# %%
from pathlib import Path

from painn_ase.plotting import Panel, draw_panels
from painn_ase.spectra import harmonic_lines

spectra = {
    "infrared": modes.infrared_spectrum(fwhm=20),
    "Raman": modes.raman_spectrum(fwhm=20, temperature=300),
}
panels = [Panel([(s, name)], sticks=harmonic_lines(modes, s)) for name, s in spectra.items()]
figure = draw_panels(panels, direction="descending", peaks=True)
figure.savefig("normal_modes.png", dpi=150)
Path("mode_1.xyz").write_text(modes.animation(0))
