"""``painn-ase md`` with the ensembles pimd, trpmd and rpmd: one ring polymer, restartable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from painn_ase.cli.beads import number_of_beads
from painn_ase.cli.md_start import (
    Typed,
    build_calculator,
    check_named_again,
    command_record,
    contradiction,
    model_record,
    saved_calculator,
)
from painn_ase.errors import SpecError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.md import ReplicaConfig, ReplicaResult

__all__ = ["RING_ENSEMBLES", "begin_ring", "continue_ring", "refuse_ring_options"]

RING_ENSEMBLES = ("pimd", "trpmd", "rpmd")
#: Options that are settings of the same name.
_SETTINGS = (
    "steps", "ensemble", "timestep", "temperature", "friction", "seed", "save_every",
)  # fmt: skip
#: Options of other ensembles, which would do nothing here.
_OWN = ("beads", "equilibration", "bead_stride")
_USELESS = ("time_constant", "pressure", "log_every", "config")


def begin_ring(
    model: str, structure: str, typed: Typed, options: Mapping[str, Any], output: Path
) -> None:
    """A new run of one ring polymer, its beads brought into equilibrium where dynamics asks for it.

    Parameters
    ----------
    model, structure : str
        Names as the user gave them.
    typed : Typed
        The rest of what was given.
    options : mapping
        Values of all options, typed or not.
    output : Path
        H5MD trajectory.

    Raises
    ------
    SpecError
        For options that ring polymers do not have.
    """
    from painn_ase.cli.structures import read_structure
    from painn_ase.md.run_files import RunFiles
    from painn_ase.md.state import previous_path

    _refuse_useless(typed)
    RunFiles.of(output, None).check_new(options["overwrite"])
    calculator = build_calculator(model, typed.device, typed.charge, typed.backend)
    atoms = read_structure(structure)
    config = _config(typed, options, calculator, atoms)
    record = command_record(model, calculator, typed)
    beads = None
    if not options["restart"]:
        for left in (_equilibrium_of(output), previous_path(_equilibrium_of(output))):
            left.unlink(missing_ok=True)
    if config.ensemble != "pimd" and options["equilibration"] > 0:
        beads = _equilibrated(calculator, atoms, config, options, output)
    _run(calculator, [atoms], config, output, options, record, beads=beads)


def continue_ring(typed: Typed, options: Mapping[str, Any], output: Path) -> None:
    """The run of a restart file goes on, with more steps if the user wants them.

    Raises
    ------
    TrajectoryError
        When something the user typed contradicts the run.
    """
    from dataclasses import replace

    from painn_ase.md.replica_saved import SavedReplicas

    _refuse_useless(typed)
    state = output.with_suffix(".state.npz")
    saved = SavedReplicas.load(state)
    record = dict(saved.provenance.get("command", {}))
    charge = saved.starts[0].info["charge"]
    calculator = saved_calculator(record, typed, state, charge)
    config = saved.config
    for name in set(_SETTINGS) & set(typed.options) - {"steps", "save_every"}:
        if typed.options[name] != getattr(config, name):
            raise contradiction(state, f"--{name}", getattr(config, name), typed.options[name])
    for name, was in _strides(config).items():
        if typed.options.get(name, was) != was:
            raise contradiction(state, f"--{name.replace('_', '-')}", was, typed.options[name])
    if "beads" in typed.options and number_of_beads(typed.options["beads"]) != config.n_beads:
        raise contradiction(state, "--beads", config.n_beads, typed.options["beads"])
    check_named_again(typed, typed.options.get("steps"), saved.step, saved.starts[0], state)
    record |= model_record(typed.model, calculator)
    changes = {n: typed.options[n] for n in ("steps", "save_every") if n in typed.options}
    _run(
        calculator, saved.starts, replace(config, **changes), output, options, record, going_on=True
    )


def _strides(config: ReplicaConfig) -> dict[str, int]:
    """What the options for recorded quantities were."""
    fluxes = any(name.endswith("_flux") for name in config.record)
    return {
        "stride": config.position_stride,
        "bead_stride": config.bead_stride,
        "flux": config.stride if fluxes else 0,
        **{n: config.stride if n in config.record else 0 for n in ("dipole", "polarizability")},
    }


def refuse_ring_options(typed: Typed) -> None:
    """Options of ring polymers say nothing where nuclei are classical.

    Raises
    ------
    SpecError
        Names them.
    """
    useless = [f"--{n.replace('_', '-')}" for n in _OWN if n in typed.options]
    if useless:
        raise SpecError(
            f"{', '.join(useless)}: only ring polymers have that (--ensemble "
            f"{', '.join(RING_ENSEMBLES)})."
        )


def _refuse_useless(typed: Typed) -> None:
    useless = [f"--{n.replace('_', '-')}" for n in _USELESS if n in typed.options]
    if useless:
        raise SpecError(f"{', '.join(useless)}: ring polymers have no such setting.")


def _config(
    typed: Typed, options: Mapping[str, Any], calculator: PaiNNCalculator, atoms: Atoms
) -> ReplicaConfig:
    from painn_ase.md import ReplicaConfig

    values = {name: options[name] for name in _SETTINGS}
    if options["ensemble"] != "pimd" and "timestep" not in typed.options:
        values["timestep"] = 0.25
    known = calculator.potential.properties
    wanted = {n: options[n] for n in ("dipole", "polarizability") if options[n]}
    if options["flux"]:
        fluxes = [n for n in ("dipole_flux", "polarizability_flux") if n in known]
        wanted |= dict.fromkeys(fluxes, options["flux"])
    if len(set(wanted.values())) > 1:
        raise SpecError(
            "ring polymers record dipole, polarizability and fluxes at one stride; got "
            + ", ".join(f"{name} {stride}" for name, stride in wanted.items())
            + "."
        )
    every = options["stride"]
    return ReplicaConfig(
        **values,
        beads=_beads(options, atoms, calculator),
        record=tuple(wanted),
        stride=max(wanted.values(), default=1),
        energy_stride=every or 10,
        position_stride=every,
        bead_stride=options["bead_stride"],
    )


def _beads(options: Mapping[str, Any], atoms: Atoms, calculator: PaiNNCalculator) -> int:
    """The beads that were asked for; with "auto" after a look at the normal modes."""
    from painn_ase.spectra import harmonic
    from painn_ase.workflow.quantum import choose_beads

    n_beads = number_of_beads(options["beads"])
    modes = None
    if not n_beads and not any(atoms.pbc):
        modes = harmonic(atoms, calculator)
    chosen = choose_beads(n_beads, atoms, modes, options["temperature"])
    if not n_beads:
        typer.echo(f"{chosen} beads for the stiffest mode at {options['temperature']:g} K")
    return chosen


def _equilibrated(
    calculator: PaiNNCalculator,
    atoms: Atoms,
    config: ReplicaConfig,
    options: Mapping[str, Any],
    output: Path,
) -> NDArray[Any]:
    from painn_ase.workflow.quantum import equilibrated_beads, steps_of_equilibration

    steps = steps_of_equilibration(options["equilibration"])
    with _bar("beads into equilibrium", options["quiet"], steps) as tick:
        result = equilibrated_beads(
            calculator,
            [atoms],
            n_beads=config.n_beads,
            temperature=config.temperature,
            friction=config.friction,
            time=options["equilibration"],
            seed=config.seed,
            state=_equilibrium_of(output),
            progress=tick,
        )
    _stop_at(result, output)
    return result.beads


def _equilibrium_of(output: Path) -> Path:
    """Restart file of the beads' equilibration, beside the trajectory."""
    return output.with_suffix(".beads.npz")


