"""K: the bundled models beside experiment, as far as harmonic classical figures can agree."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule
from ase.optimize import BFGS

from painn_ase.calculator import PaiNNCalculator
from painn_ase.models import bundled_models
from painn_ase.spectra import HarmonicResult, harmonic

#: Fundamentals of the gas, cm⁻¹ (ethanol: trans), and of water the intensities, km/mol.
ETHANOL = np.array(
    [200, 251, 417, 812, 888, 1028, 1091, 1161, 1256, 1275, 1371, 1412, 1446, 1464, 1490, 2900,
     2910, 2939, 2984, 2991, 3653]
)  # fmt: skip
WATER, WATER_INTENSITIES = np.array([1595, 3657, 3756]), np.array([62.5, 2.9, 41.7])


def _modes(model: str, name: str) -> HarmonicResult:
    if model not in bundled_models():
        pytest.skip(f"no bundled model {model}")
    atoms = molecule(name)
    atoms.calc = PaiNNCalculator(model, dtype="float64")
    assert BFGS(atoms, logfile=None).run(fmax=1e-3, steps=500)
    return harmonic(atoms)


def test_ethanols_modes_lie_a_little_above_its_fundamentals() -> None:
    """Anharmonicity and hybrid density functionals lift modes by some per cent, torsions more."""
    ratio = _modes("ethanol", "CH3CH2OH").frequencies / ETHANOL
    torsions, vibrations = ratio[:2], ratio[2:]
    assert 0.99 < vibrations.min() < vibrations.max() < 1.08
    assert vibrations.mean() == pytest.approx(1.045, abs=0.015)
    assert np.abs(torsions - 1).max() < 0.3


def test_water_has_the_frequencies_and_the_order_of_intensities_of_the_gas() -> None:
    modes = _modes("water", "H2O")
    ratio = modes.frequencies / WATER
    assert 1.02 < ratio.min() < ratio.max() < 1.06
    assert modes.infrared is not None
    np.testing.assert_array_less(np.abs(np.log(modes.infrared / WATER_INTENSITIES)), np.log(1.7))
