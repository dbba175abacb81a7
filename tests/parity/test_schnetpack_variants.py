"""Imported models of many kinds against SchNetPack itself.

Skipped unless PAINN_ASE_SCHNETPACK_VARIANTS names a folder that make_schnetpack_variants.py wrote.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from painn_ase.graph import from_ase
from painn_ase.models.schnetpack import load_schnetpack
from painn_ase.models.schnetpack.units import DIPOLE_UNITS, ENERGY_UNITS, LENGTH_UNITS

_FOLDER = os.environ.get("PAINN_ASE_SCHNETPACK_VARIANTS", "")
_FILES = sorted(Path(_FOLDER).glob("*.model")) if _FOLDER else []
RELATIVE = 1e-9


@pytest.mark.parametrize("path", _FILES, ids=[path.stem for path in _FILES])
def test_every_kind_of_model_gives_schnetpacks_numbers(path: Path) -> None:
    with np.load(path.with_suffix(".npz")) as file:
        truth = {name: file[name] for name in file.files}
    given = {n.removeprefix("units:"): str(v) for n, v in truth.items() if n.startswith("units:")}
    potential = load_schnetpack(
        path, **given, elements=(1, 6, 8), polarizability_origin="coordinates"
    ).double()
    energy = ENERGY_UNITS[given["energy_unit"]]
    length = LENGTH_UNITS[given["length_unit"]]
    dipole = DIPOLE_UNITS[given["dipole_unit"]]
    factors = {
        "energy": energy,
        "forces": energy / length,
        "stress": energy / length**3,
        "dipole": dipole,
        "charges": dipole / length,
        "polarizability": 1.0,
    }
    theirs = {"dipole": "dipole_moment", "charges": "partial_charges"}
    for name in ("ethanol", "crystal"):
        cell, pbc = truth[f"{name}:cell"], truth[f"{name}:pbc"]
        atoms = Atoms(truth[f"{name}:numbers"], truth[f"{name}:positions"], cell=cell, pbc=pbc)
        wanted = {"energy", "forces", "stress"} if pbc.all() else set(factors) - {"stress"}
        if f"{name}:stress" not in truth:
            wanted -= {"stress"}
        result = potential(from_ase(atoms, potential.cutoff), wanted).present()
        assert set(result) == wanted
        for quantity in sorted(wanted):
            ours = result[quantity].numpy()
            expected = truth[f"{name}:{theirs.get(quantity, quantity)}"] * factors[quantity]
            difference = np.abs(ours - expected.reshape(ours.shape)).max()
            assert difference <= RELATIVE * np.abs(expected).max(), quantity