def _run(
    calculator: PaiNNCalculator,
    starts: Any,
    config: ReplicaConfig,
    output: Path,
    options: Mapping[str, Any],
    record: Mapping[str, Any],
    *,
    beads: NDArray[Any] | None = None,
    going_on: bool = False,
) -> None:
    from painn_ase.md import run_replicas

    with _bar(f"{config.n_beads} beads, {config.ensemble}", options["quiet"], config.steps) as tick:
        result = run_replicas(
            calculator, starts, config, trajectory=output, restart=going_on, beads=beads,
            overwrite=options["overwrite"] or going_on, provenance={"command": dict(record)},
            progress=tick,
        )  # fmt: skip
    drift = "" if result.drift is None else f", drift {1e3 * result.drift:.2e} meV/atom/ps"
    typer.echo(
        f"step {result.step}: {config.n_beads} beads, temperature {result.temperature:.1f} K{drift}"
        f"; trajectory {output}, state {result.state}"
    )
    _stop_at(result, output)
    if config.ensemble == "pimd" and result.step >= 20 * config.energy_stride:
        _print_averages(output, 1e-3 * config.timestep * result.step / 5.0)


def _print_averages(output: Path, skip: float) -> None:
    from painn_ase.md import quantum_averages

    found = quantum_averages(output, skip=skip)
    typer.echo(
        f"after {skip:.3g} ps: energy {found.energy.value:.4f} ± {found.energy.error:.4f} eV, of "
        f"it kinetic {found.kinetic.value:.4f} ± {found.kinetic.error:.4f} (virial)"
    )


def _stop_at(result: ReplicaResult, output: Path) -> None:
    if result.signal is not None:
        typer.echo(f"stopped by a signal; `painn-ase md -o {output} --restart` goes on.", err=True)
        raise typer.Exit(128 + result.signal)


@contextmanager
def _bar(label: str, quiet: bool, total: int) -> Iterator[Callable[[int, str], None] | None]:
    """A bar on a terminal, a line now and then elsewhere."""
    from painn_ase.cli.narrator import TerminalNarrator

    if quiet:
        yield None
        return
    with TerminalNarrator().bar(label, total) as tick:
        yield tick
