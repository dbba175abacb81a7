"""``painn-ase evaluate``: what a model says of the frames of a trajectory."""

from __future__ import annotations

from pathlib import Path

import typer

from painn_ase.cli.outputs import refuse_existing

__all__ = ["evaluate"]


def evaluate(
    model: str = typer.Argument(help="Model file, or name of a bundled model.", show_default=False),
    trajectory: Path = typer.Argument(
        help="Any trajectory: .h5, .traj, .extxyz, another program's (`painn-ase formats`).",
        show_default=False,
    ),
    output: Path = typer.Option(Path("evaluated.h5"), "--output", "-o", help="New H5MD file."),
    properties: str | None = typer.Option(
        None,
        "--properties",
        "-p",
        help="Comma-separated: energy, forces, dipole, polarizability, dipole_flux, "
        "polarizability_flux, charges … By default dipole and polarizability, with their fluxes "
        "where there are velocities.",
        show_default=False,
    ),
    timestep: float | None = typer.Option(
        None, help="Time between frames, fs: counts before what the file says."
    ),
    unit: list[str] | None = typer.Option(
        None,
        help="QUANTITY=UNIT of positions, velocities, cell or time, where the file does not say. "
        "Repeat it.",
    ),
    topology: Path | None = typer.Option(
        None, help="Elements and masses of a trajectory that has none: .gro, .psf …"
    ),
    other_molecule: bool = typer.Option(
        False, "--other-molecule", help="Take a molecule that the model was not trained on."
    ),
    extxyz: Path | None = typer.Option(None, help="Also write the frames as extxyz."),
    charge: float | None = typer.Option(
        None, help="Total charge, e; by default the structure's, else the model's."
    ),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda if there is one."),
    backend: str = typer.Option("auto", help="auto, or a name that `painn-ase info` lists."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the output."),
) -> None:
    """Dipoles, polarizabilities and fluxes of a model along somebody else's run.

    The frames may come from DFT, a force field or another network; `painn-ase spectrum` makes
    spectra of the result.

    Example: `painn-ase evaluate ethanol aimd.traj --timestep 0.5 && painn-ase spectrum
    evaluated.h5 -T 300`
    """
    from painn_ase.annotate import annotate_trajectory
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.cli.from_trajectory import pairs
    from painn_ase.trajectory import export_extxyz

    refuse_existing([output] if extxyz is None else [output, extxyz], overwrite)
    calculator = PaiNNCalculator(model, device=device, charge=charge, backend=backend)
    n_frames = annotate_trajectory(
        calculator,
        trajectory,
        output,
        properties=None if properties is None else [p.strip() for p in properties.split(",")],
        timestep=timestep,
        units=pairs(unit, "--unit"),
        topology=topology,
        other_molecule=other_molecule,
        overwrite=overwrite,
        progress=lambda done: typer.echo(f"{done} frames", err=True),
    )
    typer.echo(f"{n_frames} frames written to {output}; next: painn-ase spectrum {output}")
    if extxyz is not None:
        export_extxyz(output, extxyz)
        typer.echo(f"and to {extxyz}")
