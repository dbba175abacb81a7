"""What a file of labelled frames calls its labels, and in which units it keeps them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from painn_ase.errors import DataError, SpecError, UnitError
from painn_ase.unit_names import known_spellings, unit_factor

__all__ = ["ORDERS", "KeysSpec", "UnitsSpec"]

#: How a file may order the six numbers of a symmetric tensor: name → where it keeps xx, yy, zz,
#: yz, xz and xy.
ORDERS: Mapping[str, tuple[int, ...]] = {
    "voigt": (0, 1, 2, 3, 4, 5),  # xx yy zz yz xz xy, ASE's
    "vasp": (0, 1, 2, 4, 5, 3),  # xx yy zz xy yz zx
    "lammps": (0, 1, 2, 5, 4, 3),  # xx yy zz xy xz yz
    "rows": (0, 3, 5, 4, 2, 1),  # xx xy xz yy yz zz, the upper triangle row by row
}


@dataclass(frozen=True)
class KeysSpec:
    """Under which key the file keeps each label; None for the format's usual name.

    Attributes
    ----------
    energy, forces, stress, dipole, polarizability, dipole_magnitude, charge : str or None
        A key that is named here must exist in at least one frame.
    virial : str or None
        Instead of a stress: −V·σ in the file's unit of energy, as VASP-like data sets and GAP keep
        it. Never read unless named.
    group : str or None
        A text that says which molecule or set a frame belongs to, for errors by group and for
        splits by it; without a key the formula.
    positions, numbers : str or None
        For ``.npz`` files only.
    """

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    dipole: str | None = None
    polarizability: str | None = None
    dipole_magnitude: str | None = None
    charge: str | None = None
    virial: str | None = None
    group: str | None = None
    positions: str | None = None
    numbers: str | None = None


@dataclass(frozen=True)
class UnitsSpec:
    """The units of the file, in any spelling of :mod:`painn_ase.unit_names`.

    Attributes
    ----------
    energy, length, dipole : str or None
        None for eV, Å and e·Å; the dipole's is also that of ``dipole_magnitude``. An ``.npz`` has
        no usual unit of energy and needs it stated; databases and collections that state their
        units are read in those.
    forces, stress : str or None
        None for the file's energy unit per length and per volume.
    polarizability : str or None
        Has no default: files disagree by a factor of 14.4, so a file with polarizabilities needs
        it stated, here or as ``polarizability_unit=`` in the header of every frame.
    order : {"voigt", "vasp", "lammps", "rows"}
        Of stresses and polarizabilities given as six numbers: xx yy zz yz xz xy (ASE),
        xx yy zz xy yz zx, xx yy zz xy xz yz, or xx xy xz yy yz zz.
    """

    energy: str | None = None
    length: str | None = None
    forces: str | None = None
    stress: str | None = None
    dipole: str | None = None
    polarizability: str | None = None
    order: Literal["voigt", "vasp", "lammps", "rows"] = "voigt"

    def __post_init__(self) -> None:
        for quantity in _QUANTITIES:
            if (unit := getattr(self, quantity)) is not None:
                try:
                    unit_factor(unit, quantity)
                except UnitError as error:
                    raise SpecError(f"units.{quantity}: {error}") from error

    def factor(self, label: str) -> float:
        """What a value of `label` in the file is multiplied with to reach the package's unit.

        Raises
        ------
        DataError
            For a polarizability whose unit was not stated.
        """
        if label == "charge":
            return 1.0
        label = _UNIT_OF.get(label, label)
        if label == "polarizability" and self.polarizability is None:
            raise DataError(
                "the file has polarizabilities but their unit is not stated; set [data.units] "
                f"polarizability to one of {known_spellings('polarizability')}."
            )
        return unit_factor(self.name_of(label), label)

    def name_of(self, label: str) -> str:
        """The file's unit of `label`; "?" for a polarizability whose unit is not stated."""
        energy, length = self.energy or "eV", self.length or "Angstrom"
        label = _UNIT_OF.get(label, label)
        usual = {
            "energy": energy,
            "length": length,
            "forces": f"{energy}/{length}",
            "stress": f"{energy}/{length}^3",
            "dipole": "e*Angstrom",
        }
        return str(getattr(self, label) or usual.get(label, "?"))

    def completed(self, others: Mapping[str, str]) -> UnitsSpec:
        """These units, and others where they are silent."""
        silent: dict[str, Any] = {k: v for k, v in others.items() if getattr(self, k) is None}
        return dataclasses.replace(self, **silent)


#: What has the unit of something else.
_UNIT_OF = {"virial": "energy", "dipole_magnitude": "dipole"}
_QUANTITIES = ("energy", "length", "forces", "stress", "dipole", "polarizability")
