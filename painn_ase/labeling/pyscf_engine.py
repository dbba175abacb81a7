"""Labels from PySCF: density functionals for closed-shell molecules, with a static polarizability.

Density fitting, a self-consistent field in two stages, analytic forces with the response of grid
and auxiliary basis (without them the net force is up to 4 meV/Å), and a polarizability from the
coupled-perturbed equations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.errors import DataError, LabelingError, MissingDependencyError, SpecError
from painn_ase.labeling.labels import Labels, charge_of, refuse_periodic
from painn_ase.units import bohr3_to_angstrom3, bohr_to_angstrom, hartree_to_ev

__all__ = ["PySCFEngine"]

Array = NDArray[np.float64]

_COARSE_GRID, _GRID, _KERNEL_GRID = 0, 2, 1
_COARSE_TOLERANCE, _TOLERANCE = 1e-6, 1e-9
#: Largest net force, eV/Å, and largest residual of the response relative to its right-hand side.
_NET_FORCE, _RESIDUAL = 1e-4, 1e-2
#: Names of sets with diffuse functions: Pople's +, Dunning's aug-, Ahlrichs' D, Truhlar's ma-.
_DIFFUSE = re.compile(r"\+|aug|jul-|jun-|^ma-|^def2-?[stq]zvp+d|^def2-?svpd", re.IGNORECASE)


@dataclass(frozen=True)
class PySCFEngine:
    """Restricted Kohn–Sham energies, forces, dipoles and polarizabilities of PySCF.

    Attributes
    ----------
    level : str
        ``functional/basis`` in PySCF's names.
    diis_cycles, second_order_cycles : int
        Limits of the two solvers; the second is tried where the first does not converge.
    """

    level: str = "b3lyp/def2-svpd"
    diis_cycles: int = 50
    second_order_cycles: int = 50

    def __post_init__(self) -> None:
        functional, slash, basis = self.level.partition("/")
        if not (functional and slash and basis):
            raise SpecError(
                f"--level {self.level!r}: PySCF needs functional/basis, e.g. b3lyp/def2-svpd."
            )

    @property
    def name(self) -> str:
        """The program."""
        return "pyscf"

    @property
    def settings(self) -> str:
        """What else decides the numbers."""
        return (
            f"RKS, density fitting, grid {_GRID} (response kernel {_KERNEL_GRID}), "
            f"SCF {_TOLERANCE:g} Hartree, grid and auxiliary basis response"
        )

    def versions(self) -> str:
        """Of PySCF."""
        return f"pyscf {_import_pyscf().__version__}"

    def cautions(self) -> Sequence[str]:
        """A basis without diffuse functions, as its name says."""
        basis = self.level.partition("/")[2]
        if _DIFFUSE.search(basis):
            return []
        return [
            f"the basis {basis} has no diffuse functions by its name: polarizabilities come out "
            "far too small (45 % for water), and Raman intensities with them. Take def2-svpd, "
            "aug-cc-pvdz or 6-31+g*."
        ]

    def check(self, frames: Sequence[Atoms]) -> None:
        """Refuse unknown functionals and bases, periodic frames and open shells."""
        pyscf = _import_pyscf()
        from pyscf.dft import libxc

        functional, _, basis = self.level.partition("/")
        try:
            libxc.parse_xc(functional)
        except Exception as error:  # KeyError, ValueError and others
            raise SpecError(f"PySCF knows no functional {functional!r} ({error}).") from error
        if libxc.is_meta_gga(functional) or libxc.is_nlc(functional):
            raise SpecError(
                f"{functional} is a meta-GGA or has non-local correlation, for which PySCF has no "
                "forces with the response of the grid; take an LDA, GGA or hybrid, e.g. b3lyp."
            )
        for symbol in sorted({s for atoms in frames for s in atoms.get_chemical_symbols()}):
            try:
                pyscf.gto.basis.load(basis, symbol)
            except Exception as error:
                raise SpecError(f"PySCF has no basis {basis!r} for {symbol} ({error}).") from error
        refuse_periodic(frames, self.name)
        for number, atoms in enumerate(frames):
            _refuse_open_shell(number, atoms)

    def label(self, atoms: Atoms) -> Labels:
        """Labels of one molecule, on one thread."""
        _import_pyscf().lib.num_threads(1)
        try:
            field, solver = self._solve(self._molecule(atoms))
            forces = _forces(field)
            dipole = np.asarray(field.dip_moment(unit="AU", verbose=0)) * bohr_to_angstrom
            alpha = _polarizability(field) * bohr3_to_angstrom3
        except LabelingError:
            raise
        except Exception as error:  # PySCF, LAPACK and libxc raise anything
            raise LabelingError(f"{type(error).__name__}: {error}") from error
        return Labels(
            float(field.e_tot) * hartree_to_ev, forces, dipole, alpha, {"label_scf": solver}
        )

    def _molecule(self, atoms: Atoms) -> Any:
        pairs = list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True))
        return _import_pyscf().gto.M(
            atom=pairs,
            basis=self.level.partition("/")[2],
            charge=charge_of(atoms),
            unit=bohr_to_angstrom,  # ours, not PySCF's own, so that all lengths agree
            verbose=0,
        )

    def _solve(self, molecule: Any) -> tuple[Any, str]:
        """The converged field and which solver found it."""
        coarse = self._field(molecule, _COARSE_GRID, _COARSE_TOLERANCE)
        coarse.kernel()
        field = self._field(molecule, _GRID, _TOLERANCE)
        field.with_df = coarse.with_df
        field.kernel(dm0=coarse.make_rdm1())
        if field.converged:
            return field, "diis"
        second = field.newton()
        second.max_cycle = self.second_order_cycles
        second.kernel(field.mo_coeff, field.mo_occ)
        if not second.converged:
            raise LabelingError(
                f"the SCF did not converge: neither {self.diis_cycles} cycles of DIIS nor "
                f"{self.second_order_cycles} of second order"
            )
        for name in ("mo_coeff", "mo_occ", "mo_energy", "e_tot", "converged"):
            setattr(field, name, getattr(second, name))
        return field, "second order"

    def _field(self, molecule: Any, grid: int, tolerance: float) -> Any:
        from pyscf import dft

        field = dft.RKS(molecule, xc=self.level.partition("/")[0]).density_fit()
        field.grids.level, field.conv_tol, field.max_cycle = grid, tolerance, self.diis_cycles
        return field


def _forces(field: Any) -> Array:
    """Forces, eV/Å; refused where they do not add up to nothing."""
    gradient = field.nuc_grad_method()
    gradient.grid_response = gradient.auxbasis_response = True
    forces = -np.asarray(gradient.kernel()) * hartree_to_ev / bohr_to_angstrom
    net = float(np.abs(forces.sum(axis=0)).max())
    if not net < _NET_FORCE:
        raise LabelingError(f"the forces add up to {net:.1e} eV/Å instead of nothing")
    return forces


def _polarizability(field: Any) -> Array:
    """Static polarizability, Bohr³, from the coupled-perturbed Kohn–Sham equations.

    With occupied–virtual dipole integrals h, orbital gaps Δ and the response kernel K, the
    first-order orbitals x solve (Δ + K) x = −h, and α = −4 h·x. Taken from the variational form
    −4 (2 h·x + x·(Δ + K)·x), its error is of second order in that of x.
    """
    from pyscf import lib

    occupied = field.mo_occ > 0
    c_occ, c_vir = field.mo_coeff[:, occupied], field.mo_coeff[:, ~occupied]
    gap = field.mo_energy[~occupied][None, :] - field.mo_energy[occupied][:, None]
    h = np.einsum("xpq,pi,qa->xia", field.mol.intor("int1e_r"), c_occ, c_vir, optimize=True)
    response = _response(field)

    def kernel(x: Array) -> Array:
        """K x / Δ for rows of orbital changes."""
        x = x.reshape(-1, *gap.shape)
        density = 2.0 * np.einsum("pi,xia,qa->xpq", c_occ, x, c_vir, optimize=True)
        potential = response(density + density.transpose(0, 2, 1))
        change = np.einsum("xpq,pi,qa->xia", potential, c_occ, c_vir, optimize=True) / gap
        return np.asarray(change.reshape(len(x), -1))

    right = (-h / gap).reshape(3, -1)
    x = lib.krylov(kernel, right, tol=1e-3, max_cycle=40, hermi=False).reshape(3, -1)
    residual = right - x - kernel(x)
    size = float(np.linalg.norm(residual) / np.linalg.norm(right))
    if not size < _RESIDUAL:
        raise LabelingError(f"the equations of the polarizability are off by {size:.1e} of unity")
    flat = h.reshape(3, -1)
    alpha = -4.0 * (flat @ x.T - x @ (gap.reshape(-1) * residual).T)
    return np.asarray((alpha + alpha.T) / 2)


def _response(field: Any) -> Any:
    """Density changes → potential changes, with the exchange-correlation kernel on a grid of its
    own: 2e-5 Å³ from the SCF's grid at half the cost.
    """
    from pyscf import dft

    fine = field.grids
    field.grids = dft.gen_grid.Grids(field.mol)
    field.grids.level = _KERNEL_GRID
    field.grids.build()
    coarse = field.grids
    inner = field.gen_response(mo_coeff=field.mo_coeff, mo_occ=field.mo_occ, hermi=1)
    field.grids = fine

    def apply(densities: Array) -> Any:
        field.grids = coarse  # gen_response looks the grid up again at every call
        try:
            return inner(densities)
        finally:
            field.grids = fine

    return apply


def _refuse_open_shell(number: int, atoms: Atoms) -> None:
    electrons = int(atoms.numbers.sum()) - charge_of(atoms)
    if electrons <= 0 or electrons % 2:
        raise DataError(
            f"frame {number} ({atoms.get_chemical_formula()}) has {electrons} electrons; this "
            "engine labels closed shells. Set charge= in its header if it is an ion, or leave it "
            "out."
        )
    if (multiplicity := atoms.info.get("multiplicity", 1)) != 1:
        raise DataError(
            f"frame {number} says multiplicity={multiplicity}; this engine labels singlets."
        )


def _import_pyscf() -> Any:
    try:
        import pyscf
        import pyscf.dft
        import pyscf.gto
    except ImportError as error:
        raise MissingDependencyError(
            f"the engine pyscf cannot be imported ({error}). Install it: python -m pip install "
            "'painn_ase[label]'."
        ) from error
    return pyscf
