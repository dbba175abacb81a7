"""J with a model: where an atom's coordinates are counted from is no physics."""

from __future__ import annotations

from dataclasses import dataclass

import ase.units
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.md.verlet import VelocityVerlet

from painn_ase.calculator import PaiNNCalculator
from painn_ase.md.velocities import draw_velocities
from painn_ase.spectra import infrared, power, raman
from painn_ase.testing import random_potential
from painn_ase.units import (
    ase_time_to_fs,
    e2_angstrom2_per_ev_to_angstrom3,
    per_ase_time_to_per_fs,
)

STEPS, TIMESTEP = 120, 0.1


@dataclass(frozen=True)
class Run:
    """What a run recorded at every step."""

    positions: np.ndarray
    velocities: np.ndarray
    dipole: np.ndarray
    dipole_flux: np.ndarray
    polarizability_flux: np.ndarray


@pytest.fixture(scope="module")
def calculator() -> PaiNNCalculator:
    heads = ("energy", "dipole:local", "polarizability:local")
    return PaiNNCalculator(
        random_potential(8, 2, 6, 3.5, heads=heads, elements=(1, 8), seed=3),
        dtype="float64", backend="eager",
    )  # fmt: skip


def _crystal() -> Atoms:
    """Two waters in a sheared cell, all drifting through its faces."""
    atoms = molecule("H2O") + molecule("H2O")
    atoms.positions[3:] += [2.4, 1.9, 2.2]
    atoms.set_cell([[5.0, 0.0, 0.0], [0.8, 4.8, 0.0], [-0.5, 0.6, 5.2]])
    atoms.pbc = True
    thermal = draw_velocities(atoms.get_masses(), 300.0, np.random.default_rng(2))
    atoms.set_velocities(thermal + np.array([0.5, -0.4, 0.6]) / ase.units.fs)
    return atoms


def _run(calculator: PaiNNCalculator, wrapping: bool) -> Run:
    """NVE dynamics; where `wrapping`, every atom is put back into the cell after every step."""
    atoms = _crystal()
    atoms.calc = calculator
    dynamics = VelocityVerlet(atoms, TIMESTEP * ase.units.fs)
    rows = []
    for _ in range(STEPS):
        dynamics.run(1)
        if wrapping:
            atoms.wrap()
        rows.append(
            (
                atoms.positions.copy(),
                atoms.get_velocities(),
                atoms.get_dipole_moment(),
                calculator.get_dipole_flux(atoms),
                calculator.get_polarizability_flux(atoms),
            )
        )
    return Run(*(np.array(column) for column in zip(*rows, strict=True)))


@pytest.fixture(scope="module")
def runs(calculator: PaiNNCalculator) -> tuple[Run, Run]:
    return _run(calculator, wrapping=False), _run(calculator, wrapping=True)


def test_the_runs_differ_by_lattice_vectors_and_by_many(runs: tuple[Run, Run]) -> None:
    free, wrapped = runs
    cells = np.linalg.solve(_crystal().cell.array.T, (free.positions - wrapped.positions)[-1].T)
    np.testing.assert_allclose(cells, np.round(cells), atol=1e-6)
    assert (np.round(cells) != 0).any(axis=0).all()  # every atom has left its cell


def test_fluxes_do_not_notice_that_positions_wrap(runs: tuple[Run, Run]) -> None:
    free, wrapped = runs
    for name in ("velocities", "dipole", "dipole_flux", "polarizability_flux"):
        one, two = getattr(free, name), getattr(wrapped, name)
        np.testing.assert_allclose(two, one, atol=1e-7 * np.abs(one).max(), err_msg=name)
    assert np.abs(free.dipole_flux).max() > 1e-4


def test_flux_is_the_derivative_of_the_dipole_across_the_faces_too(runs: tuple[Run, Run]) -> None:
    _, wrapped = runs
    step = 2 * TIMESTEP / ase_time_to_fs
    central = (wrapped.dipole[2:] - wrapped.dipole[:-2]) / step
    largest = np.abs(wrapped.dipole_flux).max()
    np.testing.assert_allclose(central, wrapped.dipole_flux[1:-1], atol=0.02 * largest)


def test_spectra_do_not_notice_that_positions_wrap(runs: tuple[Run, Run]) -> None:
    settings = {"timestep": TIMESTEP, "depth": STEPS // 2}
    masses = _crystal().get_masses()
    volume = float(_crystal().get_volume())
    to_volume = per_ase_time_to_per_fs * e2_angstrom2_per_ev_to_angstrom3
    spectra = []
    for run in runs:
        with pytest.warns(UserWarning, match="independent segments"):
            spectra.append(
                (
                    infrared(
                        input_unit="e*Angstrom/fs",
                        flux=run.dipole_flux * per_ase_time_to_per_fs,
                        temperature=300.0, volume=volume, **settings,
                    ),
                    raman(
                        input_unit="Angstrom^3/fs", flux=run.polarizability_flux * to_volume,
                        temperature=300.0, **settings,
                    ),
                    power(run.velocities * per_ase_time_to_per_fs, masses, **settings),
                )
            )  # fmt: skip
    for one, two in zip(*spectra, strict=True):
        largest = one.intensity.max()
        assert largest > 0
        np.testing.assert_allclose(two.intensity, one.intensity, atol=1e-6 * largest)


def test_any_image_of_any_atom_is_as_good(calculator: PaiNNCalculator) -> None:
    rng = np.random.default_rng(0)
    atoms = _crystal()
    before = calculator.get_dipole_flux(atoms), calculator.get_polarizability_flux(atoms)
    for _ in range(5):
        moved = atoms.copy()
        moved.positions += rng.integers(-3, 4, size=(len(atoms), 3)) @ atoms.cell.array
        after = calculator.get_dipole_flux(moved), calculator.get_polarizability_flux(moved)
        for one, two in zip(before, after, strict=True):
            np.testing.assert_allclose(two, one, atol=1e-9 * np.abs(one).max())
