"""``painn-ase doctor``: is this calculator a potential? Every symmetry and derivative, measured."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from painn_ase.cli.outputs import refuse_existing, refuse_unwritable
from painn_ase.factories import make_calculator, names_factory

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from painn_ase.spectra import HarmonicResult
    from painn_ase.testing import Finding

__all__ = ["doctor"]


def doctor(
    calculator: str = typer.Argument(
        help="Model file, name of a bundled model, or any ASE calculator as module:factory.",
        show_default=False,
    ),
    structure: str = typer.Argument(
        help="Structure file, or a molecule ASE knows by name.", show_default=False
    ),
    everything: bool = typer.Option(
        False, "--all", "-a", help="Show every quantity of every check, not only the worst."
    ),
    charge: float | None = typer.Option(
        None, help="Total charge, e; by default the structure's, else the model's."
    ),
    steps: int = typer.Option(200, min=0, help="Steps of the NVE run; 0 leaves it out."),
    timestep: float = typer.Option(0.5, min=0.001, help="Time step of the NVE run, fs."),
    temperature: float = typer.Option(300.0, "-T", min=0.0, help="Of the NVE run, K."),
    quantum: bool = typer.Option(
        False,
        "--quantum",
        help="Also relax the structure and examine the surface where quantum nuclei go: 20,000 "
        "energies over the width of its stiff modes.",
    ),
    seed: int = typer.Option(0, help="Of the random rotation, reflection, shift and velocities."),
    json_file: Path | None = typer.Option(None, "--json", help="Also write all findings here."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace that file."),
) -> None:
    """Examine any ASE calculator: symmetries, derivatives, smoothness, origin of its dipole.

    A table shows the size of each fault beside what rounding may cost. The exit code is 1 if
    there is a fault, so that a test suite can call this.

    Example: `painn-ase doctor ethanol CH3CH2OH`, or
    `painn-ase doctor ase.calculators.emt:EMT bulk.cif`
    """
    from painn_ase.cli.structures import read_structure
    from painn_ase.testing import examine

    if json_file is not None:
        refuse_existing([json_file], overwrite, "name another file")
        refuse_unwritable(json_file, folder=False)
    atoms = read_structure(structure)
    if charge is not None:
        atoms.info["charge"] = charge
    examined = _calculator(calculator, charge)
    findings = examine(
        examined,
        atoms,
        timestep=timestep,
        n_steps=steps,
        temperature=temperature,
        quantum=_modes(examined, atoms) if quantum else None,
        seed=seed,
        progress=lambda check: typer.echo(f"{check} …", err=True),
    )
    _print(findings if everything else _worst(findings))
    if json_file is not None:
        json_file.write_text(json.dumps([_as_dict(f) for f in findings], indent=1) + "\n")
    n_faults = sum(finding.is_fault for finding in findings)
    unmeasured = sum(finding.size is None for finding in findings)
    typer.echo(
        f"{n_faults} of {len(findings) - unmeasured} measurements show a fault; "
        f"{unmeasured} could not be made."
    )
    if n_faults:
        typer.echo("next: --all shows every quantity; docs/networks.md says what each check asks")
    elif names_factory(calculator):
        typer.echo(f"next: painn-ase harmonic {structure} --driver {calculator}")
    else:
        typer.echo(f"next: painn-ase harmonic {calculator} {structure}")
    if n_faults:
        raise typer.Exit(1)


def _calculator(name: str, charge: float | None) -> Calculator:
    """A calculator from ``module:factory``, else ours with the model of that name."""
    if names_factory(name):
        return make_calculator(name)
    from painn_ase.calculator import PaiNNCalculator

    return PaiNNCalculator(name, charge=charge)


def _modes(calculator: Calculator, atoms: Atoms) -> HarmonicResult:
    """Modes of `atoms`, which are relaxed in place."""
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.driven import DrivenCalculator, in_float64
    from painn_ase.spectra import harmonic
    from painn_ase.workflow import relax

    if isinstance(calculator, PaiNNCalculator):  # single precision does not relax far enough
        atoms.calc = in_float64(calculator)
    else:  # a Hessian from forces, where it has none
        atoms.calc = DrivenCalculator(calculator)
    steps = relax(atoms, 1e-3)
    typer.echo(f"relaxed below 0.001 eV/Å in {steps} steps", err=True)
    modes = harmonic(atoms)
    atoms.calc = None
    return modes


def _worst(findings: Sequence[Finding]) -> list[Finding]:
    """Of each check every fault, or else its worst quantity, or why it was not made."""
    shown: list[Finding] = []
    for check in dict.fromkeys(finding.check for finding in findings):
        of_check = [finding for finding in findings if finding.check == check]
        faults = [finding for finding in of_check if finding.is_fault]
        shown += faults or [max(of_check, key=lambda finding: finding.severity)]
    return shown


def _print(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("check", "quantity"):
        table.add_column(title, no_wrap=True)
    for title in ("size", "allowed"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("unit", "verdict"):
        table.add_column(title, no_wrap=True)
    table.add_column("", overflow="fold", style="dim")
    for f in findings:
        size, allowed = ("", "") if f.size is None else (f"{f.size:.1e}", f"{f.allowed:.1e}")
        style = "bold red" if f.is_fault else None
        row = (f.check, f.quantity, size, allowed, f.unit, f.verdict, f.note)
        table.add_row(*map(escape, row), style=style)
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


def _as_dict(finding: Finding) -> dict[str, Any]:
    size = finding.size
    return {
        "check": finding.check,
        "quantity": finding.quantity,
        "size": size if size is None or math.isfinite(size) else str(size),
        "allowed": finding.allowed,
        "unit": finding.unit,
        "verdict": finding.verdict,
        "note": finding.note,
    }
