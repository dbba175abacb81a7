"""The stages of the workflow, each restartable: relax, modes, Langevin, segments, spectra."""

from __future__ import annotations

import time as clock
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.optimize import BFGS

from painn_ase.calculator import PaiNNCalculator
from painn_ase.driven import DrivenCalculator, in_float64
from painn_ase.errors import GeometryError, PaiNNWarning
from painn_ase.md import Frame, MDConfig, MDResult, RecordConfig, run_md
from painn_ase.md.identity import RunIdentity, charge_of_run
from painn_ase.md.replica_starts import held_coordinates
from painn_ase.md.replicas import ReplicaConfig, ReplicaResult, run_replicas
from painn_ase.md.state import has_state
from painn_ase.spec import to_dict
from painn_ase.spectra import HarmonicResult, harmonic
from painn_ase.trajectory import TrajectoryReader
from painn_ase.units import ev_to_invcm
from painn_ase.workflow.beginning import Beginning, prepare_folder
from painn_ase.workflow.choosing import refuse_unknown
from painn_ase.workflow.judging import largest_spread, with_spread
from painn_ase.workflow.numbers import all_spectra, compare_bands, series_of_segments
from painn_ase.workflow.quantum import (
    bear_quantum_width,
    check_beads,
    choose_beads,
    equilibrated_beads,
    harmonic_share,
    segments_of_nuclei,
    steps_of_equilibration,
)
from painn_ase.workflow.records import (
    InterruptedWorkflowError,
    Narrator,
    Outcome,
    SpectrumConfig,
)
from painn_ase.workflow.structures import save_structure

__all__ = ["run_spectrum"]


