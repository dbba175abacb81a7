"""Which bundled model a molecule is for, where the user names none."""

from __future__ import annotations

from collections import Counter

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.formula import Formula

from painn_ase.bonds import bonded_pairs
from painn_ase.elements import SYMBOLS
from painn_ase.errors import GeometryError, ModelFileError
from painn_ase.models import bundled_committees, bundled_models, read_model_spec
from painn_ase.spec import ModelSpec
from painn_ase.spectra import HarmonicResult
from painn_ase.workflow.judging import largest_spread

__all__ = ["GENERAL", "MOST_SPREAD", "model_for", "refuse_unknown", "start_for"]

#: The bundled committee for molecules that have no model of their own, and what its labels are of.
GENERAL, GENERAL_LEVEL = "small-organics", ("pyscf", "b3lyp/def2-svpd")
#: cm⁻¹: members that differ by more in a frequency above 200 cm⁻¹ do not know the molecule.
MOST_SPREAD = 60.0
#: What the models of one molecule are of, as ASE calls it.
_OWN = {"water": "H2O", "ethanol": "CH3CH2OH", "formaldehyde": "H2CO"}


def model_for(atoms: Atoms) -> str:
    """The bundled model of this very molecule; else the general one, where it covers it.

    Parameters
    ----------
    atoms : Atoms
        One neutral molecule.

    Raises
    ------
    GeometryError
        For what no bundled model covers; the message says why, and what to do.
    ModelFileError
        Where no general model is installed.
    """
    for name, of in _OWN.items():
        if name in bundled_models() and not atoms.pbc.any() and _alike(atoms, molecule(of)):
            return name
    members = bundled_committees().get(GENERAL)
    if members is None:
        raise ModelFileError(
            f"no model was named, and this installation has no general one ({GENERAL}). Name a "
            f"model before the structure: {', '.join(bundled_models()) or 'a .safetensors file'}."
        )
    if reason := _why_not(atoms, read_model_spec(members[0])):
        raise GeometryError(
            f"{atoms.get_chemical_formula()}: no bundled model covers it: {reason}. `painn-ase "
            f"learn` makes a model of it; or name one before the structure ({GENERAL} answers for "
            "any molecule of its elements, with the spread of its members)."
        )
    return GENERAL


def refuse_unknown(modes: HarmonicResult, most: float = MOST_SPREAD) -> None:
    """Refuse the modes of a molecule that the members of a committee do not agree on.

    Parameters
    ----------
    modes : HarmonicResult
        With the spread over the members, else nothing is refused.
    most : float
        Largest spread above 200 cm⁻¹, cm⁻¹.

    Raises
    ------
    GeometryError
        When they differ by more.
    """
    found = largest_spread(modes)
    if found is not None and found > most:
        formula = Formula.from_list(list(modes.symbols)).format("hill")
        raise GeometryError(
            f"{formula}: the members of the committee differ by {found:.0f} cm⁻¹ in a frequency, "
            f"and {most:.0f} are allowed: they do not know this molecule. `painn-ase learn` makes "
            "a model of it; or name the committee before the structure to have its answer all the "
            "same."
        )


def start_for(atoms: Atoms, n_models: int, engine: str, level: str | None) -> str | None:
    """The general model, to learn a molecule from, where it can be of use; else None.

    Parameters
    ----------
    atoms : Atoms
    n_models : int
        Members that are to be trained; each goes on from one of the general model's.
    engine, level : str, str or None
        Of the labels; None is the engine's own default.
    """
    members = bundled_committees().get(GENERAL, [])
    if len(members) != n_models or (engine, level or GENERAL_LEVEL[1]) != GENERAL_LEVEL:
        return None
    known = set(read_model_spec(members[0]).elements)
    return GENERAL if {int(z) for z in atoms.numbers} <= known and not atoms.pbc.any() else None


def _why_not(atoms: Atoms, spec: ModelSpec) -> str:
    """Why the general model does not cover a molecule; "" where it does."""
    if atoms.pbc.any():
        return "it is periodic, and the general model is of molecules"
    if others := sorted({int(z) for z in atoms.numbers} - set(spec.elements)):
        known = ", ".join(SYMBOLS[z] for z in spec.elements)
        return f"it holds {', '.join(SYMBOLS[z] for z in others)}, the general model knows {known}"
    charge = atoms.info.get("charge", atoms.info.get("total_charge"))
    if charge:
        return f"its charge is {charge} e, and the general model is of neutral molecules"
    if int(atoms.numbers.sum()) % 2:
        return "it has an odd number of electrons, and the general model is of closed shells"
    if _n_parts(atoms) != 1:
        return f"it is {_n_parts(atoms)} molecules, and the general model is of one"
    most = max((_heavy(formula) for formula in spec.provenance.get("formulas", ())), default=0)
    heavy = int(np.sum(atoms.numbers > 1))
    if heavy > most:
        return f"it has {heavy} atoms beside hydrogen, the general model learnt from at most {most}"
    return ""


def _heavy(formula: str) -> int:
    return sum(n for symbol, n in Formula(formula).count().items() if symbol != "H")


def _n_parts(atoms: Atoms) -> int:
    """Number of molecules, by their bonds."""
    part = np.arange(len(atoms))
    for i, j in bonded_pairs(atoms.numbers, atoms.positions):
        part[part == part[j]] = part[i]
    return len(set(part.tolist()))


def _alike(atoms: Atoms, other: Atoms) -> bool:
    """Whether every atom has a partner of its element with neighbours of the same elements."""
    return len(atoms) == len(other) and _neighbourhoods(atoms) == _neighbourhoods(other)


def _neighbourhoods(atoms: Atoms) -> Counter[tuple[int, tuple[int, ...]]]:
    around: list[list[int]] = [[] for _ in range(len(atoms))]
    for i, j in bonded_pairs(atoms.numbers, atoms.positions):
        around[i].append(int(atoms.numbers[j]))
        around[j].append(int(atoms.numbers[i]))
    return Counter(
        (int(z), tuple(sorted(found))) for z, found in zip(atoms.numbers, around, strict=True)
    )
