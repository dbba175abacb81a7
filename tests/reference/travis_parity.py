"""Prints how far the lag-window spectra stand from TRAVIS's, and band areas from harmonic ones.

Usage: python tests/reference/travis_parity.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from painn_ase.spectra import depolarisation_ratio, infrared, raman

BANDS = {"bend": (1500.0, 1800.0), "symmetric": (3700.0, 3888.0), "asymmetric": (3888.0, 4050.0)}
HARMONIC = (72.8306, 4.43336, 62.3102)


def main() -> None:
    stored = np.load(Path(__file__).with_name("travis_water.npz"), allow_pickle=False)
    dipole, polarizability = (
        stored[f"{name}_mean"] + stored[f"{name}_deviation"].astype(np.float64)
        for name in ("dipole", "polarizability")
    )
    settings = {"timestep": 1.0, "temperature": 1.0, "estimator": "lag", "depth": 4096}
    absorption = infrared(input_unit="e*Angstrom", dipole=dipole, **settings)
    _report("ir", absorption.intensity, stored["travis_ir"])
    scattering = {
        name: raman(
            input_unit="Angstrom^3",
            polarizability=polarizability.reshape(-1, 3, 3),
            laser_wavenumber=20000.0,
            component=name,
            **settings,
        )
        for name in ("iso", "aniso", "vv", "vh", "unpolarised")
    }
    for name, spectrum in scattering.items():
        _report(name, spectrum.intensity, stored[f"travis_{name}"][1:])
    for (name, band), expected in zip(BANDS.items(), HARMONIC, strict=True):
        area = absorption.band_area(*band).value
        ratio = depolarisation_ratio(scattering["vh"], scattering["vv"], *band).value
        print(
            f"{name:11s} {area:9.4f} km/mol, harmonic {expected:9.4f} "
            f"({100.0 * (area / expected - 1.0):+.2f} %), depolarisation {ratio:.5f}"
        )


def _report(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    distance = np.max(np.abs(ours[: len(theirs)] - theirs)) / np.max(np.abs(theirs))
    print(f"{name:11s} largest difference {distance:.1e} of the maximum")


if __name__ == "__main__":
    main()
