"""Units and the few conversions of the field.

Models, calculators, training and trajectories are in ASE's units: eV, Å, e·Å, e²Å²/eV, and time in
ASE's Å·√(amu/eV); spectra take fs, Å³ and fluxes per fs. Conversions are named ``a_to_b``,
multiply, and are floats. Values are CODATA's as shipped by :mod:`scipy.constants` (ASE pins CODATA
2014; the two differ by 4e-7 at most, in kB), so that nothing here needs ASE.
"""

from __future__ import annotations

import math

from scipy import constants as _c

#: Coulomb constant e²/(4πε0) in eV·Å; a polarizability volume in Å³ is α[e²Å²/eV] times this.
coulomb_constant = _c.e / (4.0 * math.pi * _c.epsilon_0) * 1e10

bohr_to_angstrom: float = _c.physical_constants["Bohr radius"][0] * 1e10
hartree_to_ev: float = _c.physical_constants["Hartree energy in eV"][0]
kcal_per_mol_to_ev: float = 4184.0 / (_c.N_A * _c.e)
kj_per_mol_to_ev: float = 1000.0 / (_c.N_A * _c.e)
debye_to_e_angstrom: float = 1e-21 / _c.c / _c.e * 1e10
e_bohr_to_e_angstrom: float = bohr_to_angstrom
#: polarizability, e²Å²/eV → Å³ (polarizability volume α/4πε0)
e2_angstrom2_per_ev_to_angstrom3: float = coulomb_constant
angstrom3_to_e2_angstrom2_per_ev: float = 1.0 / coulomb_constant
bohr3_to_angstrom3: float = bohr_to_angstrom**3
bohr3_to_e2_angstrom2_per_ev: float = bohr3_to_angstrom3 / coulomb_constant
ev_per_angstrom3_to_gpa: float = _c.e * 1e30 * 1e-9
#: Boltzmann constant in eV/K
boltzmann_constant: float = _c.k / _c.e
#: ASE's unit of time, Å·√(amu/eV), in femtoseconds
ase_time_to_fs: float = 1e-10 * math.sqrt(_c.atomic_mass / _c.e) * 1e15
fs_to_ase_time: float = 1.0 / ase_time_to_fs
#: velocities and fluxes: x per ASE time → x per femtosecond
per_ase_time_to_per_fs: float = 1.0 / ase_time_to_fs
ev_to_invcm: float = _c.e / (_c.h * _c.c) / 100.0
#: √(eV/(Å²·amu)), the unit of √(Hessian/mass), in cm⁻¹
sqrt_ev_per_angstrom2_amu_to_invcm: float = (
    math.sqrt(_c.e * 1e20 / _c.atomic_mass) / (2.0 * math.pi * _c.c) / 100.0
)
invcm_to_radians_per_fs: float = 2.0 * math.pi * _c.c * 100.0 * 1e-15
#: |∂μ/∂Q|² in e²/amu → integrated absorption in km/mol: N_A e²/(12 ε0 c² amu), natural logarithm
e2_per_amu_to_km_per_mol: float = (
    _c.N_A * _c.e**2 / _c.atomic_mass / (12.0 * _c.epsilon_0 * _c.c**2) / 1e3
)
#: the same from (D/Å)²/amu, the unit of ``ase.vibrations``
debye2_per_amu_to_km_per_mol: float = e2_per_amu_to_km_per_mol * debye_to_e_angstrom**2
