"""The record inside a page: what Python found, as plain JSON, for the page's script.

``{"schema", "made_by", "results": [one a result], "experiments": [measured curves]}``; its fields
are explained in ``docs/report_page.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from painn_ase._version import __version__
from painn_ase.errors import DataError
from painn_ase.page.character import bonds_of, mode_characters
from painn_ase.page.checks import checks_of
from painn_ase.page.citations import citations_of
from painn_ase.page.packing import digits, packed, rounded
from painn_ase.page.result import PageLevel, PageLevels, PageResult, PageRun
from painn_ase.spectra import HarmonicResult, Spectrum, harmonic_lines
from painn_ase.spectra.foreign import as_absorbance
from painn_ase.spectra.shown import edge_of_zero, shown_range

__all__ = ["SCHEMA", "page_record"]

Array = NDArray[np.float64]

SCHEMA = "painn_ase page 1"
#: samples that areas get their errors from; fewer means would lose the errors' own accuracy
_SAMPLES = 64
#: points and samples of a curve together; more are thinned as far as its resolution allows
_MOST_NUMBERS = 120_000
#: atoms up to which displacements are kept to more than a hundredth
_FINE_UP_TO = 100
#: points of the run's curves are left out above about so many
_RUN_POINTS = 400
#: overtones and combinations weaker than this share of the strongest are left out
_WEAKEST = 1e-3
#: a curve ends this far above the highest mode, cm⁻¹, or else where nothing is seen any more
_ABOVE = 500.0


def page_record(
    results: Sequence[PageResult], experiments: Sequence[tuple[str, Spectrum]] = ()
) -> dict[str, Any]:
    """All that a page shows, JSON-ready: no NaN, no array, no object.

    Parameters
    ----------
    results : sequence of PageResult
    experiments : sequence of (str, Spectrum)
        Measured curves laid over, with their names; transmittance becomes absorbance.

    Raises
    ------
    DataError
        Without any result, or when one has neither a spectrum nor modes.
    """
    if not results:
        raise DataError("a page needs at least one result; none was given")
    top = max(map(_top, results))
    record: dict[str, Any] = _finite(
        {
            "schema": SCHEMA,
            "made_by": f"painn_ase {__version__}",
            "results": [_result(result, top) for result in results],
            "experiments": [_experiment(name, spectrum) for name, spectrum in experiments],
        }
    )
    return record


def _finite(value: Any) -> Any:
    """A record in which NaN and infinity, of an exploded run or a foreign file, are None."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _result(result: PageResult, top: float) -> dict[str, Any]:
    modes, curves = result.modes, _curves(result)
    bonds = [] if modes is None else bonds_of(modes.symbols, modes.positions)
    total = None if result.infrared is None else result.infrared.band_area(0.0, None)
    return {
        "name": result.name,
        "formula": result.formula,
        "conditions": _conditions(result),
        "curves": {name: _curve(spectrum, top) for name, spectrum in curves.items()},
        "molecule": None if modes is None else _molecule(modes, bonds),
        "modes": None if modes is None else _modes(modes, bonds, curves, result.levels),
        "bands": [dict(band) for band in result.bands],
        "infrared_total": None if total is None else [*total],
        "depolarisation": None if result.depolarisation is None else [*result.depolarisation],
        "model": _model(result),
        "run": None if result.run is None else _run(result.run),
        "methods": result.methods,
        "citations": citations_of(result),
        "checks": checks_of(result),
        "caveats": [*result.caveats],
    }


def _curves(result: PageResult) -> dict[str, Spectrum]:
    """Spectra by the name they have in the record."""
    infrared = {} if result.infrared is None else {"infrared": result.infrared}
    return infrared | result.ramans


def _top(result: PageResult) -> float:
    """Where curves of a result end, cm⁻¹."""
    modes, curves = result.modes, _curves(result)
    if modes is not None and len(modes.frequencies):
        return float(modes.frequencies[-1]) + _ABOVE
    if not curves:
        raise DataError(f"{result.name} has neither a spectrum nor normal modes to show")
    return max(shown_range(spectrum)[1] for spectrum in curves.values())


def _conditions(result: PageResult) -> dict[str, Any]:
    """What was asked and found, as far as it is known."""
    first = next(iter(_curves(result).values()), None)
    raman = next(iter(result.ramans.values()), None)
    laser = None if raman is None else raman.provenance.get("laser_invcm")
    temperature = result.temperature
    if temperature is None and first is not None:
        given = (raman or first).provenance.get("temperature_K")
        temperature = float(given) if isinstance(given, int | float) else None
    run = result.run
    return {
        "temperature_K": temperature,
        "target_temperature_K": None if run is None else run.target,
        "laser_nm": 1e7 / laser if isinstance(laser, int | float) and laser > 0 else None,
        "resolution_invcm": None if first is None else first.fwhm,
        "harmonic": first is not None and first.provenance.get("approximation") == "harmonic",
        "segments": None if run is None else run.replicas,
        "segment_ps": None if run is None else run.segment,
        "timestep_fs": None if run is None else run.timestep,
        "nuclei": None if run is None else run.nuclei,
        "beads": None if run is None else run.beads,
    }


