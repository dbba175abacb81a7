"""All frames of a molecule that training needs, by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
from ase import Atoms
from ase.optimize import BFGS

from painn_ase.errors import GeometryError, SpecError
from painn_ase.sampling.displacements import bonds_of, displaced, modes_of, turned, widths
from painn_ase.sampling.filters import is_intact, most_uncertain, without_duplicates
from painn_ase.sampling.thermal import thermal

__all__ = ["SampleConfig", "SampleReport", "relaxed", "sample"]

#: K and cm⁻¹: near frames have the classical width of `_COLD`, softer modes that of `_WARM`.
_COLD, _WARM, _STIFF = 120.0, 400.0, 1000.0
#: K; of the frames of quantum width.
_ROOM = 300.0
#: eV/Å and steps of the relaxation.
_FMAX, _STEPS = 0.01, 500
#: With a committee so many candidates are made for each frame that is kept.
_CANDIDATES = 4


@dataclass(frozen=True)
class SampleConfig:
    """How many frames of which kind, of each structure.

    What it gives by default, 35 and more frames, is what frequencies and forces of a molecule of
    few atoms need beside other molecules. Frames near the minimum teach frequencies: 20 of them do
    what 200 of dynamics do.

    Attributes
    ----------
    near : int
        Displaced along normal modes by the classical width of 120 K, modes below 1000 cm⁻¹ by that
        of 400 K.
    quantum : int
        Displaced by the width of quantum oscillators at 300 K: where protons really are.
    turned : int
        Single bonds turned by any angle, for barriers and other conformers.
    thermal : dict of str to int
        Temperature in K → frames of Langevin dynamics, 100 fs apart.
    relax : bool
        Relax the structures first. Minima of the method that is to label are better left as they
        are.
    keep : int or None
        With a committee, frames kept in all, those on which it disagrees most.
    least_spread : float
        With a committee, eV/Å: frames on whose forces it agrees better are left out.
    seed : int
    """

    near: int = 15
    quantum: int = 5
    turned: int = 4
    thermal: dict[str, int] = field(default_factory=lambda: {"300": 5, "600": 5, "900": 3})
    relax: bool = True
    keep: int | None = None
    least_spread: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.near, self.quantum, self.turned, *self.thermal.values())
        if min(counts) < 0 or sum(counts) == 0:
            raise SpecError(f"numbers of frames must be >= 0, and not all zero; got {counts}.")
        if self.keep is not None and self.keep < 1:
            raise SpecError(f"keep must be at least 1; got {self.keep}.")
        if any(not value > 0 for value in self.temperatures):
            raise SpecError(f"temperatures must be positive; got {', '.join(self.thermal)}.")

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Of the dynamics, K."""
        try:
            return tuple(float(t) for t in self.thermal)
        except ValueError as error:
            raise SpecError(f"thermal: {', '.join(self.thermal)} are no temperatures.") from error


@dataclass(frozen=True)
class SampleReport:
    """Frames, and what became of the others.

    Attributes
    ----------
    frames : list of Atoms
        ``info["source"]`` says the kind, ``info["molecule"]`` the structure it comes from.
    n_broken, n_alike, n_certain : int
        Frames left out because a bond was broken, because another was the same, and because the
        committee agrees on them.
    """

    frames: list[Atoms]
    n_broken: int
    n_alike: int
    n_certain: int


