"""The QuarticField record: what second-order perturbation theory needs to know of a molecule.

How a field is measured with a calculator is in ``painn_ase.quartic``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError
from painn_ase.rigid import turning_axes
from painn_ase.spectra.harmonic_result import HarmonicResult
from painn_ase.spectra.property_surface import PropertySurface
from painn_ase.units import (
    boltzmann_constant,
    ev_to_invcm,
    sqrt_ev_per_angstrom2_amu_to_invcm,
)

__all__ = ["QuarticField", "Rotor", "quantum_variance", "rotor_of", "unit_lengths", "unit_moves"]

Array = NDArray[np.float64]

#: ħ/4πc in cm⁻¹ amu Å²: a rotational constant times its moment of inertia
rotational_invcm_amu_angstrom2: float = sqrt_ev_per_angstrom2_amu_to_invcm**2 / ev_to_invcm / 2.0
#: moments of inertia closer than this share are those of a symmetric top
TOP_TOLERANCE = 1e-3


def unit_lengths(frequencies: Array) -> Array:
    """Length of one unit of each dimensionless coordinate, Å√amu: √(ħ/2πcω)."""
    lengths: Array = np.sqrt(2.0 * rotational_invcm_amu_angstrom2 / frequencies)
    return lengths


def unit_moves(modes: HarmonicResult, frequencies: Array | None = None) -> Array:
    """Displacement of one unit of each dimensionless coordinate (n_modes, n_atoms, 3), Å.

    `frequencies` (cm⁻¹) are those of the modes unless others are to set the units.
    """
    lengths = unit_lengths(modes.frequencies if frequencies is None else frequencies)
    moves: Array = modes.modes / np.sqrt(modes.masses)[:, None] * lengths[:, None, None]
    return moves


def quantum_variance(frequencies: Array, temperature: float | Array) -> Array:
    """⟨q²⟩ = ½ coth(hcω/2kT) of quantum oscillators in dimensionless coordinates; ½ at 0 K."""
    kelvin = np.asarray(temperature, dtype=float)
    with np.errstate(divide="ignore"):  # 0 K: the argument is infinite, and coth is 1
        argument = frequencies / ev_to_invcm / (2.0 * boltzmann_constant * kelvin)
    return np.asarray(0.5 / np.tanh(argument))


@dataclass(frozen=True, eq=False)
class Rotor:
    """Overall rotation of an asymmetric top and how the vibrations couple to it.

    Attributes
    ----------
    constants : ndarray (3,)
        Equilibrium rotational constants A, B, C, cm⁻¹, descending.
    coriolis : ndarray (3, n_modes, n_modes)
        ζ about the same axes, antisymmetric.
    slopes : ndarray (n_modes, 3, 3)
        Derivatives of the inertia tensor along the mass-weighted normal coordinates, Å√amu.
    """

    constants: Array
    coriolis: Array
    slopes: Array

    def __post_init__(self) -> None:
        n = len(self.slopes)
        _hold(self, "constants", (3,))
        _hold(self, "coriolis", (3, n, n))
        _hold(self, "slopes", (n, 3, 3))
        if not (self.constants > 0.0).all():
            raise DataError("rotational constants must be positive: linear molecules are refused")

    @property
    def moments(self) -> Array:
        """Moments of inertia, amu Å² (3,)."""
        return np.asarray(rotational_invcm_amu_angstrom2 / self.constants)

    def of_modes(self, kept: NDArray[np.intp]) -> Rotor:
        """The same with some of the modes alone."""
        coriolis = self.coriolis[:, kept][:, :, kept]
        return Rotor(self.constants, coriolis, self.slopes[kept])


def rotor_of(masses: Array, positions: Array, modes: Array) -> Rotor:
    """Rotational constants, Coriolis constants and slopes of inertia about the principal axes.

    Parameters
    ----------
    masses : ndarray (n_atoms,)
        amu.
    positions : ndarray (n_atoms, 3)
        Å.
    modes : ndarray (n_modes, n_atoms, 3)
        Mass-weighted, orthonormal.

    Raises
    ------
    DataError
        For linear molecules and for symmetric and spherical tops.
    """
    x = positions - masses @ positions / masses.sum()
    spread = float(np.sum(masses[:, None] * x**2))
    inertia = spread * np.eye(3) - np.einsum("i,ia,ib->ab", masses, x, x)
    moments, axes = np.linalg.eigh(inertia)
    refuse_rotors(moments)
    axes[:, 2] *= np.linalg.det(axes)
    x, modes = x @ axes, modes @ axes
    coriolis = np.stack(
        [
            np.einsum("ri,si->rs", modes[:, :, b], modes[:, :, c])
            - np.einsum("ri,si->rs", modes[:, :, c], modes[:, :, b])
            for b, c in ((1, 2), (2, 0), (0, 1))
        ]
    )
    moved = modes * np.sqrt(masses)[:, None]
    products = np.einsum("ia,rib->rab", x, moved)
    slopes = 2.0 * np.trace(products, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    slopes = slopes - products - products.transpose(0, 2, 1)
    return Rotor(rotational_invcm_amu_angstrom2 / moments, coriolis, slopes)


def refuse_rotors(moments: Array) -> None:
    """DataError for moments of inertia (3,), ascending, of a kind that is not done here."""
    if not turning_axes(moments).all():
        raise DataError(
            "this molecule is linear: second-order perturbation theory is done for asymmetric tops "
            "alone, since degenerate bends need l-type terms of their own. Use the harmonic "
            "analysis, or dynamics."
        )
    ratios = moments[1:] / moments[:-1] - 1.0
    if (ratios < TOP_TOLERANCE).any():
        raise DataError(
            "two moments of inertia are equal (" + ", ".join(f"{m:.4f}" for m in moments) + " "
            "amu Å²): symmetric and spherical tops have degenerate modes, which need terms of "
            "their own; only asymmetric tops are done. Use the harmonic analysis, or dynamics."
        )


@dataclass(frozen=True, eq=False)
class QuarticField:
    """A potential to fourth order in dimensionless normal coordinates q.

    ``V = ½Σ ω_i q_i² + ⅙Σ c_ijk q_i q_j q_k + 1/24 Σ d_ijkl q_i q_j q_k q_l``, all in cm⁻¹, of
    which the d with two equal indices suffice.

    Attributes
    ----------
    frequencies : ndarray (n_modes,)
        Harmonic wavenumbers ω, positive.
    cubic : ndarray (n_modes, n_modes, n_modes)
        c_ijk, symmetric.
    quartic : ndarray (n_modes, n_modes, n_modes)
        d_iijk at [i, j, k], symmetric in j and k.
    rotor : Rotor or None
        None leaves the rotation out: a model potential without a molecule.
    dipole : PropertySurface or None
        Of three components, e Å.
    polarizability : PropertySurface or None
        Of 3 × 3 components, Å³.
    frozen : tuple of int
        Modes whose couplings were not measured; they stay harmonic.
    check : QuarticField or None
        The same measured with other displacements.
    """

    frequencies: Array
    cubic: Array
    quartic: Array
    rotor: Rotor | None = None
    dipole: PropertySurface | None = None
    polarizability: PropertySurface | None = None
    frozen: tuple[int, ...] = ()
    check: QuarticField | None = None

    def __post_init__(self) -> None:
        n = len(self.frequencies)
        _hold(self, "frequencies", (n,))
        _hold(self, "cubic", (n, n, n))
        _hold(self, "quartic", (n, n, n))
        if n == 0:
            raise DataError("a quartic field needs at least one vibration")
        if not (self.frequencies > 0.0).all():
            raise DataError(
                f"{int(np.sum(self.frequencies <= 0.0))} of the harmonic wavenumbers are imaginary "
                "or zero: this is no minimum. Relax the structure further."
            )
        _symmetric(self.cubic, "cubic", ((1, 0, 2), (0, 2, 1)))
        _symmetric(self.quartic, "quartic", ((0, 2, 1),))
        diagonal = np.einsum("iss->is", self.quartic)
        _symmetric(diagonal, "quartic (d_iijj)", ((1, 0),))
        if self.rotor is not None and len(self.rotor.slopes) != n:
            raise DataError(f"a rotor of {len(self.rotor.slopes)} modes for a field of {n}")
        for name, shape in (("dipole", (n, 3)), ("polarizability", (n, 3, 3))):
            surface = getattr(self, name)
            if surface is not None and surface.slopes.shape != shape:
                raise DataError(f"the {name} must have slopes {shape}, not {surface.slopes.shape}")
        if self.check is not None and len(self.check.frequencies) != n:
            raise DataError("the field to check with has another number of modes")
        object.__setattr__(self, "frozen", check_modes(self.frozen, n))

    def of_modes(self, kept: NDArray[np.intp]) -> QuarticField:
        """The field of some modes alone, without its check."""
        cube = np.ix_(kept, kept, kept)
        return QuarticField(
            frequencies=self.frequencies[kept],
            cubic=self.cubic[cube],
            quartic=self.quartic[cube],
            rotor=None if self.rotor is None else self.rotor.of_modes(kept),
            dipole=None if self.dipole is None else self.dipole.of_modes(kept),
            polarizability=(
                None if self.polarizability is None else self.polarizability.of_modes(kept)
            ),
        )

    @property
    def diagonal_ratios(self) -> Array:
        """|d_iiii|/ω_i (n_modes,): above 2 the fourth order is no small correction any more."""
        return np.asarray(np.abs(np.einsum("iii->i", self.quartic)) / self.frequencies)


def check_modes(modes: object, n: int) -> tuple[int, ...]:
    """Mode numbers from 0, ascending and each once, or DataError."""
    try:
        numbers = sorted({int(k) for k in modes})  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise DataError(f"modes must be numbers from 0 to {n - 1}, not {modes!r}") from error
    if numbers and not 0 <= numbers[0] <= numbers[-1] < n:
        raise DataError(f"modes {numbers} are given; allowed are 0 to {n - 1}")
    return tuple(numbers)


def _hold(record: object, name: str, shape: tuple[int, ...]) -> None:
    """Keep an attribute as a read-only float64 array of this shape, or DataError."""
    given = getattr(record, name)
    if given is None:
        return
    array = np.array(given, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise DataError(f"{name} must be finite numbers {shape}, not {array.shape}")
    array.flags.writeable = False
    object.__setattr__(record, name, array)


def _symmetric(array: Array, name: str, swaps: tuple[tuple[int, ...], ...]) -> None:
    scale = 1e-8 * max(float(np.max(np.abs(array), initial=0.0)), 1.0)
    if any(np.max(np.abs(array - array.transpose(axes))) > scale for axes in swaps):
        raise DataError(f"the {name} constants must not depend on the order of their indices")
