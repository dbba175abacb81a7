"""Pages of results: of an outcome at hand, and of finished folders, one or several in one page."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from painn_ase.errors import DataError, PaiNNWarning
from painn_ase.page import Page, PageLevel, PageLevels, PageResult, PageRun, page_record
from painn_ase.spec import from_dict, to_dict
from painn_ase.spectra import HarmonicResult, Spectrum, load_spectrum
from painn_ase.trajectory import TrajectoryReader
from painn_ase.workflow.numbers import SeriesSpectra, all_spectra, series_of_segments
from painn_ase.workflow.records import Outcome, SpectrumConfig, saved_settings
from painn_ase.workflow.words import caveats, how_modes_were_made, what_was_run

__all__ = [
    "folder_result",
    "harmonic_result",
    "outcome_page",
    "page_of_folders",
    "series_result",
    "short_header",
]

#: what commands leave of a spectrum, by the name it has in a record
_CURVES = {"infrared": "infrared.csv", "raman": "raman.csv"}
_POLARISED = ("raman_vv.csv", "raman_vh.csv")


def outcome_page(outcome: Outcome, experiment: str | Path | None = None) -> Page:
    """The page of an outcome, with a measured spectrum laid over where one is named."""
    return Page(page_record([_of_outcome(outcome)], _measured(experiment)))


def page_of_folders(
    folders: Sequence[str | Path],
    *,
    names: Sequence[str] | None = None,
    experiment: str | Path | None = None,
    anharmonic: str | Path | None = None,
) -> Page:
    """One page of the results in finished folders, to be looked at or compared.

    Parameters
    ----------
    folders : sequence of str or Path
        That ``painn-ase spectrum``, ``demo`` or ``harmonic`` wrote.
    names : sequence of str, optional
        What the page calls them; by default their folders' names.
    experiment : str or Path, optional
        JCAMP-DX or CSV file to lay over.
    anharmonic : str or Path, optional
        ``anharmonic.json`` of ``painn-ase anharmonic``, for the levels of the modes of the one
        folder; by default a file of that name in a folder.

    Raises
    ------
    DataError
        When a folder holds no finished result, or the number of names is another.
    """
    if names is not None and len(names) != len(folders):
        raise DataError(f"{len(names)} names for {len(folders)} folders: give as many of both")
    called = list(names) if names is not None else _tell_apart([Path(f) for f in folders])
    results = [folder_result(f, name) for f, name in zip(folders, called, strict=True)]
    if anharmonic is not None:
        if len(results) != 1 or results[0].modes is None:
            raise DataError("anharmonic levels belong to the modes of one folder: name one.")
        results = [replace(results[0], levels=_levels(Path(anharmonic), results[0].modes))]
    return Page(page_record(results, _measured(experiment)))


def folder_result(folder: str | Path, name: str | None = None) -> PageResult:
    """What a finished folder holds for a page.

    Raises
    ------
    DataError
        When it holds no result, or one that is not finished.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: name one that a command has written.")
    name = name or folder.resolve().name
    result = None
    if (folder / "settings.json").exists():
        result = _of_run(folder, name)
    elif (folder / "modes.json").exists():
        modes = HarmonicResult.load(folder / "modes.json")
        facts = _facts(folder, needed=False)
        result = harmonic_result(
            name, modes, _curves(folder), facts.get("model") or {}, str(facts.get("driver") or "")
        )
    if result is not None:
        beside = folder / "anharmonic.json"
        if result.modes is not None and beside.exists():
            return replace(result, levels=_levels(beside, result.modes))
        return result
    curves = _curves(folder)
    if not curves.infrared and not curves.raman and not curves.polarised:
        raise DataError(
            f"{folder} holds no result: expected what `painn-ase spectrum`, `demo` or `harmonic` "
            "writes (settings.json, modes.json, infrared.csv or raman.csv)."
        )
    return replace(series_result(name, curves), model=_facts(folder, needed=False).get("model", {}))


def harmonic_result(
    name: str,
    modes: HarmonicResult,
    curves: SeriesSpectra,
    model: Mapping[str, Any],
    driver: str = "",
) -> PageResult:
    """Normal modes and their broadened lines, for a page.

    `driver` names the calculator of the forces where that is not the model; `model` is then the
    header of the one for responses, empty where there is none.
    """
    widths = {f"{s.fwhm:g}" for s in (curves.infrared, curves.raman) if s is not None and s.fwhm}
    lines = f" Lines are {' and '.join(widths)} cm⁻¹ wide." if widths else ""
    return PageResult(
        name=name,
        formula=Atoms(modes.symbols).get_chemical_formula() if "X" not in modes.symbols else "",
        infrared=curves.infrared,
        raman=curves.raman,
        polarised=curves.polarised or _polarised_lines(modes, curves.raman),
        modes=modes,
        model=model,
        methods=how_modes_were_made(driver, bool(model)) + lines,
        caveats=(
            "Harmonic: no anharmonicity and no temperature; X–H stretches come out some 3 to 5 % "
            "too high.",
            "The modes are those of one conformer.",
        ),
    )


