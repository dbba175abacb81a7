"""Ring polymers on a batch, and Langevin dynamics, which is a ring polymer of one bead.

BAOAB with the free ring polymer in Cayley's form: half a kick, half a free step, the thermostat on
the normal modes, half a free step, half a kick. Positions are then sampled almost without an error
of the time step, momenta are not: judge a run by virial energies. The mode algebra is NumPy's; a
threaded torch took a hundred times longer for matrices as small as these.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from painn_ase.md.ring_modes import cayley_half_step, mode_frequencies, mode_matrix
from painn_ase.md.stepper import BatchState, Copies, ForceCall
from painn_ase.md.velocities import remove_rotation
from painn_ase.units import boltzmann_constant

__all__ = ["RingPolymer", "Thermostat"]

Array = NDArray[np.float64]
#: Step of the second derivative along the beads' distances from the centroid, as a fraction.
_STRETCH = 0.01


@dataclass(frozen=True)
class Thermostat:
    """What keeps the normal modes at their temperature.

    Attributes
    ----------
    damping : float
        λ; internal mode k is damped by 2λω_k. 1 is critical (PILE, PIMD), ½ TRPMD (M. Rossi, M.
        Ceriotti, D. E. Manolopoulos, J. Chem. Phys. 140, 234116 (2014)), 0 RPMD.
    friction : float
        Of the centroid, per ASE's unit of time; 0 for none.
    globally : bool
        Whether the centroid's friction acts on its kinetic energy as a whole (G. Bussi, D. Donadio,
        M. Parrinello, J. Chem. Phys. 126, 014101 (2007)) and not on each coordinate.
    """

    damping: float
    friction: float
    globally: bool = False


class RingPolymer:
    """Ring polymers of one bead or many, under a thermostat or none.

    Parameters
    ----------
    copies : Copies
        What moves; degrees of freedom are those of the centroid.
    timestep : float
        ASE's unit of time.
    device : torch.device
        Where the batch lives.
    n_beads : int
        Copies in one ring.
    temperature : float
        K.
    thermostat : Thermostat
        Of centroid and internal modes.
    seed : int
        Of every random number.
    rests : bool
        Keep the centroid from turning. Its angular momentum is not conserved as a classical
        molecule's is: stiff forces on beads off the centroid turn it within half a picosecond. A
        force that keeps it at zero does no work; in steps of 0.25 fs it takes about 1 % of the
        energy of water's 16 beads in a ps, half as much in half the step. The heat is booked.
    """

    def __init__(
        self,
        copies: Copies,
        timestep: float,
        device: torch.device,
        *,
        n_beads: int,
        temperature: float,
        thermostat: Thermostat,
        seed: int,
        rests: bool = False,
    ) -> None:
        self.name = "BAOAB" if n_beads == 1 else "BAOAB, free ring polymer in Cayley's form"
        self.n_beads = n_beads
        self._copies = copies
        self._device = device
        self._kt = boltzmann_constant * temperature
        self._shape = (copies.n_replicas, n_beads, copies.n_atoms, 3)
        self._masses = copies.masses[:, None]
        self._kick = 0.5 * timestep / copies.inertia
        self._sigma = np.sqrt(n_beads * self._kt / copies.inertia)
        self._held = copies.held if copies.held.any() else None
        self._matrix = mode_matrix(n_beads)
        self._frequencies = mode_frequencies(n_beads, temperature)
        half = cayley_half_step(self._frequencies, timestep)
        self._a, self._b, self._g = (_by_mode(u) for u in half)
        friction = 2.0 * thermostat.damping * self._frequencies
        friction[0] = 0.0 if thermostat.globally else thermostat.friction
        self._decay = _by_mode(np.exp(-timestep * friction))
        self._noise = np.sqrt(1.0 - self._decay**2)
        self._local = bool(friction.any())
        # Twice the friction: it is the kinetic energy that relaxes.
        rescaling = thermostat.globally and thermostat.friction > 0.0
        self._global = math.exp(-2.0 * timestep * thermostat.friction) if rescaling else None
        self._rests = rests
        self._rng = np.random.default_rng(seed)
        self._heat = np.zeros(copies.n_replicas)

    # -- dynamics ------------------------------------------------------------------------------

    def start(self, state: BatchState) -> None:
        """Velocities of all beads from the distribution at P times the temperature."""
        state.velocities = self._tensor(self._sigma * self._rng.standard_normal(self._shape))

    def step(self, state: BatchState, forces_of: ForceCall) -> None:
        """B A O A B."""
        x, v = self._modes(state.positions), self._modes(state.velocities)
        v = v + self._kick * self._modes(state.forces)
        x, v = self._a * x + self._b * v, self._g * x + self._a * v
        v = self._thermostatted(v)
        x, v = self._a * x + self._b * v, self._g * x + self._a * v
        state.positions = self._moved(x, state.positions)
        state.energy, state.forces = forces_of(state.positions)
        v = v + self._kick * self._modes(state.forces)
        if self._rests:
            before = self._kinetic(v)
            # Of √P times the centroid's velocities at √P times its positions: the same turn.
            v[:, 0] = remove_rotation(v[:, 0], x[:, 0], self._copies.masses)
            self._heat = self._heat + self._kinetic(v) - before
        state.velocities = self._moved(v, state.velocities)

    def _thermostatted(self, v: Array) -> Array:
        """Mode velocities after the thermostat, whose heat is booked."""
        if not self._local and self._global is None:
            return v
        before = self._kinetic(v)
        if self._local:
            v = self._decay * v + self._noise * self._sigma * self._rng.standard_normal(v.shape)
        if self._global is not None:
            v[:, 0] *= self._rescaling(v[:, 0])[:, None, None]
        self._heat = self._heat + self._kinetic(v) - before
        return v

    def _rescaling(self, centroid: Array) -> Array:
        """Factors [n_replicas] of the centroids' velocities (Bussi, equation A7)."""
        assert self._global is not None
        n, c = self._copies.degrees_of_freedom, self._global
        kinetic = 0.5 * (self._masses * centroid**2).sum(axis=(1, 2))
        share = 0.5 * self.n_beads * self._kt / kinetic
        one = self._rng.standard_normal(len(kinetic))
        rest = self._rng.chisquare(n - 1, len(kinetic)) if n > 1 else 0.0
        squared = c + (1.0 - c) * share * (one**2 + rest)
        cross = 2.0 * one * np.sqrt(c * (1.0 - c) * share)
        factor: Array = np.copysign(np.sqrt(squared + cross), one + np.sqrt(c / (1.0 - c) / share))
        return factor

    # -- what is observed ----------------------------------------------------------------------

    def reduce(self, per_copy: Tensor) -> Tensor:
        """Means over the beads: Kubo's form of a linear quantity, centroids of positions."""
        if self.n_beads == 1:
            return per_copy
        return per_copy.reshape(-1, self.n_beads, *per_copy.shape[1:]).mean(dim=1)

    def energies(self, state: BatchState) -> dict[str, Tensor]:
        """Energies of one copy's size (H_P over P), the centroid's kinetic energy, estimators.

        ``kinetic_virial`` [n_replicas, n_atoms] is the centroid-virial estimator of each atom's
        kinetic energy (M. F. Herman, E. J. Bruskin, B. J. Berne, J. Chem. Phys. 76, 5150 (1982)),
        over all coordinates that are not held; ``radius_of_gyration`` [n_replicas, n_atoms] is the
        root of the mean square distance of an atom's beads from their centroid.
        """
        x, v = self._modes(state.positions), self._modes(state.velocities)
        kinetic = self._kinetic(v)
        free = self._copies.degrees_of_freedom + (self.n_beads - 1) * self._n_free.sum()
        potential = state.energy.cpu().numpy().reshape(-1, self.n_beads)
        spring = 0.5 * (self._masses * (_by_mode(self._frequencies) * x) ** 2).sum(axis=(1, 2, 3))
        centroid = 0.5 * (self._masses * v[:, 0] ** 2).sum(axis=(1, 2)) / self.n_beads
        total = kinetic + spring + potential.sum(axis=1) - self._heat
        temperature = 2.0 * kinetic / (max(1, free) * self.n_beads * boltzmann_constant)
        found = {
            "potential_energy": potential.mean(axis=1),
            "kinetic_energy": centroid,
            "conserved_energy": total / self.n_beads,
            "temperature": temperature,
        }
        if self.n_beads > 1:
            found["kinetic_virial"] = self._kinetic_virial(state)
            found["radius_of_gyration"] = np.sqrt(np.square(self._arms(state)).sum(-1).mean(1))
        return {name: torch.from_numpy(values) for name, values in found.items()}

    def _kinetic_virial(self, state: BatchState) -> Array:
        virial = (self._arms(state) * self._array(state.forces)).sum(axis=-1).mean(axis=1)
        found: Array = 0.5 * self._kt * self._n_free - 0.5 * virial
        return found

    def virial_curvature(self, state: BatchState, forces_of: ForceCall) -> Tensor:
        """What the heat capacity needs besides energies [n_replicas], eV; two calls for forces.

        (3D + A)/4P with D and A the first and second derivative of Σ_j V along the beads'
        distances from the centroid. Then C = k (½f + var(ε)/(kT)² − ⟨this⟩/kT), where ε is the
        potential energy and the virial's part of the kinetic one, f the coordinates that are free:
        the double virial estimator, from the partition function in scaled coordinates (T. M.
        Yamamoto, J. Chem. Phys. 123, 104101 (2005)).
        """
        x, arms = self._array(state.positions), self._arms(state)
        slopes = [
            -(arms * self._array(forces_of(self._tensor(x + e * arms))[1])).sum(axis=(1, 2, 3))
            for e in (_STRETCH, -_STRETCH)
        ]
        first = -(arms * self._array(state.forces)).sum(axis=(1, 2, 3))
        second = (slopes[0] - slopes[1]) / (2.0 * _STRETCH)
        return torch.from_numpy((3.0 * first + second) / (4.0 * self.n_beads))

    # -- memory --------------------------------------------------------------------------------

    def state(self) -> dict[str, NDArray[Any]]:
        """The generator and the heat."""
        return {"random": np.array(json.dumps(self._rng.bit_generator.state)), "heat": self._heat}

    def load_state(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Put them back."""
        self._rng.bit_generator.state = json.loads(str(saved["random"]))
        self._heat = np.array(saved["heat"], dtype=np.float64)

    # -- arrays --------------------------------------------------------------------------------

    @property
    def _n_free(self) -> Array:
        """Free coordinates of each atom."""
        numbers: Array = np.sum(~self._copies.held, axis=1).astype(np.float64)
        return numbers

    def _kinetic(self, v: Array) -> Array:
        """Kinetic energies of whole rings [n_replicas], eV."""
        energies: Array = 0.5 * (self._masses * v**2).sum(axis=(1, 2, 3))
        return energies

    def _arms(self, state: BatchState) -> Array:
        """From the centroid to each bead."""
        x = self._array(state.positions)
        arms: Array = x - x.mean(axis=1, keepdims=True)
        if self._held is not None:
            arms[:, :, self._held] = 0.0
        return arms

    def _array(self, per_atom: Tensor) -> Array:
        array: Array = per_atom.cpu().numpy().reshape(self._shape)
        return array

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array.reshape(-1, 3)).to(self._device)

    def _modes(self, per_atom: Tensor) -> Array:
        """Normal modes [n_replicas, n_beads, n_atoms, 3] of a quantity of the beads' atoms."""
        return self._turned(self._matrix, self._array(per_atom))

    def _moved(self, modes: Array, before: Tensor) -> Tensor:
        """The beads' quantity from its modes; held coordinates keep theirs to the last bit."""
        beads = self._turned(self._matrix.T, modes)
        if self._held is not None:
            beads[:, :, self._held] = self._array(before)[:, :, self._held]
        return self._tensor(beads)

    def _turned(self, matrix: Array, values: Array) -> Array:
        if self.n_beads == 1:
            return values
        flat = values.reshape(self._shape[0], self.n_beads, -1)
        turned: Array = (matrix @ flat).reshape(self._shape)
        return turned


def _by_mode(values: Array) -> Array:
    """One number a mode, to be multiplied onto [n_replicas, n_beads, n_atoms, 3]."""
    return values[None, :, None, None]
