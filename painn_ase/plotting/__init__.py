"""Figures a chemist reads at a glance: spectra, sticks, runs, parity and a network's filters.

Every function draws into the Axes it is given and returns it; none touches pyplot's state, so they
work in scripts, notebooks and servers alike. :func:`new_figure` makes a figure without pyplot.
"""

from painn_ase.plotting.panels import Panel, draw_panels, label_peaks
from painn_ase.plotting.parity import plot_parity
from painn_ase.plotting.runs import plot_energy_drift, plot_temperature
from painn_ase.plotting.spectra import (
    new_figure,
    plot_experiment,
    plot_spectrum,
    plot_sticks,
    plot_transmittance,
)

__all__ = [
    "Panel",
    "draw_panels",
    "label_peaks",
    "new_figure",
    "plot_energy_drift",
    "plot_experiment",
    "plot_parity",
    "plot_spectrum",
    "plot_sticks",
    "plot_temperature",
    "plot_transmittance",
]
