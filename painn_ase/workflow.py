"""From a structure to its spectra: relax, normal modes, Langevin, NVE segments, IR and Raman.

The stages write into one folder and can be interrupted: started again with ``restart`` they go on
where they were. What a reader gets to see of the outcome is made in :mod:`painn_ase.report`.
"""

from __future__ import annotations

import itertools
import json
import math
import time as clock
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ase.io
import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from numpy.typing import NDArray

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import GeometryError, PaiNNWarning, SpecError, TrajectoryError
from painn_ase.md import Frame, MDConfig, MDResult, RecordConfig, run_md
from painn_ase.md.replicas import ReplicaConfig, ReplicaResult, run_replicas
from painn_ase.spec import to_dict
from painn_ase.spectra import HarmonicResult, Spectrum, depolarisation_ratio, harmonic
from painn_ase.spectra import infrared as infrared_spectrum
from painn_ase.spectra import raman as raman_spectrum
from painn_ase.trajectory import TimeSeries, TrajectoryReader, read_time_series
from painn_ase.units import e2_angstrom2_per_ev_to_angstrom3, per_ase_time_to_per_fs

__all__ = [
    "Band",
    "InterruptedWorkflowError",
    "Narrator",
    "Outcome",
    "SpectrumConfig",
    "compute_spectra",
    "run_spectrum",
]

#: Harmonic lines farther apart than this (cm⁻¹) belong to different bands of the table.
_BAND_GAP = 250.0


