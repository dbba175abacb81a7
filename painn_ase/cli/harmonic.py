"""``painn-ase harmonic``: normal modes with IR and Raman intensities, from derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from painn_ase.cli.outputs import refuse_existing, refuse_unwritable
from painn_ase.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

    from painn_ase.spectra import HarmonicResult
    from painn_ase.workflow import SeriesSpectra

__all__ = ["harmonic", "relax"]

#: Steps after which a relaxation is given up.
MAX_STEPS = 1000
#: What goes into the folder, beside the animations.
FILES = (
    "modes.json",
    "modes.txt",
    "relaxed.xyz",
    "infrared.csv",
    "raman.csv",
    "spectra.png",
    "summary.json",
    "report.html",
)


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
        help="Folder for `modes.json`, the relaxed structure, spectra as CSV and PNG, a page of "
        "moving modes.",
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
    symmetry_number: int = typer.Option(
        1,
        min=1,
        help="Rotations that bring the molecule onto itself (2 for water); for the entropy.",
    ),
    check: bool = typer.Option(
        False, "--check", help="Compare with finite differences by `ase.vibrations`."
    ),
    charge: float | None = typer.Option(
        None, help="Total charge, e; by default the structure's, else the model's."
    ),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda if there is one."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace what is there."),
) -> None:
    """Frequencies, km/mol, Å⁴/amu and depolarisation of a structure's normal modes.

    The structure is relaxed with the model, then Hessian, Born charges and polarizability
    derivatives come from automatic differentiation in float64. Overall translations and rotations
    are projected out. What FixAtoms and FixCartesian hold in the structure file stays held: the
    modes are then those of the partial Hessian. Imaginary frequencies carry an `i`.

    Example: `painn-ase harmonic model.safetensors molecule.xyz -o modes --animate`
    """
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.cli.structures import read_structure
    from painn_ase.spectra import harmonic as analyse

    if animate and output is None:
        raise DataError("--animate needs a folder to write to: add --output FOLDER.")
    if not temperature > 0:
        raise DataError(f"--temperature must be above 0 K; got {temperature:g}.")
    if output is not None:
        refuse_unwritable(output, folder=True)
        animations = output.glob("mode_*.xyz") if animate else ()
        refuse_existing([*(output / name for name in FILES), *animations], overwrite)
    atoms = read_structure(structure)
    atoms.calc = PaiNNCalculator(model, device=device, dtype="float64", charge=charge)
    if not keep:
        steps = relax(atoms, fmax)
        typer.echo(f"relaxed below {fmax:g} eV/Å in {steps} steps")
    result = analyse(atoms)
    typer.echo("\n" + result.table())
    typer.echo(thermochemistry(atoms, result, temperature, symmetry_number))
    if check:
        from painn_ase.vibrations import compare_with_ase

        typer.echo("\n" + compare_with_ase(atoms, result, displacement=1e-3).table())
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


def thermochemistry(
    atoms: Atoms, result: HarmonicResult, temperature: float, symmetry_number: int
) -> str:
    """Zero-point energy, and what ASE's thermochemistry makes of the modes."""
    from ase import units

    from painn_ase.vibrations import harmonic_thermochemistry, ideal_gas

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
    lines.append(f"  entropy                 {1e3 * entropy:12.5f} meV/K = {in_joules:.2f} J/mol/K")
    return "\n".join(lines)


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
    from painn_ase.md.identity import charge_of_run
    from painn_ase.plotting import Panel, draw_panels
    from painn_ase.spectra import harmonic_lines, save_spectrum
    from painn_ase.workflow import SeriesSpectra
    from painn_ase.workflow.structures import save_structure

    folder.mkdir(parents=True, exist_ok=True)
    result.save(folder / "modes.json")
    (folder / "modes.txt").write_text(result.table(), encoding="utf-8")
    save_structure(folder / "relaxed.xyz", atoms, charge_of_run(atoms, atoms.calc))
    drawn = {}
    if result.infrared is not None:
        drawn["infrared"] = result.infrared_spectrum(fwhm)
    if result.raman is not None:
        drawn["raman"] = result.raman_spectrum(fwhm, temperature=temperature)
    for name, spectrum in drawn.items():
        save_spectrum(spectrum, folder / f"{name}.csv")
    if drawn:
        panels = [
            Panel([(spectrum, name)], sticks=harmonic_lines(result, spectrum))
            for name, spectrum in drawn.items()
        ]
        draw_panels(panels).savefig(folder / "spectra.png", dpi=150)
    if len(result.frequencies):
        _write_page(folder, atoms, result, SeriesSpectra(drawn.get("infrared"), drawn.get("raman")))
    if animate:
        for mode in range(len(result.frequencies)):
            path = folder / f"mode_{mode + 1:02d}.xyz"
            path.write_text(result.animation(mode), encoding="utf-8")
    typer.echo(f"\nwritten: {folder}/ ({', '.join(sorted(p.name for p in folder.iterdir()))})")


def _write_page(folder: Path, atoms: Atoms, result: HarmonicResult, drawn: SeriesSpectra) -> None:
    """The page, and what `painn-ase report` needs to make it again."""
    import json

    from painn_ase._version import __version__
    from painn_ase.page import Page, page_record
    from painn_ase.replacing import write_text
    from painn_ase.spec import to_dict
    from painn_ase.workflow.pages import harmonic_result, short_header

    formula = atoms.get_chemical_formula()
    model = short_header(to_dict(atoms.calc.potential.spec))
    summary = {"painn_ase": __version__, "formula": formula, "model": model}
    write_text(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False))
    Page(page_record([harmonic_result(formula, result, drawn, model)])).save(folder / "report.html")
