"""``painn-ase plot``: pictures of spectra and of runs from their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from painn_ase.cli.outputs import refuse_existing
from painn_ase.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from painn_ase.spectra import Spectrum

__all__ = ["draw_run", "draw_spectra", "plot"]

RUN_SUFFIXES = (".h5", ".hdf5", ".h5md")
#: Colours of several spectra in one panel, told apart by readers who see fewer colours too.
COLOURS = ("#0b4f8a", "#d1495b", "#2e8b57", "#8a5a00", "#6a4c93", "#555555")


def plot(
    files: list[Path] = typer.Argument(
        help="Spectra (`.csv`, `.npz`, `.jdx`), laid over each other where their units agree; or "
        "one trajectory (`.h5`), for its energy drift and temperature.",
        show_default=False,
    ),
    output: Path = typer.Option(
        Path("plot.png"), "--output", "-o", help="Picture; the suffix says the format."
    ),
    label: list[str] | None = typer.Option(
        None, "--label", "-l", help="Legend text, once for each file; by default its name."
    ),
    sticks: Path | None = typer.Option(
        None, help="Harmonic lines below the spectrum, from `modes.json` of `painn-ase harmonic`."
    ),
    experiment: Path | None = typer.Option(
        None, help="Experiment (JCAMP-DX or CSV), scaled to the first spectrum's area."
    ),
    low: float | None = typer.Option(None, "--from", help="Lowest wavenumber shown, cm⁻¹."),
    high: float | None = typer.Option(None, "--to", help="Highest wavenumber shown, cm⁻¹."),
    descending: bool = typer.Option(
        False, "--descending", help="High wavenumbers on the left, as infrared spectroscopists do."
    ),
    transmittance: bool = typer.Option(
        False, "--transmittance", help="As a spectrometer prints it; high wavenumbers on the left."
    ),
    target: float | None = typer.Option(None, help="Target temperature drawn for a run, K."),
    dpi: int = typer.Option(150, help="Resolution of a bitmap."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace what is there."),
) -> None:
    """Draw spectra, or how a run behaved.

    Examples: `painn-ase plot infrared.csv --sticks modes.json --experiment water.jdx -o ir.png`,
    `painn-ase plot run.h5 -o run.png`
    """
    refuse_existing([output], overwrite)
    labels = label or []
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
            limits=(low, high),
            descending=descending,
            transmittance=transmittance,
        )
    save_figure(figure, output, dpi)
    typer.echo(f"written: {output}")


def draw_spectra(
    files: Sequence[Path],
    labels: Sequence[str],
    *,
    sticks: Path | None = None,
    experiment: Path | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    descending: bool = False,
    transmittance: bool = False,
) -> Figure:
    """One panel for each unit among the spectra; sticks and experiment go into the first."""
    from painn_ase.plotting import new_figure, plot_experiment, plot_sticks
    from painn_ase.spectra import load_spectrum

    spectra = [load_spectrum(f) for f in files]
    texts = labels or [f.stem for f in files]
    units = list(dict.fromkeys(s.unit for s in spectra))
    figure, axes = new_figure(len(units))
    shown = _limits(spectra, limits)
    for unit, ax in zip(units, axes, strict=True):
        members = [k for k, s in enumerate(spectra) if s.unit == unit]
        for colour, k in enumerate(members):
            _draw_one(
                ax,
                spectra[k],
                texts[k] if len(spectra) > 1 or labels else None,
                COLOURS[colour % len(COLOURS)],
                shown,
                descending,
                transmittance,
            )
    first = spectra[0]
    if experiment is not None:
        if transmittance:
            raise DataError("--experiment needs an absorption axis: leave --transmittance out.")
        plot_experiment(axes[0], experiment, match=first)
    if sticks is not None:
        plot_sticks(axes[0], _read_sticks(sticks, first))
    for ax in axes:
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False, fontsize="small")
    return figure


def _draw_one(
    ax: Axes,
    spectrum: Spectrum,
    text: str | None,
    colour: str,
    shown: tuple[float, float] | None,
    descending: bool,
    transmittance: bool,
) -> None:
    from painn_ase.plotting import plot_spectrum, plot_transmittance

    if transmittance:
        plot_transmittance(ax, spectrum, label=text, color=colour, range_invcm=shown)
    else:
        plot_spectrum(
            ax,
            spectrum,
            label=text,
            color=colour,
            range_invcm=shown,
            direction="descending" if descending else "ascending",
        )


def _limits(
    spectra: Sequence[Spectrum], limits: tuple[float | None, float | None]
) -> tuple[float, float] | None:
    """The range asked for, filled up from what the spectra cover; None if nothing was asked."""
    low, high = limits
    if low is None and high is None:
        return None
    low = min(float(s.frequency[0]) for s in spectra) if low is None else low
    high = max(float(s.frequency[-1]) for s in spectra) if high is None else high
    if not low < high:
        raise DataError(f"the range from {low:g} to {high:g} cm⁻¹ is empty.")
    return low, high


def _read_sticks(path: Path, spectrum: Spectrum) -> NDArray[np.float64]:
    """Raman sticks for a Raman spectrum, infrared ones otherwise."""
    from painn_ase.spectra import HarmonicResult

    result = HarmonicResult.load(path)
    raman = "raman" in spectrum.quantity.lower()
    return result.raman_sticks() if raman else result.infrared_sticks()


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
