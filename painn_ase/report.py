"""What a reader gets of a spectrum: pictures, CSV, JSON, a Markdown report and the HTML page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase._version import __version__
from painn_ase.driven import DrivenCalculator
from painn_ase.md.identity import charge_of_run
from painn_ase.page import Page, page_record
from painn_ase.plotting import (
    Panel,
    draw_panels,
    new_figure,
    plot_energy_drift,
    plot_temperature,
)
from painn_ase.replacing import write_text
from painn_ase.spec import to_dict
from painn_ase.spectra import HarmonicResult, Spectrum, harmonic_lines, save_spectrum
from painn_ase.trajectory import TrajectoryReader
from painn_ase.workflow import Outcome, SeriesSpectra, outcome_page
from painn_ase.workflow.pages import harmonic_result, short_header
from painn_ase.workflow.structures import save_structure
from painn_ase.workflow.words import caveats, what_was_run

__all__ = [
    "MODE_FILES",
    "draw_run",
    "draw_spectra",
    "report_markdown",
    "write_modes",
    "write_outcome",
]

#: What :func:`write_modes` makes, beside the animations.
MODE_FILES = (
    "modes.json",
    "modes.txt",
    "relaxed.xyz",
    "infrared.csv",
    "raman.csv",
    "spectra.png",
    "summary.json",
    "report.html",
)

_TITLES = {"infrared": "infrared", "raman": "Raman, unpolarised"}


def write_outcome(
    outcome: Outcome, *, experiment: str | Path | None = None, descending: bool = False
) -> list[Path]:
    """Everything a reader wants, into the outcome's folder.

    Parameters
    ----------
    outcome : Outcome
        Of :func:`~painn_ase.workflow.run_spectrum`.
    experiment : str or Path, optional
        JCAMP-DX or CSV file laid over the infrared spectrum, in the page over the one it is of.
    descending : bool
        High wavenumbers on the left.

    Returns
    -------
    list of Path
        What was written.
    """
    folder = outcome.folder
    written = []
    spectra = {"infrared": outcome.infrared, "raman": outcome.raman}
    for name, spectrum in spectra.items():
        if spectrum is not None:
            written.append(folder / f"{name}.csv")
            save_spectrum(spectrum, written[-1])
    written.append(folder / "spectra.png")
    draw_spectra(outcome, written[-1], experiment=experiment, descending=descending)
    if (folder / "segments.h5").exists():
        written.append(folder / "run.png")
        draw_run(outcome, written[-1])
    for name, content in (
        ("summary.json", json.dumps(summary(outcome), indent=1, ensure_ascii=False)),
        ("report.md", report_markdown(outcome)),
    ):
        written.append(folder / name)
        write_text(written[-1], content)
    # last: `painn-ase report` can make it again from what is there now
    written.append(outcome_page(outcome, experiment).save(folder / "report.html"))
    return written


def draw_spectra(
    outcome: Outcome,
    path: Path,
    *,
    experiment: str | Path | None = None,
    descending: bool = False,
) -> None:
    """Infrared and Raman with error band and harmonic sticks, as a picture at `path`."""
    panels = [
        Panel(
            [(spectrum, "dynamics")],
            title=f"{_subscripts(outcome.formula)}: {_TITLES[name]}",
            sticks=_sticks(outcome, name, spectrum),
            experiment=experiment if name == "infrared" else None,
        )
        for name, spectrum in (("infrared", outcome.infrared), ("raman", outcome.raman))
        if spectrum is not None
    ]
    figure = draw_panels(panels, direction="descending" if descending else "ascending")
    figure.savefig(path, dpi=150)


def draw_run(outcome: Outcome, path: Path) -> None:
    """Energy drift and temperature of the segments, as a picture at `path`."""
    figure, axes = new_figure(2, width=7.2, panel_height=2.7)
    with TrajectoryReader(outcome.folder / "segments.h5") as reader:
        times = 1e-3 * reader.times("conserved_energy")
        energy = reader.read("conserved_energy").T
        temperature = reader.read("temperature").T
        n_atoms = len(reader.system.numbers)
    plot_energy_drift(axes[0], times, energy, n_atoms=n_atoms)
    plot_temperature(axes[1], times, temperature.mean(axis=0), target=outcome.config.temperature)
    axes[1].set_ylabel("T (mean of replicas) / K")
    figure.savefig(path, dpi=150)


def _subscripts(formula: str) -> str:
    """A chemical formula with its numbers lowered, for matplotlib."""
    return re.sub(r"(\d+)", r"$_{\1}$", formula)


def _sticks(outcome: Outcome, name: str, spectrum: Spectrum) -> NDArray[np.float64] | None:
    modes = outcome.modes
    if modes is None or getattr(modes, name) is None:
        return None
    return harmonic_lines(modes, spectrum)


# -- words -----------------------------------------------------------------------------------------


def summary(outcome: Outcome) -> dict[str, Any]:
    """The outcome's numbers, JSON-ready."""
    segments, thermostat = outcome.segments, outcome.thermostat
    ir = outcome.infrared
    total = None if ir is None else ir.band_area(0.0, None)
    return {
        "painn_ase": __version__,
        "formula": outcome.formula,
        "model": short_header(outcome.model),
        "driver": outcome.driver,
        "settings": to_dict(outcome.config),
        "temperature_K": outcome.temperature,
        "n_beads": outcome.n_beads,
        "thermostat_temperature_K": None if thermostat is None else thermostat.temperature,
        "drift_meV_per_atom_ps": (
            None if segments is None or segments.drift is None else 1e3 * segments.drift
        ),
        "resolution_invcm": None if ir is None else ir.fwhm,
        "infrared_total_km_per_mol": None if total is None else [total.value, total.error],
        "depolarisation": outcome.depolarisation,
        "bands": [to_dict(b) for b in outcome.bands],
        "modes": [] if outcome.modes is None else _mode_rows(outcome),
        "advice": list(outcome.advice),
        "seconds": {k: round(v, 2) for k, v in outcome.seconds.items()},
    }