def _curve(spectrum: Spectrum, top: float) -> dict[str, Any]:
    """A curve with its errors and, packed, its samples' deviations from the mean."""
    part = _thinned(_shown(spectrum, top))
    record: dict[str, Any] = {
        "quantity": part.quantity,
        "unit": part.unit,
        "fwhm": part.fwhm,
        "edge": round(edge_of_zero(spectrum), 2),
        "line_shape": str(part.provenance.get("line_shape", "gaussian")),
        "wavenumber": [round(float(x), 3) for x in part.frequency],
        "intensity": digits(part.intensity),
        "error": None if part.error is None else digits(part.error, 3),
        "deviations": None,
    }
    if part.samples is not None and len(part.samples) >= 2 and part.error is not None:
        groups = np.array_split(part.samples, min(_SAMPLES, len(part.samples)))
        means = np.stack([group.mean(axis=0) for group in groups])
        spread = np.sqrt(len(groups)) * np.asarray(record["error"])
        # in units of the spread at each point, so that one byte serves strong and weak bands alike
        deviations = (means - means.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
        record["deviations"] = packed(deviations, n_bytes=1)
    return record


def _shown(spectrum: Spectrum, top: float) -> Spectrum:
    """Up to `top`; a Raman cross section, which diverges there, begins above zero."""
    first, last = float(spectrum.frequency[0]), float(spectrum.frequency[-1])
    low = max(first, 1.0 if "raman" in spectrum.quantity.lower() else 0.0)
    return spectrum.cropped(low, min(top, last)) if low < min(top, last) else spectrum


def _thinned(spectrum: Spectrum) -> Spectrum:
    """With eight points to a line's width, where there are too many numbers for a page."""
    n_samples = 1 if spectrum.samples is None else min(_SAMPLES, len(spectrum.samples))
    if len(spectrum) * n_samples <= _MOST_NUMBERS or not spectrum.fwhm:
        return spectrum
    span = float(spectrum.frequency[-1] - spectrum.frequency[0])
    n_points = int(np.ceil(8.0 * span / spectrum.fwhm)) + 1
    if n_points >= len(spectrum):
        return spectrum
    return spectrum.interpolated(
        np.linspace(spectrum.frequency[0], spectrum.frequency[-1], n_points)
    )


def _molecule(modes: HarmonicResult, bonds: list[tuple[int, int]]) -> dict[str, Any]:
    return {
        "symbols": list(modes.symbols),
        "masses": digits(modes.masses, 7),
        "positions": rounded(modes.positions, 5),
        "bonds": [list(bond) for bond in bonds],
        "view": rounded(_view(modes.positions), 6),
    }


def _view(positions: Array) -> Array:
    """Rotation (3, 3) that lays the longest extent along x and the shortest along the sight."""
    _, _, axes = np.linalg.svd(positions - positions.mean(axis=0), full_matrices=True)
    if np.linalg.det(axes) < 0.0:
        axes[2] *= -1.0
    return np.asarray(axes)


def _modes(
    modes: HarmonicResult,
    bonds: list[tuple[int, int]],
    curves: dict[str, Spectrum],
    levels: PageLevels | None,
) -> dict[str, Any]:
    def optional(values: Array | None) -> list[float] | None:
        return None if values is None else digits(values)

    characters = mode_characters(modes, bonds)
    n_bytes = 2 if len(modes.masses) <= _FINE_UP_TO else 1
    lines = {name: _lines(modes, spectrum) for name, spectrum in curves.items()}
    return {
        "frequency": digits(modes.frequencies, 6),
        "frequency_std": optional(modes.frequency_std),
        "infrared": optional(modes.infrared),
        "raman": optional(modes.raman),
        "depolarisation": optional(modes.depolarisation),
        "reduced_mass": digits(modes.reduced_masses, 4),
        "character": [[[n, round(s, 3)] for n, s in found] for found in characters],
        "displacement": packed(modes.modes.reshape(len(modes.frequencies), -1), n_bytes),
        "lines": {name: found for name, found in lines.items() if found is not None},
        "n_held": modes.n_held,
        "anharmonic": None if levels is None else _levels(levels, curves),
    }


def _levels(levels: PageLevels, curves: Mapping[str, Spectrum]) -> dict[str, Any]:
    """Fundamentals, the stronger of the other levels, and the areas of both in that order."""

    def optional(values: Array | None) -> list[float] | None:
        return None if values is None else digits(values)

    def short(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.4g}")

    infrared = max((line.infrared or 0.0 for line in levels.others), default=0.0)
    raman = max((line.raman or 0.0 for line in levels.others), default=0.0)
    others = [
        line
        for line in levels.others
        if (line.infrared or 0.0) > _WEAKEST * infrared or (line.raman or 0.0) > _WEAKEST * raman
    ]
    lines = {name: _level_lines(levels, others, spectrum) for name, spectrum in curves.items()}
    return {
        "frequency": digits(levels.fundamentals, 6),
        "infrared": optional(levels.infrared),
        "raman": optional(levels.raman),
        "others": [
            [line.name, round(line.wavenumber, 2), short(line.infrared), short(line.raman)]
            for line in others
        ],
        "lines": {name: found for name, found in lines.items() if found is not None},
    }


def _level_lines(
    levels: PageLevels, others: list[PageLevel], spectrum: Spectrum
) -> list[float] | None:
    """Area of each level in the unit of a curve times cm⁻¹; None where it has none there."""
    wavenumbers = np.concatenate([levels.fundamentals, [line.wavenumber for line in others]])
    order = np.argsort(wavenumbers, kind="stable")

    def all_of(name: str) -> Array | None:
        own, more = getattr(levels, name), [getattr(line, name) for line in others]
        if own is None or any(value is None for value in more):
            return None
        return np.concatenate([own, more])[order]

    # lines do not ask how the atoms move
    as_modes = HarmonicResult(
        frequencies=wavenumbers[order],
        modes=np.zeros((len(order), 1, 3)),
        masses=np.ones(1),
        positions=np.zeros((1, 3)),
        symbols=("X",),
        infrared=all_of("infrared"),
        raman=all_of("raman"),
        depolarisation=all_of("depolarisation"),
    )
    found = _lines(as_modes, spectrum)
    if found is None:
        return None
    areas = np.zeros(len(order))
    areas[order] = found
    return digits(areas)


def _lines(modes: HarmonicResult, spectrum: Spectrum) -> list[float] | None:
    """Area of each mode in the unit of a curve times cm⁻¹; None where it has none there."""
    try:
        lines = harmonic_lines(modes, spectrum)
    except DataError:
        return None  # such a curve has no harmonic counterpart, and the page leaves sticks out
    areas = np.zeros(len(modes.frequencies))
    # lines come in the order of the modes, without those that are imaginary or beyond the laser
    real = np.flatnonzero(modes.frequencies > 0.0)
    areas[real[: len(lines)]] = lines[:, 1]
    return digits(areas)


def _model(result: PageResult) -> dict[str, Any] | None:
    header = result.model
    if not header.get("name") and not header.get("representation"):
        return None
    provenance = header.get("provenance")
    provenance = provenance if isinstance(provenance, dict) else {}
    split = provenance.get("split")
    tested = split.get("test") if isinstance(split, dict) else None
    errors = provenance.get("errors")
    return {
        **{k: header.get(k) or "" for k in ("name", "description", "licence", "citation")},
        "test_frames": tested if isinstance(tested, int) else None,
        "errors": [
            {
                "part": part,
                "quantity": name.replace("_", " "),
                "mae": float(found["mae"]),
                "rmse": float(found["rmse"]),
                "unit": str(found.get("unit", "")),
            }
            for part, quantities in (errors.items() if isinstance(errors, dict) else ())
            if isinstance(quantities, dict)
            for name, found in quantities.items()
            if isinstance(found, dict) and _are_numbers(found.get("mae"), found.get("rmse"))
        ],
    }


def _are_numbers(*values: object) -> bool:
    return all(isinstance(v, int | float) and math.isfinite(v) for v in values)


def _run(run: PageRun) -> dict[str, Any]:
    def optional(values: Array | None, significant: int) -> list[float] | None:
        if values is None:
            return None
        return digits(values[:: max(1, len(values) // _RUN_POINTS)], significant)

    return {
        "time_ps": optional(run.time, 4),
        "temperature_K": optional(run.temperature, 4),
        "energy_mean": optional(run.energy, 3),
        "energy_spread": optional(run.spread, 3),
        "drift_meV_per_atom_ps": run.drift,
        "thermostat_temperature_K": run.thermostat,
        "seconds": {k: round(float(v), 2) for k, v in run.seconds.items()},
    }


def _experiment(name: str, spectrum: Spectrum) -> dict[str, Any]:
    curve = as_absorbance(spectrum)
    raman = "raman" in f"{spectrum.quantity} {name}".lower()
    return {
        "title": name,
        "kind": "raman" if raman else "infrared",
        "x": [round(float(x), 3) for x in curve.frequency],
        "y": digits(curve.intensity),
    }
