"""Harmonic analysis where it meets ASE and other programs: thermochemistry, a check against
``ase.vibrations``, frequency jobs of quantum chemistry for comparison.

The analysis itself needs no ASE and is in ``painn_ase.spectra``.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.thermochemistry import HarmonicThermo, IdealGasThermo
from ase.vibrations import Infrared, Vibrations
from numpy.typing import NDArray

from painn_ase.elements import ATOMIC_MASSES, SYMBOLS
from painn_ase.errors import DataError, GeometryError, TrajectoryError
from painn_ase.spectra import HarmonicResult, harmonic
from painn_ase.trajectory.formats.optional import errors_named, need
from painn_ase.units import debye2_per_amu_to_km_per_mol

__all__ = [
    "ModeComparison",
    "compare_with_ase",
    "harmonic_thermochemistry",
    "ideal_gas",
    "load_harmonic",
    "read_frequency_job",
]

Array = NDArray[np.float64]

#: number of overall motions → what ASE calls such a molecule
_GEOMETRIES: dict[int, Literal["monatomic", "linear", "nonlinear"]] = {
    3: "monatomic",
    5: "linear",
    6: "nonlinear",
}


def ideal_gas(
    atoms: Atoms,
    result: HarmonicResult | None = None,
    *,
    symmetry_number: int,
    spin: float = 0.0,
    energy: float | None = None,
) -> IdealGasThermo:
    """Thermochemistry of a molecule as an ideal gas, rigid rotor and harmonic oscillator.

    Parameters
    ----------
    atoms : Atoms
        Relaxed, with a calculator unless ``result`` and ``energy`` are given.
    result : HarmonicResult, optional
        By default ``harmonic(atoms)``.
    symmetry_number : int
        Rotations that bring the molecule onto itself: 2 for water, 1 for ethanol.
    spin : float
        Total electronic spin.
    energy : float, optional
        Potential energy, eV; by default the calculator's.

    Returns
    -------
    ase.thermochemistry.IdealGasThermo
        Ask it for ``get_gibbs_energy(temperature, pressure)`` and the like.

    Raises
    ------
    GeometryError
        For periodic structures.
    DataError
        At saddle points: an imaginary frequency has no partition function. For molecules of which
        something is held, which are no gas.
    """
    if np.any(atoms.pbc):
        raise GeometryError(
            "an ideal gas is made of molecules; for a periodic structure use "
            "harmonic_thermochemistry"
        )
    modes = harmonic(atoms) if result is None else result
    _refuse_saddle_points(modes)
    if modes.n_held:
        raise DataError(
            f"{modes.n_held} coordinates of the molecule are held: it is no gas. Use "
            "harmonic_thermochemistry, or take the constraints off."
        )
    n_overall = 3 * len(atoms) - len(modes.frequencies)
    geometry = _GEOMETRIES.get(n_overall)
    if geometry is None:
        raise DataError(
            f"{len(modes.frequencies)} modes do not belong to a molecule of {len(atoms)} atoms"
        )
    return IdealGasThermo(
        vib_energies=modes.energies.tolist(),
        geometry=geometry,
        potentialenergy=atoms.get_potential_energy() if energy is None else energy,
        atoms=atoms,
        symmetrynumber=symmetry_number,
        spin=spin,
    )


def harmonic_thermochemistry(
    atoms: Atoms, result: HarmonicResult | None = None, *, energy: float | None = None
) -> HarmonicThermo:
    """Thermochemistry of vibrations alone, for adsorbates and solids at the zone centre.

    Of what constraints hold nothing is counted.

    Raises
    ------
    DataError
        At saddle points, and where the atoms turn or drift freely beside what is held.
    """
    modes = harmonic(atoms) if result is None else result
    _refuse_saddle_points(modes)
    if modes.n_free_motions:
        raise DataError(
            f"{modes.n_free_motions} motions beside what is held cost no energy (frequency 0); no "
            "harmonic oscillator describes them. Hold more atoms."
        )
    return HarmonicThermo(
        vib_energies=modes.energies.tolist(),
        potentialenergy=atoms.get_potential_energy() if energy is None else energy,
    )


def _refuse_saddle_points(modes: HarmonicResult) -> None:
    if modes.n_imaginary:
        lowest = abs(float(modes.frequencies[0]))
        raise DataError(
            f"{modes.n_imaginary} imaginary frequencies, the lowest {lowest:.1f}i cm^-1: this is "
            "no minimum; relax further, along that mode if it persists"
        )


@dataclass(frozen=True)
class ModeComparison:
    """Frequencies (cm⁻¹) and infrared intensities (km/mol) of this package and of ASE, by mode."""

    ours: Array
    ase: Array
    our_intensities: Array | None
    ase_intensities: Array | None

    @property
    def largest_difference(self) -> float:
        """Largest difference of a frequency, cm⁻¹; 0 without modes."""
        return float(np.max(np.abs(self.ours - self.ase), initial=0.0))

    def table(self) -> str:
        """A text table, one mode a line."""
        with_intensities = self.our_intensities is not None and self.ase_intensities is not None
        head = "mode   ours/cm^-1    ASE/cm^-1   difference"
        lines = [head + ("   ours/km/mol    ASE/km/mol" if with_intensities else "")]
        for k, (a, b) in enumerate(zip(self.ours, self.ase, strict=True)):
            line = f"{k + 1:4d}  {a:11.3f}  {b:11.3f}  {a - b:11.4f}"
            if self.our_intensities is not None and self.ase_intensities is not None:
                line += f"  {self.our_intensities[k]:12.4f}  {self.ase_intensities[k]:12.4f}"
            lines.append(line)
        return "\n".join(lines) + "\n"


def compare_with_ase(
    atoms: Atoms, result: HarmonicResult | None = None, *, displacement: float = 0.005
) -> ModeComparison:
    """The harmonic analysis beside ``ase.vibrations`` by finite differences of the calculator.

    ASE displaces every atom along every axis by ±``displacement`` Å and projects nothing out, so
    its lowest modes (the overall motions) are left away. Intensities are compared where the
    calculator gives dipoles.

    Raises
    ------
    DataError
        Where single coordinates are held: ASE leaves out whole atoms (FixAtoms) only.
    """
    if any(type(constraint).__name__ == "FixCartesian" for constraint in atoms.constraints):
        raise DataError(
            "ase.vibrations knows FixAtoms, not FixCartesian: there is nothing to compare with."
        )
    modes = harmonic(atoms) if result is None else result
    n_modes = len(modes.frequencies)
    copy = atoms.copy()
    copy.calc = atoms.calc
    with_dipoles = modes.infrared is not None
    with tempfile.TemporaryDirectory() as folder:
        kind: Any = Infrared if with_dipoles else Vibrations
        vibrations = kind(copy, name=str(Path(folder) / "displaced"), delta=displacement)
        vibrations.run()
        if with_dipoles:
            # intensities come in (D/Å)²/amu; ASE's own conversion is to km/mol
            vibrations.read(method="standard", direction="central")
            values = np.asarray(vibrations.get_frequencies())
            intensities = np.asarray(vibrations.intensities) * debye2_per_amu_to_km_per_mol
        else:
            values = np.asarray(vibrations.get_frequencies())
            intensities = None
    frequencies = np.where(np.abs(values.imag) > values.real, -np.abs(values.imag), values.real)
    # overall motions are those nearest zero
    kept = np.sort(np.argsort(np.abs(frequencies), kind="stable")[len(frequencies) - n_modes :])
    order = kept[np.argsort(frequencies[kept], kind="stable")]
    return ModeComparison(
        ours=modes.frequencies,
        ase=frequencies[order],
        our_intensities=modes.infrared,
        ase_intensities=None if intensities is None else intensities[order],
    )


def load_harmonic(path: str | Path) -> HarmonicResult:
    """A harmonic analysis: ours (``modes.json``), or a frequency job of another program.

    Raises
    ------
    DataError
        When the file is neither.
    MissingDependencyError
        Without cclib, which reads other programs' outputs.
    """
    path = Path(path)
    if path.suffix.lower() == ".json" or not path.is_file():
        return HarmonicResult.load(path)
    return read_frequency_job(path)


def read_frequency_job(path: str | Path) -> HarmonicResult:
    """Normal modes with intensities of a frequency job, as cclib reads it.

    Parameters
    ----------
    path : path
        Output of Gaussian, ORCA, Q-Chem, NWChem … with frequencies, or a Gaussian ``.fchk`` that
        was made with ``SaveNormalModes``.

    Returns
    -------
    HarmonicResult
        Infrared in km/mol and Raman activities in Å⁴/amu as the program gives them.

    Raises
    ------
    DataError
        When there are no frequencies in it.
    MissingDependencyError
        Without cclib.
    """
    path = Path(path)
    library = need("cclib", "frequency jobs of other programs")
    try:
        with errors_named(path, "an output of quantum chemistry"):
            data = library.io.ccread(str(path), loglevel=50)
            numbers = np.asarray(data.atomnos, dtype=np.int64) if data is not None else None
    except TrajectoryError as error:
        raise DataError(str(error)) from error
    frequencies = getattr(data, "vibfreqs", None)
    shifts = getattr(data, "vibdisps", None)
    if numbers is None or frequencies is None or shifts is None:
        raise DataError(
            f"{path} holds no frequencies with normal modes that cclib finds. Give the output of a "
            "frequency job; an .fchk needs Freq=SaveNormalModes."
        )
    masses = np.asarray(
        getattr(data, "atommasses", [ATOMIC_MASSES[z] for z in numbers]), dtype=np.float64
    )[-len(numbers) :]
    order = np.argsort(frequencies, kind="stable")
    weighted = np.asarray(shifts, dtype=np.float64)[order] * np.sqrt(masses)[:, None]
    norms = np.sqrt(np.sum(weighted**2, axis=(1, 2), keepdims=True))
    if not (norms > 0.0).all():
        raise DataError(f"{path}: a normal mode moves no atom.")
    intensities = {
        name: None if (values := getattr(data, key, None)) is None else np.asarray(values)[order]
        for name, key in (("infrared", "vibirs"), ("raman", "vibramans"))
    }
    return HarmonicResult(
        frequencies=np.asarray(frequencies, dtype=np.float64)[order],
        modes=weighted / norms,
        masses=masses,
        positions=np.asarray(data.atomcoords, dtype=np.float64)[-1],
        symbols=tuple(SYMBOLS[z] for z in numbers),
        infrared=intensities["infrared"],
        raman=intensities["raman"],
    )