class InterruptedWorkflowError(TrajectoryError):
    """The workflow was asked to stop; what it has is saved.

    Attributes
    ----------
    signal : int
        The signal that asked.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


@dataclass(frozen=True)
class SpectrumConfig:
    """What the workflow does.

    Attributes
    ----------
    temperature : float
        K.
    replicas : int
        NVE segments; errors of band areas fall with the root of their number.
    segment : float
        Length of a segment, ps; sets the resolution.
    timestep : float
        fs.
    stride : int
        Steps between recorded fluxes.
    friction : float
        Of the Langevin run that the segments start from, 1/fs.
    equilibration : float
        Langevin dynamics before the first start, ps.
    spacing : float
        Between starts, ps.
    seed : int
        Of every random number.
    resolution : float or None
        Full width of a sharp line, cm⁻¹; None for the best the segments allow.
    laser : float
        Raman excitation, nm.
    fmax : float
        Largest force after the relaxation, eV/Å.
    rotation : bool
        Keep the rotation of molecules: their rotational envelopes, and a band in the far infrared.
    """

    temperature: float = 300.0
    replicas: int = 64
    segment: float = 2.0
    timestep: float = 0.5
    stride: int = 4
    friction: float = 0.02
    equilibration: float = 2.0
    spacing: float = 0.1
    seed: int = 0
    resolution: float | None = None
    laser: float = 532.0
    fmax: float = 1e-3
    rotation: bool = False

    def __post_init__(self) -> None:
        for name in ("temperature", "segment", "timestep", "friction", "spacing", "laser", "fmax"):
            if not 0 < getattr(self, name) < math.inf:
                raise SpecError(f"{name} must be positive; got {getattr(self, name)!r}.")
        if self.replicas < 1 or self.stride < 1 or self.equilibration < 0:
            raise SpecError("replicas and stride must be at least 1, equilibration at least 0.")
        if self.segment_steps < 8 * self.stride:
            raise SpecError(
                f"a segment of {self.segment:g} ps holds fewer than 8 recorded frames; make it "
                "longer or record more often."
            )

    @property
    def segment_steps(self) -> int:
        """Steps of a segment."""
        return max(1, round(1000.0 * self.segment / self.timestep))

    @property
    def spacing_steps(self) -> int:
        """Steps between starts."""
        return max(1, round(1000.0 * self.spacing / self.timestep))

    @property
    def equilibration_steps(self) -> int:
        """Steps before the first start, a multiple of the spacing."""
        spacings = math.ceil(1000.0 * self.equilibration / self.timestep / self.spacing_steps)
        return max(1, spacings) * self.spacing_steps


class Narrator(Protocol):
    """Who tells the user what goes on; the library itself prints nothing."""

    def say(self, text: str) -> None:
        """One line of news."""

    def bar(self, label: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
        """A stage of `total` steps; call what it gives with the steps done and a note."""


class _Silent:
    def say(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
        """Nothing."""
        yield lambda done, note: None


@dataclass(frozen=True)
class Band:
    """One region of the spectrum: dynamics beside the harmonic intensities in it.

    Attributes
    ----------
    low, high : float
        cm⁻¹.
    area, error : float
        From dynamics, km/mol; standard error.
    harmonic : float
        Sum of the harmonic intensities, km/mol.
    modes : int
        Normal modes in it.
    """

    low: float
    high: float
    area: float
    error: float | None
    harmonic: float
    modes: int


@dataclass(frozen=True)
class Outcome:
    """What came out of the workflow.

    Attributes
    ----------
    config : SpectrumConfig
        What was asked.
    formula : str
        Of the structure.
    model : dict
        The model's header.
    modes : HarmonicResult or None
        Normal modes of the relaxed structure.
    infrared, raman : Spectrum or None
        From dynamics; Raman is unpolarised.
    depolarisation : tuple of float or None
        Ratio VH/VV over the whole Raman spectrum, and its error.
    bands : tuple of Band
        Comparison of band areas.
    thermostat : MDResult or None
        The Langevin run.
    segments : ReplicaResult or None
        The NVE segments.
    temperature : float
        Mean over the segments, K; the one the spectra are made for.
    advice : tuple of str
        Warnings that came up.
    seconds : dict of str to float
        Wall time of each stage.
    folder : Path
        Where the files are.
    """

    config: SpectrumConfig
    formula: str
    model: dict[str, Any]
    modes: HarmonicResult | None
    infrared: Spectrum | None
    raman: Spectrum | None
    depolarisation: tuple[float, float | None] | None
    bands: tuple[Band, ...]
    thermostat: MDResult | None
    segments: ReplicaResult | None
    temperature: float
    advice: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    folder: Path = Path()


def run_spectrum(
    calculator: PaiNNCalculator,
    atoms: Atoms,
    config: SpectrumConfig,
    folder: str | Path,
    *,
    restart: bool = False,
    narrator: Narrator | None = None,
    relax: bool = True,
) -> Outcome:
    """The whole way from `atoms` to spectra.

    Parameters
    ----------
    calculator : PaiNNCalculator
        Of a model with energy and dipole, and with a polarizability where Raman is wanted.
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
    relax : bool
        Relax the structure first.

    Raises
    ------
    InterruptedWorkflowError
        After SIGINT or SIGTERM, with everything saved.
    GeometryError
        When the model has no energy, or neither dipole nor polarizability.
    """
    folder, narrator = Path(folder), narrator or _Silent()
    spec = calculator.potential.spec
    quantities = _recorded_fluxes(calculator)
    _prepare_folder(folder, config, restart)
    seconds: dict[str, float] = {}
    advice: list[str] = []
    start = atoms.copy()
    start.calc = calculator
    with _collected(advice):
        with _timed(seconds, "relaxation"):
            _relax(start, config, folder, narrator, relax)
        with _timed(seconds, "normal modes"):
            modes = _normal_modes(start, calculator, folder, narrator)
        with _timed(seconds, "thermostat"):
            thermostat = _sample(start, config, folder, narrator)
        with _timed(seconds, "segments"):
            segments = _segments(start, calculator, config, quantities, folder, narrator)
        with _timed(seconds, "spectra"):
            _advise_on_temperature(segments.temperature, config.temperature)
            series = read_time_series(folder / "segments.h5")
            ir, raman, ratio = compute_spectra(
                series,
                temperature=segments.temperature,
                laser=config.laser,
                resolution=config.resolution,
                timestep=config.timestep,
            )
    return Outcome(
        config=config,
        formula=start.get_chemical_formula(),
        model=to_dict(spec),
        modes=modes,
        infrared=ir,
        raman=raman,
        depolarisation=ratio,
        bands=_bands(ir, modes),
        thermostat=thermostat,
        segments=segments,
        temperature=segments.temperature,
        advice=tuple(dict.fromkeys(advice)),
        seconds=seconds,
        folder=folder,
    )


def compute_spectra(
    series: TimeSeries,
    *,
    temperature: float | None = None,
    laser: float = 532.0,
    resolution: float | None = None,
    timestep: float | None = None,
) -> tuple[Spectrum | None, Spectrum | None, tuple[float, float | None] | None]:
    """Infrared and unpolarised Raman spectrum of a time series, and its depolarisation ratio.

    Parameters
    ----------
    series : TimeSeries
        Fluxes where there are some, else dipole and polarizability.
    temperature : float, optional
        K; by default what the series says.
    laser : float
        nm.
    resolution : float, optional
        cm⁻¹; None for one segment as long as the series where there are several runs.
    timestep : float, optional
        Of velocity Verlet, fs: corrects the frequencies for its error.

    Raises
    ------
    GeometryError
        Without a temperature.
    """
    temperature = temperature if temperature is not None else series.temperature
    if temperature is None:
        raise GeometryError(f"{series.source} names no temperature; give one in K (--temperature).")
    settings: dict[str, Any] = {
        "timestep": series.timestep,
        "temperature": temperature,
        "verlet_timestep": timestep,
    }
    ir = raman = ratio = None
    rates, values = series.dipole_flux, series.dipole
    if rates is not None or values is not None:
        settings |= _width(rates if rates is not None else values, resolution, 1)
        named = (
            {"flux": rates * per_ase_time_to_per_fs} if rates is not None else {"dipole": values}
        )
        ir = infrared_spectrum(**named, **settings, volume=series.volume)
    rates, values = series.polarizability_flux, series.polarizability
    if rates is not None or values is not None:
        settings |= _width(rates if rates is not None else values, resolution, 2)
        to_volume = e2_angstrom2_per_ev_to_angstrom3
        named = (
            {"flux": rates * (per_ase_time_to_per_fs * to_volume)}
            if rates is not None
            else {"polarizability": _times(values, to_volume)}
        )
        settings["laser_wavenumber"] = 1e7 / laser
        raman = raman_spectrum(**named, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PaiNNWarning)  # said once already
            vh = raman_spectrum(**named, **settings, component="vh")
            vv = raman_spectrum(**named, **settings, component="vv")
        found = depolarisation_ratio(vh, vv)
        ratio = (float(found[0]), None if found[1] is None else float(found[1]))
    return ir, raman, ratio


def _times(values: NDArray[np.float64] | None, factor: float) -> NDArray[np.float64] | None:
    return None if values is None else values * factor


def _width(frames: Any, resolution: float | None, tail: int) -> dict[str, Any]:
    """The window: as asked, or a whole run each where there are several runs."""
    if resolution is not None:
        return {"resolution": resolution, "depth": None}
    if frames.ndim == tail + 2:
        return {"depth": int(frames.shape[1]), "resolution": None}
    return {}


# -- stages --------------------------------------------------------------------------------------


def _recorded_fluxes(calculator: PaiNNCalculator) -> tuple[str, ...]:
    known = calculator.potential.properties
    fluxes = tuple(n for n in ("dipole_flux", "polarizability_flux") if n in known)
    if "energy" not in known or not fluxes:
        raise GeometryError(
            "a spectrum needs a model with an energy and a dipole or polarizability; this one has "
            f"{', '.join(known)}. For another program's trajectory use `painn-ase evaluate`, then "
            "`painn-ase spectrum TRAJECTORY`."
        )
    return fluxes


def _prepare_folder(folder: Path, config: SpectrumConfig, restart: bool) -> None:
    """Make the folder, or see that what is in it belongs to the same run."""
    settings = folder / "settings.json"
    if restart and settings.exists():
        before = json.loads(settings.read_text(encoding="utf-8"))
        changed = [k for k, v in to_dict(config).items() if before.get(k) != v]
        if changed:
            raise TrajectoryError(
                f"{folder} was begun with other settings ({', '.join(changed)}). Use the same, or "
                "another folder."
            )
        return
    if settings.exists() and (folder / "segments.h5").exists():
        raise TrajectoryError(
            f"{folder} holds a spectrum already. Add --restart to go on with it, or name another "
            "folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps(to_dict(config), indent=1), encoding="utf-8")
    except OSError as error:
        raise TrajectoryError(f"{folder} cannot be written: {error.strerror or error}.") from error


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
    frame = atoms.copy()
    ase.io.write(path, frame, format="extxyz", write_info=False)
    # What the file keeps is what a restart would read: go on from that.
    _take_positions(atoms, path)


def _take_positions(atoms: Atoms, path: Path) -> None:
    frame: Any = ase.io.read(path)
    atoms.positions[:] = frame.positions


def _normal_modes(
    atoms: Atoms, calculator: PaiNNCalculator, folder: Path, narrator: Narrator
) -> HarmonicResult | None:
    if any(atoms.pbc):
        return None  # one point of the Brillouin zone would pretend to be the whole
    path = folder / "modes.json"
    if path.exists():
        return HarmonicResult.load(path)
    exact = PaiNNCalculator(
        list(calculator.potentials), dtype="float64", device=calculator.device,
        charge=calculator.charge,
    )  # fmt: skip
    modes = harmonic(atoms, exact)
    modes.save(path)
    narrator.say(
        f"{len(modes.frequencies)} normal modes from {modes.frequencies[0]:.0f} to "
        f"{modes.frequencies[-1]:.0f} cm⁻¹"
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


def _sample(atoms: Atoms, config: SpectrumConfig, folder: Path, narrator: Narrator) -> MDResult:
    """A Langevin run whose frames are the starts of the segments."""
    spacing = config.spacing_steps
    md = MDConfig(
        steps=config.equilibration_steps + (config.replicas - 1) * spacing,
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
            moving, md, trajectory=path, restart=path.with_suffix(".state.npz").exists(),
            observers=[_Ticker(tick)], overwrite=True,
        )  # fmt: skip
    _go_on(result.signal, folder)
    return result


def _segments(
    atoms: Atoms,
    calculator: PaiNNCalculator,
    config: SpectrumConfig,
    quantities: tuple[str, ...],
    folder: Path,
    narrator: Narrator,
) -> ReplicaResult:
    """NVE segments of all replicas with their fluxes."""
    starts = _starts(folder / "thermostat.h5", config)
    md = ReplicaConfig(
        steps=config.segment_steps,
        timestep=config.timestep,
        record=quantities,
        stride=config.stride,
        rotation="keep" if config.rotation else "remove",
        energy_stride=20,
        save_every=max(20, config.segment_steps // 20),
    )
    path = folder / "segments.h5"
    with narrator.bar(f"{config.replicas} NVE segments", md.steps) as tick:
        result = run_replicas(
            calculator.backends[0],
            starts,
            md,
            device=calculator.device,
            charge=calculator.charge,
            trajectory=path,
            restart=path.with_suffix(".state.npz").exists(),
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


def _starts(path: Path, config: SpectrumConfig) -> Sequence[Atoms]:
    first = config.equilibration_steps // config.spacing_steps
    with TrajectoryReader(path) as reader:
        return [reader.atoms(first + k) for k in range(config.replicas)]


def _go_on(signal: int | None, folder: Path) -> None:
    if signal is not None:
        raise InterruptedWorkflowError(
            f"stopped by signal {signal}; everything so far is in {folder}. Run the same command "
            "with --restart to go on.",
            signal,
        )


# -- comparison ----------------------------------------------------------------------------------


def _bands(ir: Spectrum | None, modes: HarmonicResult | None) -> tuple[Band, ...]:
    """Band areas of dynamics beside the harmonic sums, cut where the harmonic lines leave gaps."""
    if ir is None or modes is None or modes.infrared is None:
        return ()
    frequencies = np.sort(modes.frequencies[modes.frequencies > 0])
    if not len(frequencies):
        return ()
    gaps = np.flatnonzero(np.diff(frequencies) > _BAND_GAP)
    inner = [0.5 * (frequencies[g] + frequencies[g + 1]) for g in gaps]
    top = min(frequencies[-1] + 500.0, float(ir.frequency[-1]))
    edges = [0.0, *(edge for edge in inner if edge < top), top]
    bands = []
    for low, high in itertools.pairwise(edges):
        area = ir.band_area(low, high)
        inside = (modes.frequencies > low) & (modes.frequencies <= high)
        bands.append(
            Band(
                low=float(low),
                high=float(high),
                area=float(area.value),
                error=None if area.error is None else float(area.error),
                harmonic=float(modes.infrared[inside].sum()),
                modes=int(inside.sum()),
            )
        )
    return tuple(bands)


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
