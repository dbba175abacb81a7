"""The live demo of the documentation: a short run of ethanol, and its page as it looks today."""

from __future__ import annotations

import warnings
from pathlib import Path

from ase.build import molecule

from painn_ase import PaiNNCalculator
from painn_ase.errors import PaiNNWarning
from painn_ase.report import write_outcome
from painn_ase.workflow import SpectrumConfig, page_of_folders, run_spectrum

__all__ = ["write_demo"]

#: Short, so that the documentation builds in a minute; `painn-ase demo` takes four.
CONFIG = SpectrumConfig(replicas=16, segment=1.0, equilibration=1.0, stride=2, seed=1)


def write_demo(run: Path, site: Path) -> None:
    """Put ``demo.html`` into `site`; the dynamics in `run` is made once, the page every time."""
    if not (run / "summary.json").exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PaiNNWarning)  # they stand on the page
            calculator = PaiNNCalculator("ethanol", device="cpu")
            write_outcome(
                run_spectrum(calculator, molecule("CH3CH2OH"), CONFIG, run, overwrite=True)
            )
    site.mkdir(parents=True, exist_ok=True)
    page_of_folders([run]).save(site / "demo.html")
