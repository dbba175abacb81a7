"""Write ``harmonic_hcl.json``: HCl in RHF/6-31G* (spherical d) by PySCF.

The Hessian is analytic. Dipole and polarizability come from finite fields (five points), their
derivatives from displaced atoms (five points). It takes half a minute.

    pip install pyscf scipy
    python tests/reference/make_hcl.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyscf
from pyscf import gto, scf
from scipy.optimize import brentq

SYMBOLS = ("H", "Cl")
MASSES = (1.00782503, 34.96885268)
BOHR = 0.529177210903
FIELD = 0.004  # atomic units
DISPLACEMENT = 0.02  # bohr
#: Five-point first derivative, exact for polynomials of the fourth degree.
STENCIL = {-2: 1 / 12, -1: -8 / 12, 1: 8 / 12, 2: -1 / 12}


def converged(positions: np.ndarray, field: np.ndarray | None = None) -> scf.hf.RHF:
    """RHF of HCl at `positions` (bohr) in a homogeneous field (atomic units)."""
    atoms = [[s, tuple(p)] for s, p in zip(SYMBOLS, positions, strict=True)]
    molecule = gto.M(atom=atoms, unit="Bohr", basis="6-31g*", cart=False, verbose=0)
    mean_field = scf.RHF(molecule)
    mean_field.conv_tol, mean_field.conv_tol_grad, mean_field.max_cycle = 1e-13, 1e-9, 200
    if field is not None:
        dipole_integrals = molecule.intor_symmetric("int1e_r", comp=3)
        core = mean_field.get_hcore() + np.einsum("a,aij->ij", field, dipole_integrals)
        mean_field.get_hcore = lambda *_: core
    mean_field.kernel()
    return mean_field


def dipole(positions: np.ndarray, field: np.ndarray | None = None) -> np.ndarray:
    """Dipole moment (3,), atomic units."""
    return converged(positions, field).dip_moment(unit="AU", verbose=0)


def polarizability(positions: np.ndarray) -> np.ndarray:
    """Polarizability (3, 3), bohr³: the derivative of the dipole by the field."""
    tensor = differences(lambda field: dipole(positions, field), np.zeros(3), FIELD)
    return 0.5 * (tensor + tensor.T)


def differences(function: Callable, origin: np.ndarray, step: float) -> np.ndarray:
    """∂function/∂x_k at `origin`, k in front."""
    slopes = []
    for k in np.ndindex(origin.shape):
        shift = np.zeros(origin.shape)
        shift[k] = step
        slopes.append(sum(w * function(origin + n * shift) for n, w in STENCIL.items()) / step)
    return np.array(slopes)


def main() -> None:
    """Relax, differentiate, write."""

    def along(length: float) -> np.ndarray:
        return np.array([[0.0, 0.0, 0.0], [0.0, 0.0, length]])

    def slope(length: float) -> float:
        gradient = converged(along(length)).nuc_grad_method()
        gradient.verbose = 0
        return float(gradient.kernel()[1, 2])

    positions = along(brentq(slope, 2.2, 2.7, xtol=1e-10))
    minimum = converged(positions)
    hessian = minimum.Hessian().kernel().transpose(0, 2, 1, 3).reshape(6, 6)
    record = {
        "symbols": SYMBOLS,
        "positions_A": (positions * BOHR).tolist(),
        "masses": MASSES,
        "hessian_Eh_bohr2": hessian.tolist(),
        "apt_e": differences(dipole, positions, DISPLACEMENT).tolist(),
        "dalpha_dR_bohr2": differences(polarizability, positions, DISPLACEMENT).tolist(),
        "dipole_au": dipole(positions).tolist(),
        "alpha_au": polarizability(positions).tolist(),
        "method": f"RHF/6-31g* pyscf {pyscf.__version__} spherical; finite fields and differences",
    }
    path = Path(__file__).with_name("harmonic_hcl.json")
    path.write_text(json.dumps({"HCl": record}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
