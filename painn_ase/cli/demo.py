"""``painn-ase demo``: ethanol from a structure to its IR and Raman spectrum, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from painn_ase.cli.messages import note
from painn_ase.cli.outputs import refuse_existing

if TYPE_CHECKING:
    pass

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

    Everything lands in one folder; open `report.html`. Where no trained model is at hand, a small
    random one shows that the parts work, and says so.
    """
    from painn_ase.cli.structures import read_structure
    from painn_ase.errors import ModelFileError
    from painn_ase.models.catalog import find_models
    from painn_ase.workflow import model_for

    try:
        model = model or model_for(read_structure(molecule))
        find_models(model)
        trained = True
    except ModelFileError:
        trained = False
    if trained and model is not None:
        _spectrum(out, model, molecule, budget, seed, restart, overwrite)
    else:
        made = ("random.safetensors", "nve.h5", "drift.png")
        refuse_existing((out / name for name in made), overwrite, "choose another --out")
        _parts(out, model or "ethanol")


def _spectrum(
    out: Path,
    model: str,
    molecule: str,
    budget: float,
    seed: int,
    restart: bool,
    overwrite: bool,
) -> None:
    """The real thing, with a trained model."""
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
        plan_replicas,
        run_spectrum,
        saved_settings,
    )

    narrator = TerminalNarrator()
    calculator = PaiNNCalculator(model, device="cpu")
    atoms = read_structure(molecule)
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


def _parts(out: Path, model: str) -> None:
    """Without a trained model: build one, evaluate it, run it, and say what that is worth."""
    import numpy as np
    from ase.build import molecule

    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.md import LogLines, MDConfig, RecordConfig, run_md
    from painn_ase.models import save_model
    from painn_ase.plotting import new_figure, plot_energy_drift
    from painn_ase.testing import random_potential
    from painn_ase.trajectory import TrajectoryReader

    out.mkdir(parents=True, exist_ok=True)
    typer.echo(
        f"no trained model called {model!r} is installed; this shows the parts with a small model "
        "of random weights. Its numbers mean nothing."
    )
    potential = random_potential(32, 2, 12, 4.0, heads=("energy", "dipole", "polarizability"))
    save_model(potential, out / "random.safetensors")
    atoms = molecule("CH3CH2OH")
    atoms.calc = PaiNNCalculator(out / "random.safetensors")
    typer.echo(
        f"energy {atoms.get_potential_energy():.4f} eV, largest force "
        f"{np.abs(atoms.get_forces()).max():.3f} eV/Å, dipole "
        f"{np.linalg.norm(atoms.get_dipole_moment()):.4f} e·Å"
    )
    config = MDConfig(
        steps=200, timestep=0.02, temperature=100, log_every=50,
        record=RecordConfig(positions=10, velocities=10, energies=2, dipole_flux=2),
    )  # fmt: skip
    path = out / "nve.h5"
    result = run_md(
        atoms, config, trajectory=path, observers=[LogLines(50, typer.echo)], overwrite=True
    )
    figure, axes = new_figure(1)
    with TrajectoryReader(path) as reader:
        times, energy = reader.times("conserved_energy"), reader.read("conserved_energy")
    plot_energy_drift(axes[0], 1e-3 * times, energy, n_atoms=len(atoms))
    figure.savefig(out / "drift.png", dpi=150)
    drift = 0.0 if result.drift is None else 1e3 * result.drift
    typer.echo(
        f"{result.step} NVE steps, {result.steps_per_second:.0f} a second, drift {drift:.2e} meV "
        f"per atom and ps; results in {out}/"
    )
