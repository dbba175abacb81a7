"""The driver that i-PI loads: a model of this package as i-PI's potential, all beads in one call.

i-PI finds it by ``<pes>custom</pes><pes_path>…/ipi_driver.py</pes_path>``; ``painn-ase ipi`` writes
such an input. Made for i-PI 3.3; units inside are i-PI's atomic ones.
"""

from __future__ import annotations

import json
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from ipi.pes.dummy import Dummy_driver
from ipi.utils.units import unit_to_internal, unit_to_user
from numpy.typing import NDArray

from painn_ase.calculator import PaiNNCalculator
from painn_ase.evaluation import evaluate

# i-PI reads these two as literals.
__DRIVER_NAME__ = "painn_ase"
__DRIVER_CLASS__ = "PaiNNDriver"

__all__ = ["PaiNNDriver"]

Array = NDArray[np.float64]
_EXTRAS = ("dipole", "polarizability")


class PaiNNDriver(Dummy_driver):  # type: ignore[misc]
    """Energies, forces, virials, and dipoles and polarizabilities as extras.

    Parameters
    ----------
    model : str
        Model file, or name of a bundled model.
    template : str
        Structure file: elements, periodicity, charge.
    dtype : str
        Of the network.
    device : str, optional
        CUDA if there is one.
    """

    def __init__(
        self, model: str, template: str, dtype: str = "float64", device: str | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        read = ase.io.read(template)
        assert isinstance(read, Atoms)
        self.template = read
        self.calculator = PaiNNCalculator(model, dtype=dtype, device=device)
        has = self.calculator.implemented_properties
        self.names = ["energy", "forces", *(name for name in _EXTRAS if name in has)]
        if any(self.template.pbc):
            self.names.append("stress")
        super().__init__(**options)

    def compute(self, cell: Any, pos: Any) -> Any:
        """One structure, or lists of them in one batch: (energy, forces, virial, extras) each."""
        single = not isinstance(cell, list)
        cells, positions = ([cell], [pos]) if single else (cell, pos)
        frames = [self._frame(h, x) for h, x in zip(cells, positions, strict=True)]
        results = evaluate(self.calculator, frames, self.names)
        found = [self._answer(f, r) for f, r in zip(frames, results, strict=True)]
        return found[0] if single else found

    def _frame(self, cell: Array, positions: Array) -> Atoms:
        frame = self.template.copy()
        frame.positions = unit_to_user("length", "angstrom", positions)
        if any(frame.pbc):
            frame.cell = unit_to_user("length", "angstrom", cell).T
        result: Atoms = frame
        return result

    def _answer(self, frame: Atoms, found: dict[str, Any]) -> tuple[float, Array, Array, str]:
        energy = unit_to_internal("energy", "electronvolt", float(found["energy"]))
        forces = unit_to_internal("force", "ev/ang", found["forces"])
        virial = np.zeros((3, 3))
        if "stress" in found:
            stress = voigt_6_to_full_3x3_stress(found["stress"])
            virial = unit_to_internal("energy", "electronvolt", -stress * frame.get_volume())
        extras = {n: np.asarray(found[n]).ravel().tolist() for n in _EXTRAS if n in found}
        return energy, forces, virial, json.dumps(extras)
