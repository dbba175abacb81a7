"""Outputs turn, reflect, stay and permute with the structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from painn_ase.testing.properties import (
    available_properties,
    axes_of,
    compute_properties,
    turn_property,
)
from painn_ase.testing.structures import random_rotation, turned
from painn_ase.testing.tolerances import Tolerance, assert_close, tolerance_of

__all__ = ["TRANSFORMATIONS", "check_equivariance", "transformed_pairs"]

FloatArray = NDArray[np.float64]

#: What the structure is put through.
TRANSFORMATIONS = ("rotation", "reflection", "translation", "permutation")


def check_equivariance(
    calculator: Calculator,
    atoms: Atoms,
    properties: Iterable[str] | None = None,
    *,
    tolerance: Tolerance | None = None,
    seed: int = 0,
) -> None:
    """Every output turns, reflects, stays and permutes with the structure.

    A rotation, a reflection, a translation by 100 Å and a permutation, each random, are compared
    with the transformed output. How an output transforms is read off its shape in
    :data:`painn_ase.quantities.QUANTITIES`.

    Parameters
    ----------
    calculator : Calculator
        Any ASE calculator.
    atoms : Atoms
    properties : iterable of str, optional
        All that the calculator has, if not given.
    tolerance : Tolerance, optional
        That of the calculator's dtype, if not given.
    seed : int

    Raises
    ------
    AssertionError
        Naming the output and the transformation.
    """
    names = list(available_properties(calculator, atoms) if properties is None else properties)
    bound = tolerance_of(calculator, tolerance)
    for what in TRANSFORMATIONS:
        by = " by 100 Å" if what == "translation" else ""
        for name, given, expected in transformed_pairs(calculator, atoms, names, what, seed):
            assert_close(name, given, expected, bound, f"under {what}{by}")


def transformed_pairs(
    calculator: Calculator, atoms: Atoms, names: Sequence[str], what: str, seed: int = 0
) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Name, output of the transformed structure, transformed output; for each of `names`.

    Parameters
    ----------
    calculator : Calculator
    atoms : Atoms
    names : sequence of str
        Quantities.
    what : str
        One of :data:`TRANSFORMATIONS`.
    seed : int
        Of the axes, the directions and the order.
    """
    rng = np.random.default_rng(seed)
    rotation, normal = random_rotation(rng), random_rotation(rng)[0]
    order = rng.permutation(len(atoms))
    before = compute_properties(calculator, atoms, names)
    if what in ("rotation", "reflection"):
        mirror = np.eye(3) - 2.0 * np.outer(normal, normal)
        matrix = rotation if what == "rotation" else mirror
        after = compute_properties(calculator, turned(atoms, matrix), names)
        for name in names:
            yield name, after[name], turn_property(name, before[name], matrix)
    elif what == "translation":
        shifted = atoms.copy()
        shifted.positions += 100.0 * normal
        after = compute_properties(calculator, shifted, names)
        for name in names:
            yield name, after[name], before[name]
    elif what == "permutation":
        after = compute_properties(calculator, atoms[order], names)
        for name in names:
            expected = before[name]
            for axis in axes_of(name, "n_atoms"):
                expected = expected.take(order, axis=axis)
            yield name, after[name], expected
    else:
        raise ValueError(f"unknown transformation {what!r}; known are {TRANSFORMATIONS}.")
