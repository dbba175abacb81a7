"""Energy along dynamics without a thermostat, as the time step goes to zero."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.verlet import VelocityVerlet

from painn_ase.md.velocities import draw_velocities
from painn_ase.testing.findings import Finding

__all__ = ["check_energy_conservation", "measure_energy_drift"]

#: How often the step is halved before a drift is a fault.
_MAX_HALVINGS = 3


def check_energy_conservation(
    calculator: Calculator,
    atoms: Atoms,
    *,
    allowed: float = 1.0,
    timestep: float = 0.5,
    n_steps: int = 200,
    temperature: float = 300.0,
    seed: int = 0,
) -> None:
    """Dynamics at constant energy keeps the energy, but for what the time step costs.

    Parameters
    ----------
    allowed : float
        Drift in meV per atom and ps.
    calculator, atoms, timestep, n_steps, temperature, seed
        As in :func:`measure_energy_drift`.

    Raises
    ------
    AssertionError
        With the drift.
    """
    finding = measure_energy_drift(
        calculator,
        atoms,
        allowed=allowed,
        timestep=timestep,
        n_steps=n_steps,
        temperature=temperature,
        seed=seed,
    )
    if finding.is_fault:
        raise AssertionError(str(finding))


def measure_energy_drift(
    calculator: Calculator,
    atoms: Atoms,
    *,
    allowed: float = 1.0,
    timestep: float = 0.5,
    n_steps: int = 200,
    temperature: float = 300.0,
    seed: int = 0,
) -> Finding:
    """Drift of the total energy that does not come from the time step.

    Velocity Verlet runs the same time with the step and with half of it. Its own error goes with
    the square of the step, so that (4 s_half − s_whole)/3 is the slope s of the energy over time at
    a vanishing step: a fault of the forces. A quarter of the difference between both slopes is
    allowed for what the extrapolation leaves. A stiff potential needs shorter steps: the step is
    halved twice before a drift counts as one.

    Parameters
    ----------
    calculator : Calculator
        Any ASE calculator with energy and forces.
    atoms : Atoms
    allowed : float
        Drift that counts as none, meV per atom and ps.
    timestep : float
        fs.
    n_steps : int
        Of the whole step; of shorter ones as many as fill the same time.
    temperature : float
        K, of the velocities at the start.
    seed : int
        Of those velocities.
    """
    start = atoms.copy()
    start.set_constraint()
    rng = np.random.default_rng(seed)
    start.set_velocities(draw_velocities(start.get_masses(), temperature, rng))
    slopes = [_slope(calculator, start, timestep, n_steps)]
    for k in range(1, _MAX_HALVINGS + 1):
        slopes.append(_slope(calculator, start, timestep / 2**k, n_steps * 2**k))
        of_whole, of_half = slopes[-2:]
        drift = abs(4.0 * of_half - of_whole) / 3.0
        left = 0.25 * abs(of_whole - of_half)
        note = f"{n_steps} steps of {timestep:g} fs, and with 1/{2**k} of that step"
        finding = Finding("NVE drift", "energy", drift, allowed + left, "meV/atom/ps", note)
        if not finding.is_fault:
            break
    return finding


def _slope(calculator: Calculator, atoms: Atoms, timestep: float, n_steps: int) -> float:
    """Slope of the total energy over time in meV per atom and ps."""
    moving = atoms.copy()
    moving.calc = calculator
    energies: list[float] = []
    run = VelocityVerlet(moving, timestep=timestep * units.fs)
    run.attach(lambda: energies.append(moving.get_total_energy()))
    run.run(n_steps)
    changes = np.array(energies) - energies[0]
    if not np.isfinite(changes).all():
        return float("nan")
    times = 1e-3 * timestep * np.arange(n_steps + 1)
    return float(np.polyfit(times, changes, 1)[0]) * 1e3 / len(atoms)
