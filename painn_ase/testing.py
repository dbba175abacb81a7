"""Tools for tests and benchmarks, ours and other people's: random potentials, tolerances, checks.

Public, so that a package that builds on this one can test itself with the same means.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_masses
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from painn_ase.errors import SpecError
from painn_ase.potential import AtomisticPotential
from painn_ase.quantities import QUANTITIES
from painn_ase.spec import (
    ChargesSpec,
    DipoleSpec,
    EnergySpec,
    HeadsSpec,
    ModelSpec,
    PaiNNSpec,
    PolarizabilitySpec,
)

__all__ = [
    "TOLERANCES",
    "Tolerance",
    "assert_close",
    "check_calculator_contract",
    "check_equivariance",
    "check_finite_differences",
    "compute_properties",
    "random_atoms",
    "random_potential",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Tolerance:
    """How far two evaluations of the same thing may differ: |a − b| ≤ atol + rtol·max|b|."""

    rtol: float
    atol: float


#: One table for all numeric tests, by dtype of the network. Positions and sums are float64
#: in both; float32 rounding of the network leaves about 1e-6 relative.
TOLERANCES: dict[torch.dtype, Tolerance] = {
    torch.float32: Tolerance(rtol=1e-5, atol=1e-5),
    torch.float64: Tolerance(rtol=1e-10, atol=1e-11),
}

_HEADS: Mapping[str, Any] = {
    "energy": EnergySpec(),
    "dipole": DipoleSpec(),
    "dipole:local": DipoleSpec(kind="local"),
    "polarizability": PolarizabilitySpec(),
    "polarizability:local": PolarizabilitySpec(kind="local"),
    "charges": ChargesSpec(),
}


def random_potential(
    n_features: int = 128,
    n_interactions: int = 3,
    n_rbf: int = 20,
    cutoff: float = 5.0,
    heads: Sequence[str] = ("energy",),
    elements: Sequence[int] = (1, 6, 7, 8),
    seed: int = 0,
    *,
    dtype: torch.dtype = torch.float32,
    **representation: Any,
) -> AtomisticPotential:
    """A potential with random weights, the same for the same arguments everywhere.

    Parameters
    ----------
    n_features, n_interactions, n_rbf, cutoff
        As in :class:`~painn_ase.spec.PaiNNSpec`; further keywords go there too.
    heads : sequence of str
        From "energy", "dipole", "dipole:local", "polarizability", "polarizability:local",
        "charges".
    elements : sequence of int
        Atomic numbers.
    seed : int
        The global random state of torch is left as it was.
    dtype : torch.dtype

    Raises
    ------
    SpecError
        For unknown heads or impossible sizes.
    """
    if unknown := [h for h in heads if h not in _HEADS]:
        raise SpecError(f"unknown heads {unknown}; allowed are {', '.join(_HEADS)}.")
    chosen = {name.partition(":")[0]: _HEADS[name] for name in heads}
    spec = ModelSpec(
        elements=tuple(sorted(set(elements))),
        heads=HeadsSpec(**chosen),
        representation=PaiNNSpec(n_features, n_interactions, n_rbf, cutoff, **representation),
        name="random",
        description=f"random weights, seed {seed}; not trained on anything",
    )
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # Drawn in float32 whatever the caller's default dtype, so that they are the same numbers.
        potential = AtomisticPotential(spec).to(torch.float32)
        torch.manual_seed(seed)
        for name, parameter in potential.named_parameters():
            _draw(name, parameter)
    return potential.to(dtype).eval().requires_grad_(False)


def _draw(name: str, parameter: torch.nn.Parameter) -> None:
    """Random numbers as at the start of a training, but for biases, which start at zero there:
    nonzero ones exercise the terms that a trained model has.
    """
    if name.endswith("bias"):
        torch.nn.init.uniform_(parameter, -0.1, 0.1)
    elif "embedding" in name:
        torch.nn.init.normal_(parameter)
    else:
        torch.nn.init.xavier_uniform_(parameter)


# -- structures ----------------------------------------------------------------------------------


def random_atoms(
    n_atoms: int = 8,
    *,
    elements: Sequence[int] = (1, 6, 7, 8),
    pbc: bool | Sequence[bool] = False,
    left_handed: bool = False,
    spacing: float = 1.1,
    seed: int = 0,
) -> Atoms:
    """A structure without symmetry, with velocities; where periodic, in a tilted cell.

    Parameters
    ----------
    n_atoms : int
    elements : sequence of int
        Atomic numbers to draw from.
    pbc : bool or (3,) bool
        Vectors of other directions than these are zero.
    left_handed : bool
        Exchange two cell vectors.
    spacing : float
        Least distance between atoms and images, Å, about; the density follows.
    seed : int
    """
    rng = np.random.default_rng(seed)
    edge = 1.6 * spacing * n_atoms ** (1 / 3)
    cell = edge * (np.eye(3) + rng.uniform(-0.15, 0.15, (3, 3)))
    places = _spread_out(n_atoms, cell, spacing, rng)
    periodic = np.broadcast_to(np.asarray(pbc, dtype=bool), 3)
    if left_handed:
        cell = cell[[1, 0, 2]]
        periodic = periodic[[1, 0, 2]]
    atoms = Atoms(
        numbers=rng.choice(np.asarray(elements), n_atoms),
        positions=places,
        cell=cell * periodic[:, None],
        pbc=periodic,
    )
    atoms.set_velocities(rng.normal(scale=0.05, size=(n_atoms, 3)))
    return atoms


def _spread_out(
    n_atoms: int, cell: FloatArray, spacing: float, rng: np.random.Generator
) -> FloatArray:
    """Random places in a periodic cell that keep a distance from each other and their images."""
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ cell
    places = np.empty((0, 3))
    while len(places) < n_atoms:
        trial = rng.uniform(size=3) @ cell
        apart = trial - places[:, None, :] - images
        if not len(places) or np.sqrt((apart**2).sum(axis=-1)).min() > spacing:
            places = np.vstack((places, trial))
    return places


# -- what a calculator says ----------------------------------------------------------------------


def compute_properties(
    calculator: Calculator, atoms: Atoms, properties: Iterable[str] | None = None
) -> dict[str, FloatArray]:
    """What `calculator` says of `atoms`, by name, with tensors as full matrices.

    Parameters
    ----------
    calculator : Calculator
        Ours, or one with the same methods for what ASE has no name for.
    atoms : Atoms
    properties : iterable of str, optional
        Names from :data:`painn_ase.quantities.QUANTITIES`; all that the calculator has, and the
        fluxes of those, if not given. Stress is left out where the structure has none.
    """
    names = list(_available(calculator, atoms) if properties is None else properties)
    values: dict[str, FloatArray] = {}
    for name in names:
        if name in _FLUX_OF:
            value = getattr(calculator, f"get_{name}")(atoms)
        else:
            value = calculator.get_property(name, atoms)
        array = np.asarray(value, dtype=float)
        values[name] = voigt_6_to_full_3x3_stress(array) if name == "stress" else array
    return values


_FLUX_OF = {"dipole_flux": "dipole", "polarizability_flux": "polarizability"}


def _available(calculator: Calculator, atoms: Atoms) -> list[str]:
    names = [n for n in QUANTITIES if n in calculator.implemented_properties]
    names += [flux for flux, of in _FLUX_OF.items() if of in names]
    return [n for n in names if n != "stress" or atoms.pbc.all()]


def _axes(name: str, kind: object) -> list[int]:
    """Axes of a quantity that run over `kind`: 3 for Cartesian ones, "n_atoms" for atoms."""
    shape = (3, 3) if name == "stress" else QUANTITIES[name].shape
    return [axis for axis, length in enumerate(shape) if length == kind]


def assert_close(
    name: str, given: FloatArray, expected: FloatArray, tolerance: Tolerance, what: str
) -> None:
    """Raise AssertionError, with the deviation, unless |given − expected| is within `tolerance`."""
    allowed = tolerance.atol + tolerance.rtol * float(np.abs(expected).max(initial=0.0))
    deviation = float(np.abs(given - expected).max(initial=0.0))
    if not deviation <= allowed:
        raise AssertionError(
            f"{name} {what}: differs by {deviation:.3e}, allowed are {allowed:.3e} "
            f"(largest entry {np.abs(expected).max(initial=0.0):.3e})."
        )


def _tolerance_of(calculator: Calculator, given: Tolerance | None) -> Tolerance:
    return given or TOLERANCES[getattr(calculator, "dtype", torch.float64)]


# -- symmetry ------------------------------------------------------------------------------------


def check_equivariance(
    calculator: Calculator,
    atoms: Atoms,
    properties: Iterable[str] | None = None,
    *,
    tolerance: Tolerance | None = None,
    seed: int = 0,
) -> None:
    """Every output turns, reflects, stays and permutes with the structure.

    A rotation, a reflection, a translation by 100 Å and a permutation, each random, are compared
    with the transformed output. How an output transforms is read off its shape in
    :data:`painn_ase.quantities.QUANTITIES`.

    Parameters
    ----------
    calculator : Calculator
    atoms : Atoms
    properties : iterable of str, optional
        All that the calculator has, if not given.
    tolerance : Tolerance, optional
        That of the calculator's dtype, if not given.
    seed : int

    Raises
    ------
    AssertionError
        Naming the output and the transformation.
    """
    names = list(_available(calculator, atoms) if properties is None else properties)
    bound = _tolerance_of(calculator, tolerance)
    rng = np.random.default_rng(seed)
    rotation = _random_rotation(rng)
    normal = _random_rotation(rng)[0]
    reflection = np.eye(3) - 2.0 * np.outer(normal, normal)
    before = compute_properties(calculator, atoms, names)

    for matrix, what in ((rotation, "under rotation"), (reflection, "under reflection")):
        after = compute_properties(calculator, _turned(atoms, matrix), names)
        for name in names:
            assert_close(name, after[name], _turn(name, before[name], matrix), bound, what)

    shifted = atoms.copy()
    shifted.positions += 100.0 * normal
    after = compute_properties(calculator, shifted, names)
    for name in names:
        assert_close(name, after[name], before[name], bound, "under translation by 100 Å")

    order = rng.permutation(len(atoms))
    after = compute_properties(calculator, atoms[order], names)
    for name in names:
        expected = before[name]
        for axis in _axes(name, "n_atoms"):
            expected = expected.take(order, axis=axis)
        assert_close(name, after[name], expected, bound, "under permutation")


def _random_rotation(rng: np.random.Generator) -> FloatArray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def _turned(atoms: Atoms, matrix: FloatArray) -> Atoms:
    turned: Atoms = atoms.copy()
    turned.set_cell(atoms.cell.array @ matrix.T)
    turned.positions = atoms.positions @ matrix.T
    turned.set_velocities(atoms.get_velocities() @ matrix.T)
    return turned


def _turn(name: str, value: FloatArray, matrix: FloatArray) -> FloatArray:
    for axis in _axes(name, 3):
        value = np.moveaxis(np.tensordot(matrix, value, axes=(1, axis)), 0, axis)
    return value


# -- derivatives ---------------------------------------------------------------------------------

#: Derivative → what it differentiates with respect to positions.
_DERIVATIVES = {
    "forces": "energy",
    "hessian": "forces",
    "born_effective_charges": "dipole",
    "polarizability_derivatives": "polarizability",
}
#: Five-point stencil: (offset, weight), exact to the fourth order in the step.
_STENCIL = ((-2, 1.0 / 12.0), (-1, -8.0 / 12.0), (1, 8.0 / 12.0), (2, -1.0 / 12.0))


def check_finite_differences(
    calculator: Calculator,
    atoms: Atoms,
    properties: Iterable[str] | None = None,
    *,
    step: float = 5e-5,
    tolerance: Tolerance = Tolerance(rtol=1e-7, atol=1e-8),
) -> None:
    """Every derivative agrees with finite differences of what it differentiates.

    Forces, stress, Hessian, Born charges, ∂α/∂r and both fluxes, by a five-point stencil; for
    float64 calculators. The dipole of an ion counts from the centre of mass, which Born charges
    hold fixed: Q·m_i/M is added to the differences there.

    Parameters
    ----------
    calculator : Calculator
    atoms : Atoms
        With velocities, if fluxes are to mean something.
    properties : iterable of str, optional
        The derivatives to check; all that the calculator has, if not given.
    step : float
        Å; a strain of step/(10 Å) for the stress, a time of `step` (ASE's unit) for fluxes.
    tolerance : Tolerance

    Raises
    ------
    AssertionError
        Naming the derivative.
    """
    names = set(_available(calculator, atoms) if properties is None else properties)
    values = compute_properties(calculator, atoms, names)
    for name in names & set(_DERIVATIVES):
        slopes = _position_slopes(calculator, atoms, _DERIVATIVES[name], step)
        expected = _arranged(name, slopes, calculator, atoms)
        assert_close(name, values[name], expected, tolerance, "against finite differences")
    if "stress" in names:
        expected = _strain_slopes(calculator, atoms, 0.1 * step) / atoms.get_volume()
        assert_close("stress", values["stress"], expected, tolerance, "against finite differences")
    for name in names & set(_FLUX_OF):
        expected = np.zeros_like(values[name])
        for k, weight in _STENCIL:
            expected += weight / step * _moved(calculator, atoms, _FLUX_OF[name], k * step)
        assert_close(name, values[name], expected, tolerance, "against the change along the motion")


def _position_slopes(calculator: Calculator, atoms: Atoms, name: str, step: float) -> FloatArray:
    """∂(value)/∂r (n_atoms, 3, …)."""
    moved = atoms.copy()
    slopes: list[FloatArray] = []
    for n, axis in itertools.product(range(len(atoms)), range(3)):
        slope = np.zeros(())
        for k, weight in _STENCIL:
            moved.positions[n, axis] = atoms.positions[n, axis] + k * step
            slope = slope + weight / step * compute_properties(calculator, moved, [name])[name]
        moved.positions[n, axis] = atoms.positions[n, axis]
        slopes.append(slope)
    return np.array(slopes).reshape(len(atoms), 3, *np.shape(slopes[0]))


def _arranged(name: str, slopes: FloatArray, calculator: Calculator, atoms: Atoms) -> FloatArray:
    """Slopes (n_atoms, 3, …) with the sign and the axes of the derivative `name`."""
    if name in ("forces", "hessian"):
        return -slopes
    if name == "born_effective_charges":
        charge = calculator.total_charge(atoms) if hasattr(calculator, "total_charge") else 0.0
        potential = getattr(calculator, "potential", None)
        if getattr(potential, "dipole_has_origin", False):
            masses = atomic_masses[atoms.numbers]
            drift: FloatArray = (masses / masses.sum())[:, None, None] * np.eye(3)
            slopes = slopes + charge * drift
        return np.swapaxes(slopes, 1, 2)
    return slopes


def _strain_slopes(calculator: Calculator, atoms: Atoms, step: float) -> FloatArray:
    """∂E/∂ε (3, 3) for a symmetric strain ε."""
    slopes = np.zeros((3, 3))
    for a, b in itertools.product(range(3), repeat=2):
        for k, weight in _STENCIL:
            strain = np.eye(3)
            strain[a, b] += 0.5 * k * step
            strain[b, a] += 0.5 * k * step
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energy = compute_properties(calculator, strained, ["energy"])["energy"]
            slopes[a, b] += weight / step * float(energy)
    return slopes


def _moved(calculator: Calculator, atoms: Atoms, name: str, time: float) -> FloatArray:
    """A quantity after moving along the velocities for `time`."""
    moved = atoms.copy()
    moved.positions += time * atoms.get_velocities()
    return compute_properties(calculator, moved, [name])[name]


# -- the calculator's contract with ASE ------------------------------------------------------------


class _Recorded(Calculator):
    """ASE's own base class around another calculator: its cache is the reference."""

    def __init__(self, make: Callable[[], Calculator]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.make = make
        self.implemented_properties = list(make().implemented_properties)
        self.n_calculations = 0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Iterable[str] = ("energy",),
        system_changes: Iterable[str] = all_changes,
    ) -> None:
        super().calculate(atoms, list(properties), list(system_changes))  # type: ignore[no-untyped-call]
        self.n_calculations += 1
        fresh = self.make()
        for name in properties:
            fresh.get_property(name, atoms)
        self.results.update(fresh.results)


def check_calculator_contract(
    make: Callable[[], Calculator],
    atoms: Atoms,
    properties: Sequence[str] = ("energy", "forces"),
    *,
    tolerance: Tolerance | None = None,
) -> None:
    """A calculator caches, recomputes and forgets as ASE's base class does.

    The same requests and changes (nothing, positions, numbers, cell, pbc, a removed atom, momenta,
    ``reset``) go to the calculator and to ASE's base class around a fresh one. Results must agree
    and calculations must happen at the same requests.

    Parameters
    ----------
    make : callable
        Gives a new calculator.
    atoms : Atoms
        Two atoms or more, fully periodic if stress is among the properties.
    properties : sequence of str
    tolerance : Tolerance, optional

    Raises
    ------
    AssertionError
        Naming the change after which the two differ.
    """
    mine, reference = make(), _Recorded(make)
    bound = _tolerance_of(mine, tolerance)
    counted = _count_calculations(mine)
    a, b = atoms.copy(), atoms.copy()
    a.calc, b.calc = mine, reference
    for what, change in _CHANGES.items():
        change(a), change(b)
        for name in (*properties, *properties):
            before = counted[0], reference.n_calculations
            expected = np.asarray(b.calc.get_property(name, b), dtype=float)
            given = np.asarray(a.calc.get_property(name, a), dtype=float)
            assert_close(name, given, expected, bound, f"after {what}")
            done = counted[0] - before[0], reference.n_calculations - before[1]
            if done[0] != done[1]:
                raise AssertionError(
                    f"{name} after {what}: calculated {done[0]} times, ASE's base class {done[1]}."
                )
        if mine.check_state(a) or mine.calculation_required(a, list(properties)):
            raise AssertionError(f"after {what} the calculator still sees a change.")


def _count_calculations(calculator: Calculator) -> list[int]:
    counted, calculate = [0], calculator.calculate

    def counting(*args: Any, **kwargs: Any) -> None:
        counted[0] += 1
        calculate(*args, **kwargs)  # type: ignore[no-untyped-call]

    calculator.calculate = counting  # type: ignore[method-assign]
    return counted


def _move(atoms: Atoms) -> None:
    atoms.positions[0, 0] += 0.05


def _exchange_elements(atoms: Atoms) -> None:
    atoms.numbers[:] = atoms.numbers[::-1].copy()


def _strain(atoms: Atoms) -> None:
    atoms.set_cell(atoms.cell.array * 1.01, scale_atoms=True)


def _kick(atoms: Atoms) -> None:
    atoms.set_momenta(atoms.get_momenta() + 1.0)


def _drop_atom(atoms: Atoms) -> None:
    del atoms[-1]


def _reset(atoms: Atoms) -> None:
    atoms.calc.reset()


_CHANGES: Mapping[str, Callable[[Atoms], Any]] = {
    "nothing": lambda atoms: None,
    "moving an atom": _move,
    "changing momenta": _kick,
    "exchanging elements": _exchange_elements,
    "a strain": _strain,
    "removing an atom": _drop_atom,
    "reset": _reset,
}
