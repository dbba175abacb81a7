"""Energy and forces without jumps, where atoms come into and go out of each other's sight.

An atom is pulled along a line. Where a quantity is smooth, its fourth difference over an interval
shrinks with the fourth power of the width; where it jumps, it does not. So the interval of the
largest difference is halved again and again: the search runs into the largest jump by itself,
wherever the cutoff is.
"""

from __future__ import annotations

import heapq
import itertools

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from painn_ase.errors import GeometryError
from painn_ase.testing.findings import Finding

__all__ = ["check_smoothness", "find_jumps"]

FloatArray = NDArray[np.float64]

#: A jump is what is left in an interval of this width, Å.
_FINEST = 1e-3
_N_INTERVALS = 40
_CHECK = "smooth at the cutoff"


class _Pull:
    """One atom of a structure on its way along a line; energy and forces where asked for."""

    def __init__(self, calculator: Calculator, atoms: Atoms, atom: int, line: FloatArray) -> None:
        self.calculator, self.start, self.atom, self.line = calculator, atoms, atom, line
        self.seen: dict[float, tuple[float, FloatArray]] = {}

    def at(self, pulled: float) -> tuple[float, FloatArray]:
        """Energy and forces (n_atoms, 3) where the atom was pulled by `pulled` Å."""
        if pulled not in self.seen:
            moved = self.start.copy()
            moved.positions[self.atom] += pulled * self.line
            forces = np.asarray(self.calculator.get_property("forces", moved), dtype=float)
            self.seen[pulled] = float(self.calculator.get_property("energy", moved)), forces
        return self.seen[pulled]

    def jumps(self, start: float, end: float) -> tuple[float, float]:
        """Jumps of energy and of a force component that fourth differences in an interval show."""
        # exact quarters: halves of an interval find their points among those of the whole
        middle = 0.5 * (start + end)
        points = (start, 0.5 * (start + middle), middle, 0.5 * (middle + end), end)
        energies, forces = zip(*(self.at(point) for point in points), strict=True)
        return _jump(np.array(energies)[:, None]), _jump(np.reshape(forces, (5, -1)))


def _jump(values: FloatArray) -> float:
    """The largest jump in any column of values (5, n) at equal distances.

    A jump J in the first or last quarter makes a fourth difference of J, else of 3J.
    """
    difference = np.abs(_FOURTH @ values)
    weights = np.array([1.0, 3.0, 3.0, 1.0])[np.abs(np.diff(values, axis=0)).argmax(axis=0)]
    return float((difference / weights).max())


_FOURTH = np.array([1.0, -4.0, 6.0, -4.0, 1.0])


def check_smoothness(
    calculator: Calculator,
    atoms: Atoms,
    *,
    energy_jump: float = 1e-4,
    force_jump: float = 2e-3,
    max_evaluations: int = 600,
) -> None:
    """Energy and forces have no jump on the way of an atom out of the others' sight.

    Parameters and method are those of :func:`find_jumps`.

    Raises
    ------
    AssertionError
        With the size of the jump and where it is.
    GeometryError
        For a structure in which no atom can be pulled.
    """
    for finding in find_jumps(
        calculator,
        atoms,
        energy_jump=energy_jump,
        force_jump=force_jump,
        max_evaluations=max_evaluations,
    ):
        if finding.is_fault:
            raise AssertionError(str(finding))


def find_jumps(
    calculator: Calculator,
    atoms: Atoms,
    *,
    energy_jump: float = 1e-4,
    force_jump: float = 2e-3,
    max_evaluations: int = 600,
) -> tuple[Finding, Finding]:
    """The largest jumps of energy and forces while an atom is pulled.

    The outermost atom of a molecule is pulled away from its centre by 15 Å; in a periodic
    structure, where an atom has many neighbours near any cutoff, by 1 Å away from the nearest one
    (a cell of one atom is doubled).

    Parameters
    ----------
    calculator : Calculator
        Any ASE calculator with energy and forces.
    atoms : Atoms
    energy_jump, force_jump : float
        Largest jumps that count as smooth, eV and eV/Å.
    max_evaluations : int
        Where to stop the search.

    Returns
    -------
    (Finding, Finding)
        Of the energy and of the forces.

    Raises
    ------
    GeometryError
        For a structure in which no atom can be pulled: a single atom.
    """
    structure, atom, line, length = _way(atoms)
    pull = _Pull(calculator, structure, atom, line)
    queue: list[tuple[float, float, float]] = []

    def add(start: float, end: float) -> None:
        in_energy, in_forces = pull.jumps(start, end)
        heapq.heappush(queue, (-max(in_energy / energy_jump, in_forces / force_jump), start, end))

    for start, end in itertools.pairwise(np.linspace(0.0, length, _N_INTERVALS + 1).tolist()):
        add(start, end)
    while True:
        worst, start, end = queue[0]
        is_smooth, is_found = -worst <= 1.0, end - start <= _FINEST
        if is_smooth or is_found or len(pull.seen) >= max_evaluations:
            break
        heapq.heappop(queue)
        middle = 0.5 * (start + end)
        add(start, middle)
        add(middle, end)
    in_energy, in_forces = pull.jumps(start, end)
    who = f"{structure.symbols[atom]}{atom}"
    note = f"{who} pulled by {0.5 * (start + end):.3f} Å"
    if is_smooth:
        note = f"no larger step on {who}'s way of {length:g} Å"
    elif not is_found:
        note += f", not resolved below {end - start:.0e} Å"
    return (
        Finding(_CHECK, "energy", in_energy, energy_jump, "eV", note),
        Finding(_CHECK, "forces", in_forces, force_jump, "eV/Å", note),
    )


def _way(atoms: Atoms) -> tuple[Atoms, int, FloatArray, float]:
    """The structure, the atom to pull, the direction, and how far in Å."""
    if not atoms.pbc.any():
        if len(atoms) < 2:
            raise GeometryError("smoothness needs two atoms; the structure has one.")
        outward = atoms.positions - atoms.positions.mean(axis=0)
        atom = int(np.linalg.norm(outward, axis=1).argmax())
        return atoms, atom, _tilted(outward[atom]), 15.0
    structure = atoms.repeat([2 if p else 1 for p in atoms.pbc]) if len(atoms) == 1 else atoms
    apart = structure.get_distances(0, range(1, len(structure)), mic=True, vector=True)
    nearest = apart[np.linalg.norm(apart, axis=1).argmin()]
    return structure, 0, _tilted(-nearest), 1.0


def _tilted(line: FloatArray) -> FloatArray:
    """A unit vector near `line`, off any symmetry axis: on one, |v| of a vector has a true kink."""
    tilted = line / np.linalg.norm(line) + np.array([0.11, 0.07, -0.05])
    unit: FloatArray = tilted / np.linalg.norm(tilted)
    return unit
