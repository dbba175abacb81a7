"""What we use of ASE's integrators that ASE does not promise: there, and in charge, in this ASE."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from painn_ase.errors import MissingDependencyError
from painn_ase.md.config import MDConfig
from painn_ase.md.integrators import build_integrator
from painn_ase.md.velocities import draw_velocities


def _build(ensemble: str, seed: int = 0):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.02, seed=1)
    atoms.calc = EMT()
    rng = np.random.default_rng(seed)
    atoms.set_velocities(draw_velocities(atoms.get_masses(), 300.0, np.random.default_rng(5)))
    try:
        return atoms, build_integrator(atoms, MDConfig(steps=1, ensemble=ensemble), rng, 12)
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("ensemble", ["nve", "langevin", "baoab", "npt", "bussi", "nose-hoover"])
def test_what_a_restart_saves_is_all_that_the_integrator_remembers(ensemble: str) -> None:
    """A fresh integrator with the saved memory takes the same next steps as the old one."""
    atoms, old = _build(ensemble)
    for _ in range(3):
        old.step()
    saved = old.state()
    assert set(saved) == set(old.memory)
    again, new = _build(ensemble)
    again.set_cell(atoms.cell[:])
    again.positions[:] = atoms.positions
    again.set_momenta(atoms.get_momenta())
    new.load_state(saved)
    for integrator in (old, new):  # the same noise for both
        for name in ("rng", "_rng"):
            if hasattr(integrator.dynamics, name):
                setattr(integrator.dynamics, name, np.random.default_rng(9))
        integrator.step()
        integrator.step()
    np.testing.assert_array_equal(again.positions, atoms.positions)
    np.testing.assert_array_equal(again.get_momenta(), atoms.get_momenta())


def test_the_chain_moves_by_the_momenta_we_give_it() -> None:
    """ASE's Nosé–Hoover keeps momenta of its own in ``_p``; ours have to reach them."""
    atoms, chain = _build("nose-hoover")
    chain.set_momenta(np.zeros((len(atoms), 3)))
    before = atoms.positions.copy()
    chain.step()
    other, moving = _build("nose-hoover")
    moving.step()
    still, moved = (np.abs(a.positions - before).max() for a in (atoms, other))
    assert still < 0.1 * moved


def test_the_chain_counts_the_degrees_of_freedom_we_give_it() -> None:
    """Ours replaces ASE's ``_thermostat``: with 12 momenta at temperature its friction rests."""
    atoms, chain = _build("nose-hoover")
    thermostat = chain.dynamics._thermostat
    atoms.set_momenta(atoms.get_momenta() * np.sqrt(300.0 * 12 / 12 / atoms.get_temperature()))
    chain.set_momenta(atoms.get_momenta())
    chain.step()
    cold = float(np.abs(thermostat._p_eta[0]))
    _, colder = _build("nose-hoover")
    colder.set_momenta(0.5 * atoms.get_momenta())
    colder.step()
    assert cold < 0.2 * float(np.abs(colder.dynamics._thermostat._p_eta[0]))