class Silent:
    def say(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
        """Nothing."""
        yield lambda done, note: None


def run_spectrum(
    calculator: PaiNNCalculator | DrivenCalculator,
    atoms: Atoms,
    config: SpectrumConfig,
    folder: str | Path,
    *,
    restart: bool = False,
    narrator: Narrator | None = None,
    relax: bool | None = None,
    overwrite: bool = False,
    most_spread: float | None = None,
) -> Outcome:
    """The whole way from `atoms` to spectra.

    Parameters
    ----------
    calculator : PaiNNCalculator
        Of a model with energy and dipole, and with a polarizability where Raman is wanted; or of a
        committee of such models, whose means drive and absorb. A
        :class:`~painn_ase.driven.DrivenCalculator` drives with another program's forces.
    atoms : ase.Atoms
        The structure; stays as it is.
    config : SpectrumConfig
        Temperature, number and length of segments, and so on.
    folder : str or Path
        For everything that is written.
    restart : bool
        Go on with what is in the folder.
    narrator : Narrator, optional
        Told of progress.
    relax : bool, optional
        Relax the structure first: by default in a new run, and as the run was begun in one that
        goes on.
    overwrite : bool
        Begin anew in a folder that holds results; they are deleted.
    most_spread : float, optional
        cm⁻¹: members of a committee that differ by more in a frequency of the relaxed structure
        do not know it, and no dynamics is run.

    Raises
    ------
    InterruptedWorkflowError
        After SIGINT or SIGTERM, with everything saved.
    GeometryError
        When the model has no energy, or neither dipole nor polarizability; for constraints other
        than FixAtoms, FixCartesian and FixCom; for members that differ by more than `most_spread`.
    TrajectoryError
        When the folder holds a run of another structure, charge or model, or with other settings;
        and when `relax` contradicts how it was begun.
    """
    folder, narrator = Path(folder), narrator or Silent()
    advice: list[str] = []
    with _collected(advice):
        made = make_segments(
            calculator, atoms, config, folder, range(config.replicas), restart=restart,
            narrator=narrator, relax=relax, overwrite=overwrite, most_spread=most_spread,
        )  # fmt: skip
        modes, segments = made.modes, made.segments
        with _timed(made.seconds, "spectra"):
            temperature = config.temperature  # of the distribution that the beads are drawn from
            if config.nuclei == "classical":
                temperature = segments.temperature
                _advise_on_temperature(temperature, config.temperature)
            series = series_of_segments(folder / "segments.h5", config, made.start, temperature)
            found = all_spectra(
                series,
                laser=config.laser,
                resolution=config.resolution,
                timestep=config.timestep,
            )
    return Outcome(
        config=config,
        formula=made.start.get_chemical_formula(),
        model=to_dict(_responding(calculator).potential.spec),
        modes=modes,
        infrared=found.infrared,
        raman=found.raman,
        depolarisation=found.depolarisation,
        bands=compare_bands(found.infrared, modes),
        thermostat=made.thermostat,
        segments=segments,
        temperature=temperature,
        n_beads=made.n_beads,
        advice=tuple(dict.fromkeys(advice)),
        seconds=made.seconds,
        folder=folder,
        polarised=found.polarised,
        driver=calculator.name_of_driver if isinstance(calculator, DrivenCalculator) else "",
    )


@dataclass(frozen=True)
class MadeSegments:
    """What the stages before the spectra leave.

    Attributes
    ----------
    start : ase.Atoms
        Relaxed.
    modes : HarmonicResult or None
    thermostat : MDResult
    n_beads : int
    segments : ReplicaResult
    seconds : dict of str to float
        Wall time of each stage.
    """

    start: Atoms
    modes: HarmonicResult | None
    thermostat: MDResult
    n_beads: int
    segments: ReplicaResult
    seconds: dict[str, float]


def make_segments(
    calculator: PaiNNCalculator | DrivenCalculator,
    atoms: Atoms,
    config: SpectrumConfig,
    folder: Path,
    replicas: range,
    *,
    restart: bool,
    narrator: Narrator,
    relax: bool | None,
    overwrite: bool,
    most_spread: float | None = None,
) -> MadeSegments:
    """The stages before the spectra, for some of the replicas; see :func:`run_spectrum`."""
    quantities = _recorded_fluxes(calculator)
    held_coordinates(atoms)  # replicas would refuse other constraints, and hours later
    start = atoms.copy()
    start.calc = calculator
    begun = Beginning(RunIdentity.of(start, calculator), atoms.get_positions(), relax is not False)
    relaxes = prepare_folder(
        folder, config, begun, restart=restart, overwrite=overwrite, asked=relax
    )
    seconds: dict[str, float] = {}
    with _timed(seconds, "relaxation"):
        _relax(start, config, folder, narrator, relaxes)
    with _timed(seconds, "normal modes"):
        modes = _normal_modes(start, calculator, folder, narrator)
    if modes is not None and most_spread is not None:
        refuse_unknown(modes, most_spread)
    with _timed(seconds, "thermostat"):
        thermostat = _sample(start, config, folder, narrator, replicas.stop)
    n_beads = _n_beads(start, calculator, config, modes, folder, narrator)
    with _timed(seconds, "segments"):
        segments = _segments(calculator, config, n_beads, quantities, folder, narrator, replicas)
    return MadeSegments(start, modes, thermostat, n_beads, segments, seconds)


def _responding(calculator: PaiNNCalculator | DrivenCalculator) -> PaiNNCalculator:
    return calculator.model if isinstance(calculator, DrivenCalculator) else calculator


def _recorded_fluxes(calculator: PaiNNCalculator | DrivenCalculator) -> tuple[str, ...]:
    known = _responding(calculator).potential.properties
    drives = isinstance(calculator, DrivenCalculator) or "energy" in known
    fluxes = tuple(n for n in ("dipole_flux", "polarizability_flux") if n in known)
    if not drives or not fluxes:
        raise GeometryError(
            "a spectrum needs a model with an energy and a dipole or polarizability; this one has "
            f"{', '.join(known)}. For another program's trajectory use `painn-ase evaluate`, then "
            "`painn-ase spectrum TRAJECTORY`."
        )
    return fluxes


def _relax(
    atoms: Atoms, config: SpectrumConfig, folder: Path, narrator: Narrator, wanted: bool
) -> None:
    path = folder / "relaxed.extxyz"
    if path.exists():
        _take_positions(atoms, path)
        return
    if wanted:
        optimizer = BFGS(atoms, logfile=None)
        done = optimizer.run(fmax=config.fmax, steps=1000)
        force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
        narrator.say(f"relaxed in {optimizer.nsteps} steps, largest force {force:.1e} eV/Å")
        if not done:
            warnings.warn(
                f"the relaxation stopped at {force:.2g} eV/Å, above fmax {config.fmax:g}; "
                "frequencies may be imaginary",
                PaiNNWarning,
                stacklevel=2,
            )
    save_structure(path, atoms, charge_of_run(atoms, atoms.calc))
    # What the file keeps is what a restart would read: go on from that.
    _take_positions(atoms, path)


def _take_positions(atoms: Atoms, path: Path) -> None:
    frame: Any = ase.io.read(path)
    atoms.positions[:] = frame.positions


def _normal_modes(
    atoms: Atoms, calculator: PaiNNCalculator | DrivenCalculator, folder: Path, narrator: Narrator
) -> HarmonicResult | None:
    if any(atoms.pbc):
        return None  # one point of the Brillouin zone would pretend to be the whole
    path = folder / "modes.json"
    if path.exists():
        return HarmonicResult.load(path)
    exact = in_float64(calculator)
    modes = with_spread(harmonic(atoms, exact), exact, atoms)
    if not len(modes.frequencies):
        raise GeometryError(
            f"{atoms.get_chemical_formula()} has no vibrations: it is one atom, or constraints "
            "hold all of it. Free some atoms, or name another structure."
        )
    modes.save(path)
    narrator.say(
        f"{len(modes.frequencies)} normal modes from {modes.frequencies[0]:.0f} to "
        f"{modes.frequencies[-1]:.0f} cm⁻¹"
        + ("" if (found := largest_spread(modes)) is None else f"; members differ by {found:.0f}")
    )
    return modes


class _Ticker:
    """Passes the steps of a run on to a bar."""

    def __init__(self, tick: Callable[[int, str], None]) -> None:
        self._tick = tick
        self._next = 0.0

    def wants(self, step: int) -> bool:
        return clock.monotonic() >= self._next

    def observe(self, frame: Frame) -> None:
        self._next = clock.monotonic() + 0.2
        self._tick(frame.step, f"{frame.temperature:.0f} K")


def _sample(
    atoms: Atoms, config: SpectrumConfig, folder: Path, narrator: Narrator, n_starts: int
) -> MDResult:
    """A Langevin run whose frames are the starts of the segments, up to the last one wanted."""
    spacing = config.spacing_steps
    md = MDConfig(
        steps=config.equilibration_steps + (n_starts - 1) * spacing,
        ensemble="langevin",
        timestep=config.timestep,
        temperature=config.temperature,
        friction=config.friction,
        seed=config.seed,
        record=RecordConfig(positions=spacing, velocities=spacing, energies=20),
    )
    moving = atoms.copy()
    moving.calc = atoms.calc
    path = folder / "thermostat.h5"
    with narrator.bar("Langevin", md.steps) as tick:
        result = run_md(
            moving, md, trajectory=path, restart=has_state(path.with_suffix(".state.npz")),
            observers=[_Ticker(tick)], overwrite=True,
        )  # fmt: skip
    _go_on(result.signal, folder)
    return result


def _n_beads(
    atoms: Atoms,
    calculator: PaiNNCalculator | DrivenCalculator,
    config: SpectrumConfig,
    modes: HarmonicResult | None,
    folder: Path,
    narrator: Narrator,
) -> int:
    """Beads of the segments: chosen, told and checked."""
    if config.nuclei == "classical":
        return 1
    n_beads = choose_beads(config.beads, atoms, modes, config.temperature)
    if modes is not None:
        share = harmonic_share(modes, n_beads, config.temperature)
        narrator.say(f"{n_beads} beads hold {100 * share:.1f} % of the harmonic energy")
        if config.width_check and not has_state(folder / "beads.state.npz"):
            width = bear_quantum_width(
                calculator, atoms, modes, config.temperature, seed=config.seed
            )
            if width is not None:
                narrator.say(f"quantum width: {width}")
    if config.check_beads:
        few, many = check_beads(
            calculator,
            atoms,
            n_beads,
            config.temperature,
            seed=config.seed,
            narrator=narrator,
            saved=folder / "bead_check.json",
        )
        for found in (few, many):
            value, error = (ev_to_invcm * x for x in found.energy)
            narrator.say(f"energy of {found.n_beads} beads: {value:.0f} ± {error:.0f} cm⁻¹")
    return n_beads


def _segments(
    calculator: PaiNNCalculator | DrivenCalculator,
    config: SpectrumConfig,
    n_beads: int,
    quantities: tuple[str, ...],
    folder: Path,
    narrator: Narrator,
    replicas: range,
) -> ReplicaResult:
    """Segments of all replicas with their fluxes, by the dynamics of their nuclei."""
    starts = _starts(folder / "thermostat.h5", config, replicas)
    path, beads = folder / "segments.h5", None
    if config.nuclei != "classical":
        state = folder / "beads.state.npz"
        steps = steps_of_equilibration(config.bead_equilibration)
        with narrator.bar(f"{len(starts)} × {n_beads} beads, PIMD", steps) as tick:
            warm = equilibrated_beads(
                calculator, starts, n_beads=n_beads, temperature=config.temperature,
                friction=config.friction, time=config.bead_equilibration, seed=config.seed,
                state=state, progress=tick,
            )  # fmt: skip
        _go_on(warm.signal, folder)
        beads = warm.beads
    md = ReplicaConfig(
        steps=config.segment_steps,
        timestep=config.timestep,
        record=quantities,
        stride=config.stride,
        rotation="keep" if config.rotation else "remove",
        energy_stride=20,
        save_every=max(20, config.segment_steps // 20),
    )
    md = segments_of_nuclei(md, config, n_beads)
    label = "NVE" if config.nuclei == "classical" else config.nuclei.upper()
    with narrator.bar(f"{len(replicas)} {label} segments", md.steps) as tick:
        result = run_replicas(
            calculator,
            starts,
            md,
            charge=_responding(calculator).total_charge(starts[0]),
            beads=beads,
            trajectory=path,
            restart=has_state(path.with_suffix(".state.npz")),
            progress=tick,
            overwrite=True,
        )
    _go_on(result.signal, folder)
    return result


def _advise_on_temperature(measured: float, target: float) -> None:
    if abs(measured / target - 1.0) > 0.06:
        warnings.warn(
            f"the segments are at {measured:.0f} K instead of {target:.0f} K; intensities are "
            "scaled to their own temperature, but take more replicas or equilibrate longer",
            PaiNNWarning,
            stacklevel=2,
        )


def _starts(path: Path, config: SpectrumConfig, replicas: range) -> Sequence[Atoms]:
    first = config.equilibration_steps // config.spacing_steps
    with TrajectoryReader(path) as reader:
        return [reader.atoms(first + k) for k in replicas]


def _go_on(signal: int | None, folder: Path) -> None:
    if signal is not None:
        raise InterruptedWorkflowError(
            f"stopped by signal {signal}; everything so far is in {folder}. Run the same command "
            "with --restart to go on.",
            signal,
        )


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = clock.monotonic()
    try:
        yield
    finally:
        seconds[stage] = clock.monotonic() - started


@contextmanager
def _collected(advice: list[str]) -> Iterator[None]:
    """Our own warnings go into the report; others pass."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PaiNNWarning)
        try:
            yield
        finally:
            advice.extend(str(w.message) for w in caught if issubclass(w.category, PaiNNWarning))
    for other in caught:
        if not issubclass(other.category, PaiNNWarning):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
