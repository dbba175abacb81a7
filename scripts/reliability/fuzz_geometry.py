"""Random structures into the calculator: the right numbers or an error of painn_ase, never NaN.

    python scripts/reliability/fuzz_geometry.py --count 10000

Each structure is made from a seed of its own: 1 to 200 atoms, every pattern of periodicity, cells
that are skewed, left-handed, thinner than the cutoff, singular or missing, atoms far outside, close
together or at one place, NaN, unknown elements. Energy, forces and stress of every backend are
compared with the plain potential in float64 on pairs found by trying all images. The calculators
live through the whole run, so that nothing of one structure may stay for the next.
"""

from __future__ import annotations

import argparse
import collections
import json
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from brute_force import BrutePairs, brute_graph, brute_pairs, image_work

from painn_ase import PaiNNCalculator
from painn_ase.errors import GeometryError, PaiNNError
from painn_ase.kernels import available_backends
from painn_ase.testing import random_potential

__all__ = ["Case", "Report", "fuzz", "random_case"]

CUTOFF = 4.0
_ELEMENTS = (1, 6, 7, 8)
#: Closer than this the calculator must refuse.
_COINCIDENT = 1e-6
_MOST_WORK, _MOST_EDGES = 3e6, 4e4


@dataclass(frozen=True)
class Case:
    """A structure and what was done to it.

    Attributes
    ----------
    atoms : Atoms
    broken : str
        Why it must be refused; empty for a structure that has an answer.
    tags : tuple of str
        Kinds of trouble it holds.
    """

    atoms: Atoms
    broken: str
    tags: tuple[str, ...]


def random_case(seed: int) -> Case:
    """A structure, the same for the same seed."""
    rng = np.random.default_rng([seed, 20240])
    n_atoms = int(np.exp(rng.uniform(0.0, np.log(200.5))))
    pbc = np.array([seed >> k & 1 for k in range(3)], dtype=bool)
    tags: list[str] = []
    edge = max(1.0, 1.7 * n_atoms ** (1 / 3))
    cell = edge * (np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3)))
    kind = rng.integers(10)
    if kind == 0:
        cell[rng.integers(3)] += rng.uniform(-6, 6) * cell[rng.integers(3)]
        tags.append("skewed")
    elif kind == 1:
        cell *= rng.uniform(0.25, 1.0, 3)[:, None]
        tags.append("tiny")
    elif kind == 2:
        cell = cell[[1, 0, 2]]
        tags.append("left-handed")
    elif kind == 3:
        cell *= np.array([1.0, 1.0, rng.uniform(3, 30)])[rng.permutation(3)][:, None]
        tags.append("long")
    if rng.random() < 0.5:
        cell[~pbc] = 0.0  # as ASE leaves it
    atoms = Atoms(rng.choice(_ELEMENTS, n_atoms), cell=cell, pbc=pbc)
    box = edge * np.eye(3) if not pbc.all() else cell
    atoms.positions[:] = _places(n_atoms, box, rng)
    _fit(atoms, rng)
    return _trouble(atoms, rng, tags)


