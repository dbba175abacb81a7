"""Jumps along time, and paths of atoms that cross a periodic cell without one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from painn_ase.errors import DataError

__all__ = ["FARTHEST_STEP", "checked_cell", "find_jumps", "unwrapped_positions"]

Array = NDArray[np.float64]

#: a jump stands this many times above the usual step, and a gap separates it from all other steps …
_ABOVE_USUAL = 6.0
_GAP = 2.0
#: … or it stands alone in time, this many times above the usual step and above its four neighbours
_ABOVE_USUAL_ALONE = 12.0
_ABOVE_NEIGHBOURS = 6.0
#: more than this share of the steps are no exceptions
_GREATEST_SHARE = 0.45
#: lattice vectors between frames beyond which motion and folding cannot be told apart; folding
#: starts at one half
FARTHEST_STEP = 0.35


def find_jumps(steps: ArrayLike) -> NDArray[np.int64]:
    """Places of the jumps among the lengths of successive steps (n_steps,) of one series.

    A jump is far longer than the usual step, and either a gap separates the jumps from all other
    steps, or it stands alone in time. Vibrations, rotation, bursts and noise sampled below the
    Nyquist wavenumber fill the range of their steps evenly and last for several frames, so that
    neither holds for them.
    """
    length = np.asarray(steps, dtype=np.float64)
    moving = length[length > 0.0]
    if len(moving) < 4:
        return np.zeros(0, dtype=np.int64)
    # numbers printed with few digits stand still between most frames
    usual = float(np.median(moving))
    ordered = np.sort(length)
    with np.errstate(divide="ignore"):
        parted = (ordered[1:] > _GAP * ordered[:-1]) & (ordered[1:] > _ABOVE_USUAL * usual)
    first = np.flatnonzero(parted) + 1
    first = first[len(length) - first <= _GREATEST_SHARE * len(length)]
    found = length >= ordered[first[0]] if len(first) else np.zeros(len(length), dtype=bool)
    padded = np.pad(length, 2)
    beside = np.max([padded[k : k + len(length)] for k in (0, 1, 3, 4)], axis=0)
    found |= (length > _ABOVE_USUAL_ALONE * usual) & (length > _ABOVE_NEIGHBOURS * beside)
    return np.flatnonzero(found)


def unwrapped_positions(positions: ArrayLike, cell: ArrayLike | None = None) -> tuple[Array, int]:
    """Paths of atoms that do not jump where they cross the cell, and the number of crossings.

    Parameters
    ----------
    positions : array-like (n_frames, n_atoms, 3)
        Å.
    cell : array-like (3, 3) or (n_frames, 3, 3), optional
        Lattice vectors as rows, Å, zero where not periodic. Without it jumps are refused.

    Raises
    ------
    DataError
        Atoms that move by more than 0.35 of a lattice vector between frames, or jump where no cell
        is known.
    """
    given = np.asarray(positions, dtype=np.float64)
    if given.ndim != 3 or given.shape[2] != 3 or not np.isfinite(given).all():
        raise DataError(
            f"positions have shape {given.shape}; finite numbers (n_frames, n_atoms, 3) are needed"
        )
    if cell is None:
        longest = np.linalg.norm(np.diff(given, axis=0), axis=2).max(axis=1, initial=0.0)
        if len(at := find_jumps(longest)):
            raise DataError(
                f"an atom jumps by {longest[at[0]]:.3g} Å between frames {at[0]} and {at[0] + 1} "
                f"({len(at)} such frames): wrapped positions. Give the cell, or unwrapped positions"
            )
        return given, 0
    vectors = checked_cell(cell, len(given))
    step = np.diff(given @ np.linalg.pinv(vectors), axis=0)  # in lattice vectors
    turns = np.rint(step)
    far = np.abs(step - turns).max(axis=2, initial=0.0)
    if far.size and float(far.max()) > FARTHEST_STEP:
        frame, atom = (int(k) for k in np.unravel_index(far.argmax(), far.shape))
        raise DataError(
            f"atom {atom} moves by {far[frame, atom]:.2f} of a lattice vector between frames "
            f"{frame} and {frame + 1}: its path through the cell is not clear. Write frames more "
            "often, or unwrapped positions"
        )
    shift = np.concatenate([np.zeros((1, *turns.shape[1:])), np.cumsum(turns, axis=0)]) @ vectors
    return given - shift, int(np.any(turns != 0.0, axis=2).sum())


def checked_cell(cell: ArrayLike, n_frames: int) -> Array:
    """Lattice vectors (3, 3), or (n_frames, 3, 3), or DataError."""
    vectors = np.asarray(cell, dtype=np.float64)
    if vectors.shape not in ((3, 3), (n_frames, 3, 3)) or not np.isfinite(vectors).all():
        raise DataError(
            f"cell has shape {vectors.shape}; allowed are finite lattice vectors (3, 3), or one "
            f"cell for each of the {n_frames} frames, Å"
        )
    if not np.any(vectors):
        raise DataError("the cell has no lattice vector: leave it out for a molecule")
    return vectors
