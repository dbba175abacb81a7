"""Averages over a recorded run of ring polymers: energies, heat capacity, how far the beads lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.trajectory import TrajectoryReader
from painn_ase.units import boltzmann_constant

__all__ = ["Average", "QuantumAverages", "quantum_averages"]

Array = NDArray[np.float64]
#: Stretches of time, over all replicas, between which errors are told.
_BLOCKS = 16


class Average(NamedTuple):
    """A mean and its standard error, by jackknife over stretches of time and replicas."""

    value: float
    error: float


@dataclass(frozen=True)
class QuantumAverages:
    """What a run of ring polymers in equilibrium says of its atoms.

    Attributes
    ----------
    temperature : float
        K, of the thermostat.
    n_beads : int
        P. An average is that of P beads; quantum mechanics is the limit of many.
    potential, kinetic, energy : Average
        eV of one replica; the kinetic energy by the centroid-virial estimator, translation and
        rotation included.
    heat_capacity : Average or None
        At constant volume, eV/K of one replica, by the double virial estimator; None where
        ``heat_capacity`` was not recorded.
    kinetic_by_atom : ndarray [n_atoms]
        eV.
    radius_of_gyration : ndarray [n_atoms]
        Root of the mean square distance of an atom's beads from their centroid, Å.
    """

    temperature: float
    n_beads: int
    potential: Average
    kinetic: Average
    energy: Average
    heat_capacity: Average | None
    kinetic_by_atom: Array
    radius_of_gyration: Array


def quantum_averages(trajectory: str | Path, *, skip: float = 0.0) -> QuantumAverages:
    """Averages over the frames of a run with ``ensemble="pimd"``.

    Parameters
    ----------
    trajectory : str or Path
        What :func:`~painn_ase.md.run_replicas` recorded.
    skip : float
        ps at the beginning that do not count: beads that started on top of each other have to
        spread first.

    Raises
    ------
    TrajectoryError
        For a file without ring polymers, or with too few frames after `skip`.
    """
    with TrajectoryReader(trajectory) as reader:
        settings = reader.provenance.get("replicas", {})
        if "kinetic_virial" not in reader.names or "temperature" not in settings:
            raise TrajectoryError(
                f"{trajectory} holds no ring polymers; record a run with ensemble='pimd'."
            )
        after = reader.times("kinetic_virial") >= 1e3 * skip
        if after.sum() < 2:
            raise TrajectoryError(
                f"{trajectory} holds {int(after.sum())} energies after {skip:g} ps; two at least "
                "are needed. Skip less, or run longer."
            )
        kinetic, gyration = (
            reader.read(n)[after] for n in ("kinetic_virial", "radius_of_gyration")
        )
        potential = reader.read("potential_energy")[after]
        curvature = None
        if "virial_curvature" in reader.names:
            curvature = reader.read("virial_curvature")[after]
        n_beads, temperature = reader.system.n_beads, float(settings["temperature"])
        free = int(settings["free_coordinates"])
    kt = boltzmann_constant * temperature
    total_kinetic = kinetic.sum(axis=2)
    virial = potential + total_kinetic - 0.5 * free * kt
    moments = [potential, total_kinetic, virial, virial**2]
    moments.append(np.zeros_like(potential) if curvature is None else curvature)
    blocks = _blocks(np.array(moments))

    def capacity(m: Array) -> float:
        spread = (m[3] - m[2] ** 2) / kt**2
        return float(boltzmann_constant * (0.5 * free + spread - m[4] / kt))

    return QuantumAverages(
        temperature=temperature,
        n_beads=n_beads,
        potential=_jackknife(blocks, lambda m: float(m[0])),
        kinetic=_jackknife(blocks, lambda m: float(m[1])),
        energy=_jackknife(blocks, lambda m: float(m[0] + m[1])),
        heat_capacity=None if curvature is None else _jackknife(blocks, capacity),
        kinetic_by_atom=kinetic.mean(axis=(0, 1)),
        radius_of_gyration=np.sqrt(np.square(gyration).mean(axis=(0, 1))),
    )


def _blocks(values: Array) -> Array:
    """Means [..., n_blocks] of stretches, all of one length, of [..., n_frames, n_replicas]."""
    n_frames, n_replicas = values.shape[-2:]
    stretches = min(n_frames, max(2, math.ceil(_BLOCKS / n_replicas)))
    length = n_frames // stretches
    kept = values[..., n_frames - stretches * length :, :]  # the oldest of a remainder are left out
    means: Array = kept.reshape(*values.shape[:-2], stretches, length, n_replicas).mean(axis=-2)
    return means.reshape(*values.shape[:-2], -1)


def _jackknife(blocks: Array, quantity: Callable[[Array], float]) -> Average:
    """A function of mean moments, and the error that leaving out one block after another shows."""
    n = blocks.shape[-1]
    total = blocks.sum(axis=-1)
    without = [quantity((total - blocks[:, k]) / (n - 1)) for k in range(n)]
    error = math.sqrt((n - 1) * float(np.var(without)))
    return Average(quantity(total / n), error)
