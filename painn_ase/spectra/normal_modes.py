"""Harmonic analysis: normal modes, infrared intensities and Raman activities from derivatives.

Wilson, Decius, Cross, Molecular Vibrations (1955); Porezag & Pederson, Phys. Rev. B 54, 7830
(1996), for the intensities. Overall motion is projected out, so that small errors of the Hessian
never leak into the vibrations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from painn_ase.errors import DataError, NonFiniteError, UnsupportedPropertyError
from painn_ase.rigid import turning_axes
from painn_ase.spectra.advice import warn
from painn_ase.spectra.harmonic_result import HarmonicResult
from painn_ase.units import (
    e2_angstrom2_per_ev_to_angstrom3,
    e2_per_amu_to_km_per_mol,
    sqrt_ev_per_angstrom2_amu_to_invcm,
)

__all__ = ["harmonic", "harmonic_from_arrays", "overall_motions"]

Array = NDArray[np.float64]

#: largest force, eV/Å, at which the structure still counts as relaxed
RELAXED_FORCE = 0.05


def harmonic_from_arrays(
    masses: ArrayLike,
    positions: ArrayLike,
    hessian: ArrayLike,
    *,
    born_charges: ArrayLike | None = None,
    polarizability_derivatives: ArrayLike | None = None,
    symbols: tuple[str, ...] | None = None,
    periodic: bool = False,
    held: ArrayLike | None = None,
) -> HarmonicResult:
    """Normal modes with their intensities, from second derivatives and response tensors.

    Parameters
    ----------
    masses : array-like (n_atoms,)
        amu.
    positions : array-like (n_atoms, 3)
        Å, at a stationary point.
    hessian : array-like (n_atoms, 3, n_atoms, 3) or (3 n_atoms, 3 n_atoms)
        eV/Å².
    born_charges : array-like (n_atoms, 3, 3), optional
        ∂μ_a/∂r_ib at [i, a, b], e.
    polarizability_derivatives : array-like (n_atoms, 3, 3, 3), optional
        ∂α_ab/∂r_ic of the polarizability volume at [i, c, a, b], Å².
    symbols : tuple of str, optional
        Chemical symbols, for the animation.
    periodic : bool
        Whether the structure repeats: then only translations are overall motions.
    held : array-like of bool (n_atoms, 3), optional
        Coordinates that do not move: the modes are those of the partial Hessian of the others.

    Returns
    -------
    HarmonicResult
        Only vibrations: 3N−6 modes, 3N−5 of a linear molecule, 3N−3 of a periodic structure, none
        of a single atom. Where coordinates are held, one mode for each of the others; an overall
        motion that leaves the held ones where they are, such as turning about one held atom, is
        among them with a frequency of exactly 0. Imaginary frequencies are negative.

    Raises
    ------
    DataError
        Shapes that do not fit, or a Hessian that is far from symmetric.
    NonFiniteError
        NaN or infinite derivatives.
    """
    mass = _array(masses, "masses", None)
    n = len(mass)
    if mass.ndim != 1 or n == 0 or np.any(mass <= 0.0):
        raise DataError("masses must be positive numbers in amu (n_atoms,)")
    coordinates = _array(positions, "positions", (n, 3))
    matrix = _symmetric(_array(hessian, "hessian", (n, 3, n, 3)).reshape(3 * n, 3 * n))

    roots = np.repeat(np.sqrt(mass), 3)
    motions = overall_motions(mass, coordinates, periodic)
    fixed = np.zeros((n, 3), dtype=bool) if held is None else _held_mask(held, n)
    if fixed.any():
        motions = _motions_beside(motions, fixed.ravel())
    basis = _vibrational_basis(np.vstack([motions, np.eye(3 * n)[fixed.ravel()]]))
    inner = basis.T @ (matrix / np.outer(roots, roots)) @ basis
    eigenvalues, vectors = np.linalg.eigh(inner)
    frequencies = (
        np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * sqrt_ev_per_angstrom2_amu_to_invcm
    )
    modes = (basis @ vectors).T  # mass-weighted, orthonormal
    if fixed.any():
        frequencies = np.concatenate([frequencies, np.zeros(len(motions))])
        order = np.argsort(frequencies, kind="stable")
        frequencies, modes = frequencies[order], np.vstack([modes, motions])[order]
    displacements = modes / roots  # ∂r/∂Q, amu^−1/2

    intensities = activities = ratios = None
    if born_charges is not None:
        charges = _array(born_charges, "born_charges", (n, 3, 3))
        intensities = infrared_intensities(charges, displacements)
    if polarizability_derivatives is not None:
        slopes = _array(polarizability_derivatives, "polarizability_derivatives", (n, 3, 3, 3))
        activities, ratios = raman_activities(slopes, displacements)
    return HarmonicResult(
        frequencies=frequencies,
        modes=modes.reshape(len(frequencies), n, 3),
        masses=mass,
        positions=coordinates,
        symbols=tuple("X" for _ in range(n)) if symbols is None else tuple(symbols),
        infrared=intensities,
        raman=activities,
        depolarisation=ratios,
        n_held=int(fixed.sum()),
    )


def _held_mask(held: ArrayLike, n_atoms: int) -> NDArray[np.bool_]:
    mask = np.asarray(held)
    if mask.dtype != bool or mask.shape != (n_atoms, 3):
        raise DataError(
            f"held must be an array of bool of shape ({n_atoms}, 3), not {mask.dtype} of shape "
            f"{mask.shape}"
        )
    return mask


def _motions_beside(motions: Array, fixed: NDArray[np.bool_]) -> Array:
    """Orthonormal combinations of overall motions (k, 3 n) that do not move what is fixed (3 n)."""
    moved, sizes, _ = np.linalg.svd(motions[:, fixed])
    still = np.concatenate([sizes, np.zeros(len(motions) - len(sizes))]) < 1e-6
    combined: Array = moved[:, still].T @ motions
    combined[:, fixed] = 0.0
    return combined


def overall_motions(masses: Array, positions: Array, periodic: bool) -> Array:
    """Orthonormal mass-weighted translations and rotations (n_motions, 3 n_atoms).

    Rotations are taken from the principal axes, so that a linear molecule has two and an atom none.
    """
    roots = np.sqrt(masses)
    translations = [np.outer(roots, axis).ravel() for axis in np.eye(3)]
    translations = [t / np.linalg.norm(t) for t in translations]
    if periodic:
        return np.array(translations)
    relative = positions - masses @ positions / masses.sum()
    spread = float(np.sum(masses[:, None] * relative**2))
    inertia = spread * np.eye(3) - np.einsum("i,ia,ib->ab", masses, relative, relative)
    moments, axes = np.linalg.eigh(inertia)
    rotations = []
    for axis in axes.T[turning_axes(moments)]:
        motion = (roots[:, None] * np.cross(axis, relative)).ravel()
        rotations.append(motion / np.linalg.norm(motion))
    return np.array(translations + rotations)


def infrared_intensities(born_charges: Array, displacements: Array) -> Array:
    """Integrated absorption of each mode, km/mol (n_modes,): ``N_A |∂μ/∂Q|²/(12 ε0 c²)``."""
    slopes = np.einsum("iab,kib->ka", born_charges, displacements.reshape(-1, len(born_charges), 3))
    result: Array = np.sum(slopes**2, axis=1) * e2_per_amu_to_km_per_mol
    return result


def raman_activities(derivatives: Array, displacements: Array) -> tuple[Array, Array]:
    """Raman activity 45a'² + 7γ'² (Å⁴/amu) and depolarisation ratio of each mode (n_modes,) each.

    The ratio 3γ'²/(45a'² + 4γ'²) of a mode without activity is given as 0.
    """
    slopes = np.einsum("icab,kic->kab", derivatives, displacements.reshape(-1, len(derivatives), 3))
    return tensor_activities(slopes)


def tensor_activities(tensors: Array) -> tuple[Array, Array]:
    """45a² + 7γ² of polarizability tensors (n, 3, 3) and the depolarisation ratio, (n,) each."""
    slopes = 0.5 * (tensors + tensors.transpose(0, 2, 1))
    mean = np.trace(slopes, axis1=1, axis2=2) / 3.0
    traceless = slopes - mean[:, None, None] * np.eye(3)
    gamma2 = 1.5 * np.sum(traceless**2, axis=(1, 2))
    activity = 45.0 * mean**2 + 7.0 * gamma2
    parallel = 45.0 * mean**2 + 4.0 * gamma2
    active = activity > 1e-6 * max(float(activity.max(initial=0.0)), 1e-30)
    ratio = np.where(active, 3.0 * gamma2 / np.where(active, parallel, 1.0), 0.0)
    return activity, ratio


def harmonic(atoms: Any, calculator: Any = None) -> HarmonicResult:
    """Harmonic analysis of a relaxed structure by the derivatives of its calculator.

    Parameters
    ----------
    atoms : ase.Atoms or alike
        At a stationary point; ``pbc`` decides whether rotations are projected out. What FixAtoms
        and FixCartesian hold does not move (partial Hessian); FixCom changes nothing.
    calculator : optional
        By default ``atoms.calc``. Must have ``get_hessian(atoms)`` (n, 3, n, 3) in eV/Å²; where it
        has ``get_born_charges(atoms)`` (n, 3, 3) in e and
        ``get_polarizability_derivatives(atoms)`` (n, 3, 3, 3) in e²Å/eV, the intensities are given.

    Raises
    ------
    UnsupportedPropertyError
        Without a calculator that has a Hessian, or for other constraints.

    Warns
    -----
    PaiNNWarning
        Where forces remain: then the modes and their projection mean little.
    """
    calc = getattr(atoms, "calc", None) if calculator is None else calculator
    if calc is None or not hasattr(calc, "get_hessian"):
        raise UnsupportedPropertyError(
            f"{type(calc).__name__} has no get_hessian(atoms); use a PaiNNCalculator, or "
            "harmonic_from_arrays with a Hessian by finite differences"
        )
    held = _held_by_constraints(atoms)
    forces = np.where(held, 0.0, np.asarray(calc.get_forces(atoms)))
    largest = float(np.max(np.linalg.norm(forces, axis=1)))
    if largest > RELAXED_FORCE:
        warn(
            f"the largest force is {largest:.3f} eV/Å: relax the structure below "
            f"{RELAXED_FORCE:g} eV/Å before the harmonic analysis"
        )
    slopes = _optional(calc, "get_polarizability_derivatives", atoms)
    return harmonic_from_arrays(
        atoms.get_masses(),
        atoms.get_positions(),
        calc.get_hessian(atoms),
        born_charges=_optional(calc, "get_born_charges", atoms),
        polarizability_derivatives=(
            None if slopes is None else slopes * e2_angstrom2_per_ev_to_angstrom3
        ),
        symbols=tuple(atoms.get_chemical_symbols()),
        periodic=bool(np.any(atoms.pbc)),
        held=held,
    )


def _held_by_constraints(atoms: Any) -> NDArray[np.bool_]:
    """Coordinates (n_atoms, 3) that constraints hold; told by their names, for want of ASE here."""
    free = np.ones((len(atoms), 3))
    names = [type(constraint).__name__ for constraint in getattr(atoms, "constraints", ())]
    for name, constraint in zip(names, getattr(atoms, "constraints", ()), strict=True):
        if name in ("FixAtoms", "FixCartesian"):
            constraint.adjust_forces(atoms, free)
        elif name != "FixCom":  # the centre of mass rests in every vibration
            raise UnsupportedPropertyError(
                f"normal modes under {name} are not to be had: FixAtoms, FixCartesian (a partial "
                "Hessian) and FixCom are. Take the constraint off with atoms.set_constraint()."
            )
    held: NDArray[np.bool_] = free == 0.0
    if "FixCom" in names and held.any():
        raise UnsupportedPropertyError(
            "FixCom together with FixAtoms or FixCartesian leaves no frame to vibrate in. Drop one."
        )
    return held


def _optional(calc: Any, method: str, atoms: Any) -> Array | None:
    """What a calculator's method gives, or None where it, or its model, cannot."""
    if not hasattr(calc, method):
        return None
    try:
        return np.asarray(getattr(calc, method)(atoms), dtype=np.float64)
    except NotImplementedError:  # UnsupportedPropertyError and ASE's own are of this kind
        return None


def _array(values: ArrayLike, name: str, shape: tuple[int, ...] | None) -> Array:
    try:
        array = np.asarray(values, dtype=np.float64)
        if shape is not None:
            array = array.reshape(shape)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} does not fit the shape {shape}: {error}") from error
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{name} holds NaN or infinite values")
    return array


def _symmetric(matrix: Array) -> Array:
    skew = float(np.max(np.abs(matrix - matrix.T), initial=0.0))
    if skew > 0.02 * max(float(np.max(np.abs(matrix), initial=0.0)), 1e-12):
        raise DataError(
            f"the Hessian differs from its transpose by up to {skew:.3g} eV/Å²: it is no second "
            "derivative, or its axes are in another order than (atom, axis, atom, axis)"
        )
    symmetric: Array = 0.5 * (matrix + matrix.T)
    return symmetric


def _vibrational_basis(motions: Array) -> Array:
    """Orthonormal columns spanning all that is orthogonal to the overall motions."""
    full, _ = np.linalg.qr(motions.T, mode="complete")
    return np.asarray(full[:, len(motions) :])
