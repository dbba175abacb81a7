"""ASE's integrators behind one face: step, conserved energy, and a state that restarts bitwise.

The thermostats are ASE's own. Added here are the degrees of freedom they should count (ASE's
Nosé–Hoover chain counts three too many when the centre of mass rests, its Bussi three too many when
a molecule does not turn) and what has to be saved so that a restart continues bit for bit.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ase.units
import numpy as np
from ase import Atoms
from ase.md.verlet import VelocityVerlet
from numpy.typing import NDArray

from painn_ase.errors import GeometryError, UnstableRunError
from painn_ase.md.config import MDConfig
from painn_ase.md.constraints import convergence_error

__all__ = ["Integrator", "build_integrator"]


@dataclass
class Integrator:
    """One of ASE's integrators with what a long run needs to know of it.

    Attributes
    ----------
    dynamics : ase.md.md.MolecularDynamics
        Moves the atoms.
    conserved : callable or None
        Gives the energy this integrator conserves, eV; None where there is none (Langevin).
    memory : tuple of str
        Attributes of `dynamics`, dotted, that outlive a step.
    """

    dynamics: Any
    conserved: Callable[[], float] | None
    memory: tuple[str, ...]

    def step(self) -> None:
        """Advance by one time step.

        Raises
        ------
        UnstableRunError
            Where the constraints cannot be satisfied.
        """
        try:
            self.dynamics.step()
        except RuntimeError as error:
            if (reason := convergence_error(error)) is not None:
                raise UnstableRunError(f"{reason}.") from error
            raise

    def set_momenta(self, momenta: NDArray[np.float64]) -> None:
        """Other momenta (n_atoms, 3) in ASE's units, also where ASE keeps copies."""
        self.dynamics.atoms.set_momenta(momenta, apply_constraint=False)
        if "_p" in self.memory:
            self.dynamics._p = momenta.copy()

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Copies of everything the integrator remembers between steps."""
        return {name: np.array(_get(self.dynamics, name), dtype=np.float64) for name in self.memory}

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Put a saved state back."""
        for name in self.memory:
            value = np.array(state[name], dtype=np.float64)
            _set(self.dynamics, name, value if value.ndim else float(value))


def build_integrator(
    atoms: Atoms, config: MDConfig, rng: np.random.Generator, degrees_of_freedom: int
) -> Integrator:
    """The integrator that `config` asks for.

    Parameters
    ----------
    atoms : ase.Atoms
        With calculator, constraints and momenta in place.
    config : MDConfig
        Ensemble and its parameters.
    rng : numpy.random.Generator
        Source of the thermostat's noise.
    degrees_of_freedom : int
        Those that carry kinetic energy.

    Raises
    ------
    GeometryError
        When the structure cannot be run in that ensemble.
    """
    return _BUILDERS[config.ensemble](atoms, config, rng, degrees_of_freedom)


def _verlet(
    atoms: Atoms, config: MDConfig, rng: np.random.Generator, degrees_of_freedom: int
) -> Integrator:
    dynamics = VelocityVerlet(atoms, config.timestep * ase.units.fs)
    return Integrator(dynamics, lambda: _total_energy(atoms), ())


def _langevin(
    atoms: Atoms, config: MDConfig, rng: np.random.Generator, degrees_of_freedom: int
) -> Integrator:
    from ase.md.langevin import Langevin

    dynamics = Langevin(
        atoms,
        config.timestep * ase.units.fs,
        temperature_K=config.temperature,
        friction=config.friction / ase.units.fs,
        fixcm=False,  # True draws noise that is not mass-weighted: 741 K for 500 K in ethanol
        rng=rng,
    )
    return Integrator(dynamics, None, ())