def _polarised_lines(
    modes: HarmonicResult, raman: Spectrum | None
) -> tuple[Spectrum, Spectrum] | None:
    """The broadened lines of an unpolarised spectrum in VV and VH geometry, on its grid."""
    if raman is None or raman.fwhm is None or modes.raman is None:
        return None
    told = raman.provenance
    temperature, laser = told.get("temperature_K"), told.get("laser_invcm")
    if not isinstance(temperature, int | float) or not isinstance(laser, int | float):
        return None
    vv, vh = (
        modes.raman_spectrum(
            raman.fwhm,
            temperature=temperature,
            laser_wavenumber=laser,
            component=component,
            shape=str(told.get("line_shape", "lorentzian")),
            frequency=raman.frequency,
        )
        for component in ("vv", "vh")
    )
    return vv, vh


def series_result(name: str, curves: SeriesSpectra, summary: str = "") -> PageResult:
    """Spectra of a trajectory, for a page; `summary` says what was understood of the file."""
    return PageResult(
        name=name,
        infrared=curves.infrared,
        raman=curves.raman,
        polarised=curves.polarised,
        depolarisation=curves.depolarisation,
        methods="Spectra from the dipoles and polarizabilities along a given trajectory"
        + (f": {summary}." if summary else "."),
        caveats=(
            "The error bars are statistical; what made the trajectory has errors of its own.",
        ),
    )


def short_header(model: Mapping[str, Any]) -> dict[str, Any]:
    """Of a model's header what pages and summaries tell: names, network, and its own errors."""
    network, provenance = model.get("representation"), model.get("provenance")
    kind = network.get("kind", "painn") if isinstance(network, dict) else None
    past = provenance if isinstance(provenance, dict) else {}
    split = past.get("split")
    counts = split if isinstance(split, dict) else {}
    return {
        **{k: model.get(k) for k in ("name", "description", "licence", "citation")},
        "representation": None if kind is None else {"kind": kind},
        "provenance": {
            "errors": past.get("errors") or {},
            "split": {k: n for k, n in counts.items() if isinstance(n, int)},
        },
    }


# -- one run of the workflow -----------------------------------------------------------------------


def _of_outcome(outcome: Outcome) -> PageResult:
    segments, thermostat = outcome.segments, outcome.thermostat
    return _of_workflow(
        outcome.folder,
        outcome.config,
        SeriesSpectra(outcome.infrared, outcome.raman, outcome.depolarisation, outcome.polarised),
        outcome.modes,
        {
            "name": outcome.formula,
            "formula": outcome.formula,
            "temperature": outcome.temperature,
            "bands": tuple(to_dict(band) for band in outcome.bands),
            "model": outcome.model,
            "advice": outcome.advice,
        },
        {
            "beads": outcome.n_beads,
            "drift": None if segments is None or segments.drift is None else 1e3 * segments.drift,
            "thermostat": None if thermostat is None else thermostat.temperature,
            "seconds": outcome.seconds,
        },
        outcome.driver,
    )


def _of_run(folder: Path, name: str) -> PageResult:
    facts = _facts(folder, needed=True)
    config: SpectrumConfig = from_dict(SpectrumConfig, saved_settings(folder))
    path = folder / "modes.json"
    modes = HarmonicResult.load(path) if path.exists() else None
    found, header = _from_segments(folder, config, facts)
    try:
        about = {
            "name": name,
            "formula": str(facts["formula"]),
            "temperature": float(facts["temperature_K"]),
            "bands": tuple(facts.get("bands") or ()),
            "model": header or facts.get("model") or {},
            "advice": tuple(str(a) for a in facts.get("advice") or ()),
        }
        run = {
            "beads": int(
                facts.get("n_beads") or (config.beads if config.nuclei != "classical" else 1)
            ),
            "drift": facts.get("drift_meV_per_atom_ps"),
            "thermostat": facts.get("thermostat_temperature_K"),
            "seconds": dict(facts.get("seconds") or {}),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / 'summary.json'} holds something else: {error!r}.") from error
    driver = str(facts.get("driver") or "")
    return _of_workflow(folder, config, found, modes, about, run, driver)


def _of_workflow(
    folder: Path,
    config: SpectrumConfig,
    found: SeriesSpectra,
    modes: HarmonicResult | None,
    about: Mapping[str, Any],
    run: Mapping[str, Any],
    driver: str,
) -> PageResult:
    first = found.infrared or found.raman
    return PageResult(
        **about,
        infrared=found.infrared,
        raman=found.raman,
        polarised=found.polarised,
        depolarisation=found.depolarisation,
        modes=modes,
        run=PageRun(
            replicas=config.replicas,
            segment=config.segment,
            timestep=config.timestep,
            target=config.temperature,
            nuclei=config.nuclei,
            **run,
            **_run_curves(folder / "segments.h5"),
        ),
        methods=what_was_run(
            config, int(run["beads"]), None if first is None else first.fwhm, driver
        ),
        caveats=caveats(config, raman=found.raman is not None, modes=modes is not None),
    )


