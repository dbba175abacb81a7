"""``painn-ase ipi``: path integrals by i-PI, with a model's beads in one call."""

from __future__ import annotations

from pathlib import Path

import typer

__all__ = ["ipi"]


def ipi(
    model: str = typer.Argument(help="Model file, or name of a bundled model.", show_default=False),
    structure: str = typer.Argument(
        help="Structure file, or a molecule's name as in ASE.", show_default=False
    ),
    output: Path = typer.Option(..., "--output", "-o", help="Folder of the run."),
    method: str = typer.Option("pimd", help="pimd, trpmd, rpmd; classical nvt, nve."),
    beads: int = typer.Option(32, min=1, help="1 for classical dynamics."),
    steps: int = typer.Option(1000, min=1, help="Total number of steps."),
    timestep: float = typer.Option(0.5, help="fs; 0.25 for spectra."),
    temperature: float = typer.Option(300.0, "--temperature", "-T", help="K."),
    tau: float = typer.Option(100.0, help="Time of the thermostat, fs."),
    stride: int = typer.Option(4, min=1, help="Steps between recorded dipoles."),
    clients: int = typer.Option(
        0, min=0, help="Processes that evaluate, over a Unix socket; 0 for i-PI's own process."
    ),
    seed: int = typer.Option(0, help="Of i-PI's random numbers."),
    frozen_after: float = typer.Option(
        120.0, help="Seconds without a step after which i-PI is begun again."
    ),
    restart: bool = typer.Option(False, "--restart", help="Go on with what is in the folder."),
) -> None:
    """Path-integral dynamics by i-PI (extra `ipi`), watched until it is done.

    Writes input.xml and the start, runs i-PI, begins again what dies or freezes, from i-PI's own
    restart file, and gathers dipoles and polarizabilities, means over the beads, in run.h5.

    Example: `painn-ase ipi water H2O --beads 32 --steps 4000 -o beads`
    """
    from painn_ase.cli.narrator import TerminalNarrator
    from painn_ase.cli.structures import read_structure
    from painn_ase.engines.ipi import IPIConfig, run_ipi
    from painn_ase.spec import from_dict

    config = from_dict(
        IPIConfig,
        {
            "method": method,
            "beads": beads,
            "steps": steps,
            "timestep": timestep,
            "temperature": temperature,
            "tau": tau,
            "stride": stride,
            "clients": clients,
            "seed": seed,
        },
    )
    atoms = read_structure(structure)
    with TerminalNarrator().bar(f"i-PI, {beads} beads", steps) as tick:
        path = run_ipi(
            output,
            model,
            atoms,
            config,
            restart=restart,
            frozen_after=frozen_after,
            progress=tick,
        )
    typer.echo(f"wrote {path}; next: painn-ase spectrum {path}")
