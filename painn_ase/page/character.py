"""What kind of motion a mode is: its potential energy shared among stretches, bends and torsions.

The Hessian is that of the modes themselves; in redundant internal coordinates q = B x it is
F = B⁺ᵀ H B⁺ with the Moore–Penrose inverse (Pulay & Fogarasi, J. Chem. Phys. 96, 2856 (1992)), and
coordinate i holds the share F_ii q_i² / Σ_j F_jj q_j² of a mode's energy. Internal coordinates know
nothing of molecules that move as a whole; that share is named, too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from painn_ase.bonds import bonded_pairs
from painn_ase.spectra import HarmonicResult

__all__ = ["bonds_of", "mode_characters"]

Array = NDArray[np.float64]
Coordinates = tuple[list[str], Array]

#: an angle wider than this bends in two directions and carries no torsion
_LINEAR = np.radians(170.0)
#: volume of the unit vectors to three neighbours, below which a centre is planar
_PLANAR = 0.25
#: Å, of the central differences
_STEP = 1e-4
#: shares below this are not worth a word, and no mode has more than three
_SMALLEST_SHARE, _MOST_NAMED = 0.08, 3
_MOST_ATOMS = 300
_WHOLE = "motion of whole molecules"


def bonds_of(symbols: tuple[str, ...], positions: Array) -> list[tuple[int, int]]:
    """Pairs of atoms i < j that are bonded, by their covalent radii."""
    numbers = np.array([atomic_numbers.get(s, 0) for s in symbols], dtype=np.int64)
    return [(int(i), int(j)) for i, j in bonded_pairs(numbers, positions)]


def mode_characters(
    modes: HarmonicResult, bonds: list[tuple[int, int]]
) -> list[list[tuple[str, float]]]:
    """For each mode its leading motions and their shares of its potential energy, largest first.

    None are named of a periodic structure, whose bonds to its images are not known here, and of
    structures of more than 300 atoms, where it would take minutes.
    """
    n_modes, n = len(modes.frequencies), len(modes.masses)
    periodic = n_modes == 3 * n - 3 and not modes.n_held and n > 1
    if periodic or n > _MOST_ATOMS or not n_modes:
        return [[] for _ in range(n_modes)]
    names, slopes = _internal_coordinates(modes.symbols, modes.positions, bonds)
    if not names:
        return [[(_WHOLE, 1.0)] for _ in range(n_modes)]
    b = slopes.reshape(len(names), 3 * n)
    roots = np.repeat(np.sqrt(modes.masses), 3)
    vectors = modes.modes.reshape(n_modes, 3 * n)
    curvature = np.sign(modes.frequencies) * modes.frequencies**2
    # H x of every column of B⁺, in units that shares do not feel
    inverse = np.linalg.pinv(b, rcond=1e-6)
    inner = vectors @ (roots[:, None] * inverse)
    stiffness = np.abs(np.einsum("ki,k,ki->i", inner, curvature, inner))
    energies = stiffness * (vectors / roots @ b.T) ** 2
    described = _described(b / roots, vectors)
    kinds = sorted(set(names))
    member = np.array([[name == kind for name in names] for kind in kinds], dtype=float)
    shares = energies @ member.T
    shares *= (described / np.maximum(shares.sum(axis=1), 1e-300))[:, None]
    result = []
    for row, whole in zip(shares, 1.0 - described, strict=True):
        found = [*zip(kinds, row.tolist(), strict=True), (_WHOLE, float(whole))]
        found.sort(key=lambda pair: -pair[1])
        named = [(kind, share) for kind, share in found if share >= _SMALLEST_SHARE]
        result.append(named[:_MOST_NAMED] or found[:1])
    return result


def _described(b: Array, vectors: Array) -> Array:
    """Share of each mode that changes some internal coordinate (n_modes,)."""
    _, sizes, rows = np.linalg.svd(b, full_matrices=False)
    span = rows[sizes > 1e-6 * sizes.max(initial=0.0)]
    shares: Array = np.clip(np.sum((vectors @ span.T) ** 2, axis=1), 0.0, 1.0)
    return shares


def _internal_coordinates(
    symbols: tuple[str, ...], positions: Array, bonds: list[tuple[int, int]]
) -> Coordinates:
    """Names of stretches, bends and torsions, and slopes ∂q/∂r (n_coordinates, n_atoms, 3)."""
    around: dict[int, list[int]] = {k: [] for k in range(len(symbols))}
    for i, j in bonds:
        around[i].append(j)
        around[j].append(i)
    angles = [
        (i, j, k) for j, near in around.items() for x, i in enumerate(near) for k in near[x + 1 :]
    ]
    wide = _bend(positions[np.array(angles, dtype=int).reshape(-1, 3)]) > _LINEAR
    straight = [angle for angle, is_wide in zip(angles, wide, strict=True) if is_wide]
    bent = [angle for angle, is_wide in zip(angles, wide, strict=True) if not is_wide]
    closed = {frozenset((i, j, k)) for i, j, k in straight}
    torsions = [
        (i, j, k, m)
        for j, k in bonds
        for i in around[j]
        for m in around[k]
        if len({i, j, k, m}) == 4 and not {frozenset((i, j, k)), frozenset((j, k, m))} & closed
    ]
    centres = [(j, *near) for j, near in around.items() if len(near) == 3]
    flat = np.abs(_volume(positions[np.array(centres, dtype=int).reshape(-1, 4)])) < _PLANAR
    wags = [centre for centre, is_flat in zip(centres, flat, strict=True) if is_flat]

    def pair(i: int, j: int) -> tuple[str, str]:
        first, last = sorted((symbols[i], symbols[j]), key=lambda s: (s == "H", s))
        return first, last

    def bend_name(angle: tuple[int, ...]) -> str:
        first, last = pair(angle[0], angle[2])
        return f"{first}–{symbols[angle[1]]}–{last} bend"

    kinds: list[tuple[Callable[[Array], Array], list[tuple[int, ...]], list[str]]] = [
        (_stretch, list(bonds), ["–".join(pair(*bond)) + " stretch" for bond in bonds]),
        (_bend, list(bent), [bend_name(angle) for angle in bent]),
        (_torsion, list(torsions), ["–".join(pair(t[1], t[2])) + " torsion" for t in torsions]),
        (_volume, list(wags), [f"{symbols[w[0]]} out of plane" for w in wags]),
    ]
    for direction in (0, 1):
        value = _linear_bend(positions, straight, direction)
        kinds.append((value, list(straight), [bend_name(angle) for angle in straight]))
    names, slopes = [], [np.zeros((0, len(symbols), 3))]
    for value, atoms, called in kinds:
        names += called
        slopes.append(_slopes(value, positions, atoms))
    return names, np.concatenate(slopes)


def _slopes(
    value: Callable[[Array], Array], positions: Array, atoms: list[tuple[int, ...]]
) -> Array:
    """∂q/∂r of all coordinates of one kind by central differences (n, n_atoms, 3)."""
    found = np.zeros((len(atoms), *positions.shape))
    if not atoms:
        return found
    index = np.array(atoms)
    row = np.arange(len(atoms))
    for place in range(index.shape[1]):
        for axis in range(3):
            shifted = []
            for sign in (1.0, -1.0):
                points = positions[index]
                points[:, place, axis] += sign * _STEP
                shifted.append(value(points))
            change = shifted[0] - shifted[1]
            change = (change + np.pi) % (2.0 * np.pi) - np.pi  # torsions jump by a turn
            found[row, index[:, place], axis] += change / (2.0 * _STEP)
    return found


def _stretch(p: Array) -> Array:
    length: Array = np.linalg.norm(p[:, 0] - p[:, 1], axis=-1)
    return length


def _bend(p: Array) -> Array:
    a, b = p[:, 0] - p[:, 1], p[:, 2] - p[:, 1]
    angle: Array = np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1))
    return angle


def _torsion(p: Array) -> Array:
    a, b, c = p[:, 1] - p[:, 0], p[:, 2] - p[:, 1], p[:, 3] - p[:, 2]
    first, second = np.cross(a, b), np.cross(b, c)
    along = b / np.linalg.norm(b, axis=-1, keepdims=True)
    sine = np.sum(np.cross(first, second) * along, axis=-1)
    angle: Array = np.arctan2(sine, np.sum(first * second, axis=-1))
    return angle


def _volume(p: Array) -> Array:
    """Triple product of the unit vectors to three neighbours: 0 where all lie in a plane."""
    e = p[:, 1:] - p[:, :1]
    e = e / np.linalg.norm(e, axis=-1, keepdims=True)
    volume: Array = np.sum(e[:, 0] * np.cross(e[:, 1], e[:, 2]), axis=-1)
    return volume


def _linear_bend(
    positions: Array, angles: list[tuple[int, int, int]], direction: int
) -> Callable[[Array], Array]:
    """The bend of straight angles in one of two fixed directions across them."""
    across = np.zeros((len(angles), 3))
    for row, (i, _, k) in enumerate(angles):
        _, _, axes = np.linalg.svd((positions[k] - positions[i])[None])
        across[row] = axes[1 + direction]

    def value(p: Array) -> Array:
        a, b = p[:, 0] - p[:, 1], p[:, 2] - p[:, 1]
        a = a / np.linalg.norm(a, axis=-1, keepdims=True)
        b = b / np.linalg.norm(b, axis=-1, keepdims=True)
        bent: Array = np.sum(across * (a + b), axis=-1)
        return bent

    return value
