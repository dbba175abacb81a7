"""``painn-ase lammps``: data file and input script for LAMMPS."""

from __future__ import annotations

from pathlib import Path

import typer

__all__ = ["lammps"]


def lammps(
    model: str = typer.Argument(help="Model file, or name of a bundled model.", show_default=False),
    structure: str = typer.Argument(
        help="Structure file, or a molecule's name as in ASE.", show_default=False
    ),
    output: Path = typer.Option(..., "--output", "-o", help="Folder of the files."),
    ensemble: str = typer.Option("nve", help="nve or nvt."),
    steps: int = typer.Option(1000, min=0, help="Number of steps."),
    timestep: float = typer.Option(0.5, help="fs."),
    temperature: float = typer.Option(300.0, "--temperature", "-T", help="K."),
    tau: float = typer.Option(100.0, help="Time of the thermostat, fs."),
    stride: int = typer.Option(10, min=1, help="Steps between records."),
    seed: int = typer.Option(1, min=1, help="Of the first velocities."),
    style: str = typer.Option(
        "pair", help="pair: our plugin (extra `lammps`); mliap: a LAMMPS built with KOKKOS."
    ),
) -> None:
    """Write data file and input script with which LAMMPS runs a model over MPI ranks.

    Energies, forces, pressure, and as compute values dipole and polarizability.

    Example: `painn-ase lammps water H2O -o md && cd md && mpiexec -n 2 lmp -in in.lammps`
    """
    from painn_ase.cli.structures import read_structure
    from painn_ase.engines.lammps_files import INPUT, LammpsConfig, write_lammps
    from painn_ase.spec import from_dict

    config = from_dict(
        LammpsConfig,
        {
            "ensemble": ensemble,
            "steps": steps,
            "timestep": timestep,
            "temperature": temperature,
            "tau": tau,
            "stride": stride,
            "seed": seed,
            "style": style,
        },
    )
    for note in write_lammps(output, model, read_structure(structure), config):
        typer.secho(f"note: {note}", fg="yellow", err=True)
    kokkos = " -k on -sf kk -pk kokkos newton on neigh half" if style == "mliap" else ""
    typer.echo(f"wrote {output / INPUT}; next: cd {output} && mpiexec -n 2 lmp{kokkos} -in {INPUT}")
