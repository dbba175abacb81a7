"""``painn-ase plot``: pictures of spectra and of runs from their files."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from painn_ase.cli.outputs import refuse_existing
from painn_ase.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from painn_ase.spectra import Spectrum

__all__ = ["draw_run", "draw_spectra", "plot"]

RUN_SUFFIXES = (".h5", ".hdf5", ".h5md")


class Look(str, Enum):
    """For what a picture of spectra is."""

    paper = "paper"
    talk = "talk"


def plot(
    files: list[Path] = typer.Argument(
        help="Spectra (`.csv`, `.npz`, `.jdx`), laid over each other where their units agree; or "
        "one trajectory (`.h5`), for its energy drift and temperature; or, with `--filters`, a "
        "model file or the name of a bundled model.",
        show_default=False,
    ),
    output: Path = typer.Option(
        Path("plot.png"), "--output", "-o", help="Picture; the suffix says the format."
    ),
    label: list[str] | None = typer.Option(
        None, "--label", "-l", help="Legend text, once for each file; by default its name."
    ),
    sticks: Path | None = typer.Option(
        None,
        help="Harmonic lines below the spectra and on their scale: `modes.json` of `painn-ase "
        "harmonic`, or a frequency job of Gaussian, ORCA, Q-Chem, NWChem (needs cclib).",
    ),
    experiment: Path | None = typer.Option(
        None,
        help="Experiment (JCAMP-DX or CSV; absorbance, transmittance or absorptance over "
        "wavenumbers or wavelengths, as headed), scaled to the spectrum's area.",
    ),
    scale: float = typer.Option(
        1.0, "--scale", help="Factor on the wavenumbers of spectra and sticks."
    ),
    shift: float = typer.Option(
        0.0, "--shift", help="Added to the wavenumbers of spectra and sticks, cm⁻¹."
    ),
    peaks: bool = typer.Option(False, "--peaks", help="Write the bands' wavenumbers above them."),
    shown: tuple[float, float] | None = typer.Option(
        None,
        "--range",
        metavar="LOW HIGH",
        help="Wavenumbers shown, cm⁻¹, as in `--range 500 4000`; by default where there is "
        "something to see.",
        show_default=False,
    ),
    style: Look = typer.Option(
        Look.paper, help="talk: large letters, thick lines, no small print below."
    ),
    descending: bool = typer.Option(
        False, "--descending", help="High wavenumbers on the left, as infrared spectroscopists do."
    ),
    transmittance: bool = typer.Option(
        False, "--transmittance", help="As a spectrometer prints it; high wavenumbers on the left."
    ),
    filters: bool = typer.Option(
        False, "--filters", help="Draw what a model's blocks multiply neighbours' features with."
    ),
    target: float | None = typer.Option(None, help="Target temperature drawn for a run, K."),
    dpi: int = typer.Option(150, help="Resolution of a bitmap."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace what is there."),
) -> None:
    """Draw spectra, how a run behaved, or the filters of a model.

    Examples: `painn-ase plot infrared.csv --sticks modes.json --experiment water.jdx -o ir.png`,
    `painn-ase plot run.h5 -o run.png`, `painn-ase plot ethanol --filters -o filters.png`
    """
    refuse_existing([output], overwrite)
    labels = label or []
    if filters:
        _refuse_beside_filters(files, labels, sticks, experiment, target)
        save_figure(_draw_model(files[0]), output, dpi)
        typer.echo(f"written: {output}")
        return
    if labels and len(labels) != len(files):
        raise DataError(f"{len(labels)} label(s) for {len(files)} file(s): give one --label each.")
    runs = [f for f in files if f.suffix.lower() in RUN_SUFFIXES]
    if runs and len(files) > 1:
        raise DataError(f"{runs[0]} is a trajectory: draw it alone.")
    if runs:
        figure = draw_run(runs[0], target)
    else:
        figure = draw_spectra(
            files,
            labels,
            sticks=sticks,
            experiment=experiment,
            scale=scale,
            shift=shift,
            limits=shown or (None, None),
            descending=descending,
            transmittance=transmittance,
            peaks=peaks,
            style=style.value,
        )
    save_figure(figure, output, dpi)
    typer.echo(f"written: {output}")


def _refuse_beside_filters(files: Sequence[Path], labels: Sequence[str], *others: object) -> None:
    """Refuse what says nothing about a model."""
    if len(files) > 1 or labels or any(other is not None for other in others):
        raise DataError(
            "--filters draws one model: leave out other files, --label, --sticks, --experiment "
            "and --target."
        )


def _draw_model(model: Path) -> Figure:
    from painn_ase.models import load_model
    from painn_ase.plotting.filters import draw_filters

    return draw_filters(load_model(str(model)))


def draw_spectra(
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
    """One panel for each unit among the spectra, with the sticks and experiment of its kind."""
    from painn_ase.plotting import Panel, draw_panels
    from painn_ase.spectra import load_spectrum

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
    from painn_ase.spectra import harmonic_lines
    from painn_ase.vibrations import load_harmonic

    lines = harmonic_lines(load_harmonic(path), spectrum)
    lines[:, 0] = scale * lines[:, 0] + shift
    return lines


def draw_run(path: Path, target: float | None = None) -> Figure:
    """Energy drift and temperature along a trajectory, as far as it holds them."""
    import numpy as np

    from painn_ase.plotting import new_figure, plot_energy_drift, plot_temperature
    from painn_ase.trajectory import TrajectoryReader

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
