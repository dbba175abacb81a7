"""Outputs turn, reflect, stay and permute with the structure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from painn_ase.testing.properties import (
    available_properties,
    axes_of,
    compute_properties,
    turn_property,
)
from painn_ase.testing.structures import random_rotation, turned
from painn_ase.testing.tolerances import Tolerance, assert_close, tolerance_of

__all__ = ["check_equivariance"]


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
    rng = np.random.default_rng(seed)
    rotation = random_rotation(rng)
    normal = random_rotation(rng)[0]
    reflection = np.eye(3) - 2.0 * np.outer(normal, normal)
    before = compute_properties(calculator, atoms, names)

    for matrix, what in ((rotation, "under rotation"), (reflection, "under reflection")):
        after = compute_properties(calculator, turned(atoms, matrix), names)
        for name in names:
            assert_close(name, after[name], turn_property(name, before[name], matrix), bound, what)

    shifted = atoms.copy()
    shifted.positions += 100.0 * normal
    after = compute_properties(calculator, shifted, names)
    for name in names:
        assert_close(name, after[name], before[name], bound, "under translation by 100 Å")

    order = rng.permutation(len(atoms))
    after = compute_properties(calculator, atoms[order], names)
    for name in names:
        expected = before[name]
        for axis in axes_of(name, "n_atoms"):
            expected = expected.take(order, axis=axis)
        assert_close(name, after[name], expected, bound, "under permutation")
