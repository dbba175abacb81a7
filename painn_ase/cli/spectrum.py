"""``painn-ase spectrum``: from a structure, or from another program's run, to IR and Raman."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from painn_ase.cli.beads import QUANTUM_DEFAULTS, number_of_beads
from painn_ase.cli.outputs import refuse_existing
from painn_ase.cli.typed import typed_options
from painn_ase.errors import DataError

if TYPE_CHECKING:
    from painn_ase.trajectory import TimeSeries

__all__ = ["spectrum"]

#: What the spectra of a trajectory leave in the folder.
_FILES = ("infrared.csv", "raman.csv", "spectra.png")


def spectrum(
    ctx: typer.Context,
    source: str = typer.Argument(
        help="A model (file or bundled name), followed by a structure; or a trajectory with "
        "dipoles (.h5, .traj, .extxyz, .npz, .npy, .csv).",
        show_default=False,
    ),
    structure: str | None = typer.Argument(
        None,
        help="Structure file, or a molecule's name as in ASE (CH3CH2OH, H2O …).",
        show_default=False,
    ),
    output: Path | None = typer.Option(
        None,
        "--output",
        "-o",
        help="Folder for everything written; by default painn_ase_spectrum for a structure, and "
        "run_spectrum for a trajectory run.traj.",
        show_default=False,
    ),
    temperature: float | None = typer.Option(
        None, "--temperature", "-T", help="K; 300 for a structure, the run's own for a trajectory."
    ),
    replicas: int = typer.Option(
        64, help="Segments; errors fall with their root. By default 16 of ring polymers."
    ),
    segment: float = typer.Option(2.0, help="Length of a segment, ps."),
    timestep: float | None = typer.Option(
        None,
        help="Time step, fs (0.5; 0.25 of ring polymers); for a trajectory the time between its "
        "frames, where the file does not say.",
    ),
    stride: int = typer.Option(4, help="Steps between recorded fluxes."),
    friction: float = typer.Option(0.02, help="Of the Langevin run the segments start from, 1/fs."),
    equilibration: float = typer.Option(2.0, help="Langevin dynamics before the first start, ps."),
    spacing: float = typer.Option(0.1, help="Time between starts, ps."),
    seed: int = typer.Option(0, help="Of every random number."),
    resolution: float | None = typer.Option(
        None, help="Full width of a sharp line, cm⁻¹; by default what a segment allows."
    ),
    laser: float = typer.Option(532.0, help="Raman excitation, nm."),
    nuclei: str = typer.Option(
        "classical", help="classical, or ring polymers: trpmd (broadens), rpmd (has resonances)."
    ),
    beads: str = typer.Option(
        "32", help="Of each ring polymer; auto for as many as the stiffest normal mode needs."
    ),
    check_beads: bool = typer.Option(
        False, "--check-beads", help="Compare energies with those of twice as many beads."
    ),
    rotation: bool = typer.Option(False, "--rotation", help="Keep the rotation of molecules."),
    no_relax: bool = typer.Option(False, "--no-relax", help="Take the structure as it is."),
    experiment: Path | None = typer.Option(
        None, help="JCAMP-DX or CSV file to lay over the infrared spectrum."
    ),
    descending: bool = typer.Option(
        False, "--descending", help="High wavenumbers on the left, as on a spectrometer."
    ),
    dipole_unit: str | None = typer.Option(
        None, help="Of a trajectory that does not say: e*Å, Debye, a.u. …"
    ),
    polarizability_unit: str | None = typer.Option(
        None, help="Of a trajectory that does not say: Å^3, a.u., e^2*Å^2/eV …"
    ),
    charge: float | None = typer.Option(
        None, help="Total charge, e; by default the structure's, else the model's."
    ),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda if there is one."),
    backend: str = typer.Option("auto", help="auto, fused or eager."),
    restart: bool = typer.Option(False, "--restart", help="Go on with what is in the folder."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace what is there."),
) -> None:
    """IR and Raman in absolute units with error bars.

    With a model and a structure: relaxation, normal modes, Langevin dynamics, many NVE segments,
    spectra, and a report. With a trajectory that holds dipoles or polarizabilities, from whatever
    program: its spectra.

    Examples: `painn-ase spectrum ethanol CH3CH2OH` · `painn-ase spectrum run.traj --timestep 0.5
    -T 300`

    Ctrl-C leaves everything usable; `--restart` goes on with the settings in the folder, and what
    is typed otherwise is an error.
    """
    from painn_ase.cli.narrator import TerminalNarrator

    if structure is None:
        from painn_ase.trajectory import read_time_series

        _check_is_no_model(source)
        output = output or Path(f"{Path(source).stem}_spectrum")
        refuse_existing((output / name for name in _FILES), overwrite)
        series = read_time_series(
            source,
            timestep=timestep,
            dipole_unit=dipole_unit,
            polarizability_unit=polarizability_unit,
        )
        _from_series(
            series, output, temperature=temperature, laser=laser, resolution=resolution,
            experiment=experiment, descending=descending,
        )  # fmt: skip
        return

    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.cli.structures import read_structure
    from painn_ase.report import write_outcome
    from painn_ase.spec import from_dict
    from painn_ase.workflow import (
        InterruptedWorkflowError,
        SpectrumConfig,
        run_spectrum,
        saved_settings,
    )

    values = {
        name: value
        for name, value in ctx.params.items()
        if name in SpectrumConfig.__dataclass_fields__ and value is not None
    }
    output = output or Path("painn_ase_spectrum")
    typed = typed_options(ctx)
    values["beads"] = number_of_beads(beads)
    if nuclei != "classical":
        values |= {k: v for k, v in QUANTUM_DEFAULTS.items() if k not in typed}
    if restart:
        values = saved_settings(output) | {k: v for k, v in values.items() if k in typed}
    config: SpectrumConfig = from_dict(SpectrumConfig, values)
    atoms = read_structure(structure)
    calculator = PaiNNCalculator(source, device=device, charge=charge, backend=backend)
    try:
        outcome = run_spectrum(
            calculator, atoms, config, output, restart=restart, narrator=TerminalNarrator(),
            relax=not no_relax, overwrite=overwrite,
        )  # fmt: skip
    except InterruptedWorkflowError as stop:
        typer.echo(f"painn-ase: {stop}", err=True)
        raise typer.Exit(128 + stop.signal) from stop
    written = write_outcome(outcome, experiment=experiment, descending=descending)
    for text in outcome.advice:
        typer.secho(f"note: {text}", fg="yellow", err=True)
    typer.echo(f"written to {output}/: {', '.join(p.name for p in written)}")


def _check_is_no_model(source: str) -> None:
    """A model alone has no dynamics to take a spectrum of."""
    from painn_ase.models import bundled_models

    bundled = source in bundled_models() and not Path(source).exists()
    if bundled or source.endswith(".safetensors"):
        raise DataError(
            f"{source} is a model, and no structure was named: `painn-ase spectrum {source} "
            "STRUCTURE`, a file or a molecule's name as in ASE."
        )


def _from_series(
    series: TimeSeries,
    folder: Path,
    *,
    temperature: float | None,
    laser: float,
    resolution: float | None,
    experiment: Path | None,
    descending: bool,
) -> None:
    """Spectra of numbers along time, as CSV and a picture."""
    import warnings

    from painn_ase.errors import PaiNNWarning
    from painn_ase.plotting import new_figure, plot_experiment, plot_spectrum
    from painn_ase.spectra import save_spectrum
    from painn_ase.workflow import compute_spectra

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PaiNNWarning)
        ir, raman, ratio = compute_spectra(
            series, temperature=temperature, laser=laser, resolution=resolution
        )
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [(n, s) for n, s in (("infrared", ir), ("raman", raman)) if s is not None]
    if not drawn:
        raise DataError(f"{series.source} holds nothing a spectrum could be made of.")
    figure, axes = new_figure(len(drawn))
    for ax, (name, found) in zip(axes, drawn, strict=True):
        save_spectrum(found, folder / f"{name}.csv")
        plot_spectrum(ax, found, label=name, direction="descending" if descending else "ascending")
        if experiment is not None and name == "infrared":
            plot_experiment(ax, experiment, match=found)
        ax.legend(frameon=False, fontsize="small")
        area = found.band_area()
        error = "" if area.error is None else f" ± {area.error:.3g}"
        typer.echo(f"{name}: total area {area.value:.4g}{error} {_unit_of_area(found.unit)}")
    if ratio is not None:
        typer.echo(f"depolarisation ratio of the whole spectrum: {ratio[0]:.3f}")
    figure.savefig(folder / "spectra.png", dpi=150)
    for text in dict.fromkeys(str(w.message) for w in caught):
        typer.secho(f"note: {text}", fg="yellow", err=True)
    typer.echo(f"written: {folder}/ ({', '.join(sorted(p.name for p in folder.iterdir()))})")


def _unit_of_area(unit: str) -> str:
    """What a spectrum in this unit integrates to over cm⁻¹."""
    shorter = unit.removesuffix("/cm^-1")
    return shorter if shorter != unit else f"{unit}·cm^-1"
