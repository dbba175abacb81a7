"""Dynamics of the bundled models is continuous at every stride, and folding it is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule
from ase.md.verlet import VelocityVerlet
from ase.units import fs

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import DataError
from painn_ase.md.velocities import draw_velocities
from painn_ase.spectra.continuity import continuous


@pytest.fixture(scope="module", params=[("water", "H2O"), ("ethanol", "CH3CH2OH")])
def run(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Dipole and polarizability of a hot molecule that rotates freely, every 0.5 fs."""
    model, name = request.param
    atoms = molecule(name)
    atoms.calc = PaiNNCalculator(model)
    rng = np.random.default_rng(4)
    atoms.set_velocities(draw_velocities(atoms.get_masses(), 600.0, rng))
    dynamics = VelocityVerlet(atoms, 0.5 * fs)
    dipoles, tensors = [], []
    for _ in range(600):
        dynamics.run(1)
        dipoles.append(atoms.get_dipole_moment())
        tensors.append(atoms.calc.get_polarizability(atoms))
    return np.array(dipoles), np.array(tensors)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_no_stride_below_nyquist_is_called_a_jump(
    run: tuple[np.ndarray, np.ndarray], stride: int
) -> None:
    dipole, tensor = run
    cell = np.diag([6.0, 8.0, 10.0])
    for place in range(stride):
        for known in (None, cell):
            assert continuous(dipole[place::stride], (3,), "dipole", cell=known)[1] == 0
        continuous(tensor[place::stride], (3, 3), "polarizability")


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_a_dipole_folded_at_its_mean_is_repaired_or_refused(
    run: tuple[np.ndarray, np.ndarray], stride: int
) -> None:
    true = run[0][::stride]
    cell = 8.0 * np.eye(3)
    middle = true.mean(axis=0)
    folded = true - 8.0 * np.floor((true - middle) / 8.0)
    values, count = continuous(folded, (3,), "dipole", cell=cell)
    assert count > 0
    np.testing.assert_allclose(values - values[0], true - true[0], atol=1e-10)
    with pytest.raises(DataError, match="jumps"):
        continuous(folded, (3,), "dipole")