def _baoab(
    atoms: Atoms, config: MDConfig, rng: np.random.Generator, degrees_of_freedom: int
) -> Integrator:
    from ase.md.langevinbaoab import LangevinBAOAB

    dynamics = LangevinBAOAB(
        atoms,
        config.timestep * ase.units.fs,
        temperature_K=config.temperature,
        T_tau=ase.units.fs / config.friction,
        rng=rng,
    )
    return Integrator(dynamics, None, ("accel",))


def _npt(
    atoms: Atoms, config: MDConfig, rng: np.random.Generator, degrees_of_freedom: int
) -> Integrator:
    from ase.md.langevinbaoab import LangevinBAOAB

    if not all(atoms.pbc):
        raise GeometryError(
            f"constant pressure needs a structure periodic in all directions; pbc is {atoms.pbc}. "
            "Use an ensemble of constant volume."
        )
    with warnings.catch_warnings():
        # The barostat's mass follows from its time constant; ASE warns that it does so.
        warnings.filterwarnings("ignore", message="Using heuristic P_mass")
        dynamics = LangevinBAOAB(
            atoms,
            config.timestep * ase.units.fs,
            temperature_K=config.temperature,
            T_tau=ase.units.fs / config.friction,
            externalstress=-config.pressure * ase.units.GPa,
            hydrostatic=True,
            P_tau=config.pressure_time_constant * ase.units.fs,
            rng=rng,
        )
    return Integrator(dynamics, None, ("accel", "p_eps", "force_eps"))


def _bussi(
    atoms: Atoms, config: MDConfig, rng: np.random.Generator, degrees_of_freedom: int
) -> Integrator:
    from ase.md.bussi import Bussi

    if atoms.get_kinetic_energy() < 1e-12:
        raise GeometryError("Bussi's thermostat rescales velocities and needs some: draw them.")
    dynamics = Bussi(
        atoms,
        config.timestep * ase.units.fs,
        temperature_K=config.temperature,
        taut=config.time_constant * ase.units.fs,
        rng=rng,
    )
    dynamics.ndof = degrees_of_freedom
    dynamics.target_kinetic_energy = 0.5 * dynamics.temp * degrees_of_freedom

    def conserved() -> float:
        return _total_energy(atoms) - float(dynamics.transferred_energy)

    return Integrator(dynamics, conserved, ("transferred_energy",))


def _nose_hoover(
    atoms: Atoms, config: MDConfig, rng: np.random.Generator, degrees_of_freedom: int
) -> Integrator:
    from ase.md.nose_hoover_chain import NoseHooverChainNVT, NoseHooverChainThermostat

    parameters: dict[str, Any] = {
        "temperature_K": config.temperature,
        "tdamp": config.time_constant * ase.units.fs,
    }
    dynamics: Any = NoseHooverChainNVT(atoms, config.timestep * ase.units.fs, **parameters)
    # ASE's chain takes 3N degrees of freedom from the number of atoms; this number gives ours.
    parameters |= {"num_atoms_global": degrees_of_freedom / 3, "masses": dynamics.masses}
    dynamics._thermostat = NoseHooverChainThermostat(**parameters)
    memory = ("_q", "_p", "_thermostat._eta", "_thermostat._p_eta")

    def conserved() -> float:
        return _total_energy(atoms) + float(dynamics._thermostat.get_thermostat_energy())

    return Integrator(dynamics, conserved, memory)


_BUILDERS: dict[str, Callable[[Atoms, MDConfig, np.random.Generator, int], Integrator]] = {
    "nve": _verlet,
    "langevin": _langevin,
    "baoab": _baoab,
    "npt": _npt,
    "bussi": _bussi,
    "nose-hoover": _nose_hoover,
}


def _total_energy(atoms: Atoms) -> float:
    energy = atoms.get_potential_energy() + atoms.get_kinetic_energy()
    return float(energy) if math.isfinite(energy) else math.nan


def _get(target: Any, name: str) -> Any:
    for part in name.split("."):
        target = getattr(target, part)
    return target


def _set(target: Any, name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        target = getattr(target, part)
    setattr(target, last, value)
