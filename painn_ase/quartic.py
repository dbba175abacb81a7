"""Quartic force fields measured with a calculator: forces at displaced structures, in one batch.

What becomes of a field, levels by perturbation theory, is in ``painn_ase.spectra``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import DataError, GeometryError, NonFiniteError
from painn_ase.evaluation import evaluate
from painn_ase.spectra import (
    HarmonicResult,
    PropertySurface,
    QuarticField,
    harmonic,
    rotor_of,
)
from painn_ase.spectra.anharmonic_analysis import chosen_modes
from painn_ase.spectra.anharmonic_field import unit_moves
from painn_ase.units import e2_angstrom2_per_ev_to_angstrom3, ev_to_invcm

__all__ = ["quartic_field"]

Array = NDArray[np.float64]

#: largest force at which a structure counts as relaxed here, eV/Å
RELAXED_FORCE = 1e-3
#: structures between two calls of ``progress``
CHUNK = 256
#: properties that are taken along: their shape, and what makes them e Å and Å³
PROPERTIES: dict[str, tuple[tuple[int, ...], float]] = {
    "dipole": ((3,), 1.0),
    "polarizability": ((3, 3), e2_angstrom2_per_ev_to_angstrom3),
}


def quartic_field(
    atoms: Atoms,
    *,
    calculator: Any = None,
    radii: Sequence[float] = (0.6, 1.2),
    check: Sequence[float] = (0.3, 0.6),
    frozen: Iterable[int] | Literal["auto"] = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> QuarticField:
    """Cubic and semi-diagonal quartic force constants of a relaxed molecule, from forces.

    Every normal coordinate is displaced to ±h, and every pair to (±h, ±h), at all radii h; each
    constant is the limit h → 0 of a difference quotient fitted as a + b h². Wide displacements
    average over a learnt surface's roughness and are as wide as the quantum motion itself.

    Parameters
    ----------
    atoms : Atoms
        A molecule at a minimum, an asymmetric top. Its masses count: ASE's default are averages
        over isotopes; ``atoms.set_masses("most_common")`` is what spectra are measured for.
    calculator : optional
        By default ``atoms.calc``; a float64 PaiNNCalculator is evaluated in batches. Any other
        needs ``get_hessian(atoms)`` (n, 3, n, 3) in eV/Å² beside forces. Where it gives dipoles or
        polarizabilities (e²Å²/eV), their derivatives are taken from the same structures.
    radii, check : sequences of two or more float
        Displacements in units of the dimensionless coordinates, for the field and its ``check``.
    frozen : "auto" or modes
        Numbers from 0 of modes that are displaced alone and not in pairs; ``"auto"``: those with
        |d_iiii|/ω above 2, large-amplitude motion.
    progress : callable, optional
        Called with the number of structures with a displaced pair that are done, and their total.

    Returns
    -------
    QuarticField

    Raises
    ------
    GeometryError
        For periodic structures and those that are not relaxed (a force above 0.001 eV/Å).
    DataError
        For linear molecules, symmetric and spherical tops, and saddle points.
    UnsupportedPropertyError
        Without a Hessian.
    NonFiniteError
        If a displaced structure's forces are not finite.
    """
    wide, narrow = _radii(radii, "radii"), _radii(check, "check")
    if wide == narrow:
        raise DataError(f"check {check} are the same displacements as radii: give others")
    calc = atoms.calc if calculator is None else calculator
    _refuse_structures(atoms, calc)
    modes = harmonic(atoms, calc)
    if modes.n_held:
        raise DataError(
            f"{modes.n_held} coordinates are held by constraints: perturbation theory is for whole "
            "molecules. Remove them with atoms.set_constraint()."
        )
    rotor = rotor_of(modes.masses, modes.positions, modes.modes)
    _refuse_saddle_points(modes)
    every = sorted({*wide, *narrow})
    surface = _Surface(atoms, calc, modes, progress)
    singles = surface.singles(every)
    bare = _field(modes.frequencies, singles, None, every, wide)
    n = len(modes.frequencies)
    held = chosen_modes(bare, frozen)
    kept = [k for k in range(n) if k not in held]
    pairs = surface.pairs(every, list(itertools.combinations(kept, 2)))
    fields = [
        replace(_field(modes.frequencies, singles, pairs, every, chosen), rotor=rotor, frozen=held)
        for chosen in (wide, narrow)
    ]
    return replace(fields[0], check=fields[1])


def _radii(values: Sequence[float], name: str) -> tuple[float, ...]:
    given = sorted({float(v) for v in values})
    if len(given) < 2 or not all(0.0 < v < np.inf for v in given):
        raise DataError(
            f"{name} must be two or more different positive displacements, not {tuple(values)}"
        )
    return tuple(given)


def _refuse_structures(atoms: Atoms, calc: Any) -> None:
    if np.any(atoms.pbc):
        raise GeometryError(
            "perturbation theory is done for isolated molecules, and this structure is periodic; "
            "set atoms.pbc = False, or save it without its cell, if it is a molecule in a box; "
            "else use dynamics"
        )
    if len(atoms) < 3:
        raise DataError(
            f"a molecule of {len(atoms)} atoms is linear or has no vibrations; only asymmetric "
            "tops are done"
        )
    if calc is None:
        raise DataError("no calculator: set atoms.calc, or pass calculator")
    largest = float(np.max(np.linalg.norm(np.asarray(calc.get_forces(atoms)), axis=1)))
    if not largest <= RELAXED_FORCE:
        raise GeometryError(
            f"the structure is not relaxed: the largest force is {largest:.2g} eV/Å, allowed is "
            f"{RELAXED_FORCE:g}. Relax it with the same calculator first."
        )


def _refuse_saddle_points(modes: HarmonicResult) -> None:
    lowest = float(modes.frequencies[0])
    if lowest <= 0.0:
        raise DataError(
            f"{max(modes.n_imaginary, 1)} of the frequencies are imaginary, the lowest "
            f"{abs(lowest):.1f}i cm^-1: this is a saddle point, not a minimum. Displace the "
            "structure along that mode and relax again."
        )


# ---------------------------------------------------------------------- displaced structures


@dataclass(frozen=True)
class _Sample:
    """Slopes ∂V/∂q (…, n_modes), cm⁻¹, and properties (…, k) by name, at points of a pattern."""

    slopes: Array
    properties: dict[str, Array]

    def shaped(self, *shape: int) -> _Sample:
        return _Sample(
            self.slopes.reshape(*shape, self.slopes.shape[-1]),
            {name: v.reshape(*shape, v.shape[-1]) for name, v in self.properties.items()},
        )


@dataclass(frozen=True)
class _Pairs:
    """Pairs i < j (n_pairs, 2) and what was found at [radius, pair, sign of i, sign of j]."""

    modes: NDArray[np.intp]
    sample: _Sample


@dataclass(frozen=True)
class _Singles:
    """What was found at [radius, mode, sign], and at the minimum."""

    sample: _Sample
    centre: _Sample


class _Surface:
    """What a calculator says at points given in dimensionless normal coordinates."""

    def __init__(
        self,
        atoms: Atoms,
        calc: Any,
        modes: HarmonicResult,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._atoms, self._calc, self._progress = atoms, calc, progress
        self._moves = unit_moves(modes)
        known = getattr(calc, "implemented_properties", ())
        self._properties = [name for name in PROPERTIES if name in known]
        self._names = ["forces", *self._properties]

    def singles(self, radii: list[float]) -> _Singles:
        n = len(self._moves)
        q = np.zeros((len(radii), n, 2, n))
        for k in range(n):
            q[:, k, 0, k], q[:, k, 1, k] = radii, np.negative(radii)
        found = self._at(q.reshape(-1, n))
        return _Singles(found.shaped(len(radii), n, 2), self._at(np.zeros((1, n))).shaped())

    def pairs(self, radii: list[float], pairs: list[tuple[int, int]]) -> _Pairs:
        n = len(self._moves)
        modes = np.array(pairs, dtype=np.intp).reshape(-1, 2)
        q = np.zeros((len(radii), len(pairs), 2, 2, n))
        h, signs = np.array(radii)[:, None, None], np.array([1.0, -1.0])
        for row, (i, j) in enumerate(pairs):
            q[:, row, :, :, i] = h * signs[:, None]
            q[:, row, :, :, j] = h * signs
        found = self._at(q.reshape(-1, n), self._progress)
        return _Pairs(modes, found.shaped(len(radii), len(pairs), 2, 2))

    def _at(self, q: Array, progress: Callable[[int, int], None] | None = None) -> _Sample:
        forces = np.zeros((len(q), *self._moves.shape[1:]))
        properties = {
            name: np.zeros((len(q), math.prod(PROPERTIES[name][0]))) for name in self._properties
        }
        for start in range(0, len(q), CHUNK):
            part = slice(start, start + CHUNK)
            for row, found in enumerate(self._results(q[part]), start):
                forces[row] = found["forces"]
                for name, values in properties.items():
                    values[row] = PROPERTIES[name][1] * np.ravel(found[name])
            if progress is not None:
                progress(min(start + CHUNK, len(q)), len(q))
        for name, values in (("forces", forces), *properties.items()):
            if not np.isfinite(values).all():
                raise NonFiniteError(
                    f"the calculator gave NaN or infinite {name} at a displacement"
                )
        slopes = -np.einsum("nia,kia->nk", forces, self._moves) * ev_to_invcm
        return _Sample(slopes, properties)

    def _results(self, q: Array) -> Iterable[dict[str, Any]]:
        frames = self._frames(q)
        if isinstance(self._calc, PaiNNCalculator):
            return evaluate(self._calc, frames, self._names)
        return [{name: self._calc.get_property(name, a) for name in self._names} for a in frames]

    def _frames(self, q: Array) -> Iterator[Atoms]:
        for point in np.tensordot(q, self._moves, 1):
            frame = self._atoms.copy()
            frame.set_constraint()
            frame.positions += point
            yield frame


# ---------------------------------------------------------------------- constants


class _Limit:
    """``a`` of values [radius, …] fitted as a + b h² by least squares; ``growth`` is b."""

    def __init__(self, radii: tuple[float, ...]) -> None:
        self.h = np.array(radii)[:, None, None]
        columns = np.stack([np.ones(len(radii)), np.square(radii)], axis=1)
        self._weights = np.linalg.pinv(columns)

    def __call__(self, values: Array) -> Array:
        result: Array = np.tensordot(self._weights[0], values, 1)
        return result

    def growth(self, values: Array) -> Array:
        result: Array = np.tensordot(self._weights[1], values, 1)
        return result


def _field(
    frequencies: Array,
    singles: _Singles,
    pairs: _Pairs | None,
    every: list[float],
    radii: tuple[float, ...],
) -> QuarticField:
    """The field as some of the radii have it; without pairs, the constants along single modes."""
    rows = [every.index(h) for h in radii]
    n = len(frequencies)
    limit = _Limit(radii)
    h = limit.h

    cubic, quartic = np.zeros((n, n, n)), np.zeros((n, n, n))
    own = np.arange(n)
    plus, minus = np.moveaxis(singles.sample.slopes[rows], 2, 0)
    odd = (plus - minus) / 2.0
    anharmonic_part = odd - h * np.diag(frequencies)
    cubic[own, own] = limit((plus + minus - 2.0 * singles.centre.slopes) / h**2)
    quartic[own, own] = limit(6.0 * anharmonic_part / h**3)
    coupled = np.zeros(n, dtype=bool)
    if pairs is not None:
        i, j = pairs.modes.T
        p = pairs.sample.slopes[rows]
        cubic[i, j] = cubic[j, i] = limit(_mixed(p) / h**2)
        quartic[i, j] = limit(2.0 * (_odd(p, 1) - odd[:, j]) / h**3)
        quartic[j, i] = limit(2.0 * (_odd(p, 0) - odd[:, i]) / h**3)
        coupled[pairs.modes.ravel()] = True
    mask = coupled[:, None, None] & coupled[:, None] & coupled
    mask[own, own, own] = True  # what a mode does alone is known of frozen modes too
    cubic, quartic = np.where(mask, cubic, 0.0), np.where(mask, quartic, 0.0)
    surfaces = {
        name: _property_surface(name, singles, pairs, rows, limit)
        for name in singles.sample.properties
    }
    return QuarticField(
        frequencies=frequencies,
        cubic=np.mean([cubic.transpose(p) for p in itertools.permutations(range(3))], axis=0),
        quartic=_symmetrised(quartic),
        dipole=surfaces.get("dipole"),
        polarizability=surfaces.get("polarizability"),
    )


def _mixed(values: Array) -> Array:
    """Part odd in both displacements of values [radius, pair, sign, sign, …], mean of four."""
    part: Array = values[:, :, 0, 0] - values[:, :, 0, 1] - values[:, :, 1, 0] + values[:, :, 1, 1]
    return part / 4.0


def _odd(values: Array, which: int) -> Array:
    """Part odd in the first (0) or second (1) displacement and even in the other."""
    means = values.mean(axis=3 - which)
    part: Array = (means[:, :, 0] - means[:, :, 1]) / 2.0
    return part


def _symmetrised(quartic: Array) -> Array:
    """d_iijk symmetric in j, k, and d_iijj the mean of what i and j say."""
    result: Array = (quartic + quartic.transpose(0, 2, 1)) / 2.0
    modes = np.arange(len(result))
    diagonal = result[:, modes, modes]
    result[:, modes, modes] = (diagonal + diagonal.T) / 2.0
    return result


def _property_surface(
    name: str, singles: _Singles, pairs: _Pairs | None, rows: list[int], limit: _Limit
) -> PropertySurface:
    """Derivatives of a property to third order, from the structures of the force constants."""
    shape, h = PROPERTIES[name][0], limit.h
    centre = singles.centre.properties[name]
    plus, minus = np.moveaxis(singles.sample.properties[name][rows], 2, 0)
    n = plus.shape[1]
    odd = (plus - minus) / 2.0
    curvatures, thirds = np.zeros((2, n, n, plus.shape[-1]))
    own = np.arange(n)
    curvatures[own, own] = limit((plus + minus - 2.0 * centre) / h**2)
    # odd/h = slope + third h²/6: the slope is not known beforehand as that of the potential is
    thirds[own, own] = 6.0 * limit.growth(odd / h)
    if pairs is not None:
        i, j = pairs.modes.T
        p = pairs.sample.properties[name][rows]
        curvatures[i, j] = curvatures[j, i] = limit(_mixed(p) / h**2)
        thirds[i, j] = limit(2.0 * (_odd(p, 1) - odd[:, j]) / h**3)
        thirds[j, i] = limit(2.0 * (_odd(p, 0) - odd[:, i]) / h**3)
    return PropertySurface(
        limit(odd / h).reshape(n, *shape),
        curvatures.reshape(n, n, *shape),
        thirds.reshape(n, n, *shape),
    )
