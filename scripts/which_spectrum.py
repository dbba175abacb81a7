r"""The picture of docs/which_spectrum.md: water by every method, over experimental positions.

    painn-ase spectrum water H2O -o classical --replicas 64 --segment 2
    painn-ase spectrum water H2O -o trpmd --nuclei trpmd --beads 32 --replicas 16 --segment 1 \
        --timestep 0.25
    python scripts/which_spectrum.py classical trpmd -o docs/images/which_spectrum_water.png

Prints the table of the page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase.build import molecule
from ase.optimize import BFGS
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from painn_ase import PaiNNCalculator
from painn_ase.quartic import quartic_field
from painn_ase.spectra import anharmonic, harmonic, load_spectrum

#: cm⁻¹, gas phase: T. Shimanouchi, Tables of Molecular Vibrational Frequencies, NSRDS-NBS 39.
EXPERIMENT = (1594.7, 3657.1, 3755.9)
#: cm⁻¹, where the maximum of each region is looked for, and a uniform scale factor.
REGIONS = ((1400.0, 1850.0), (3400.0, 4150.0))
SCALE = 0.96


def main() -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("classical", type=Path)
    parser.add_argument("trpmd", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()

    atoms = molecule("H2O")
    atoms.set_masses("most_common")
    atoms.calc = PaiNNCalculator("water", dtype="float64")
    BFGS(atoms, logfile=None).run(fmax=1e-5)
    modes = harmonic(atoms)
    second = anharmonic(quartic_field(atoms))
    assert modes.infrared is not None
    assert second.infrared is not None
    sticks = {
        "harmonic": (modes.frequencies, modes.infrared),
        f"harmonic × {SCALE}": (SCALE * modes.frequencies, modes.infrared),
        "perturbation theory": (second.fundamentals, second.infrared),
    }
    curves = {
        "classical dynamics": load_spectrum(given.classical / "infrared.csv"),
        "TRPMD, 32 beads": load_spectrum(given.trpmd / "infrared.csv"),
    }
    figure = Figure(figsize=(7.2, 6.0), layout="constrained")
    axes = figure.subplots(len(sticks) + len(curves), 1, sharex=True)
    for ax, (name, (lines, sizes)) in zip(axes, sticks.items(), strict=False):
        ax.vlines(lines, 0.0, sizes, color="C0", lw=2.0)
        _finish(ax, name, "km/mol")
        print(f"| {name} | " + " | ".join(f"{line:.0f}" for line in lines) + " |")
    for ax, (name, spectrum) in zip(axes[len(sticks) :], curves.items(), strict=True):
        x, y = spectrum.frequency, spectrum.intensity
        ax.plot(x, y, color="C0", lw=1.2)
        _finish(ax, name, spectrum.unit.replace("cm^-1", "cm⁻¹"))
        inside = [(x >= low) & (x <= high) for low, high in REGIONS]
        centres = [np.sum(x[m] * y[m]) / np.sum(y[m]) for m in inside]
        print(f"| {name}, centre of the region | " + " | ".join(f"{c:.0f}" for c in centres) + " |")
    axes[-1].set_xlabel("wavenumber (cm⁻¹)")
    axes[-1].set_xlim(1200.0, 4200.0)
    figure.savefig(given.output, dpi=130)


def _finish(ax: Axes, name: str, unit: str) -> None:
    for line in EXPERIMENT:
        ax.axvline(line, color="C3", lw=0.8, ls=":")
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel(unit, fontsize=7)
    ax.tick_params(labelsize=7)
    ax.set_title(name, fontsize=9, loc="left", pad=2)


if __name__ == "__main__":
    main()
