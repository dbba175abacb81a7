"""The one table of physical quantities: what each is called, its shape, unit and rank.

Everything that names a quantity (heads, calculator, trajectory, training) reads this table, so a
unit or a shape stands in one place only.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["QUANTITIES", "Quantity"]


@dataclass(frozen=True)
class Quantity:
    """One physical quantity.

    Attributes
    ----------
    name : str
        The key in results, files and calls; ASE's spelling where ASE has one.
    symbol : str
        How papers write it.
    shape : tuple of str or int
        Shape for one structure; ``"n_atoms"`` stands for the number of atoms.
    unit : str
        In ASE's units.
    rank : int
        Number of Cartesian indices (how it turns with the frame).
    extensive : bool
        Whether it adds up over parts far apart.
    ase : bool
        Whether ASE knows the name (``ase.calculators.calculator.all_properties``).
    requires : str
        The head it comes from; derivatives name the head they differentiate.
    meaning : str
        What it is, in a sentence.
    sign : str
        Sign, origin and order of indices, as far as there is a choice.
    """

    name: str
    symbol: str
    shape: tuple[str | int, ...]
    unit: str
    rank: int
    extensive: bool
    ase: bool
    requires: str
    meaning: str
    sign: str

    @property
    def per_atom(self) -> bool:
        """Whether the first axis runs over atoms."""
        return bool(self.shape) and self.shape[0] == "n_atoms"


_N = "n_atoms"
QUANTITIES: dict[str, Quantity] = {
    q.name: q
    for q in (
        Quantity(
            "energy",
            "E",
            (),
            "eV",
            0,
            True,
            True,
            "energy",
            meaning="Potential energy of the structure, reference energies of the atoms included.",
            sign="Lower is more bound; zero is where the training data put it.",
        ),
        Quantity(
            "free_energy",
            "E",
            (),
            "eV",
            0,
            True,
            True,
            "energy",
            meaning="The energy under the name by which ASE asks for what is consistent with "
            "the forces.",
            sign="As `energy`; there is no electronic temperature.",
        ),
        Quantity(
            "energies",
            "E_i",
            (_N,),
            "eV",
            0,
            False,
            True,
            "energy",
            meaning="What each atom contributes to the energy; only the sum has a meaning "
            "outside the model.",
            sign="As `energy`.",
        ),
        Quantity(
            "forces",
            "F",
            (_N, 3),
            "eV/Å",
            1,
            False,
            True,
            "energy",
            meaning="Force on each atom, the exact gradient of the energy.",
            sign="F = −∂E/∂r: towards lower energy.",
        ),
        Quantity(
            "stress",
            "σ",
            (6,),
            "eV/Å^3",
            2,
            False,
            True,
            "energy",
            meaning="Derivative of the energy by a symmetric strain of the true cell, over "
            "its volume; only where all three directions are periodic.",
            sign="σ = (1/V) ∂E/∂ε, positive in a stretched crystal; ASE's order xx, yy, "
            "zz, yz, xz, xy.",
        ),
        Quantity(
            "hessian",
            "H",
            (_N, 3, _N, 3),
            "eV/Å^2",
            2,
            False,
            False,
            "energy",
            meaning="Second derivative of the energy by positions, of one structure at a time.",
            sign="H[i, a, j, b] = ∂²E/∂r_ia ∂r_jb: positive along a stable mode.",
        ),
        Quantity(
            "dipole",
            "μ",
            (3,),
            "e·Å",
            1,
            True,
            True,
            "dipole",
            meaning="Electric dipole moment of a molecule, or of a cell with local heads.",
            sign="From negative to positive charge; that of an ion counts from the centre "
            "of mass of the masses in `Atoms`.",
        ),
        Quantity(
            "dipole_magnitude",
            "|μ|",
            (),
            "e·Å",
            0,
            False,
            False,
            "dipole",
            meaning="Length of the dipole vector; all of the dipole that a model gives which was "
            "trained on lengths.",
            sign="Never negative.",
        ),
        Quantity(
            "charges",
            "q_i",
            (_N,),
            "e",
            0,
            False,
            True,
            "charges",
            meaning="Partial charges of the charges head, corrected to the total charge.",
            sign="The electron is −1.",
        ),
        Quantity(
            "born_effective_charges",
            "Z*",
            (_N, 3, 3),
            "e",
            2,
            False,
            True,
            "dipole",
            meaning="How the dipole changes as an atom moves.",
            sign="Z*[i, a, b] = ∂μ_a/∂r_ib; they sum over atoms to the total charge in a "
            "molecule, to zero with local heads.",
        ),
        Quantity(
            "dipole_flux",
            "dμ/dt",
            (3,),
            "e·√(eV/amu)",
            1,
            True,
            False,
            "dipole",
            meaning="Rate of the dipole for given velocities, Σ Z* v.",
            sign="As `dipole`; per ASE unit of time, 10.18 fs. Of an ion the drift of its "
            "charge is taken off.",
        ),
        Quantity(
            "polarizability",
            "α",
            (3, 3),
            "e²Å²/eV",
            2,
            True,
            False,
            "polarizability",
            meaning="Static electric polarizability: the dipole that a unit field induces.",
            sign="Positive definite for a stable molecule; times 14.3996 it is the "
            "polarizability volume in Å³.",
        ),
        Quantity(
            "polarizability_derivatives",
            "∂α/∂r",
            (_N, 3, 3, 3),
            "e²Å/eV",
            3,
            False,
            False,
            "polarizability",
            meaning="How the polarizability changes as an atom moves.",
            sign="[i, c, a, b] = ∂α_ab/∂r_ic.",
        ),
        Quantity(
            "polarizability_flux",
            "dα/dt",
            (3, 3),
            "e²Å/√(eV·amu)",
            2,
            True,
            False,
            "polarizability",
            meaning="Rate of the polarizability for given velocities.",
            sign="As `polarizability`; per ASE unit of time, 10.18 fs.",
        ),
    )
}
