"""``painn-ase demo``: ethanol from a structure to its IR and Raman spectrum, in minutes."""

from __future__ import annotations

from pathlib import Path

import typer

from painn_ase.cli.messages import note
from painn_ase.cli.outputs import refuse_existing

__all__ = ["demo"]

#: Seconds the demo may take on two cores; segments and replicas are chosen to fit.
BUDGET = 240.0


def demo(
    out: Path = typer.Option(Path("painn_ase_demo"), "--out", "-o", help="Folder for the results."),
    model: str | None = typer.Option(
        None,
        help="Bundled model, or a model file; by default the bundled one that covers the molecule.",
        show_default=False,
    ),
    molecule: str = typer.Option(
        "CH3CH2OH", help="Structure file, a molecule's name as in ASE, or a SMILES."
    ),
    budget: float = typer.Option(BUDGET, help="Seconds it may take; more gives smaller errors."),
    seed: int = typer.Option(0, help="Of every random number."),
    restart: bool = typer.Option(False, "--restart", help="Go on with what is in the folder."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace what is there."),
) -> None:
    """Ethanol, or another molecule: relax, normal modes, Langevin, NVE segments, IR and Raman with
    error bars, report.

    Everything lands in one folder; open `report.html`.
    """
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.cli.narrator import TerminalNarrator
    from painn_ase.cli.structures import read_structure
    from painn_ase.report import write_outcome
    from painn_ase.workflow import (
        GENERAL,
        MOST_SPREAD,
        RESULT_FILES,
        InterruptedWorkflowError,
        SpectrumConfig,
        model_for,
        plan_replicas,
        run_spectrum,
        saved_settings,
    )

    narrator = TerminalNarrator()
    atoms = read_structure(molecule)
    model = model or model_for(atoms)
    calculator = PaiNNCalculator(model, device="cpu")
    if not restart:
        refuse_existing(
            (out / name for name in RESULT_FILES),
            overwrite,
            "--restart to go on with it, or choose another --out",
        )
    # The plan depends on the machine's speed, so a restart takes the one that was made.
    planned = saved_settings(out) if restart else {}
    config = (
        SpectrumConfig(**planned) if planned else plan_replicas(calculator, atoms, budget, seed)
    )
    narrator.say(
        f"{model}: {config.replicas} segments of {config.segment:g} ps at "
        f"{config.temperature:g} K into {out}/"
    )
    try:
        outcome = run_spectrum(
            calculator, atoms, config, out, restart=restart, narrator=narrator,
            overwrite=overwrite, most_spread=MOST_SPREAD if model == GENERAL else None,
        )  # fmt: skip
    except InterruptedWorkflowError as stop:
        typer.echo(f"painn-ase: {stop}", err=True)
        raise typer.Exit(128 + stop.signal) from stop
    write_outcome(outcome)
    for text in outcome.advice:
        note(text)
    for band in outcome.bands:
        error = "" if band.error is None else f" ± {band.error:.1f}"
        typer.echo(
            f"{band.low:5.0f}–{band.high:4.0f} cm⁻¹  {band.area:7.1f}{error} km/mol "
            f"(harmonic {band.harmonic:.1f})"
        )
    typer.echo(f"done: open {out / 'report.html'} (pictures: spectra.png, run.png)")
