"""Spectra of a trajectory on the command line: what a user says of it, and what is printed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from painn_ase.cli.messages import note
from painn_ase.cli.outputs import refuse_existing, refuse_unwritable
from painn_ase.errors import DataError
from painn_ase.trajectory import read_motion, read_time_series

if TYPE_CHECKING:
    from painn_ase.workflow.recorded import RecordedSpectra, Wishes

__all__ = ["check_options", "numbers_of", "pairs", "spectra_of_trajectory"]

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
    from painn_ase.workflow.recorded import spectra_of_series, write_recorded

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
    found = spectra_of_series(series, wishes)
    _print(found)
    written = write_recorded(series, found, folder, wishes)
    typer.echo(f"written: {folder}/ ({', '.join(written)})")
    if "report.html" in written:
        typer.echo(f"open {folder / 'report.html'} in a browser")


def _print(found: RecordedSpectra) -> None:
    """The area of each spectrum, and the depolarisation ratio."""
    for text in found.advice:
        note(text)
    for name, spectrum in found.spectra.items():
        area = spectrum.band_area()
        error = "" if area.error is None else f" ± {area.error:.3g}"
        typer.echo(f"{name}: total area {area.value:.4g}{error} {_unit_of_area(spectrum.unit)}")
    if found.made is not None and found.made.depolarisation is not None:
        ratio = found.made.depolarisation[0]
        typer.echo(f"depolarisation ratio of the whole spectrum: {ratio:.3f}")


def _unit_of_area(unit: str) -> str:
    """What a spectrum in this unit integrates to over cm⁻¹."""
    shorter = unit.removesuffix("/cm^-1")
    return shorter if shorter != unit else f"{unit}·cm^-1"
