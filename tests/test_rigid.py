"""Linear molecules are linear by one rule, for the modes and for dynamics."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from painn_ase.md.velocities import count_rotations, remove_rotation
from painn_ase.rigid import turning_axes
from painn_ase.spectra.normal_modes import overall_motions


def bent(degrees: float) -> Atoms:
    """CO2 that lacks so much of a straight angle."""
    half = np.radians(degrees) / 2.0
    arm = 1.16 * np.array([np.cos(half), np.sin(half), 0.0])
    return Atoms("OCO", [arm * (-1, 1, 1), (0, 0, 0), arm])


@pytest.mark.parametrize("degrees", [0.0, 0.01, 0.3, 1.0, 2.0, 2.5, 5.0, 40.0])
def test_modes_and_dynamics_agree_on_what_is_linear(degrees: float) -> None:
    atoms = bent(degrees)
    n = 2 if degrees <= 2.0 else 3
    assert count_rotations(atoms) == n
    assert len(overall_motions(atoms.get_masses(), atoms.positions, False)) == 3 + n
    rng = np.random.default_rng(0)
    velocities = rng.normal(size=(3, 3))
    rest = remove_rotation(velocities, atoms.positions, atoms.get_masses())
    assert np.abs(rest).max() < 3.0 * np.abs(velocities).max()  # no division by a tiny moment


def test_an_atom_turns_about_no_axis() -> None:
    assert not turning_axes(np.zeros(3)).any()
    assert turning_axes(np.array([[1.0, 1.0, 2.0], [0.0, 1.0, 1.0]])).sum() == 5