def _from_segments(
    folder: Path, config: SpectrumConfig, facts: Mapping[str, Any]
) -> tuple[SeriesSpectra, dict[str, Any]]:
    """Spectra with their samples, and the model's header; the tables' where the file is gone."""
    path, structure = folder / "segments.h5", folder / "relaxed.extxyz"
    if not path.exists() or not structure.exists():
        return _curves(folder), {}
    atoms: Any = ase.io.read(structure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaiNNWarning)  # what came up is in the summary
        found = all_spectra(
            series_of_segments(path, config, atoms, facts["temperature_K"]),
            laser=config.laser,
            resolution=config.resolution,
            timestep=config.timestep,
        )
    with TrajectoryReader(path) as reader:
        header = reader.provenance.get("model")
    return found, dict(header) if isinstance(header, dict) else {}


def _run_curves(path: Path) -> dict[str, Any]:
    """Temperature and conserved energy along the segments."""
    if not path.exists():
        return {}
    with TrajectoryReader(path) as reader:
        time = 1e-3 * reader.times("conserved_energy")
        energy = reader.read("conserved_energy").reshape(len(time), -1)
        temperature = reader.read("temperature").reshape(len(time), -1)
        n_atoms = len(reader.system.numbers)
    since_start = 1e3 * (energy - energy[:1]) / n_atoms
    return {
        "time": time,
        "temperature": temperature.mean(axis=1),
        "energy": since_start.mean(axis=1),
        "spread": since_start.std(axis=1),
    }


# -- files -----------------------------------------------------------------------------------------


def _facts(folder: Path, *, needed: bool) -> dict[str, Any]:
    path = folder / "summary.json"
    if not path.exists():
        if needed:
            raise DataError(
                f"{folder} holds a run that is not finished: there is no summary.json. Go on with "
                "it by --restart."
            )
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if not isinstance(facts, dict) or (
        needed and not isinstance(facts.get("temperature_K"), int | float)
    ):
        raise DataError(f"{path} holds something else than the summary of a run.")
    return facts


def _levels(path: Path, modes: HarmonicResult) -> PageLevels:
    """Anharmonic levels of a file, which must be those of these modes."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != "painn_ase anharmonic 1":
            raise ValueError(f"its format is {found['format']!r}")
        harmonic = np.array(found["harmonic"], dtype=np.float64)
        fundamentals = np.array(found["fundamentals"], dtype=np.float64)
        strengths = {  # files of earlier versions know no Raman
            name: None if found.get(name) is None else np.array(found[name], dtype=np.float64)
            for name in ("infrared", "raman", "depolarisation")
        }
        others = tuple(
            PageLevel(
                _level_name(level["quanta"]),
                float(level["wavenumber"]),
                **{
                    name: None if level.get(name) is None else float(level[name])
                    for name in strengths
                },
            )
            for level in found["levels"]
            if sum(level["quanta"].values()) > 1
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} holds no levels of `painn-ase anharmonic`: {error!r}.") from error
    same = harmonic.shape == modes.frequencies.shape == fundamentals.shape
    # the masses may be those of the common isotopes there and averages here
    if not same or np.any(np.abs(harmonic - modes.frequencies) > 2.0 + 2e-3 * np.abs(harmonic)):
        raise DataError(
            f"{path} is of other normal modes: its harmonic wavenumbers differ from those of the "
            "folder. Analyse the same structure with the same model."
        )
    return PageLevels(fundamentals, others=others, **strengths)


def _level_name(quanta: Mapping[str, int]) -> str:
    return " + ".join(f"{'2 ' if n == 2 else ''}ν{mode}" for mode, n in quanta.items())


def _curves(folder: Path) -> SeriesSpectra:
    """Spectra from the tables of a folder; they have errors, but no samples."""

    def load(name: str) -> Spectrum | None:
        return load_spectrum(folder / name) if (folder / name).exists() else None

    vv, vh = map(load, _POLARISED)
    return SeriesSpectra(
        infrared=load(_CURVES["infrared"]),
        raman=load(_CURVES["raman"]),
        polarised=None if vv is None or vh is None else (vv, vh),
    )


def _measured(path: str | Path | None) -> list[tuple[str, Spectrum]]:
    return [] if path is None else [(Path(path).name, load_spectrum(path))]


def _tell_apart(folders: Sequence[Path]) -> list[str]:
    """Names of folders: their last part, or as much of the path as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{folder} ({k + 1})" for k, folder in enumerate(folders)]
