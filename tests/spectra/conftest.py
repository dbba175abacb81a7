"""Series and tables that several tests of the spectra read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from painn_ase import units


@dataclass(frozen=True)
class WaterSeries:
    """A dipole (n, 3) and polarizability (n, 3, 3) series with TRAVIS's spectra of it."""

    dipole: np.ndarray
    polarizability: np.ndarray
    travis: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def water_series(reference: Path) -> WaterSeries:
    stored = np.load(reference / "travis_water.npz", allow_pickle=False)

    def series(name: str) -> np.ndarray:
        return stored[f"{name}_mean"] + stored[f"{name}_deviation"].astype(np.float64)

    travis = {
        k.removeprefix("travis_"): stored[k].astype(np.float64)
        for k in stored.files
        if k.startswith("travis_")
    }
    return WaterSeries(series("dipole"), series("polarizability").reshape(-1, 3, 3), travis)


def harmonic_arrays(record: dict[str, Any]) -> dict[str, Any]:
    """A PySCF record as arguments of harmonic_from_arrays."""
    n = len(record["masses"])
    tensor = np.array(record["apt_e"]).reshape(n, 3, 3)
    slopes = np.array(record["dalpha_dR_bohr2"]).reshape(n, 3, 3, 3)
    return {
        "masses": record["masses"],
        "positions": np.array(record["positions_A"]),
        "hessian": np.array(record["hessian_Eh_bohr2"]).reshape(n, 3, n, 3)
        * (units.hartree_to_ev / units.bohr_to_angstrom**2),
        "born_charges": tensor.transpose(0, 2, 1),
        "polarizability_derivatives": slopes * units.bohr_to_angstrom**2,
        "symbols": tuple(record["symbols"]),
    }


@pytest.fixture(scope="session")
def pyscf_records(reference: Path) -> dict[str, Any]:
    names = ("harmonic_h2o_co2.json", "harmonic_hcl.json")
    return {k: v for n in names for k, v in json.loads((reference / n).read_text()).items()}


@pytest.fixture(scope="session")
def arrays_of(pyscf_records: dict[str, Any]) -> Any:
    """Name of a molecule → arguments of harmonic_from_arrays."""
    return lambda name: harmonic_arrays(pyscf_records[name])
