"""The records of the workflow: what is asked of it, and what comes out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from painn_ase.errors import DataError, SpecError, TrajectoryError
from painn_ase.md import MDResult
from painn_ase.md.replicas import ReplicaResult
from painn_ase.page import Page
from painn_ase.spec import from_dict, to_dict
from painn_ase.spectra import HarmonicResult, Spectrum
from painn_ase.spectra.windows import depth_for_resolution, window_fwhm

__all__ = [
    "RESULT_FILES",
    "Band",
    "InterruptedWorkflowError",
    "Narrator",
    "Outcome",
    "SpectrumConfig",
    "saved_settings",
]

#: Everything a run and its report leave in the folder.
RESULT_FILES = (
    "settings.json",
    "model.json",
    "relaxed.extxyz",
    "modes.json",
    *(f"{run}{end}" for run in ("thermostat", "segments")
      for end in (".h5", ".state.npz", ".state.npz.previous")),
    "beads.state.npz",
    "beads.state.npz.previous",
    "bead_check.json",
    "infrared.csv",
    "raman.csv",
    "spectra.png",
    "run.png",
    "summary.json",
    "report.md",
    "report.html",
)  # fmt: skip


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
    nuclei : {"classical", "trpmd", "rpmd"}
        Newton's, or ring polymers by thermostatted or plain ring-polymer dynamics. These want a
        time step of 0.25 fs.
    beads : int
        Of a ring polymer; 0 for as many as hold 98 % of the energy of the stiffest mode.
    bead_equilibration : float
        Path-integral dynamics of all beads before the segments, ps.
    check_beads : bool
        Compare the energies of short runs with these beads and with twice as many, and warn.
    width_check : bool
        Before ring polymers move, look for holes where quantum nuclei go; a model with holes is
        refused.
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
    nuclei: Literal["classical", "trpmd", "rpmd"] = "classical"
    beads: int = 32
    bead_equilibration: float = 1.0
    check_beads: bool = False
    width_check: bool = True

    def __post_init__(self) -> None:
        if self.nuclei not in ("classical", "trpmd", "rpmd"):
            raise SpecError(
                f"nuclei is 'classical', 'trpmd' or 'rpmd', not {self.nuclei!r}. For averages "
                "alone run `painn-ase md --ensemble pimd`."
            )
        if self.beads < 0 or self.bead_equilibration < 0:
            raise SpecError("beads and bead_equilibration must not be negative.")
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
        if self.resolution is not None:
            self._check_resolution(self.resolution)

    def _check_resolution(self, resolution: float) -> None:
        """Now, and not when the dynamics is done."""
        n_frames = 1 + self.segment_steps // self.stride
        interval = self.stride * self.timestep
        if not resolution > 0 or (
            depth_for_resolution("hann", resolution, interval, "segments") > n_frames
        ):
            finest = window_fwhm("hann", n_frames, interval, "segments")
            raise SpecError(
                f"a segment of {self.segment:g} ps resolves {finest:.3g} cm⁻¹, not "
                f"{resolution:g}; make it longer, or ask for less."
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
        Mean over the segments, K, or that of the ring polymers; the one the spectra are made for.
    n_beads : int
        Of the ring polymers; one where nuclei are classical.
    advice : tuple of str
        Warnings that came up.
    seconds : dict of str to float
        Wall time of each stage.
    folder : Path
        Where the files are.
    polarised : tuple of Spectrum or None
        Raman with parallel (VV) and crossed (VH) polarisers.
    driver : str
        The calculator that gave energies and forces in the model's place, ``module:factory``; ""
        where the model did.
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
    n_beads: int = 1
    advice: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    folder: Path = Path()
    polarised: tuple[Spectrum, Spectrum] | None = None
    driver: str = ""

    def page(self, experiment: str | Path | None = None) -> Page:
        """The outcome as an offline HTML page: curves, moving modes, what to trust.

        ``outcome.page().save("report.html")``; a notebook shows it where it is the last value. A
        measured spectrum, JCAMP-DX or CSV, is laid over where one is named.
        """
        from painn_ase.workflow.pages import outcome_page  # which knows this record

        return outcome_page(self, experiment)

    def _repr_html_(self) -> str:
        return self.page()._repr_html_()


def saved_settings(folder: Path) -> dict[str, Any]:
    """Settings of the run begun in `folder` as a plain dictionary; {} where there is none.

    Raises
    ------
    DataError
        When the file is damaged or holds something else.
    """
    path = folder / "settings.json"
    if not path.exists():
        return {}
    try:
        return to_dict(from_dict(SpectrumConfig, json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, RecursionError) as error:  # SpecError too is a ValueError
        raise DataError(
            f"{path} cannot be read: {error}. Begin anew with --overwrite, or in another folder."
        ) from error
