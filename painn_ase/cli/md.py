"""``painn-ase md``: molecular dynamics with a model, recorded, restartable."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from painn_ase.cli.drivers import DRIVER_HELP, RESPONSE_HELP
from painn_ase.cli.md_ring import (
    RING_ENSEMBLES,
    begin_ring,
    continue_ring,
    refuse_ring_options,
)
from painn_ase.cli.md_start import Typed, begin, resume
from painn_ase.cli.typed import typed_options

if TYPE_CHECKING:
    from painn_ase.md import MDConfig, MDResult

__all__ = ["md"]


def md(
    ctx: typer.Context,
    model: str | None = typer.Argument(
        None,
        help="Model file, or name of a bundled model; not needed with --restart.",
        show_default=False,
    ),
    structure: str | None = typer.Argument(
        None,
        help="Structure file, or a molecule's name as in ASE; not needed with --restart.",
        show_default=False,
    ),
    output: Path = typer.Option(Path("md.h5"), "--output", "-o", help="H5MD trajectory."),
    steps: int = typer.Option(10000, help="Total number of steps, restarts included."),
    ensemble: str = typer.Option(
        "nve",
        help="nve, langevin, baoab, bussi, nose-hoover or npt; pimd, trpmd or rpmd for quantum "
        "nuclei, as ring polymers.",
        show_default=True,
    ),
    timestep: float = typer.Option(0.5, help="fs."),
    temperature: float = typer.Option(
        300.0, "--temperature", "-T", help="K; with nve that of the first velocities."
    ),
    friction: float = typer.Option(0.01, help="Of langevin, baoab, npt and pimd, 1/fs."),
    time_constant: float = typer.Option(100.0, help="Of bussi and nose-hoover, fs."),
    pressure: float = typer.Option(0.0, help="Of npt, GPa."),
    beads: str = typer.Option(
        "32", help="Of a ring polymer; auto for as many as the stiffest normal mode needs."
    ),
    equilibration: float = typer.Option(
        1.0, min=0.0, help="Of all beads by pimd before trpmd and rpmd begin, ps."
    ),
    bead_stride: int = typer.Option(0, help="Steps between positions of all beads; 0 for none."),
    seed: int = typer.Option(0, help="Of every random number."),
    stride: int = typer.Option(10, help="Steps between recorded positions and velocities."),
    dipole: int = typer.Option(0, help="Steps between recorded dipoles; 0 for none."),
    polarizability: int = typer.Option(0, help="Steps between polarizabilities; 0 for none."),
    flux: int = typer.Option(0, help="Steps between fluxes of all the model has; 0 for none."),
    log_every: int = typer.Option(1000, help="Steps between lines of the log."),
    save_every: int = typer.Option(1000, help="Steps between restart files."),
    config: Path | None = typer.Option(
        None, help="TOML file with the settings of a run; options that are typed count more."
    ),
    charge: float | None = typer.Option(
        None, help="Total charge, e; by default the structure's, else the model's."
    ),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda if there is one."),
    backend: str = typer.Option("auto", help="auto, or a name that `painn-ase info` lists."),
    driver: str | None = typer.Option(None, help=DRIVER_HELP, show_default=False),
    response: str | None = typer.Option(None, help=RESPONSE_HELP, show_default=False),
    restart: bool = typer.Option(
        False,
        "--restart",
        help="Continue from the newest good state beside the trajectory, with the settings of the "
        "run; only a larger --steps need be given.",
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the trajectory."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Say nothing while it runs."),
) -> None:
    """Molecular dynamics into an H5MD file that survives kills and power cuts.

    A stop by Ctrl-C, SIGTERM or the batch system finishes the step and saves; `--restart` goes on
    with the same numbers as if nothing had happened. Model, structure and settings are then those
    of the run; an option that contradicts them is an error. `--steps` is always the total.

    Examples: `painn-ase md ethanol CH3CH2OH --ensemble langevin --steps 100000 --flux 2 -o run.h5`
    · `painn-ase md -o run.h5 --restart --steps 200000` · `painn-ase md water H2O --ensemble pimd
    --beads 32 --steps 8000 -o beads.h5`
    """
    from painn_ase.errors import GeometryError, SpecError
    from painn_ase.md import SavedRun, run_md
    from painn_ase.md.replica_saved import holds_replicas
    from painn_ase.md.state import has_state
    from painn_ase.toml import read_toml

    typed = Typed(
        model=model, structure=structure, device=device, charge=charge, backend=backend,
        config={} if config is None else read_toml(config),
        options=typed_options(ctx), driver=driver, response=response,
    )  # fmt: skip
    state = output.with_suffix(".state.npz")
    rings = restart and holds_replicas(state)
    if driver is not None and (rings or ensemble in RING_ENSEMBLES):
        raise SpecError(
            "ring polymers move in batches of a model, and --driver is another program's "
            "calculator: take a classical ensemble."
        )
    if rings:
        continue_ring(typed, ctx.params, output)
        return
    going_on = restart and has_state(state)
    if going_on:
        start = resume(SavedRun.load(state), typed, state)
    elif model is None or (structure is None and driver is None):
        missing = "model" if model is None else "structure"
        if restart:
            raise GeometryError(
                f"{output} has no restart file beside it ({state.name}), and no {missing} was "
                "named to begin with. Check --output, or name model and structure."
            )
        raise SpecError(f"no {missing} to begin with: `painn-ase md MODEL STRUCTURE`.")
    elif ensemble in RING_ENSEMBLES and structure is not None:
        begin_ring(model, structure, typed, ctx.params, output)
        return
    else:
        refuse_ring_options(typed)
        start = begin(model, structure, typed, ctx.params)
    with ExitStack() as stack:
        result = run_md(
            start.atoms, start.config, trajectory=output, restart=start.going_on,
            response=start.response,
            overwrite=overwrite or restart, provenance={"command": start.record},
            observers=[] if quiet else [stack.enter_context(_watcher(start.config))],
        )  # fmt: skip
    _finish(result, output)


def _watcher(settings: MDConfig) -> Any:
    """A bar on a terminal, log lines elsewhere."""
    from contextlib import nullcontext

    from painn_ase.md import LogLines, ProgressBar

    if sys.stderr.isatty():
        return ProgressBar(settings.steps)
    return nullcontext(LogLines(settings.log_every, typer.echo))


def _finish(result: MDResult, output: Path) -> None:
    drift = "" if result.drift is None else f", drift {1e3 * result.drift:.2e} meV/atom/ps"
    typer.echo(
        f"step {result.step}: mean temperature {result.temperature:.1f} K{drift}, "
        f"{result.steps_per_second:.0f} steps/s; trajectory {output}, state {result.state}"
    )
    if result.signal is not None:
        typer.echo(f"stopped by a signal; `painn-ase md -o {output} --restart` goes on.", err=True)
        raise typer.Exit(128 + result.signal)
    typer.echo(f"next: painn-ase plot {output}, or painn-ase spectrum {output} if it holds fluxes")
