"""Packs a dipole and polarizability series and TRAVIS's spectra of it into travis_water.npz.

Usage: python make_travis_water.py FOLDER, where FOLDER holds nve_1K_modes.npz and travis_1K/*.csv.

The series is of one water molecule in NVE (Partridge–Schwenke surface, Avila polarizability, both
from public Fortran code under the MIT licence), every mode started with the kinetic energy of 1 K;
TRAVIS (Debian 220729-1) analysed it with depth 4096, cos² window, fourfold padding, finite
difference correction, laser 20000 cm⁻¹, 1 K. Only its output is kept here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

SPECTRA = {
    "ir": "ir",
    "iso": "raman_iso",
    "aniso": "raman_aniso",
    "vv": "raman_para",
    "vh": "raman_ortho",
    "unpolarised": "raman_unpol",
    "depolarisation": "raman_depol_ratio",
}


def main(folder: Path) -> None:
    series = np.load(folder / "nve_1K_modes.npz")
    dipole, polarizability = series["dipole_eA"], series["polarizability_A3"].reshape(-1, 9)
    stored = {"timestep": series["dt_fs"]}
    for name, values in (("dipole", dipole), ("polarizability", polarizability)):
        # deviations in single precision keep seven digits of the motion itself
        stored[f"{name}_mean"] = values.mean(axis=0)
        stored[f"{name}_deviation"] = (values - values.mean(axis=0)).astype(np.float32)
    for name, file in SPECTRA.items():
        table = np.loadtxt(
            folder / "travis_1K" / f"water_1K_modes_travis_{file}.csv", delimiter=";"
        )
        stored[f"travis_{name}"] = table[:, 1].astype(np.float32)
    np.savez_compressed(Path(__file__).with_name("travis_water.npz"), **stored)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
