"""A labelling engine as an ASE calculator: its forces drive, its spectra are references."""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from painn_ase.labeling.engines import make_engine
from painn_ase.labeling.labels import Engine, Labels, charge_of
from painn_ase.units import e2_angstrom2_per_ev_to_angstrom3

__all__ = ["EngineCalculator", "engine_calculator"]

#: Structures whose labels are kept: derivatives by differences ask for the same displaced ones once
#: for each quantity, and a label takes seconds.
_KEPT = 2000


class EngineCalculator(Calculator):
    """An engine of ``painn-ase label`` for anything that takes an ASE calculator.

    Parameters
    ----------
    engine : Engine
        Energies in eV, forces in eV/Å, dipoles in e·Å; the polarizability, where the engine has
        it, in e²Å²/eV as ASE's calculators give it.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.engine = engine
        self.implemented_properties = ["energy", "forces", "dipole"]
        if engine.name == "pyscf":
            self.implemented_properties.append("polarizability")
        self._known: dict[tuple[bytes, bytes, int], Labels] = {}

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Everything at once, as the engine gives it.

        Raises
        ------
        LabelingError, SpecError
            Of the engine, for a structure that it cannot take or does not converge for.
        """
        super().calculate(atoms, list(properties), list(system_changes))  # type: ignore[no-untyped-call]
        assert self.atoms is not None
        found = self._labels(self.atoms)
        self.results = {"energy": found.energy, "forces": found.forces}
        if found.dipole is not None:
            self.results["dipole"] = found.dipole
        if found.polarizability is not None:
            self.results["polarizability"] = found.polarizability / e2_angstrom2_per_ev_to_angstrom3

    def _labels(self, atoms: Atoms) -> Labels:
        key = (atoms.numbers.tobytes(), atoms.positions.tobytes(), charge_of(atoms))
        if key not in self._known:
            if not self._known:
                self.engine.check([atoms])
            if len(self._known) >= _KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[key] = self.engine.label(atoms)
        return self._known[key]


def engine_calculator(engine: str = "pyscf", level: str | None = None) -> EngineCalculator:
    """The calculator of an engine by its name, for ``--driver`` and ``--engine``.

    ``painn-ase harmonic CCO --driver 'painn_ase.labeling:engine_calculator'`` gives the harmonic
    frequencies and intensities of B3LYP/def2-SVPD itself, to compare a model with.

    Parameters
    ----------
    engine, level : str, str or None
        As for ``painn-ase label``.
    """
    return EngineCalculator(make_engine(engine, level))
