"""``painn-ase anharmonic``: fundamentals, overtones and combinations by perturbation theory."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from painn_ase.cli.outputs import print_json, refuse_existing, refuse_unwritable
from painn_ase.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["anharmonic"]

#: What goes into the folder.
FILES = ("anharmonic.json", "anharmonic.txt", "relaxed.xyz")


def anharmonic(
    model: str = typer.Argument(help="Model file, or name of a bundled model.", show_default=False),
    structure: str = typer.Argument(
        help="Structure file, or a molecule's name as in ASE (CH3CH2OH, H2O …).",
        show_default=False,
    ),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Folder for `anharmonic.json`, the table, the structure."
    ),
    keep: bool = typer.Option(
        False, "--no-relax", help="Take the structure as it is instead of relaxing it first."
    ),
    fmax: float = typer.Option(1e-4, help="Largest force after the relaxation, eV/Å."),
    radii: tuple[float, float] = typer.Option(
        (0.6, 1.2), help="Displacements of the normal coordinates, in dimensionless units."
    ),
    check: tuple[float, float] = typer.Option(
        (0.3, 0.6), help="Displacements of the check; where both disagree, the table says so."
    ),
    freeze: list[int] = typer.Option(
        [],
        help="A mode, counted from 1, to leave harmonic; repeat for more. By default those of "
        "large amplitude.",
        show_default=False,
    ),
    freeze_none: bool = typer.Option(
        False, "--freeze-none", help="Freeze no mode, whatever its amplitude."
    ),
    window: float = typer.Option(200.0, help="Largest gap of a Fermi resonance, cm⁻¹."),
    threshold: float = typer.Option(
        1.0, help="Error of second order above which a resonance is diagonalised, cm⁻¹."
    ),
    mixing: float = typer.Option(
        0.2, help="Coupling over gap above which a resonance is diagonalised, for intensities."
    ),
    average_masses: bool = typer.Option(
        False, "--average-masses", help="Masses averaged over isotopes, not the commonest one's."
    ),
    charge: float | None = typer.Option(
        None, help="Total charge, e; by default the structure's, else the model's."
    ),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda if there is one."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of the table."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace what is there."),
) -> None:
    """Fundamentals of a small rigid molecule with quantum nuclei: second-order perturbation theory.

    The structure is relaxed, and the potential to fourth order measured from forces of displaced
    structures, twice, with dipole and polarizability as the model has them. Fermi resonances are
    diagonalised. Intensities of fundamentals are of second order, others of first. Linear
    molecules, symmetric tops, periodic structures and saddle points are refused.

    Example: `painn-ase anharmonic water H2O -o levels`
    """
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.cli.structures import read_structure
    from painn_ase.quartic import quartic_field
    from painn_ase.spectra import anharmonic as analyse
    from painn_ase.workflow import relax

    if freeze and freeze_none:
        raise DataError("--freeze and --freeze-none contradict each other: give one of them.")
    if output is not None:
        refuse_unwritable(output, folder=True)
        refuse_existing([output / name for name in FILES], overwrite)
    atoms = read_structure(structure)
    n_modes = 3 * len(atoms) - 6
    if any(not 1 <= k <= n_modes for k in freeze):
        given = ", ".join(map(str, freeze))
        raise DataError(f"--freeze {given}: modes of this structure count from 1 to {n_modes}.")
    stated_masses = atoms.has("masses")
    if not (average_masses or stated_masses):
        atoms.set_masses("most_common")
    atoms.calc = PaiNNCalculator(model, device=device, dtype="float64", charge=charge)
    if not keep:
        steps = relax(atoms, fmax)
        typer.echo(f"relaxed below {fmax:g} eV/Å in {steps} steps", err=as_json)
    frozen: Any = () if freeze_none else ([k - 1 for k in freeze] if freeze else "auto")
    with ExitStack() as stack:
        field = quartic_field(atoms, radii=radii, check=check, frozen=frozen, progress=_told(stack))
    result = analyse(field, window=window, threshold=threshold, mixing=mixing, frozen=frozen)
    if as_json:
        print_json(result.as_dict())
    else:
        typer.echo("\n" + result.table())
    if output is not None:
        from painn_ase.md.identity import charge_of_run
        from painn_ase.workflow.structures import save_structure

        output.mkdir(parents=True, exist_ok=True)
        result.save(output / "anharmonic.json")
        (output / "anharmonic.txt").write_text(result.table(), encoding="utf-8")
        if not stated_masses:
            atoms.set_masses("defaults")  # those of the user's file, not of this analysis
        save_structure(output / "relaxed.xyz", atoms, charge_of_run(atoms, atoms.calc))
        typer.echo(
            f"written: {output}/ ({', '.join(FILES)})\n"
            f"next: painn-ase harmonic {model} {structure} -o modes, then painn-ase report modes "
            f"--anharmonic {output / 'anharmonic.json'}",
            err=as_json,
        )
    else:
        again = f"painn-ase anharmonic {model} {structure} -o levels"
        typer.echo(f"next: {again} keeps them for painn-ase report", err=True)


def _told(stack: ExitStack) -> Callable[[int, int], None]:
    """Progress as a bar that opens when the number of structures is known."""
    from painn_ase.cli.narrator import TerminalNarrator

    narrator = TerminalNarrator()
    shows: list[Callable[[int, str], None]] = []

    def tell(done: int, total: int) -> None:
        if not shows:
            shows.append(stack.enter_context(narrator.bar("displaced structures", total)))
        shows[0](done, "forces")

    return tell
