"""Spectra of a run that is already there: what is wished of it, and what is written."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from painn_ase.errors import DataError, PaiNNWarning
from painn_ase.page import Page, page_record
from painn_ase.spectra import Spectrum, load_spectrum, power, save_spectrum
from painn_ase.trajectory import TimeSeries
from painn_ase.workflow.numbers import SeriesSpectra, all_spectra
from painn_ase.workflow.pages import series_result

__all__ = ["RecordedSpectra", "Wishes", "spectra_of_series", "write_recorded"]


@dataclass(frozen=True)
class Wishes:
    """What is to be made of a trajectory.

    Attributes
    ----------
    laser, resolution : float or None
        nm, cm⁻¹; None for 532 nm, and for what the run allows.
    charge, friction : float or None
        Of the system, e, and of the run's thermostat, 1/fs: for advice.
    experiment : Path or None
        To lay over the infrared spectrum.
    descending : bool
        High wavenumbers on the left.
    power : bool
        The density of states of the velocities instead.
    polarised : bool
        Raman in VV and VH geometry beside the unpolarised one.
    jumps : {"check", "keep"} or None
        What to do about jumps of dipole and polarizability; None for check.
    """

    laser: float | None = None
    resolution: float | None = None
    charge: float | None = None
    friction: float | None = None
    experiment: Path | None = None
    descending: bool = False
    power: bool = False
    polarised: bool = False
    jumps: str | None = None


@dataclass(frozen=True, eq=False)
class RecordedSpectra:
    """Spectra of a run.

    Attributes
    ----------
    spectra : dict of str to Spectrum
        By the names of their files: infrared, raman, raman_vv, raman_vh, or power.
    made : SeriesSpectra or None
        All that the series gives; None for a density of states.
    advice : tuple of str
        Warnings on the way, each once.
    """

    spectra: dict[str, Spectrum]
    made: SeriesSpectra | None
    advice: tuple[str, ...]


def spectra_of_series(series: TimeSeries, wishes: Wishes) -> RecordedSpectra:
    """The spectra that a series holds, as wished.

    Raises
    ------
    DataError
        The series holds none, or something wished means nothing for what it holds.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PaiNNWarning)
        spectra, made = _make(series, wishes)
    if not spectra:
        raise DataError(f"{series.source} holds nothing a spectrum could be made of.")
    _refuse_useless(series, wishes, spectra)
    return RecordedSpectra(spectra, made, tuple(dict.fromkeys(str(w.message) for w in caught)))


def write_recorded(
    series: TimeSeries, found: RecordedSpectra, folder: Path, wishes: Wishes
) -> list[str]:
    """Write CSV files, a picture and, for infrared and Raman, the page; the files' names.

    Parameters
    ----------
    series : TimeSeries
    found : RecordedSpectra
    folder : Path
        Made where it is missing; what is there is replaced.
    wishes : Wishes
    """
    from painn_ase.plotting import Panel, draw_panels

    folder.mkdir(parents=True, exist_ok=True)
    panels = []
    for name, spectrum in found.spectra.items():
        save_spectrum(spectrum, folder / f"{name}.csv")
    for unit in dict.fromkeys(spectrum.unit for spectrum in found.spectra.values()):
        curves = [(s, name) for name, s in found.spectra.items() if s.unit == unit]
        measured = wishes.experiment if curves[0][1] == "infrared" else None
        panels.append(Panel(curves, experiment=measured))
    figure = draw_panels(panels, direction="descending" if wishes.descending else "ascending")
    figure.savefig(folder / "spectra.png", dpi=150)
    written = [*(f"{name}.csv" for name in found.spectra), "spectra.png"]
    if found.made is not None:
        _write_page(series, found.made, found.advice, folder, wishes)
        written.append("report.html")
    return written


def _refuse_useless(series: TimeSeries, wishes: Wishes, drawn: Collection[str]) -> None:
    """Refuse wishes that mean nothing for what the file holds.

    Raises
    ------
    DataError
        Naming the option.
    """
    if "infrared" not in drawn:
        for option, value in (("experiment", wishes.experiment), ("charge", wishes.charge)):
            if value is not None:
                raise DataError(
                    f"{series.source} holds no dipole, and --{option} {value} is for an infrared "
                    "spectrum: leave it out."
                )
    if wishes.laser is not None and "raman" not in drawn:
        raise DataError(
            f"{series.source} holds no polarizability, so there is no Raman spectrum that a laser "
            f"of {wishes.laser:g} nm could excite: leave --laser out."
        )
    followed = [n for n in ("dipole", "polarizability") if getattr(series, f"{n}_flux") is None]
    if wishes.jumps is not None and all(getattr(series, n) is None for n in followed):
        raise DataError(
            f"{series.source} holds fluxes, which spectra are made of and which know no jumps: "
            "leave --jumps out."
        )


def _write_page(
    series: TimeSeries, made: SeriesSpectra, advice: tuple[str, ...], folder: Path, wishes: Wishes
) -> None:
    result = replace(series_result(Path(series.source).name, made, series.summary), advice=advice)
    measured = wishes.experiment
    given = [] if measured is None else [(measured.name, load_spectrum(measured))]
    Page(page_record([result], given)).save(folder / "report.html")


def _make(series: TimeSeries, wishes: Wishes) -> tuple[dict[str, Spectrum], SeriesSpectra | None]:
    """Spectra by name, and all that the series gives, unless it is a density of states."""
    if wishes.power:
        return {"power": power(series, resolution=wishes.resolution)}, None
    asked: dict[str, Any] = {"resolution": wishes.resolution, "jumps": wishes.jumps or "check"}
    if wishes.laser is not None:
        asked["laser"] = wishes.laser
    made = all_spectra(series, **asked, charge=wishes.charge or 0.0)
    found = {"infrared": made.infrared, "raman": made.raman}
    if wishes.polarised:
        if made.polarised is None:
            raise DataError(f"{series.source} holds no polarizability: leave --polarised out.")
        found["raman_vv"], found["raman_vh"] = made.polarised
    return {n: s for n, s in found.items() if s is not None}, made
