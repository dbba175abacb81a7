"""Statements about a result that a reader can act on, each with its number."""

from __future__ import annotations

import numpy as np

from painn_ase.page.result import PageResult, PageRun
from painn_ase.spectra import HarmonicResult

__all__ = ["checks_of"]

#: temperature off by this share, or drift above this (meV per atom and ps), deserve a look
_OFF, _DRIFT = 0.03, 0.05
#: with fewer segments the errors themselves are uncertain
_FEW = 16
#: cm⁻¹: torsions below have no harmonic frequency worth comparing; members that differ by more do
#: not know the molecule
_SOFT, _DISAGREE = 200.0, 30.0


def checks_of(result: PageResult) -> list[dict[str, str]]:
    """``state`` ("pass" or "look"), ``what`` and ``text`` of each."""
    rows: list[tuple[bool, str, str]] = []
    run = result.run
    if run is not None:
        rows += _of_run(result, run)
    elif (total := _infrared_error(result)) is not None:
        rows.append((True, "Statistics", f"the whole infrared intensity is known to {total}"))
    if result.modes is not None and len(result.modes.frequencies):
        rows.append(_structure(result.modes))
        rows += _members(result.modes)
    rows.append(_model(result))
    said = "; ".join(result.advice)
    rows.append((not said, "Warnings", said or "none came up"))
    return [{"state": "pass" if ok else "look", "what": w, "text": t} for ok, w, t in rows]


def _of_run(result: PageResult, run: PageRun) -> list[tuple[bool, str, str]]:
    rows = []
    if result.temperature is not None and run.nuclei == "classical":
        off = result.temperature - run.target
        rows.append(
            (
                abs(off) < _OFF * run.target,
                "Temperature",
                f"{result.temperature:.1f} K in the segments, {off:+.1f} K from the "
                f"{run.target:g} K asked for",
            )
        )
    if run.drift is not None and run.nuclei == "classical":
        spread = "" if run.spread is None else f", scatter {max(run.spread):.2g} meV per atom"
        rows.append(
            (
                abs(run.drift) < _DRIFT,
                "Energy conservation",
                f"drift {run.drift:+.1e} meV per atom and ps{spread}",
            )
        )
    known = _infrared_error(result)
    said = "" if known is None else f"; the whole infrared intensity is known to {known}"
    enough = run.replicas >= _FEW
    more = "" if enough else ", few: take more for errors that are certain"
    rows.append((enough, "Statistics", f"{run.replicas} independent segments{more}{said}"))
    return rows


def _infrared_error(result: PageResult) -> str | None:
    if result.infrared is None:
        return None
    total = result.infrared.band_area(0.0, None)
    if total.error is None or not total.value > 0.0:
        return None
    return f"{100.0 * total.error / total.value:.1f} %"


def _structure(modes: HarmonicResult) -> tuple[bool, str, str]:
    n, low = len(modes.frequencies), float(modes.frequencies[0])
    if modes.n_imaginary:
        return (
            False,
            "Structure",
            f"no minimum: {modes.n_imaginary} of {n} modes imaginary, the lowest at "
            f"{-low:.0f}i cm⁻¹",
        )
    return (
        True,
        "Structure",
        f"a minimum: none of {n} modes imaginary, the lowest at {low:.0f} cm⁻¹",
    )


def _members(modes: HarmonicResult) -> list[tuple[bool, str, str]]:
    """Of a committee: how well it knows this molecule."""
    counted = np.abs(modes.frequencies) > _SOFT
    if modes.frequency_std is None or not counted.any():
        return []
    largest = float(modes.frequency_std[counted].max())
    mean = float(modes.frequency_std[counted].mean())
    said = (
        f"its members differ by {mean:.0f} cm⁻¹ in the mean and {largest:.0f} at most in the "
        f"frequencies above {_SOFT:.0f} cm⁻¹"
    )
    return [(largest < _DISAGREE, "Committee", said)]


def _model(result: PageResult) -> tuple[bool, str, str]:
    provenance = result.model.get("provenance")
    if not result.model:
        return False, "Model", "nothing is known of it; compare with a calculation or a measurement"
    if isinstance(provenance, dict) and provenance.get("errors"):
        return True, "Model", "errors on frames it never saw are on record (table)"
    return False, "Model", "its file records no errors; test it on frames it never saw"
