"""Which constraints which ensemble obeys, and the refusal of the rest.

ASE's velocity Verlet, Langevin and Bussi go through ``set_positions`` and ``set_momenta``, where a
constraint corrects both (RATTLE). Its BAOAB adds to the positions past them, which is right only
where what is held does not depend on the positions. Its Nosé–Hoover chain keeps positions and
momenta of its own, and its barostat scales every atom.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixCom

from painn_ase.errors import GeometryError

__all__ = ["check_constraints", "convergence_error", "is_only_center"]

#: A coordinate of each atom, or a line or plane for it: held by taking velocity away.
_HELD = ("FixAtoms", "FixCartesian", "FixedLine", "FixedPlane")
#: Functions of the positions that are brought back in each step.
_RIGID = ("FixBondLengths", "FixLinearTriatomic")
#: Forces with an energy, no constraints in the sense of mechanics.
_FORCES = ("Hookean", "ExternalForce")

#: What each ensemble obeys.
ALLOWED: dict[str, tuple[str, ...]] = {
    "nve": (*_HELD, "FixCom", *_RIGID, *_FORCES),
    "bussi": (*_HELD, "FixCom", *_RIGID, *_FORCES),
    "langevin": (*_HELD, "FixCom", *_RIGID, *_FORCES),
    "baoab": (*_HELD, "FixCom", *_FORCES),
    "nose-hoover": ("FixCom", *_FORCES),
    "npt": (),
}


def check_constraints(atoms: Atoms, ensemble: str) -> None:
    """Refuse constraints that the ensemble, or another constraint, would not let be obeyed.

    Parameters
    ----------
    atoms : ase.Atoms
        With the constraints that the user put on them.
    ensemble : str
        As in :class:`~painn_ase.md.MDConfig`.

    Raises
    ------
    GeometryError
        Names the constraint and lists what can be had.
    """
    names = [type(constraint).__name__ for constraint in atoms.constraints]
    for name in names:
        if name not in ALLOWED[ensemble]:
            raise GeometryError(_refusal(name, ensemble))
    if names.count("FixCom") > 1:
        raise GeometryError("FixCom is there twice, and would count twice. Keep one.")
    outside = [n for n in names if n in _HELD]
    if "FixCom" in names and outside:
        raise GeometryError(
            f"FixCom together with {outside[0]}: where atoms are held in space, the centre of mass "
            "cannot be held too. Keep one of the two."
        )
    _check_overlap(atoms)


def _refusal(name: str, ensemble: str) -> str:
    obeyed = ", ".join(ALLOWED[ensemble]) or "no constraint"
    others = [e for e, allowed in ALLOWED.items() if name in allowed]
    if others:
        remedy = f"{name} can be had with the ensembles {', '.join(others)}"
    elif name in ("FixSubsetCom", "FixInternals", "FixScaled", "FixedMode"):
        remedy = (
            f"{name} of ASE takes no part in dynamics at the right temperature, so no ensemble has "
            "it; hold single atoms or coordinates (FixAtoms, FixCartesian) or bonds "
            "(FixBondLengths)"
        )
    else:
        remedy = f"no ensemble has {name}"
    return (
        f"the ensemble {ensemble!r} obeys {obeyed}; {name} it would not. {remedy}. Or take the "
        "constraint off with atoms.set_constraint()."
    )


def _check_overlap(atoms: Atoms) -> None:
    """Two constraints of one atom undo each other's work, and their losses are counted twice."""
    owner: dict[int, str] = {}
    for constraint in atoms.constraints:
        name = type(constraint).__name__
        if name in _FORCES or isinstance(constraint, FixCom):
            continue
        for index in _indices(constraint):
            if index in owner:
                raise GeometryError(
                    f"atom {index} is held by {owner[index]} and by {name}. Say it in one "
                    "constraint: all bonds in one FixBondLengths, all atoms in one FixAtoms, a "
                    "free atom at the other end of a bond."
                )
            owner[index] = name
        if name == "FixBondLengths":
            pairs = [tuple(sorted(map(int, pair))) for pair in constraint.pairs]
            if len(set(pairs)) < len(pairs):
                raise GeometryError("FixBondLengths names a bond twice. Name each once.")


def _indices(constraint: Any) -> Iterator[int]:
    """Atoms that a constraint holds, each once."""
    yield from (int(index) for index in np.unique(np.ravel(constraint.get_indices())))


def is_only_center(atoms: Atoms) -> bool:
    """Whether nothing is held but, at most, the centre of mass."""
    return all(type(constraint) is FixCom for constraint in atoms.constraints)


def convergence_error(error: RuntimeError) -> str | None:
    """What to say where a constraint of ASE gave up; None for any other error."""
    if type(error) is not RuntimeError or "converge" not in str(error):
        return None
    return (
        "the constraints could not be satisfied: the atoms moved too far in one step, or what is "
        "to be held contradicts itself (bonds that close a ring, a planar or straight angle)"
    )
