"""Harmonic frequencies of a trained model beside a reference's: forces alone do not tell them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.optimize import BFGS

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import DataError, PaiNNError
from painn_ase.potential.potential import AtomisticPotential
from painn_ase.spectra import HarmonicResult, harmonic
from painn_ase.vibrations import load_harmonic

__all__ = ["frequency_errors", "load_references"]

#: eV/Å and steps of the relaxation.
_FMAX, _STEPS = 1e-3, 500


def load_references(paths: Sequence[str], labels: Sequence[str]) -> dict[str, HarmonicResult]:
    """References by the name of their file.

    Raises
    ------
    DataError
        For a file that is no harmonic analysis, two of one name, and training without energies or
        forces.
    """
    if paths and not {"energy", "forces"} & set(labels):
        raise DataError(
            "[data] harmonic asks for frequencies, and nothing is trained that gives forces; train "
            "on energies or forces, or leave it out."
        )
    found = {Path(path).name: load_harmonic(path) for path in paths}
    if len(found) < len(paths):
        raise DataError(f"[data] harmonic: two files have the same name: {', '.join(paths)}.")
    return found


def frequency_errors(potential: AtomisticPotential, reference: HarmonicResult) -> dict[str, Any]:
    """Frequencies (cm⁻¹) of the molecule relaxed with the model, mode by mode, ascending.

    Returns
    -------
    dict
        ``mae``, ``largest``, ``model`` and ``reference``, or, of a molecule that the model does
        not hold together or does not know, ``failed`` with the reason.
    """
    atoms = Atoms(reference.symbols, reference.positions, masses=reference.masses)
    try:
        atoms.calc = PaiNNCalculator(potential, dtype="float64")
        if not BFGS(atoms, logfile=None).run(fmax=_FMAX, steps=_STEPS):
            return {"failed": f"not relaxed after {_STEPS} steps"}
        found = harmonic(atoms).frequencies
    except PaiNNError as error:
        return {"failed": str(error)}
    if len(found) != len(reference.frequencies):
        return {"failed": f"{len(found)} modes, the reference has {len(reference.frequencies)}"}
    apart = np.abs(found - reference.frequencies)
    return {
        "unit": "cm^-1",
        "mae": float(apart.mean()),
        "largest": float(apart.max()),
        "model": np.round(found, 2).tolist(),
        "reference": np.round(reference.frequencies, 2).tolist(),
    }
