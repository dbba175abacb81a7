"""``painn-ase harmonic``: normal modes with IR and Raman intensities, from derivatives."""

from __future__ import annotations

from pathlib import Path

import typer

from painn_ase.cli.drivers import DRIVER_HELP, RESPONSE_HELP, choose_model, parties
from painn_ase.cli.outputs import refuse_existing, refuse_unwritable
from painn_ase.errors import DataError

__all__ = ["harmonic"]


def harmonic(
    model: str | None = typer.Argument(
        None,
        help="Model file, folder of a committee, or name of a bundled model; left out, the "
        "bundled one that covers the structure.",
        show_default=False,
    ),
    structure: str | None = typer.Argument(
        None,
        help="Structure file, a molecule's name as in ASE (CH3CH2OH, H2O …), or a SMILES.",
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
    driver: str | None = typer.Option(None, help=DRIVER_HELP, show_default=False),
    response: str | None = typer.Option(None, help=RESPONSE_HELP, show_default=False),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace what is there."),
) -> None:
    """Frequencies, km/mol, Å⁴/amu and depolarisation of a structure's normal modes.

    The structure is relaxed with the model, then Hessian, Born charges and polarizability
    derivatives come from automatic differentiation in float64. Overall translations and rotations
    are projected out. What FixAtoms and FixCartesian hold in the structure file stays held: the
    modes are then those of the partial Hessian. Imaginary frequencies carry an `i`. With --driver
    the Hessian is that of another calculator, its own or from differences of its forces.

    Of a committee, such as the general model, ± is what its members differ by.

    Examples: `painn-ase harmonic CCO` · `painn-ase harmonic model.safetensors molecule.xyz -o modes
    --animate`
    """
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.cli.structures import read_structure
    from painn_ase.report import MODE_FILES, write_modes
    from painn_ase.spectra import harmonic as analyse
    from painn_ase.workflow import GENERAL, refuse_unknown, relax, thermochemistry, with_spread

    if animate and output is None:
        raise DataError("--animate needs a folder to write to: add --output FOLDER.")
    if not temperature > 0:
        raise DataError(f"--temperature must be above 0 K; got {temperature:g}.")
    if output is not None:
        refuse_unwritable(output, folder=True)
        animations = output.glob("mode_*.xyz") if animate else ()
        refuse_existing([*(output / name for name in MODE_FILES), *animations], overwrite)
    who = parties("harmonic", model, structure, driver, response, chosen=True)
    atoms = read_structure(who.structure)
    chosen = choose_model(atoms) if who.model is None and who.driver is None else None
    ours = None
    if (named := who.model or chosen) is not None:
        ours = PaiNNCalculator(named, device=device, dtype="float64", charge=charge)
    atoms.calc = ours if who.driver is None else who.both(ours)
    if not keep:
        steps = relax(atoms, fmax)
        typer.echo(f"relaxed below {fmax:g} eV/Å in {steps} steps")
    result = with_spread(analyse(atoms), atoms.calc, atoms)
    if chosen == GENERAL:
        refuse_unknown(result)
    typer.echo("\n" + result.table())
    typer.echo(thermochemistry(atoms, result, temperature, symmetry_number))
    if check:
        from painn_ase.vibrations import compare_with_ase

        typer.echo("\n" + compare_with_ase(atoms, result, displacement=1e-3).table())
    if output is not None:
        files = write_modes(
            output, atoms, result, fwhm=fwhm, temperature=temperature, animate=animate
        )
        typer.echo(f"\nwritten: {output}/ ({', '.join(p.name for p in files)})")
        if output / "report.html" in files:
            typer.echo(f"open {output / 'report.html'} in a browser to see the modes move")
