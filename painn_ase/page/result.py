"""What a page can show of one result; every part but the name may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from painn_ase.spectra import HarmonicResult, Spectrum

__all__ = ["PageLevel", "PageLevels", "PageResult", "PageRun"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PageLevel:
    """An overtone or a combination: cm⁻¹, km/mol, Å⁴/amu and the depolarisation ratio."""

    name: str
    wavenumber: float
    infrared: float | None = None
    raman: float | None = None
    depolarisation: float | None = None


@dataclass(frozen=True)
class PageLevels:
    """Anharmonic levels beside harmonic modes.

    Attributes
    ----------
    fundamentals : ndarray (n_modes,)
        cm⁻¹, in the order of the modes.
    infrared : ndarray (n_modes,) or None
        Of the fundamentals, km/mol.
    raman, depolarisation : ndarray (n_modes,) or None
        Of the fundamentals, Å⁴/amu and the ratio for plane-polarised light.
    others : sequence of PageLevel
        Overtones and combinations.
    """

    fundamentals: Array
    infrared: Array | None = None
    raman: Array | None = None
    depolarisation: Array | None = None
    others: tuple[PageLevel, ...] = ()


@dataclass(frozen=True)
class PageRun:
    """How the dynamics behind a spectrum went.

    Attributes
    ----------
    replicas : int
        Independent segments.
    segment, timestep : float
        Length of a segment, ps, and time step, fs.
    target : float
        The temperature asked for, K.
    nuclei : str
        "classical", "trpmd" or "rpmd".
    beads : int
        Of the ring polymers; one where nuclei are classical.
    drift : float or None
        Of the conserved energy, meV per atom and ps.
    thermostat : float or None
        Mean temperature of the run that the segments start from, K.
    time : ndarray (n,) or None
        ps; of the three curves that follow.
    temperature, energy, spread : ndarray (n,) or None
        Mean over the segments, K; their conserved energy since the start, mean and standard
        deviation, meV per atom.
    seconds : mapping of str to float
        Wall time of each stage.
    """

    replicas: int
    segment: float
    timestep: float
    target: float
    nuclei: str = "classical"
    beads: int = 1
    drift: float | None = None
    thermostat: float | None = None
    time: Array | None = None
    temperature: Array | None = None
    energy: Array | None = None
    spread: Array | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PageResult:
    """One result for a page.

    Attributes
    ----------
    name : str
        What tells it from others on the same page.
    formula : str
        Chemical formula, or "".
    infrared : Spectrum or None
    raman : Spectrum or None
        Of one geometry; not needed where `polarised` is there.
    polarised : (Spectrum, Spectrum) or None
        Raman with parallel (VV) and crossed (VH) polarisers, on one grid.
    modes : HarmonicResult or None
    levels : PageLevels or None
        Anharmonic ones of these modes.
    temperature : float or None
        That the spectra are made for, K.
    bands : sequence of mapping
        ``low``, ``high``, ``area``, ``error``, ``harmonic``, ``modes`` of regions.
    depolarisation : (float, float or None) or None
        VH/VV over the whole Raman spectrum, and its error.
    model : mapping
        Header of the model file, as far as it is known.
    run : PageRun or None
    methods : str
        A paragraph that says how it was made.
    caveats, advice : tuple of str
        What the method leaves wrong; warnings that came up.
    """

    name: str
    formula: str = ""
    infrared: Spectrum | None = None
    raman: Spectrum | None = None
    polarised: tuple[Spectrum, Spectrum] | None = None
    modes: HarmonicResult | None = None
    levels: PageLevels | None = None
    temperature: float | None = None
    bands: tuple[Mapping[str, Any], ...] = ()
    depolarisation: tuple[float, float | None] | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    run: PageRun | None = None
    methods: str = ""
    caveats: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def ramans(self) -> dict[str, Spectrum]:
        """Raman spectra by geometry: ``vv`` and ``vh``, or the one there is."""
        if self.polarised is not None:
            return dict(zip(("vv", "vh"), self.polarised, strict=True))
        if self.raman is not None:
            return {str(self.raman.provenance.get("component", "unpolarised")): self.raman}
        return {}
