"""``painn-ase md``: molecular dynamics with a model, recorded, restartable."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from painn_ase.md import MDConfig, MDResult

__all__ = ["md"]


def md(
    model: str = typer.Argument(help="Model file, or name of a bundled model.", show_default=False),
    structure: str | None = typer.Argument(
        None,
        help="Structure file, or a molecule's name as in ASE; not needed with --restart.",
        show_default=False,
    ),
    output: Path = typer.Option(Path("md.h5"), "--output", "-o", help="H5MD trajectory."),
    steps: int = typer.Option(10000, help="Total number of steps, restarts included."),
    ensemble: str = typer.Option(
        "nve", help="nve, langevin, baoab, bussi, nose-hoover or npt.", show_default=True
    ),
    timestep: float = typer.Option(0.5, help="fs."),
    temperature: float = typer.Option(
        300.0, "--temperature", "-T", help="K; with nve that of the first velocities."
    ),
    friction: float = typer.Option(0.01, help="Of langevin, baoab and npt, 1/fs."),
    time_constant: float = typer.Option(100.0, help="Of bussi and nose-hoover, fs."),
    pressure: float = typer.Option(0.0, help="Of npt, GPa."),
    seed: int = typer.Option(0, help="Of every random number."),
    stride: int = typer.Option(10, help="Steps between recorded positions and velocities."),
    dipole: int = typer.Option(0, help="Steps between recorded dipoles; 0 for none."),
    polarizability: int = typer.Option(0, help="Steps between polarizabilities; 0 for none."),
    flux: int = typer.Option(0, help="Steps between fluxes of all the model has; 0 for none."),
    log_every: int = typer.Option(1000, help="Steps between lines of the log."),
    save_every: int = typer.Option(1000, help="Steps between restart files."),
    config: Path | None = typer.Option(
        None, help="TOML file with the settings of a run instead of the options above."
    ),
    charge: float | None = typer.Option(None, help="Total charge, e; by default the model's."),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda if there is one."),
    backend: str = typer.Option("auto", help="auto, fused or eager."),
    restart: bool = typer.Option(
        False, "--restart", help="Continue from the newest good state beside the trajectory."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the trajectory."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Say nothing while it runs."),
) -> None:
    """Molecular dynamics into an H5MD file that survives kills and power cuts.

    A stop by Ctrl-C, SIGTERM or the batch system finishes the step and saves; `--restart` goes on
    with the same numbers as if nothing had happened. `--steps` is always the total.

    Example: `painn-ase md ethanol CH3CH2OH --ensemble langevin --steps 100000 --flux 2`
    """
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.cli.structures import read_structure
    from painn_ase.errors import GeometryError
    from painn_ase.md import load_structure, run_md

    calculator = PaiNNCalculator(model, device=device, charge=charge, backend=backend)
    settings = _read_config(config) if config is not None else _settings(
        steps=steps, ensemble=ensemble, timestep=timestep, temperature=temperature,
        friction=friction, time_constant=time_constant, pressure=pressure, seed=seed,
        log_every=log_every, save_every=save_every,
        record=_record(calculator, stride, dipole, polarizability, flux),
    )  # fmt: skip
    state = output.with_suffix(".state.npz")
    going_on = restart and (state.exists() or state.with_name(state.name + ".previous").exists())
    if going_on:
        atoms = load_structure(state)
    elif structure is not None:
        atoms = read_structure(structure)
    else:
        raise GeometryError("no structure to begin with: name one after the model.")
    atoms.calc = calculator
    with ExitStack() as stack:
        result = run_md(
            atoms, settings, trajectory=output, restart=going_on, overwrite=overwrite or restart,
            observers=[] if quiet else [stack.enter_context(_watcher(settings))],
        )  # fmt: skip
    _finish(result, output)


def _settings(**values: Any) -> MDConfig:
    from painn_ase.md import MDConfig

    return MDConfig.from_dict(values)


def _read_config(path: Path) -> MDConfig:
    """The run a TOML file describes."""
    from painn_ase.md import MDConfig
    from painn_ase.toml import read_toml

    return MDConfig.from_dict(read_toml(path))


def _record(
    calculator: Any, stride: int, dipole: int, polarizability: int, flux: int
) -> dict[str, Any]:
    known = calculator.potential.properties
    record: dict[str, Any] = {"positions": stride, "velocities": stride, "energies": stride or 10}
    record |= {"dipole": dipole, "polarizability": polarizability}
    record |= {n: flux for n in ("dipole_flux", "polarizability_flux") if n in known}
    return record


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
        typer.echo("stopped by a signal; the same command with --restart goes on.", err=True)
        raise typer.Exit(128 + result.signal)
