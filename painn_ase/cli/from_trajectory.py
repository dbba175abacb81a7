"""Spectra of a trajectory on the command line: what a user says of it, and what is printed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from painn_ase.cli.messages import note
from painn_ase.cli.outputs import refuse_existing, refuse_unwritable
from painn_ase.errors import DataError, PaiNNWarning
from painn_ase.trajectory import TimeSeries, read_motion, read_time_series

if TYPE_CHECKING:
    from painn_ase.workflow import SeriesSpectra

__all__ = ["Wishes", "check_options", "numbers_of", "pairs", "spectra_of_trajectory"]

#: Options of ``painn-ase spectrum`` that say something of a file, and nothing of a structure.
OF_A_FILE = frozenset(
    [
        "dipole_unit",
        "polarizability_unit",
        "unit",
        "key",
        "volume",
        "cell",
        "molecule",
        "axes",
        "charges",
        "topology",
        "power",
        "polarised",
        "jumps",
        "temperature_reason",
    ]
)
#: Those that say how a run from a structure is to be made.
OF_A_RUN = frozenset(
    [
        "nuclei",
        "beads",
        "check_beads",
        "width_check",
        "replicas",
        "segment",
        "stride",
        "equilibration",
        "spacing",
        "seed",
        "rotation",
        "no_relax",
        "device",
        "backend",
        "restart",
        "shard",
        "merge",
    ]
)
#: Those of a file that say nothing of the density of states of its velocities.
NOT_OF_POWER = frozenset(
    [
        "dipole_unit",
        "polarizability_unit",
        "volume",
        "molecule",
        "charges",
        "polarised",
        "jumps",
        "laser",
        "charge",
        "friction",
        "experiment",
    ]
)


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


def check_options(typed: Collection[str], of_structure: bool) -> None:
    """Refuse what was typed and would be ignored.

    Raises
    ------
    DataError
        Naming the options.
    """
    wrong = sorted(set(typed) & (OF_A_FILE if of_structure else OF_A_RUN))
    if wrong:
        names = ", ".join(f"--{n.replace('_', '-')}" for n in wrong)
        what = "a structure's spectrum" if of_structure else "the spectrum of a trajectory"
        why = "says of a file" if of_structure else "says how a run is to be made"
        raise DataError(f"{names}: {why}, and means nothing for {what}. Leave it out.")
    if "power" in typed and (unused := sorted(set(typed) & NOT_OF_POWER)):
        names = ", ".join(f"--{n.replace('_', '-')}" for n in unused)
        raise DataError(f"{names}: means nothing for a density of states, --power. Leave it out.")


def pairs(words: Sequence[str] | None, option: str) -> dict[str, str]:
    """``quantity=value`` words of an option that may be repeated."""
    found = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise DataError(f"{option} {word!r}: expected QUANTITY=VALUE, e.g. dipole=mu.")
        found[name.strip()] = value.strip()
    return found


def numbers_of(text: str | None, option: str, counts: Collection[int]) -> list[float] | None:
    """Numbers with commas or blanks between them, as many as allowed."""
    if text is None:
        return None
    try:
        values = [float(w) for w in text.replace(",", " ").split()]
    except ValueError as error:
        raise DataError(f"{option} {text!r}: expected numbers, {error}.") from error
    if len(values) not in counts:
        allowed = " or ".join(map(str, sorted(counts)))
        raise DataError(f"{option} {text!r}: {len(values)} numbers, expected {allowed}.")
    return values


def spectra_of_trajectory(
    source: str, folder: Path, wishes: Wishes, said: Mapping[str, Any], overwrite: bool
) -> None:
    """Read, say what was read, and write spectra as CSV and a picture into `folder`.

    Parameters
    ----------
    source : str
        The file.
    folder : Path
        For what is written.
    wishes : Wishes
        What is to be made.
    said : mapping
        Arguments of :func:`painn_ase.trajectory.read_time_series`.
    overwrite : bool
        Replace what is there.
    """
    names = ["power.csv"] if wishes.power else ["infrared.csv", "raman.csv", "report.html"]
    if wishes.polarised:
        names += ["raman_vv.csv", "raman_vh.csv"]
    refuse_unwritable(folder, folder=True)
    if wishes.friction is not None and not wishes.friction >= 0.0:
        raise DataError(f"--friction {wishes.friction:g} is none; give 1/fs, zero or more.")
    refuse_existing((folder / name for name in (*names, "spectra.png")), overwrite)
    series = (read_motion if wishes.power else read_time_series)(source, **said)
    if wishes.friction is not None:
        series = replace(series, friction=wishes.friction)
    typer.echo(series.summary)
    for text in series.notes:
        note(text)
    _write(series, folder, wishes)


def _write(series: TimeSeries, folder: Path, wishes: Wishes) -> None:
    from painn_ase.plotting import Panel, draw_panels
    from painn_ase.spectra import save_spectrum

    (drawn, made), advice = _with_advice(lambda: _spectra(series, wishes))
    if not drawn:
        raise DataError(f"{series.source} holds nothing a spectrum could be made of.")
    _refuse_useless(series, wishes, drawn)
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in drawn.items():
        save_spectrum(found, folder / f"{name}.csv")
        area = found.band_area()
        error = "" if area.error is None else f" ± {area.error:.3g}"
        typer.echo(f"{name}: total area {area.value:.4g}{error} {_unit_of_area(found.unit)}")
    if made is not None and made.depolarisation is not None:
        typer.echo(f"depolarisation ratio of the whole spectrum: {made.depolarisation[0]:.3f}")
    units = dict.fromkeys(found.unit for found in drawn.values())
    panels = []
    for unit in units:
        curves = [(found, name) for name, found in drawn.items() if found.unit == unit]
        measured = wishes.experiment if curves[0][1] == "infrared" else None
        panels.append(Panel(curves, experiment=measured))
    figure = draw_panels(panels, direction="descending" if wishes.descending else "ascending")
    figure.savefig(folder / "spectra.png", dpi=150)
    written = [*(f"{name}.csv" for name in drawn), "spectra.png"]
    if made is not None:
        _write_page(series, made, folder, wishes, advice)
        written.append("report.html")
    typer.echo(f"written: {folder}/ ({', '.join(written)})")
    if made is not None:
        typer.echo(f"open {folder / 'report.html'} in a browser")


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
    series: TimeSeries,
    made: SeriesSpectra,
    folder: Path,
    wishes: Wishes,
    advice: tuple[str, ...],
) -> None:
    from painn_ase.page import Page, page_record
    from painn_ase.spectra import load_spectrum
    from painn_ase.workflow.pages import series_result

    result = replace(series_result(Path(series.source).name, made, series.summary), advice=advice)
    measured = wishes.experiment
    given = [] if measured is None else [(measured.name, load_spectrum(measured))]
    Page(page_record([result], given)).save(folder / "report.html")


def _spectra(series: TimeSeries, wishes: Wishes) -> tuple[dict[str, Any], Any]:
    """Spectra by name, and all that the series gives, unless it is a density of states."""
    from painn_ase.spectra import power
    from painn_ase.workflow import all_spectra

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


def _with_advice(make: Callable[[], Any]) -> tuple[Any, tuple[str, ...]]:
    """What `make` returns, and its warnings, printed once each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PaiNNWarning)
        made = make()
    advice = tuple(dict.fromkeys(str(w.message) for w in caught))
    for text in advice:
        note(text)
    return made, advice


def _unit_of_area(unit: str) -> str:
    """What a spectrum in this unit integrates to over cm⁻¹."""
    shorter = unit.removesuffix("/cm^-1")
    return shorter if shorter != unit else f"{unit}·cm^-1"
