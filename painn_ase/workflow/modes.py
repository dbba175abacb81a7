"""Normal modes of a structure: its relaxation before, its thermochemistry after."""

from __future__ import annotations

from ase import Atoms, units
from ase.optimize import BFGS

from painn_ase.errors import DataError
from painn_ase.spectra import HarmonicResult

__all__ = ["relax", "thermochemistry"]

#: Steps after which a relaxation is given up.
_MAX_STEPS = 1000


def relax(atoms: Atoms, fmax: float) -> int:
    """Relax `atoms` in place until no force exceeds `fmax` eV/Å; the number of steps.

    Parameters
    ----------
    atoms : ase.Atoms
        With a calculator.
    fmax : float
        eV/Å.

    Raises
    ------
    DataError
        If it does not converge.
    """
    optimizer = BFGS(atoms, logfile=None)
    if not optimizer.run(fmax=fmax, steps=_MAX_STEPS):
        largest = float(abs(atoms.get_forces()).max())
        raise DataError(
            f"the structure did not relax below {fmax:g} eV/Å in {_MAX_STEPS} steps (largest force "
            f"component {largest:.2g}). Start from a better structure, or give a larger --fmax."
        )
    return int(optimizer.nsteps)


def thermochemistry(
    atoms: Atoms, result: HarmonicResult, temperature: float, symmetry_number: int
) -> str:
    """Zero-point energy, and what ASE's thermochemistry makes of the modes, as lines of text.

    Parameters
    ----------
    atoms : ase.Atoms
        The relaxed structure.
    result : HarmonicResult
        Its modes.
    temperature : float
        K.
    symmetry_number : int
        Rotations that bring the molecule onto itself; for the entropy of the gas at 1 bar.
    """
    from painn_ase.vibrations import harmonic_thermochemistry, ideal_gas  # brings matplotlib

    lines = [f"zero-point energy         {result.zero_point_energy:12.5f} eV"]
    if result.n_imaginary:
        return f"{lines[0]}\n{result.n_imaginary} imaginary mode(s): not a minimum"
    if result.n_free_motions:
        return (
            f"{lines[0]}\n{result.n_free_motions} motion(s) beside what is held cost no energy: no "
            "thermochemistry of oscillators"
        )
    if result.n_held:
        lines[0] += f", of what is not held ({result.n_held} coordinates are)"
    if any(atoms.pbc) or result.n_held:
        vibrations = harmonic_thermochemistry(atoms, result)
        entropy = vibrations.get_entropy(temperature, verbose=False)
        gibbs = vibrations.get_helmholtz_energy(temperature, verbose=False)
        lines.append(f"vibrations at {temperature:.2f} K:")
        lines.append(f"  Helmholtz energy        {gibbs:12.5f} eV")
    else:
        gas = ideal_gas(atoms, result, symmetry_number=symmetry_number)
        pressure = 1e5  # Pa
        entropy = gas.get_entropy(temperature, pressure, verbose=False)
        gibbs = gas.get_gibbs_energy(temperature, pressure, verbose=False)
        enthalpy = gas.get_enthalpy(temperature, verbose=False)
        lines.append(
            f"ideal gas at {temperature:.2f} K and 1 bar, symmetry number {symmetry_number}:"
        )
        lines.append(f"  enthalpy                {enthalpy:12.5f} eV")
        lines.append(f"  Gibbs energy            {gibbs:12.5f} eV")
    in_joules = entropy / (units.J / units.mol)
    lines.append(f"  entropy                 {1e3 * entropy:12.5f} meV/K = {in_joules:.1f} J/mol/K")
    return "\n".join(lines)
