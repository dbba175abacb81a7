"""Polarizabilities of qm9pack turned into the frame of the molecules' coordinates.

The tensors of the package stand in Gaussian's standard orientation, along the principal axes of the
nuclear charges' tensor of inertia, while the coordinates do not (see README.md for the evidence).
Which axis is x and which way it points depends on a molecule's symmetry by rules that are not
stored: of the 24 possibilities the one is taken that a model of interacting atomic dipoles tells
from the others. Where it cannot tell, there is no label.
"""

from __future__ import annotations

import itertools

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.units import bohr_to_angstrom

__all__ = ["into_frame_of_coordinates", "thole_polarizability"]

Array = NDArray[np.float64]

#: Atomic polarizabilities in a.u. and damping of Thole's model with exponential charge densities:
#: P. T. van Duijnen and M. Swart, J. Phys. Chem. A 102, 2399 (1998).
_ATOMIC = {1: 2.7927, 6: 8.6959, 7: 6.5565, 8: 5.7494, 9: 3.0013}
_DAMPING = 2.1304
#: a.u.: tensors nearer than this are the same, the tables have three decimals.
_SAME = 0.02
#: The second best must be so much farther from the model than the best.
_CLEAR = 1.5


def thole_polarizability(atoms: Atoms) -> Array:
    """Polarizability (3, 3) of dipoles on the atoms that induce each other, a.u."""
    alpha = np.array([_ATOMIC[z] for z in atoms.numbers.tolist()])
    apart = (atoms.positions[:, None] - atoms.positions[None]) / bohr_to_angstrom
    n = len(atoms)
    r = np.linalg.norm(apart, axis=-1) + np.eye(n)
    s = _DAMPING * r / (alpha[:, None] * alpha[None]) ** (1 / 6)
    field = 1 - (s**2 / 2 + s + 1) * np.exp(-s)
    gradient = field - s**3 / 6 * np.exp(-s)
    direct = (field / r**3)[..., None, None] * np.eye(3)
    dyad = (3 * gradient / r**5)[..., None, None] * apart[..., :, None] * apart[..., None, :]
    coupling = (direct - dyad) * (1 - np.eye(n))[..., None, None]
    matrix = coupling + (np.eye(n) / alpha)[..., None, None] * np.eye(3)
    inverse = np.linalg.inv(matrix.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n))
    total: Array = inverse.reshape(n, 3, n, 3).sum(axis=(0, 2))
    return total


def into_frame_of_coordinates(atoms: Atoms, tensor: Array) -> Array | None:
    """A tensor (3, 3) in standard orientation as it is in the molecule's coordinates.

    Returns
    -------
    ndarray (3, 3) or None
        None where the model of dipoles does not tell the possible orientations apart.
    """
    model = thole_polarizability(atoms)
    model *= np.trace(tensor) / np.trace(model)
    axes = _charge_axes(atoms)
    found: list[tuple[float, Array]] = []
    for order in itertools.permutations(range(3)):
        for y, z in itertools.product((1, -1), repeat=2):
            turn = axes[:, order] * np.array([1, y, z])
            turned = turn @ tensor @ turn.T
            found.append((float(np.linalg.norm(turned - model)), turned))
    found.sort(key=lambda one: one[0])
    distance, best = found[0]
    others = [d for d, turned in found if np.abs(turned - best).max() > _SAME]
    return best if not others or others[0] > _CLEAR * distance else None


def _charge_axes(atoms: Atoms) -> Array:
    """Principal axes of the nuclear charges' tensor of inertia, as columns."""
    charges = atoms.numbers.astype(float)
    lever = atoms.positions - charges @ atoms.positions / charges.sum()
    second = np.einsum("n,na,nb->ab", charges, lever, lever)
    axes: Array = np.linalg.eigh(np.trace(second) * np.eye(3) - second)[1]
    return axes