def _mode_rows(outcome: Outcome) -> list[dict[str, float | None]]:
    modes = outcome.modes
    if modes is None:
        return []
    columns = {
        "frequency_invcm": modes.frequencies,
        "infrared_km_per_mol": modes.infrared,
        "raman_A4_per_amu": modes.raman,
        "depolarisation": modes.depolarisation,
    }
    return [
        {name: None if values is None else float(values[k]) for name, values in columns.items()}
        for k in range(len(modes.frequencies))
    ]


def report_markdown(outcome: Outcome) -> str:
    """The report as Markdown."""
    parts = [
        f"# Infrared and Raman spectrum of {outcome.formula}",
        _what_was_run(outcome),
        "![spectra](spectra.png)",
        _band_section(outcome),
        _peak_section(outcome),
        _mode_section(outcome),
        _model_section(outcome),
        _run_section(outcome),
        _caveats(outcome),
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


def _what_was_run(outcome: Outcome) -> str:
    ir = outcome.infrared
    width = None if ir is None else ir.fwhm
    text = what_was_run(outcome.config, outcome.n_beads, width, outcome.driver)
    if outcome.modes is not None:
        text += (
            " Sticks are the normal modes of the relaxed structure, each as long as a line of its "
            "intensity is high in this spectrum, divided by what the legend says; they are the "
            "same forces without anharmonicity and temperature."
        )
    return text


def _band_section(outcome: Outcome) -> str:
    if not outcome.bands:
        return ""
    rows = [
        "| region / cm⁻¹ | dynamics / km/mol | harmonic / km/mol | modes |",
        "|--:|--:|--:|--:|",
    ]
    for b in outcome.bands:
        error = "" if b.error is None else f" ± {b.error:.1f}"
        rows.append(
            f"| {b.low:.0f}–{b.high:.0f} | {b.area:.1f}{error} | {b.harmonic:.1f} | {b.modes} |"
        )
    return "## Infrared band areas\n\n" + "\n".join(rows)


def _peak_section(outcome: Outcome) -> str:
    parts = []
    for name, spectrum in (("infrared", outcome.infrared), ("raman", outcome.raman)):
        if spectrum is None:
            continue
        low = 2.0 * (spectrum.fwhm or 0.0)
        peaks = [p for p in spectrum.peaks(threshold=0.02) if p.frequency > low]
        listed = ", ".join(f"{p.frequency:.0f}" for p in sorted(peaks)[:30])
        parts.append(f"{_TITLES[name].capitalize()}: {listed or 'none'} cm⁻¹.")
    if outcome.depolarisation is not None:
        value, error = outcome.depolarisation
        spread = "" if error is None else f" ± {error:.3f}"
        parts.append(f"Depolarisation ratio of the whole Raman spectrum: {value:.3f}{spread}.")
    return "## Maxima\n\n" + "\n\n".join(parts) if parts else ""


def _mode_section(outcome: Outcome) -> str:
    rows = _mode_rows(outcome)
    if not rows:
        return ""
    lines = [
        "| mode | cm⁻¹ | IR / km/mol | Raman / Å⁴/amu | depolarisation |",
        "|--:|--:|--:|--:|--:|",
    ]
    for n, row in enumerate(rows, start=1):
        cells = [
            f"{row['frequency_invcm']:.1f}",
            *(
                "–" if row[k] is None else format(row[k], f".{digits}f")
                for k, digits in (
                    ("infrared_km_per_mol", 2),
                    ("raman_A4_per_amu", 2),
                    ("depolarisation", 3),
                )
            ),
        ]
        lines.append(f"| {n} | {' | '.join(cells)} |")
    return "## Normal modes\n\n" + "\n".join(lines)


def _model_section(outcome: Outcome) -> str:
    model = outcome.model
    lines = [f"**{model.get('name') or 'unnamed'}**. {model.get('description') or ''}".strip()]
    for key in ("citation", "licence", "code_version"):
        if model.get(key):
            lines.append(f"- {key.replace('_', ' ')}: {model[key]}")
    provenance = model.get("provenance") or {}
    for key, value in provenance.items():
        if isinstance(value, str | int | float):
            lines.append(f"- {key.replace('_', ' ')}: {value}")
    return "## Model\n\n" + "\n".join(lines) + _error_table(provenance.get("errors"))


def _error_table(errors: object) -> str:
    """The model's own errors as training recorded them, by part of the data; "" if it did not."""
    rows = [
        f"| {part} | {name.replace('_', ' ')} | {found['mae']:.2g} | {found['rmse']:.2g} "
        f"| {found.get('unit', '')} |"
        for part, quantities in (errors.items() if isinstance(errors, dict) else ())
        if isinstance(quantities, dict)
        for name, found in quantities.items()
        if isinstance(found, dict) and {"mae", "rmse"} <= found.keys()
    ]
    if not rows:
        return ""
    head = (
        "\n\n| frames | error of | mean absolute | root mean square | unit |\n|--|--|--:|--:|--|\n"
    )
    return head + "\n".join(rows)


def _run_section(outcome: Outcome) -> str:
    lines = []
    if outcome.thermostat is not None:
        lines.append(f"- Langevin run: mean temperature {outcome.thermostat.temperature:.1f} K")
    if outcome.segments is not None:
        drift = outcome.segments.drift
        said = "not known" if drift is None else f"{1e3 * drift:.2e} meV per atom and ps"
        lines += [
            f"- segments: mean temperature {outcome.temperature:.1f} K over "
            f"{outcome.segments.degrees_of_freedom} degrees of freedom; energy drift {said}",
        ]
    if outcome.seconds:
        total = sum(outcome.seconds.values())
        each = ", ".join(f"{k} {v:.0f} s" for k, v in outcome.seconds.items() if v >= 0.5)
        lines.append(f"- wall time {total:.0f} s ({each})")
    lines.append(f"- painn_ase {__version__}")
    picture = "\n\n![run](run.png)" if (outcome.folder / "run.png").exists() else ""
    return "## Run\n\n" + "\n".join(lines) + picture


def _caveats(outcome: Outcome) -> str:
    lines = [
        *caveats(outcome.config, raman=outcome.raman is not None, modes=outcome.modes is not None),
        *outcome.advice,
    ]
    ended = (text if text.endswith(".") else f"{text}." for text in lines)
    return "## Read with care\n\n" + "\n".join(f"- {text}" for text in ended)


# -- normal modes alone -------------------------------------------------------------------------


def write_modes(
    folder: Path,
    atoms: Atoms,
    result: HarmonicResult,
    *,
    fwhm: float,
    temperature: float,
    animate: bool,
) -> list[Path]:
    """Modes, structure, spectra, picture, page and animations into `folder`.

    Parameters
    ----------
    folder : Path
        Made where it is missing; what is there is replaced.
    atoms : ase.Atoms
        The structure, with its calculator.
    result : HarmonicResult
        Its modes.
    fwhm : float
        Of the lines in the spectra, cm⁻¹.
    temperature : float
        Of the Raman cross section, K.
    animate : bool
        Each mode as a file too.

    Returns
    -------
    list of Path
        All that is in the folder now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result.save(folder / "modes.json")
    (folder / "modes.txt").write_text(result.table(), encoding="utf-8")
    save_structure(folder / "relaxed.xyz", atoms, charge_of_run(atoms, atoms.calc))
    drawn = {}
    if result.infrared is not None:
        drawn["infrared"] = result.infrared_spectrum(fwhm)
    if result.raman is not None:
        drawn["raman"] = result.raman_spectrum(fwhm, temperature=temperature)
    for name, spectrum in drawn.items():
        save_spectrum(spectrum, folder / f"{name}.csv")
    if drawn:
        panels = [
            Panel([(spectrum, name)], sticks=harmonic_lines(result, spectrum))
            for name, spectrum in drawn.items()
        ]
        draw_panels(panels).savefig(folder / "spectra.png", dpi=150)
    if len(result.frequencies):
        _write_modes_page(
            folder, atoms, result, SeriesSpectra(drawn.get("infrared"), drawn.get("raman"))
        )
    if animate:
        for mode in range(len(result.frequencies)):
            path = folder / f"mode_{mode + 1:02d}.xyz"
            path.write_text(result.animation(mode), encoding="utf-8")
    return sorted(folder.iterdir())


def _write_modes_page(
    folder: Path, atoms: Atoms, result: HarmonicResult, drawn: SeriesSpectra
) -> None:
    """The page, and what `painn-ase report` needs to make it again."""
    formula = atoms.get_chemical_formula()
    responding, driver = atoms.calc, ""
    if isinstance(atoms.calc, DrivenCalculator):
        responding, driver = atoms.calc.response, atoms.calc.name_of_driver
    model = {} if responding is None else short_header(to_dict(responding.potential.spec))
    summary = {"painn_ase": __version__, "formula": formula, "model": model, "driver": driver}
    write_text(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False))
    shown = harmonic_result(formula, result, drawn, model, driver)
    Page(page_record([shown])).save(folder / "report.html")