def sample(
    structures: Sequence[Atoms],
    calculator: Any,
    config: SampleConfig | None = None,
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> SampleReport:
    """Frames worth labelling of some structures, one of each kind in turn.

    Any beginning of what comes out is a balanced set: of every structure and kind a few.

    Parameters
    ----------
    structures : sequence of Atoms
        Molecules, or conformers of one; ``info["molecule"]`` or ``info["smiles"]`` names each.
    calculator : Calculator
        Relaxes, gives the modes and drives the dynamics; a committee also chooses.
    config : SampleConfig
    progress : callable, optional
        Called with structures done, their number and a note.

    Raises
    ------
    GeometryError
        For periodic structures, single atoms, and structures that fall apart while they relax.
    SpecError
        For `keep` or `least_spread` without a committee.
    """
    config = config or SampleConfig()
    chooses = config.keep is not None or config.least_spread > 0.0
    if chooses and len(getattr(calculator, "potentials", ())) < 2:
        raise SpecError(
            "keep and least_spread need a committee that can disagree: give two models or more."
        )
    rng = np.random.default_rng(config.seed)
    queues, n_broken = [], 0
    tell = progress or (lambda done, total, note: None)
    for number, structure in enumerate(structures):
        name = _name_of(structure, number)
        tell(number, len(structures), name)
        found, broken = _frames_of(structure, name, calculator, config, rng)
        queues.append(found)
        n_broken += broken
    frames = [f for round_ in zip_longest(*queues) for f in round_ if f is not None]
    different = without_duplicates(frames)
    chosen = different
    if chooses:
        most = config.keep if config.keep is not None else len(different)
        chosen = most_uncertain(different, calculator, most, config.least_spread)
    tell(len(structures), len(structures), f"{len(chosen)} frames")
    return SampleReport(
        chosen, n_broken, len(frames) - len(different), len(different) - len(chosen)
    )


def _name_of(structure: Atoms, number: int) -> str:
    for key in ("molecule", "smiles"):
        if key in structure.info:
            return str(structure.info[key])
    formula = str(structure.get_chemical_formula())
    return formula if number == 0 else f"{formula} {number}"


def _frames_of(
    structure: Atoms, name: str, calculator: Any, config: SampleConfig, rng: np.random.Generator
) -> tuple[list[Atoms], int]:
    """Frames of one structure, one of each kind in turn, and how many were broken."""
    minimum = relaxed(structure, name, calculator) if config.relax else _checked(structure, name)
    bonded = bonds_of(minimum)
    kinds = _kinds(minimum, calculator, config, rng)
    found, n_broken = [], 0
    for round_ in zip_longest(*([(kind, f) for f in frames] for kind, frames in kinds)):
        for kind, frame in filter(None, round_):
            if not is_intact(frame, bonded):
                n_broken += 1
                continue
            kept = {k: v for k, v in structure.info.items() if k in ("charge", "smiles")}
            frame.info = {**kept, "molecule": name, "source": kind}
            found.append(frame)
    return found, n_broken


def _kinds(
    minimum: Atoms, calculator: Any, config: SampleConfig, rng: np.random.Generator
) -> Iterator[tuple[str, list[Atoms]]]:
    """Frames of each kind; several times as many where a committee chooses among them."""
    times = _CANDIDATES if config.keep is not None else 1
    modes = modes_of(minimum, calculator)
    kelvin = np.where(np.abs(modes.frequencies) < _STIFF, _WARM, _COLD)
    cold = widths(modes, kelvin, quantum=False)
    wide = widths(modes, _ROOM, quantum=True)
    yield "near", [displaced(minimum, modes, cold, rng) for _ in range(times * config.near)]
    yield "quantum", [displaced(minimum, modes, wide, rng) for _ in range(times * config.quantum)]
    rotamers = [
        turned(displaced(minimum, modes, 0.5 * cold, rng), rng)
        for _ in range(times * config.turned)
    ]
    yield "turned", [frame for frame in rotamers if frame is not None]
    for temperature, count in zip(config.temperatures, config.thermal.values(), strict=True):
        frames = thermal(minimum, calculator, temperature, times * count, rng) if count else ()
        yield f"md{temperature:g}", list(frames)


def relaxed(structure: Atoms, name: str, calculator: Any) -> Atoms:
    """The minimum next to a molecule, with all that is said of it.

    Raises
    ------
    GeometryError
        For what :func:`sample` cannot sample, and a molecule that falls apart.
    """
    atoms = _checked(structure, name)
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=_FMAX, steps=_STEPS)
    if not is_intact(atoms, bonds_of(structure)):
        raise GeometryError(
            f"{name} falls apart while it relaxes: the calculator does not know such molecules, or "
            "the structure is no minimum. Give another, or relax = False."
        )
    atoms.calc = None
    return atoms


def _checked(structure: Atoms, name: str) -> Atoms:
    """A copy that is free to move, of a structure that frames can be made of."""
    if any(structure.pbc):
        raise GeometryError(f"{name} is periodic; frames are made of molecules only.")
    if len(structure) < 2:
        raise GeometryError(f"{name} is a single atom, of which all frames are the same.")
    atoms: Atoms = structure.copy()
    atoms.set_constraint()
    return atoms
