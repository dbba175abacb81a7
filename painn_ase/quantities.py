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
    """

    name: str
    symbol: str
    shape: tuple[str | int, ...]
    unit: str
    rank: int
    extensive: bool
    ase: bool
    requires: str

    @property
    def per_atom(self) -> bool:
        """Whether the first axis runs over atoms."""
        return bool(self.shape) and self.shape[0] == "n_atoms"


_N = "n_atoms"
QUANTITIES: dict[str, Quantity] = {
    q.name: q
    for q in (
        Quantity("energy", "E", (), "eV", 0, True, True, "energy"),
        Quantity("free_energy", "E", (), "eV", 0, True, True, "energy"),
        Quantity("energies", "E_i", (_N,), "eV", 0, False, True, "energy"),
        Quantity("forces", "F", (_N, 3), "eV/Å", 1, False, True, "energy"),
        Quantity("stress", "σ", (6,), "eV/Å^3", 2, False, True, "energy"),
        Quantity("hessian", "H", (_N, 3, _N, 3), "eV/Å^2", 2, False, False, "energy"),
        Quantity("dipole", "μ", (3,), "e·Å", 1, True, True, "dipole"),
        Quantity("charges", "q_i", (_N,), "e", 0, False, True, "charges"),
        Quantity("born_effective_charges", "Z*", (_N, 3, 3), "e", 2, False, True, "dipole"),
        Quantity("dipole_flux", "dμ/dt", (3,), "e·√(eV/amu)", 1, True, False, "dipole"),
        Quantity("polarizability", "α", (3, 3), "e²Å²/eV", 2, True, False, "polarizability"),
        Quantity(
            "polarizability_derivatives",
            "∂α/∂r",
            (_N, 3, 3, 3),
            "e²Å/eV",
            3,
            False,
            False,
            "polarizability",
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
        ),
    )
}
