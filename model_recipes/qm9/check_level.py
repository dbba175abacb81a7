"""QM9's energy, dipole and polarizability computed once more with PySCF, molecule by molecule.

    python -m pip install 'painn_ase[label,qm9]'
    python model_recipes/qm9/check_level.py 2 7        # rows of the tables: water, methanol

B3LYP/6-31G(2df,p) as Gaussian means it: d functions with the exponents of 6-31G split by 2 (PySCF's
basis of that name takes 6-311G's), six Cartesian d and seven spherical f functions, which PySCF has
no switch for, hence the small self-consistent field of our own. The polarizability is a difference
of dipoles in a field along each axis of the molecule's own coordinates.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from qm9 import read_qm9
from scipy.linalg import block_diag, eigh

from painn_ase.units import bohr_to_angstrom, debye_to_e_angstrom, hartree_to_ev

Array = NDArray[np.float64]

_D = 0.8
_F = {"C": 0.8, "N": 1.0, "O": 1.4, "F": 1.85}
#: a.u.
_STEP = 2e-3


def _basis(symbol: str) -> list[Any]:
    from pyscf import gto

    shells: list[Any] = gto.basis.load("6-31g", symbol)
    if symbol == "H":
        return [*shells, [1, [1.1, 1.0]]]
    return [*shells, [2, [2 * _D, 1.0]], [2, [_D / 2, 1.0]], [3, [_F[symbol], 1.0]]]


class Level:
    """The self-consistent field of one molecule, in fields."""

    def __init__(self, atoms: Atoms) -> None:
        from pyscf import dft, gto

        symbols = atoms.get_chemical_symbols()
        self.molecule = gto.M(
            atom=list(zip(symbols, atoms.positions.tolist(), strict=True)),
            basis={s: _basis(s) for s in set(symbols)},
            unit=bohr_to_angstrom,
            cart=True,
            verbose=0,
        )
        blocks = []
        for shell in range(self.molecule.nbas):
            degree = self.molecule.bas_angular(shell)
            size = (degree + 1) * (degree + 2) // 2
            block = gto.cart2sph(3, normalized="sp") if degree == 3 else np.eye(size)
            blocks += [block] * self.molecule.bas_nctr(shell)
        self.kept = block_diag(*blocks)
        self.field = dft.RKS(self.molecule)
        self.field.xc, self.field.grids.level = "b3lyp", 3
        self.density = self.field.init_guess_by_minao()
        self.position = self.molecule.intor("int1e_r")

    def solve(self, field: Array) -> tuple[float, Array]:
        """Energy (Hartree) and dipole (3,), a.u., in a field (3,)."""
        from pyscf import lib

        kept, full = self.kept, self.field
        core = full.get_hcore() + np.einsum("x,xij->ij", field, self.position)
        overlap = kept.T @ full.get_ovlp() @ kept
        diis, density, own = lib.diis.DIIS(), self.density, None
        for _ in range(60):
            potential = full.get_veff(self.molecule, density)
            energy = float(full.energy_tot(density, core, potential))
            fock = kept.T @ (core + np.asarray(potential)) @ kept
            if own is not None:
                error = fock @ own @ overlap - overlap @ own @ fock
                if np.abs(error).max() < 1e-7:
                    break
                fock = diis.update(fock, error)
            orbitals = eigh(fock, overlap)[1][:, : self.molecule.nelectron // 2]
            own = 2 * orbitals @ orbitals.T
            density = kept @ own @ kept.T
        else:
            raise SystemExit("the self-consistent field did not converge")
        self.density = density
        nuclei = self.molecule.atom_charges() @ self.molecule.atom_coords()
        return energy, nuclei - np.einsum("xij,ji->x", self.position, density)

    def polarizability(self) -> Array:
        """(3, 3), a.u."""
        rows = [self.solve(f)[1] - self.solve(-f)[1] for f in _STEP * np.eye(3)]
        return np.array(rows) / (2 * _STEP)


def main() -> None:
    """Print both, molecule by molecule."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", type=int, nargs="+")
    for atoms in read_qm9(parser.parse_args().rows):
        level, info = Level(atoms), atoms.info
        energy, dipole = level.solve(np.zeros(3))
        alpha = level.polarizability()
        known = info["energy"] / hartree_to_ev - info["zero_point_energy"]
        print(info["smiles"])
        print(f"  U0 - zero point: {known:.6f}, electronic energy here {energy:.6f} Hartree")
        size = np.linalg.norm(dipole) * bohr_to_angstrom / debye_to_e_angstrom
        print(f"  dipole: {info['dipole_magnitude'] / debye_to_e_angstrom:.4f}, here {size:.4f} D")
        if "polarizability" in info:
            apart = np.abs(alpha - info["polarizability"].reshape(3, 3)).max()
            print(f"  polarizability: largest difference {apart:.4f} a.u. of {alpha.max():.2f}")


if __name__ == "__main__":
    main()
