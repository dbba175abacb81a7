"""A finished run that the tests of the page look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import molecule

from painn_ase.calculator import PaiNNCalculator
from painn_ase.report import write_outcome
from painn_ase.workflow import SpectrumConfig, run_spectrum


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A short run of ethanol with everything a command writes."""
    path = tmp_path_factory.mktemp("ethanol")
    short = SpectrumConfig(
        temperature=100, replicas=6, segment=0.2, equilibration=0.05, spacing=0.02, seed=2
    )
    outcome = run_spectrum(PaiNNCalculator("ethanol"), molecule("CH3CH2OH"), short, path)
    write_outcome(outcome)
    return path
