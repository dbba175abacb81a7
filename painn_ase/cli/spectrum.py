"""``painn-ase spectrum``: from a structure, or from another program's run, to IR and Raman."""

from __future__ import annotations

from pathlib import Path

import typer

from painn_ase.cli.beads import QUANTUM_DEFAULTS, number_of_beads
from painn_ase.cli.drivers import DRIVER_HELP, RESPONSE_HELP, choose_model, is_model, parties
from painn_ase.cli.messages import note
from painn_ase.cli.structures import is_one_structure, read_structure
from painn_ase.cli.typed import typed_options
from painn_ase.errors import DataError, SpecError

__all__ = ["spectrum"]


def spectrum(
    ctx: typer.Context,
    source: str = typer.Argument(
        help="A model (file, folder of a committee, or bundled name), followed by a structure; a "
        "structure alone, for the bundled model that covers it; or a trajectory with dipoles (.h5, "
        ".traj, .extxyz, .npz, .npy, .csv).",
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
    width_check: bool = typer.Option(
        True,
        "--width-check/--no-width-check",
        help="Before beads move, look for holes of the model where quantum nuclei go.",
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
    unit: list[str] | None = typer.Option(
        None, help="QUANTITY=UNIT of any other quantity of a trajectory, e.g. time=ps. Repeat it."
    ),
    key: list[str] | None = typer.Option(
        None,
        help="QUANTITY=KEY of a trajectory, or its columns: dipole=mu, dipole=2,3,4. Repeat it.",
    ),
    volume: float | None = typer.Option(
        None, help="Of a bulk's cell, Å³, where the trajectory does not say."
    ),
    cell: str | None = typer.Option(
        None, help="Instead: three lengths, or nine numbers of cell vectors, Å."
    ),
    molecule: bool | None = typer.Option(
        None, "--molecule/--bulk", help="What a trajectory with a periodic cell is of."
    ),
    axes: str | None = typer.Option(
        None, help="What the second of an array's three axes is: runs (then frames), molecules."
    ),
    charges: str | None = typer.Option(
        None, help="Dipole of a trajectory from point charges: O=-0.82,H=0.41, or an OUTCAR's."
    ),
    topology: Path | None = typer.Option(
        None, help="Elements, masses and charges of a trajectory that has none: .gro, .psf …"
    ),
    power: bool = typer.Option(
        False, "--power", help="The density of states of a trajectory's velocities instead."
    ),
    polarised: bool = typer.Option(
        False, "--polarised", help="Raman of a trajectory in VV and VH geometry too."
    ),
    jumps: str = typer.Option(
        "check",
        help="A trajectory's dipoles that jump are unfolded by its cell, or refused (check); keep "
        "takes them as they are.",
    ),
    temperature_reason: str | None = typer.Option(
        None, help="Why -T is not the temperature that the trajectory says; goes into the files."
    ),
    charge: float | None = typer.Option(
        None, help="Total charge, e; by default the structure's, else the model's."
    ),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda if there is one."),
    backend: str = typer.Option("auto", help="auto, or a name that `painn-ase info` lists."),
    driver: str | None = typer.Option(None, help=DRIVER_HELP, show_default=False),
    response: str | None = typer.Option(None, help=RESPONSE_HELP, show_default=False),
    restart: bool = typer.Option(False, "--restart", help="Go on with what is in the folder."),
    shard: str | None = typer.Option(
        None,
        help="k/n: make only the k-th of n shares of the segments, or what is missing of it; each "
        "on a machine of its own.",
    ),
    merge: bool = typer.Option(
        False, "--merge", help="The spectrum of a folder whose shares are all finished."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace what is there."),
) -> None:
    """IR and Raman in absolute units with error bars.

    With a model and a structure: relaxation, normal modes, Langevin dynamics, many NVE segments,
    spectra, and a report. With a trajectory that holds dipoles or polarizabilities, from whatever
    program: its spectra.

    Examples: `painn-ase spectrum CCO` · `painn-ase spectrum ethanol CH3CH2OH` · `painn-ase
    spectrum run.traj --timestep 0.5 -T 300` · `painn-ase spectrum CH3CH2OH --driver module:factory
    --response ethanol`

    Ctrl-C leaves everything usable; `--restart` goes on with the settings in the folder, and what
    is typed otherwise is an error.
    """
    typed = typed_options(ctx)
    model: str | None = source
    if driver is not None or response is not None:
        who = parties("spectrum", source, structure, driver, response)
        model, structure = who.model, who.structure
        if model is None:
            raise SpecError(
                f"a spectrum by {driver} needs a model with fluxes beside it: add --response "
                "MODEL. A driver's own dipoles are recorded by `painn-ase md --dipole 2`, whose "
                "trajectory `painn-ase spectrum` takes."
            )
    elif structure is None:
        _check_is_no_model(source)
        if is_one_structure(source):
            model, structure = None, source
    if structure is None:
        from painn_ase.cli.from_trajectory import (
            check_options,
            numbers_of,
            pairs,
            spectra_of_trajectory,
        )
        from painn_ase.workflow.recorded import Wishes

        check_options(typed, of_structure=False)
        wishes = Wishes(
            typed.get("laser"), resolution, charge, typed.get("friction"), experiment, descending,
            power, polarised, typed.get("jumps"),
        )  # fmt: skip
        said = {
            "timestep": timestep,
            "dipole_unit": dipole_unit,
            "polarizability_unit": polarizability_unit,
            "units": pairs(unit, "--unit"),
            "keys": pairs(key, "--key"),
            "temperature": temperature,
            "temperature_reason": temperature_reason,
            "volume": volume,
            "cell": numbers_of(cell, "--cell", (3, 9)),
            "molecule": molecule,
            "axes": axes,
            "charges": charges,
            "topology": topology,
        }
        folder = output or Path(f"{Path(source).stem}_spectrum")
        spectra_of_trajectory(source, folder, wishes, said, overwrite)
        return

    from painn_ase.cli.from_trajectory import check_options
    from painn_ase.cli.narrator import TerminalNarrator

    check_options(typed, of_structure=True)
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.report import write_outcome
    from painn_ase.spec import from_dict
    from painn_ase.workflow import (
        GENERAL,
        MOST_SPREAD,
        InterruptedWorkflowError,
        Shard,
        SpectrumConfig,
        merge_shards,
        run_shard,
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
    of_beads = {"beads", "check_beads", "width_check"}
    if config.nuclei == "classical" and (useless := of_beads & typed.keys()):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(useless))
        raise DataError(f"{names}: classical nuclei have no beads. Add --nuclei trpmd or rpmd.")
    if experiment is not None:
        from painn_ase.spectra import load_spectrum

        load_spectrum(experiment)  # complains now, not hours later
    _refuse_mixed(shard, merge, restart, overwrite)
    atoms = read_structure(structure)
    chosen = choose_model(atoms) if model is None else None
    most_spread = MOST_SPREAD if chosen == GENERAL else None
    model = model or chosen
    assert model is not None
    ours = PaiNNCalculator(model, device=device, charge=charge, backend=backend)
    calculator = ours if driver is None else who.both(ours)
    if driver is not None:
        typer.echo(
            f"note: {driver} moves segments, and their beads, one by one; all of them take as many "
            "calls in every step.",
            err=True,
        )
    narrator, relax = TerminalNarrator(), False if no_relax else None
    try:
        if shard is not None:
            share = Shard.parse(shard)
            made = run_shard(
                calculator, atoms, config, output, share, narrator=narrator, relax=relax
            )
            typer.echo(
                f"written to {made}/; when all {share.of} are, the same command with --merge "
                "instead of --shard gives the spectrum"
            )
            return
        if merge:
            outcome = merge_shards(calculator, atoms, output, narrator=narrator)
        else:
            outcome = run_spectrum(
                calculator, atoms, config, output, restart=restart, narrator=narrator,
                relax=relax, overwrite=overwrite, most_spread=most_spread,
            )  # fmt: skip
    except InterruptedWorkflowError as stop:
        typer.echo(f"painn-ase: {stop}", err=True)
        raise typer.Exit(128 + stop.signal) from stop
    written = write_outcome(outcome, experiment=experiment, descending=descending)
    for text in outcome.advice:
        note(text)
    typer.echo(f"written to {output}/: {', '.join(p.name for p in written)}")
    typer.echo(f"open {output / 'report.html'} in a browser")


def _refuse_mixed(shard: str | None, merge: bool, restart: bool, overwrite: bool) -> None:
    """A share goes on by itself, and merging takes what there is."""
    if (shard is not None) + merge + restart + overwrite > 1 and (shard is not None or merge):
        raise DataError(
            "--shard and --merge go with neither --restart nor --overwrite, nor with each other: a "
            "share goes on where it was, and a finished one is not made again."
        )


def _check_is_no_model(source: str) -> None:
    """A model alone has no dynamics to take a spectrum of."""
    if is_model(source):
        raise DataError(
            f"{source} is a model, and no structure was named: `painn-ase spectrum {source} "
            "STRUCTURE`, a file or a molecule's name as in ASE."
        )
