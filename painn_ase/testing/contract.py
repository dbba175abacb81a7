"""The calculator's contract with ASE: what it caches, recomputes and forgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from painn_ase.testing.tolerances import Tolerance, assert_close, tolerance_of

__all__ = ["check_calculator_contract"]


class _Recorded(Calculator):
    """ASE's own base class around another calculator: its cache is the reference."""

    def __init__(self, make: Callable[[], Calculator]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.make = make
        self.implemented_properties = list(make().implemented_properties)
        self.n_calculations = 0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Iterable[str] = ("energy",),
        system_changes: Iterable[str] = all_changes,
    ) -> None:
        super().calculate(atoms, list(properties), list(system_changes))  # type: ignore[no-untyped-call]
        self.n_calculations += 1
        fresh = self.make()
        for name in properties:
            fresh.get_property(name, atoms)
        self.results.update(fresh.results)


def check_calculator_contract(
    make: Callable[[], Calculator],
    atoms: Atoms,
    properties: Sequence[str] = ("energy", "forces"),
    *,
    tolerance: Tolerance | None = None,
) -> None:
    """A calculator caches, recomputes and forgets as ASE's base class does.

    The same requests and changes (nothing, positions, numbers, cell, pbc, a removed atom, momenta,
    ``reset``) go to the calculator and to ASE's base class around a fresh one. Results must agree
    and calculations must happen at the same requests.

    Parameters
    ----------
    make : callable
        Gives a new calculator.
    atoms : Atoms
        Two atoms or more, fully periodic if stress is among the properties.
    properties : sequence of str
    tolerance : Tolerance, optional

    Raises
    ------
    AssertionError
        Naming the change after which the two differ.
    """
    mine, reference = make(), _Recorded(make)
    bound = tolerance_of(mine, tolerance)
    counted = _count_calculations(mine)
    a, b = atoms.copy(), atoms.copy()
    a.calc, b.calc = mine, reference
    for what, change in _CHANGES.items():
        change(a), change(b)
        for name in (*properties, *properties):
            before = counted[0], reference.n_calculations
            expected = np.asarray(b.calc.get_property(name, b), dtype=float)
            given = np.asarray(a.calc.get_property(name, a), dtype=float)
            assert_close(name, given, expected, bound, f"after {what}")
            done = counted[0] - before[0], reference.n_calculations - before[1]
            if done[0] != done[1]:
                raise AssertionError(
                    f"{name} after {what}: calculated {done[0]} times, ASE's base class {done[1]}."
                )
        if mine.check_state(a) or mine.calculation_required(a, list(properties)):
            raise AssertionError(f"after {what} the calculator still sees a change.")


def _count_calculations(calculator: Calculator) -> list[int]:
    counted, calculate = [0], calculator.calculate

    def counting(*args: Any, **kwargs: Any) -> None:
        counted[0] += 1
        calculate(*args, **kwargs)  # type: ignore[no-untyped-call]

    calculator.calculate = counting  # type: ignore[method-assign]
    return counted


def _move(atoms: Atoms) -> None:
    atoms.positions[0, 0] += 0.05


def _exchange_elements(atoms: Atoms) -> None:
    atoms.numbers[:] = atoms.numbers[::-1].copy()


def _strain(atoms: Atoms) -> None:
    atoms.set_cell(atoms.cell.array * 1.01, scale_atoms=True)


def _kick(atoms: Atoms) -> None:
    atoms.set_momenta(atoms.get_momenta() + 1.0)


def _drop_atom(atoms: Atoms) -> None:
    del atoms[-1]


def _reset(atoms: Atoms) -> None:
    atoms.calc.reset()


_CHANGES: Mapping[str, Callable[[Atoms], Any]] = {
    "nothing": lambda atoms: None,
    "moving an atom": _move,
    "changing momenta": _kick,
    "exchanging elements": _exchange_elements,
    "a strain": _strain,
    "removing an atom": _drop_atom,
    "reset": _reset,
}
