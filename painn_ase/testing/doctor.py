"""The examination of a calculator: every check, with the size of each fault.

For any ASE calculator: what a potential must obey whatever it is made of. Each check stands in its
own file; here are their order and what they need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from painn_ase.errors import GeometryError
from painn_ase.spectra import HarmonicResult
from painn_ase.testing.conservation import measure_energy_drift
from painn_ase.testing.derivatives import arranged, position_slopes, strain_slopes
from painn_ase.testing.findings import Finding, compare
from painn_ase.testing.properties import available_properties, compute_properties
from painn_ase.testing.quantum_width import examine_width
from painn_ase.testing.responses import (
    measure_asymmetry,
    measure_born_sum,
    measure_dipole_shift,
    measure_polarizability_shift,
)
from painn_ase.testing.smoothness import find_jumps
from painn_ase.testing.symmetry import TRANSFORMATIONS, transformed_pairs
from painn_ase.testing.tolerances import Tolerance

__all__ = ["ROUNDING", "examine"]

#: What float32 networks lose by rounding; a broken symmetry is orders of magnitude larger.
ROUNDING = Tolerance(rtol=1e-4, atol=1e-5)
#: Differences over a step: their own error, and rounding divided by the step.
_DIFFERENCES = Tolerance(rtol=1e-3, atol=1e-3)
#: Å. The longer one for float32 energies, the shorter one for sharp ones; the better one counts.
_STEPS = (0.01, 0.002)
#: Atoms whose derivatives are differenced; each costs twelve evaluations.
_N_PROBED = 8
#: Structures of quantum width; holes are rare.
_N_DRAWS = 20_000
#: Too many numbers for a first look.
_LEFT_OUT = ("free_energy", "hessian", "polarizability_derivatives")

_Check = tuple[str, tuple[str, ...], Callable[[], Iterable[Finding]]]


def examine(
    calculator: Calculator,
    atoms: Atoms,
    *,
    tolerance: Tolerance = ROUNDING,
    timestep: float = 0.5,
    n_steps: int = 200,
    temperature: float = 300.0,
    quantum: HarmonicResult | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> tuple[Finding, ...]:
    """Every check of this package on any ASE calculator, with the size of each fault.

    Atoms are first moved by about 0.05 Å at random, as a symmetric structure hides faults.

    Parameters
    ----------
    calculator : Calculator
    atoms : Atoms
        Its elements must be known to the calculator; with pbc, stress is examined too.
    tolerance : Tolerance
        What counts as rounding where two evaluations are compared.
    timestep, n_steps, temperature
        Of the dynamics at constant energy, in fs and K; 0 steps leave it out.
    quantum : HarmonicResult, optional
        Modes at the minimum of `calculator`: then energies over their quantum width are examined
        too, with 20,000 draws (:func:`quantum_width`).
    seed : int
    progress : callable, optional
        Called with the name of each check before it runs.

    Returns
    -------
    tuple of Finding
        In the order of the checks; those that could not be made say why.

    Raises
    ------
    GeometryError
        For a structure without atoms.
    """
    if len(atoms) == 0:
        raise GeometryError("the structure has no atoms. Give one with at least one atom.")
    examination = _Examination(calculator, _unsymmetric(atoms, seed), tolerance, seed)
    checks = examination.checks()
    if n_steps > 0:
        checks.append(
            (
                "NVE drift",
                ("energy", "forces"),
                lambda: examination.drift(timestep, n_steps, temperature),
            )
        )
    if quantum is not None:
        checks.append(
            (
                "quantum width",
                ("energy",),
                lambda: examine_width(calculator, atoms, quantum, n_draws=_N_DRAWS, seed=seed),
            )
        )
    found = list(examination.refused)
    for check, needs, measure in checks:
        if progress is not None:
            progress(check)
        found += _measured(check, needs, measure, examination.names)
    return tuple(found)


class _Examination:
    """A calculator and a structure without symmetry, and what can be asked about them."""

    def __init__(
        self, calculator: Calculator, atoms: Atoms, tolerance: Tolerance, seed: int
    ) -> None:
        self.calculator, self.atoms = calculator, atoms
        self.tolerance, self.seed = tolerance, seed
        rng = np.random.default_rng(seed)
        n_probed = min(len(atoms), _N_PROBED)
        self.probed = sorted(int(n) for n in rng.permutation(len(atoms))[:n_probed])
        self.names: list[str] = []
        self.refused: list[Finding] = []
        for name in available_properties(calculator, atoms):
            if name not in _LEFT_OUT:
                self._ask(name)

    def _ask(self, name: str) -> None:
        """Note whether the calculator gives what it says it has; not all do for all structures."""
        try:
            value = compute_properties(self.calculator, self.atoms, [name])[name]
        except Exception as error:  # whatever a foreign calculator raises is the answer
            self.refused.append(Finding("gives", name, note=_in_words(error)))
            return
        self.names.append(name)
        if not np.isfinite(value).all():
            note = "NaN or infinite"
            self.refused.append(Finding("gives", name, float("nan"), note=note))

    def checks(self) -> list[_Check]:
        """Name, needed quantities and measurement of each check but the dynamics."""
        rounding = self.calculator, self.atoms, self.tolerance
        turns: list[_Check] = [(w, (), lambda w=w: self.turns(w)) for w in TRANSFORMATIONS]  # type: ignore[misc]
        return [
            *turns,
            ("forces = −dE/dr", ("energy", "forces"), lambda: self.slopes("energy", "forces")),
            (
                "smooth at the cutoff",
                ("energy", "forces"),
                lambda: find_jumps(self.calculator, self.atoms),
            ),
            ("stress = dE/dε / V", ("energy", "stress"), self.stress),
            ("dipole against shift", ("dipole",), lambda: [measure_dipole_shift(*rounding)]),
            (
                "α against shift",
                ("polarizability",),
                lambda: [measure_polarizability_shift(*rounding)],
            ),
            ("α symmetric", ("polarizability",), lambda: [measure_asymmetry(*rounding)]),
            ("Born sum rule", ("born_effective_charges",), lambda: [measure_born_sum(*rounding)]),
            (
                "Born charges = dμ/dr",
                ("dipole", "born_effective_charges"),
                lambda: self.slopes("dipole", "born_effective_charges"),
            ),
        ]

    def turns(self, what: str) -> Iterator[Finding]:
        """Findings under one transformation; origins have lines of their own."""
        names = self.names
        if what == "translation":
            names = [name for name in names if name not in ("dipole", "polarizability")]
        pairs = transformed_pairs(self.calculator, self.atoms, names, what, self.seed)
        for name, given, expected in pairs:
            yield compare(what, name, given, expected, self.tolerance)

    def slopes(self, of: str, derivative: str) -> Iterator[Finding]:
        """A derivative by positions beside differences, for the probed atoms."""
        given = compute_properties(self.calculator, self.atoms, [derivative])[derivative]
        check = "forces = −dE/dr" if derivative == "forces" else "Born charges = dμ/dr"
        note = f"{len(self.probed)} atoms"
        found = []
        for step in _STEPS:
            slopes = position_slopes(self.calculator, self.atoms, of, step, self.probed)
            expected = arranged(derivative, slopes, self.calculator, self.atoms, self.probed)
            rows = given[self.probed]
            found.append(compare(check, derivative, rows, expected, _DIFFERENCES, note))
        yield min(found, key=lambda finding: finding.severity)

    def stress(self) -> Iterator[Finding]:
        """The stress beside differences of the energy by strain."""
        given = compute_properties(self.calculator, self.atoms, ["stress"])["stress"]
        volume = self.atoms.get_volume()
        bound = Tolerance(_DIFFERENCES.rtol, _DIFFERENCES.atol * len(self.atoms) / volume)
        found = []
        for step in _STEPS:
            expected = strain_slopes(self.calculator, self.atoms, 0.1 * step) / volume
            found.append(compare("stress = dE/dε / V", "stress", given, expected, bound))
        yield min(found, key=lambda finding: finding.severity)

    def drift(self, timestep: float, n_steps: int, temperature: float) -> Iterator[Finding]:
        """The energy along dynamics."""
        yield measure_energy_drift(
            self.calculator,
            self.atoms,
            timestep=timestep,
            n_steps=n_steps,
            temperature=temperature,
            seed=self.seed,
        )


def _measured(
    check: str,
    needs: tuple[str, ...],
    measure: Callable[[], Iterable[Finding]],
    names: list[str],
) -> list[Finding]:
    """Findings of one check, or one that says why there are none."""
    about = needs[-1] if needs else "all"
    if missing := [name for name in needs if name not in names]:
        return [Finding(check, about, note=f"the calculator gives no {' and no '.join(missing)}")]
    try:
        return list(measure())
    except Exception as error:  # a foreign calculator may refuse what a check needs
        return [Finding(check, about, note=_in_words(error))]


def _in_words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}"


def _unsymmetric(atoms: Atoms, seed: int) -> Atoms:
    """A copy with atoms moved a little, free to move, with velocities for what needs them."""
    structure = atoms.copy()
    structure.calc = None
    structure.set_constraint()
    rng = np.random.default_rng(seed)
    structure.positions += rng.normal(scale=0.05, size=(len(atoms), 3)).clip(-0.1, 0.1)
    structure.set_velocities(rng.normal(scale=0.05, size=(len(atoms), 3)))
    result: Atoms = structure
    return result
