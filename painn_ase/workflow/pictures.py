"""Pictures of the files that runs and spectra leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from painn_ase.errors import DataError
from painn_ase.plotting import (
    Panel,
    draw_panels,
    new_figure,
    plot_energy_drift,
    plot_temperature,
)
from painn_ase.spectra import Spectrum, harmonic_lines, load_spectrum
from painn_ase.trajectory import TrajectoryReader
from painn_ase.vibrations import load_harmonic

__all__ = ["picture_of_run", "picture_of_spectra", "save_figure"]


def picture_of_spectra(
    files: Sequence[Path],
    labels: Sequence[str],
    *,
    sticks: Path | None = None,
    experiment: Path | None = None,
    scale: float = 1.0,
    shift: float = 0.0,
    limits: tuple[float | None, float | None] = (None, None),
    descending: bool = False,
    transmittance: bool = False,
    peaks: bool = False,
    style: Literal["paper", "talk"] = "paper",
) -> Figure:
    """One panel for each unit among the spectra, with the sticks and experiment of its kind.

    Parameters
    ----------
    files : sequence of Path
        Spectra as CSV, NPZ or JCAMP-DX.
    labels : sequence of str
        Of the legend; empty for the files' names.
    sticks, experiment : Path, optional
        Harmonic modes, and a measured spectrum.
    scale, shift : float
        Of the wavenumbers of spectra and sticks; the shift in cm⁻¹.
    limits : (float or None, float or None)
        Wavenumbers shown, cm⁻¹.
    descending, transmittance, peaks, style
        As in :func:`painn_ase.plotting.draw_panels`.

    Raises
    ------
    DataError
        The experiment fits none of the spectra.
    """
    spectra = [_moved(load_spectrum(f), scale, shift) for f in files]
    texts = labels or [f.stem for f in files]
    units = list(dict.fromkeys(s.unit for s in spectra))
    measured = None if experiment is None else load_spectrum(experiment)
    panels = []
    for unit in units:
        curves = [(s, t) for s, t in zip(spectra, texts, strict=True) if s.unit == unit]
        first = curves[0][0]
        lines = None if sticks is None else _read_sticks(sticks, first, scale, shift)
        beside = measured is not None and (
            len(units) == 1 or _is_raman(measured) == _is_raman(first)
        )
        panels.append(Panel(curves, sticks=lines, experiment=measured if beside else None))
    if measured is not None and not any(p.experiment for p in panels):
        raise DataError(f"{experiment} ({measured.quantity}) fits none of the spectra drawn.")
    return draw_panels(
        panels,
        limits=limits,
        direction="descending" if descending or transmittance else "ascending",
        transmittance=transmittance,
        peaks=peaks,
        style=style,
    )


def _moved(spectrum: Spectrum, scale: float, shift: float) -> Spectrum:
    """A spectrum with its wavenumbers times ``scale``, plus ``shift``."""
    spectrum = spectrum if scale == 1.0 else spectrum.scaled_frequencies(scale)
    return spectrum if shift == 0.0 else spectrum.shifted(shift)


def _is_raman(spectrum: Spectrum) -> bool:
    return "raman" in f"{spectrum.quantity} {spectrum.unit}".lower()


def _read_sticks(path: Path, spectrum: Spectrum, scale: float, shift: float) -> NDArray[np.float64]:
    """Harmonic lines on the scale of a spectrum, moved as its wavenumbers are."""
    lines = harmonic_lines(load_harmonic(path), spectrum)
    lines[:, 0] = scale * lines[:, 0] + shift
    return lines


def picture_of_run(path: Path, target: float | None = None) -> Figure:
    """Energy drift and temperature along a trajectory, as far as it holds them; `target` in K.

    Raises
    ------
    DataError
        It holds no energies.
    """
    with TrajectoryReader(path) as run:
        n_atoms = len(run.system.numbers)
        energy = next((n for n in ("conserved_energy", "total_energy") if n in run.names), None)
        if energy is None and {"potential_energy", "kinetic_energy"} <= set(run.names):
            times = run.times("potential_energy")
            energies = run.read("potential_energy") + run.read("kinetic_energy")
        elif energy is not None:
            times, energies = run.times(energy), run.read(energy)
        else:
            raise DataError(
                f"{path} holds no energies to draw (it has {', '.join(run.names) or 'nothing'}). "
                "Record energies in the run."
            )
        hot = "temperature" in run.names
        figure, axes = new_figure(2 if hot else 1)
        plot_energy_drift(axes[0], 1e-3 * times, np.asarray(energies).T, n_atoms=n_atoms)
        if hot:
            kelvin = np.asarray(run.read("temperature")).T
            plot_temperature(axes[1], 1e-3 * run.times("temperature"), kelvin, target=target)
    return figure


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a picture; a suffix matplotlib does not know is an error that lists those it does."""
    known = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise DataError(f"{path}: no picture format; allowed are {', '.join(sorted(known))}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)
