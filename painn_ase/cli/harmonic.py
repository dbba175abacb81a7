"""``painn-ase harmonic``: normal modes with IR and Raman intensities, from derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from painn_ase.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

    from painn_ase.spectra import HarmonicResult

__all__ = ["harmonic", "relax"]

#: Steps after which a relaxation is given up.
MAX_STEPS = 1000


def harmonic(
    model: str = typer.Argument(help="Model file, or name of a bundled model.", show_default=False),
    structure: str = typer.Argument(
        help="Structure file, or a molecule's name as in ASE (CH3CH2OH, H2O …).",
        show_default=False,
    ),
    output: Path | None = typer.Option(
        None,
        "--output",
        "-o",
        help="Folder for `modes.json`, the relaxed structure, spectra as CSV and PNG.",
    ),
    keep: bool = typer.Option(
        False, "--no-relax", help="Take the structure as it is instead of relaxing it first."
    ),
    fmax: float = typer.Option(1e-4, help="Largest force after the relaxation, eV/Å."),
    animate: bool = typer.Option(
        False, "--animate", help="Also write each mode as `mode_NN.xyz` into the folder."
    ),
    fwhm: float = typer.Option(10.0, help="Width of the lines in the spectra, cm⁻¹."),
    temperature: float = typer.Option(
        298.15, help="For the thermochemistry and the Raman cross section, K."
    ),
    check: bool = typer.Option(
        False, "--check", help="Compare with finite differences by `ase.vibrations`."
    ),
    charge: float | None = typer.Option(None, help="Total charge, e; by default the model's."),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda if there is one."),
) -> None:
    """Frequencies, km/mol, Å⁴/amu and depolarisation of a structure's normal modes.

    The structure is relaxed with the model, then Hessian, Born charges and polarizability
    derivatives come from automatic differentiation in float64. Overall translations and rotations
    are projected out. Imaginary frequencies carry an `i`.

    Example: `painn-ase harmonic model.safetensors molecule.xyz -o modes --animate`
    """
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.cli.structures import read_structure
    from painn_ase.spectra import harmonic as analyse

    if animate and output is None:
        raise DataError("--animate needs a folder to write to: add --output FOLDER.")
    atoms = read_structure(structure)
    atoms.calc = PaiNNCalculator(model, device=device, dtype="float64", charge=charge)
    if not keep:
        steps = relax(atoms, fmax)
        typer.echo(f"relaxed below {fmax:g} eV/Å in {steps} steps")
    result = analyse(atoms)
    typer.echo("\n" + result.table())
    typer.echo(thermochemistry(atoms, result, temperature))
    if check:
        typer.echo("\n" + compare_with_ase(atoms, result))
    if output is not None:
        write_all(output, atoms, result, fwhm=fwhm, temperature=temperature, animate=animate)


def relax(atoms: Atoms, fmax: float) -> int:
    """Relax `atoms` in place until no force exceeds `fmax` eV/Å; the number of steps.

    Raises
    ------
    DataError
        If it does not converge.
    """
    from ase.optimize import BFGS

    optimizer = BFGS(atoms, logfile=None)
    if not optimizer.run(fmax=fmax, steps=MAX_STEPS):
        largest = float(abs(atoms.get_forces()).max())
        raise DataError(
            f"the structure did not relax below {fmax:g} eV/Å in {MAX_STEPS} steps (largest force "
            f"component {largest:.2g}). Start from a better structure, or give a larger --fmax."
        )
    return int(optimizer.nsteps)


def thermochemistry(atoms: Atoms, result: HarmonicResult, temperature: float) -> str:
    """Zero-point energy and vibrational contributions, from ASE's harmonic thermochemistry."""
    from ase.thermochemistry import HarmonicThermo

    lines = [f"zero-point energy                     {result.zero_point_energy:10.5f} eV"]
    if result.n_imaginary:
        lines.append(f"{result.n_imaginary} imaginary mode(s): not a minimum, no thermochemistry")
    elif len(result.energies):
        thermo = HarmonicThermo(list(result.energies), potentialenergy=0.0)
        internal = thermo.get_internal_energy(temperature, verbose=False)
        entropy = thermo.get_entropy(temperature, verbose=False)
        lines += [
            f"vibrational energy at {temperature:7.2f} K       {internal:10.5f} eV",
            f"vibrational entropy at {temperature:7.2f} K      {1e3 * entropy:10.5f} meV/K",
        ]
    return "\n".join(lines)


def compare_with_ase(atoms: Atoms, result: HarmonicResult) -> str:
    """Our frequencies beside those of finite differences by ``ase.vibrations``, cm⁻¹."""
    import tempfile

    import numpy as np
    from ase.vibrations import Vibrations

    with tempfile.TemporaryDirectory() as folder:
        vibrations = Vibrations(atoms, name=f"{folder}/vib", delta=1e-3, nfree=4)
        vibrations.run()
        theirs = vibrations.get_frequencies()
    signed = np.sort(np.where(theirs.imag > 0, -theirs.imag, theirs.real))
    # ase.vibrations keeps overall motions, whose frequencies are near zero: leave those out
    overall = len(signed) - len(result.frequencies)
    rest = np.sort(np.delete(signed, np.argsort(abs(signed))[:overall]))
    rows = [
        f"{a:12.2f} {b:16.2f} {a - b:+10.3f}" for a, b in zip(result.frequencies, rest, strict=True)
    ]
    return "\n".join(["    analytic   ase.vibrations  difference, cm⁻¹", *rows])


def write_all(
    folder: Path,
    atoms: Atoms,
    result: HarmonicResult,
    *,
    fwhm: float,
    temperature: float,
    animate: bool,
) -> None:
    """Modes, structure, spectra, picture and animations into `folder`; says what was written."""
    from ase.io import write

    from painn_ase.plotting import new_figure, plot_spectrum, plot_sticks
    from painn_ase.spectra import save_spectrum

    folder.mkdir(parents=True, exist_ok=True)
    result.save(folder / "modes.json")
    (folder / "modes.txt").write_text(result.table(), encoding="utf-8")
    write(folder / "relaxed.xyz", atoms, format="extxyz", columns=["symbols", "positions"])
    drawn = []
    if result.infrared is not None:
        drawn.append(("infrared", result.infrared_spectrum(fwhm), result.infrared_sticks()))
    if result.raman is not None:
        raman = result.raman_spectrum(fwhm, temperature=temperature)
        drawn.append(("raman", raman, result.raman_sticks()))
    for name, spectrum, _ in drawn:
        save_spectrum(spectrum, folder / f"{name}.csv")
    if drawn:
        figure, axes = new_figure(len(drawn))
        for ax, (_, spectrum, sticks) in zip(axes, drawn, strict=True):
            plot_spectrum(ax, spectrum)
            plot_sticks(ax, sticks)
        figure.savefig(folder / "spectra.png", dpi=150)
    if animate:
        for mode in range(len(result.frequencies)):
            path = folder / f"mode_{mode + 1:02d}.xyz"
            path.write_text(result.animation(mode), encoding="utf-8")
    typer.echo(f"\nwritten: {folder}/ ({', '.join(sorted(p.name for p in folder.iterdir()))})")