def _places(n_atoms: int, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points on a jittered grid in the box: mostly a bond apart."""
    side = int(np.ceil(n_atoms ** (1 / 3)))
    grid = np.array(np.unravel_index(rng.permutation(side**3)[:n_atoms], (side,) * 3)).T
    return (grid + rng.uniform(0.1, 0.9, grid.shape)) / side @ box


def _fit(atoms: Atoms, rng: np.random.Generator) -> None:
    """Blow the structure up until trying every image is affordable."""
    while atoms.pbc.any():
        try:
            volume = np.prod(np.linalg.svd(atoms.cell.array[atoms.pbc], compute_uv=False))
            dense = len(atoms) ** 2 * (2 * CUTOFF) ** atoms.pbc.sum() / volume
            if dense < _MOST_EDGES and image_work(atoms, CUTOFF) < _MOST_WORK:
                return
        except np.linalg.LinAlgError:
            return
        atoms.set_cell(1.2 * atoms.cell.array, scale_atoms=True) if atoms.pbc.all() else None
        if not atoms.pbc.all():
            atoms.set_cell(1.2 * atoms.cell.array)
            atoms.positions *= 1.2


def _trouble(atoms: Atoms, rng: np.random.Generator, tags: list[str]) -> Case:
    """At times: atoms far outside, close together, at one place, no numbers, broken cells."""
    positions, broken = atoms.positions, ""
    kind, atom = rng.integers(24), rng.integers(len(atoms))
    if kind < 3 and atoms.pbc.any():
        far = 10.0 ** rng.uniform(0, 4)
        steps = np.rint(rng.uniform(-far, far, (len(atoms), 3))) * atoms.pbc
        positions += steps @ atoms.cell.array
        tags.append("far outside")
    elif kind == 3:
        positions += 10.0 ** rng.uniform(1, 7) * rng.normal(size=3)
        tags.append("far from the origin")
    elif kind in (4, 5) and len(atoms) > 1:
        other = (atom + 1) % len(atoms)
        positions[other] = positions[atom] + 10.0 ** rng.uniform(-9, -1) * rng.normal(size=3)
        tags.append("near-coincident")
    elif kind == 6 and len(atoms) > 1:
        positions[(atom + 1) % len(atoms)] = positions[atom]
        tags.append("coincident")
    elif kind == 7:
        positions[atom, rng.integers(3)] = rng.choice([np.nan, np.inf, -np.inf, 1e300])
        broken = "positions"
    elif kind == 8:
        numbers = atoms.numbers.copy()
        numbers[atom] = rng.choice([0, 2, 79, 118, 119, -1, 1000])
        atoms.numbers[:] = numbers
        broken = "element"
    elif kind == 9 and atoms.pbc.any():
        axes = np.flatnonzero(atoms.pbc)
        cell = atoms.cell.array.copy()
        how = rng.integers(3)
        if how == 0:
            cell[rng.choice(axes)] = 0.0
        elif how == 1 and len(axes) > 1:
            cell[axes[0]] = rng.uniform(-2, 2) * cell[axes[1]]
        else:
            cell[axes[0], rng.integers(3)] = rng.choice([np.nan, np.inf])
        atoms.set_cell(cell)
        broken = "cell"
    elif kind == 10 and rng.random() < 0.2:
        return Case(atoms[:0], "no atoms", (*tags, "empty"))
    if broken:
        tags.append(f"broken {broken}")
    return Case(atoms, broken, tuple(tags))


@dataclass
class Report:
    """What became of the structures."""

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    tags: collections.Counter[str] = field(default_factory=collections.Counter)
    worst: dict[str, float] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def fault(self, seed: int, what: str) -> None:
        """Note a structure that was treated wrongly."""
        self.outcomes["FAULT"] += 1
        self.faults.append({"seed": seed, "what": what[:500]})

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "structures": sum(n for k, n in self.outcomes.items() if k != "FAULT"),
            "outcomes": dict(self.outcomes),
            "with": dict(self.tags.most_common()),
            "largest_difference_over_tolerance": self.worst,
            "faults": len(self.faults),
            "first_faults": self.faults[:20],
            "seconds": round(self.seconds, 1),
        }


class _Judge:
    """Compares calculators with the brute-force answer."""

    def __init__(self) -> None:
        self.potential = random_potential(16, 2, 8, CUTOFF, elements=_ELEMENTS, seed=3).double()
        names = [b.name for b in available_backends() if b.available]
        self.calculators = {
            f"{name} {dtype}": PaiNNCalculator(self.potential, dtype=dtype, backend=name)
            for name, dtype in (("eager", "float64"), ("fused", "float64"), ("fused", "float32"))
            if name in names
        }

    def look(self, seed: int, case: Case, report: Report) -> None:
        """Evaluate one structure and note what came out."""
        pairs = None if case.broken else brute_pairs(case.atoms, CUTOFF)
        coincident = pairs is not None and pairs.nearest < _COINCIDENT
        truth = None
        if pairs is not None and not coincident:
            truth = self._truth(case.atoms, pairs)
        results = set()
        for name, calculator in self.calculators.items():
            try:
                given = _results(calculator, case.atoms, one_by_one=seed % 4 == 0)
            except PaiNNError as error:
                results.add(f"refused: {type(error).__name__}")
                if truth is not None and not _excused(case.atoms, pairs, error):
                    report.fault(seed, f"{name} refused {case.tags}: {error}")
            except Exception as error:
                report.fault(seed, f"{name} {case.tags}: {type(error).__name__}: {error}")
            else:
                results.add("equal to brute force")
                if truth is None:
                    report.fault(seed, f"{name} answered {case.tags} {case.broken or 'coincident'}")
                else:
                    self._compare(seed, name, case, given, truth, pairs, report)
        report.outcomes[" / ".join(sorted(results)) or "nothing"] += 1
        report.tags.update(case.tags or ("plain",))

    def _truth(self, atoms: Atoms, pairs: BrutePairs) -> dict[str, np.ndarray]:
        names = ("energy", "forces", "stress") if atoms.pbc.all() else ("energy", "forces")
        answer = self.potential(brute_graph(atoms, pairs), names)
        return {name: getattr(answer, name).numpy() for name in names}

    def _compare(
        self,
        seed: int,
        name: str,
        case: Case,
        given: dict[str, np.ndarray],
        truth: dict[str, np.ndarray],
        pairs: BrutePairs,
        report: Report,
    ) -> None:
        single = name.endswith("float32")
        # Directions of an edge of length d are known to eps·|r|/d.
        size = float(np.abs(case.atoms.positions).max())
        blur = np.finfo(float).eps * max(1.0, size) / min(1.0, pairs.nearest)
        usual = (2e-4 if single else 1e-9) + 100.0 * blur
        # A force is what the energy changes with the direction, over d: rounding grows by 1/d.
        rounding = np.finfo(np.float32).eps / min(1.0, pairs.nearest) if single else 0.0
        for what, value in given.items():
            expected = truth[what]
            relative = usual if what == "energy" else usual + 10.0 * rounding
            allowed = (1e-5 if single else 1e-10) + relative * float(np.abs(expected).max())
            if what == "forces":
                allowed += relative
            difference = float(np.abs(value - expected).max())
            ratio = difference / allowed
            key = f"{name} {what}"
            report.worst[key] = max(report.worst.get(key, 0.0), ratio)
            if not ratio <= 1.0:
                report.fault(
                    seed, f"{key} {case.tags}: {difference:.3e} where {allowed:.3e} is allowed"
                )


def _results(calculator: PaiNNCalculator, atoms: Atoms, one_by_one: bool) -> dict[str, np.ndarray]:
    """Energy, forces and, where there is one, stress (1, 3, 3).

    Asked for together, which takes one evaluation, or one after the other.
    """
    atoms = atoms.copy()
    atoms.calc = calculator
    if not one_by_one:
        names = ["energy", "forces", "stress"] if atoms.pbc.all() else ["energy", "forces"]
        calculator.calculate(atoms, names)
    found = {
        "energy": np.array([atoms.get_potential_energy()]),
        "forces": atoms.get_forces(),
    }
    if atoms.pbc.all():
        found["stress"] = atoms.get_stress(voigt=False)[None]
    return found


def _excused(atoms: Atoms, pairs: BrutePairs | None, error: PaiNNError) -> bool:
    """Whether a structure with an answer may be refused: it lies at a stated limit."""
    if not isinstance(error, GeometryError):
        return False
    near = pairs is not None and pairs.nearest < 1.01 * _COINCIDENT
    thin = "too small for a cutoff" in str(error) and image_work(atoms, CUTOFF) > 50 * len(atoms)
    far = "farther out" in str(error) and float(np.abs(atoms.positions).max()) > 9e8
    return near or thin or far


def fuzz(count: int, first: int = 0) -> Report:
    """Judge `count` structures; seeds run from `first`."""
    judge, report = _Judge(), Report()
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(first, first + count):
            judge.look(seed, random_case(seed), report)
    report.seconds = time.monotonic() - started
    return report


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    if not 0 < options.count <= 10_000_000:
        parser.error("--count must lie between 1 and 10 million")
    torch.set_num_threads(1)
    report = fuzz(options.count, options.first)
    text = json.dumps(report.to_dict(), indent=1)
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n", encoding="utf-8")
    return 1 if report.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
