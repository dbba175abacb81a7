"""A look at whether a run has left what the model was trained on, before it explodes.

The network answers for every structure, also for those it knows nothing about. Two signs tell:
atoms closer together than any two of their elements were in training, as far as the model file
says how close that was, and a committee whose members disagree.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from painn_ase.errors import PaiNNWarning, SpecError, UnstableRunError
from painn_ase.graph import neighbor_pairs
from painn_ase.md.observers import Frame
from painn_ase.spec import ModelSpec

__all__ = [
    "PROVENANCE_KEY",
    "ExtrapolationGuard",
    "GuardAction",
    "copy_name",
    "smallest_trained_distances",
]

#: Where a model file keeps the smallest distances of its training data: {"H-C": 0.98, …}, Å.
PROVENANCE_KEY = "smallest_distances"
GuardAction = Literal["warn", "stop", "off"]
#: eV/Å; the general model's members stay below 0.52 in 39 runs of 20 ps at up to 500 K, and differ
#: by 1.2 in the one that fell into a hole (model_recipes/small_organics/stability.py).
COMMITTEE_SPREAD = 0.8
#: Isolated systems up to this many atoms have all their distances taken at once.
_ALL_PAIRS_UP_TO = 32


class ExtrapolationGuard:
    """Observer that warns, or stops the run, where the model extrapolates.

    Parameters
    ----------
    distances : mapping of (int, int) to float
        Smallest distance of each pair of elements in training, Å, atomic numbers ascending; pairs
        without an entry are not judged.
    action : {"warn", "stop"}
        Warn once for each pair of elements and once for the spread, or stop at the first sign.
    margin : float
        Å below the smallest distance that are let pass: a finite training set does not hold the
        rarest of the close encounters that belong to its own temperature.
    max_spread : float or None
        eV/Å; largest standard deviation of a force component among the members of a committee.
    every : int
        Steps between looks.

    Raises
    ------
    SpecError
        For an impossible setting.
    """

    def __init__(
        self,
        distances: Mapping[tuple[int, int], float],
        action: Literal["warn", "stop"] = "warn",
        *,
        margin: float = 0.05,
        max_spread: float | None = None,
        every: int = 10,
    ) -> None:
        if action not in ("warn", "stop"):
            raise SpecError(f"action must be 'warn' or 'stop'; got {action!r}.")
        if every < 1 or margin < 0 or (max_spread is not None and not max_spread > 0):
            raise SpecError(
                "every must be at least 1, margin not negative, max_spread positive; got "
                f"{every}, {margin}, {max_spread}."
            )
        self.action = action
        self.max_spread = max_spread
        self._every = every
        self._limits = np.zeros((119, 119))
        for (a, b), smallest in distances.items():
            self._limits[a, b] = self._limits[b, a] = max(0.0, smallest - margin)
        self._reach = float(self._limits.max())
        self._told: set[object] = set()

    @classmethod
    def of(
        cls, calculator: Any, action: GuardAction = "warn", **options: Any
    ) -> ExtrapolationGuard | None:
        """The guard that fits a calculator; None where there is nothing to judge by.

        Parameters
        ----------
        calculator : ase.calculators.calculator.Calculator
            A :class:`~painn_ase.calculator.PaiNNCalculator`, or a potential or backend; anything
            else gives None.
        action : {"warn", "stop", "off"}
        **options
            As for the class; ``max_spread`` is 0.8 eV/Å if not given, which matters where there is
            a committee.
        """
        spec = getattr(getattr(calculator, "potential", calculator), "spec", None)
        if action == "off" or not isinstance(spec, ModelSpec):
            return None
        distances = smallest_trained_distances(spec.provenance)
        if not distances and options.get("max_spread") is None:
            return None
        return cls(distances, action, **{"max_spread": COMMITTEE_SPREAD, **options})

    def wants(self, step: int) -> bool:
        """Whether a look is due."""
        return step % self._every == 0

    def observe(self, frame: Frame) -> None:
        """Look at a frame.

        Raises
        ------
        UnstableRunError
            When something is found and the action is "stop"; names the atoms and the step.
        """
        atoms = frame.atoms
        self._check_distances(atoms, atoms.positions, f"at step {frame.step}")
        results = getattr(atoms.calc, "results", {})
        if "forces_std" in results:
            self._check_spread(atoms, results["forces_std"], f"at step {frame.step}")

    def look_at_replicas(
        self,
        step: int,
        template: Atoms,
        positions: NDArray[np.float64],
        spread: NDArray[np.float64] | None = None,
        n_beads: int = 1,
    ) -> None:
        """Look at copies of one system.

        Parameters
        ----------
        step : int
        template : ase.Atoms
            Elements, cell and periodicity of each copy.
        positions : ndarray (n_replicas, n_atoms, 3)
            Å.
        spread : ndarray (n_replicas, n_atoms, 3), optional
            Standard deviations of the forces among the members of a committee, eV/Å.
        n_beads : int
            Copies that make one replica.

        Raises
        ------
        UnstableRunError
            As :meth:`observe`; names the replica, too.
        """
        for k in self._suspects(template, positions):
            self._check_distances(
                template, positions[k], f"at step {step} of {copy_name(k, n_beads)}"
            )
        if spread is not None:
            worst = int(spread.max(axis=(1, 2)).argmax())
            where = f"at step {step} of {copy_name(worst, n_beads)}"
            self._check_spread(template, spread[worst], where)

    def _suspects(self, template: Atoms, positions: NDArray[np.float64]) -> Iterable[int]:
        """Copies worth a search for pairs; of small molecules all pairs are seen at once."""
        if self._reach <= 0.0:
            return ()
        if any(template.pbc) or len(template) > _ALL_PAIRS_UP_TO:
            return range(len(positions))
        i, j = np.triu_indices(len(template), 1)
        squares = np.square(positions[:, i] - positions[:, j]).sum(axis=-1)
        limits = self._limits[template.numbers[i], template.numbers[j]]
        found: list[int] = np.nonzero((squares < limits**2).any(axis=1))[0].tolist()
        return found

    def _check_distances(self, atoms: Atoms, positions: NDArray[np.float64], where: str) -> None:
        if self._reach <= 0.0:
            return
        pairs = neighbor_pairs(positions, atoms.cell.array, atoms.pbc, self._reach)
        if not pairs.n_edges:
            return
        i, j = pairs.idx_i, pairs.idx_j
        vectors = positions[j] - positions[i] + pairs.shifts @ atoms.cell.array
        distances = np.sqrt(np.einsum("ea,ea->e", vectors, vectors))
        short = self._limits[atoms.numbers[i], atoms.numbers[j]] - distances
        worst = int(short.argmax())
        if short[worst] <= 0.0:
            return
        a, b = int(i[worst]), int(j[worst])
        kinds = tuple(sorted((int(atoms.numbers[a]), int(atoms.numbers[b]))))
        self._tell(
            kinds,
            f"{where} atoms {a} ({atoms.symbols[a]}) and {b} ({atoms.symbols[b]}) are "
            f"{distances[worst]:.3f} Å apart, closer than any such pair in the training data. The "
            "model extrapolates: look at the structure, lower temperature or time step, or train "
            "with frames like it.",
        )

    def _check_spread(self, atoms: Atoms, spread: NDArray[np.float64], where: str) -> None:
        if self.max_spread is None:
            return
        atom, axis = np.unravel_index(int(np.argmax(spread)), spread.shape)
        largest = float(spread[atom, axis])
        if largest > self.max_spread:
            self._tell(
                "spread",
                f"{where} the members of the committee disagree by {largest:.3g} eV/Å "
                f"about the force on atom {atom} ({atoms.symbols[int(atom)]}), more than the "
                f"{self.max_spread:g} allowed (max_spread). Train with frames like this one.",
            )

    def _tell(self, kind: object, message: str) -> None:
        if self.action == "stop":
            raise UnstableRunError(message)
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, PaiNNWarning, stacklevel=2)


def copy_name(copy: int, n_beads: int) -> str:
    """How messages call a copy: by its replica, and by its bead where there are several."""
    replica, bead = divmod(copy, n_beads)
    return f"replica {replica}" if n_beads == 1 else f"replica {replica}, bead {bead},"


def smallest_trained_distances(provenance: Mapping[str, Any]) -> dict[tuple[int, int], float]:
    """Smallest distances (Å) of the training data by pair of atomic numbers; empty if not told.

    Raises
    ------
    SpecError
        When the entry is there but cannot be read.
    """
    table = provenance.get(PROVENANCE_KEY, {})
    try:
        found: dict[tuple[int, int], float] = {}
        for pair, smallest in table.items():
            a, b = sorted(atomic_numbers[symbol] for symbol in pair.split("-"))
            found[a, b] = float(smallest)
            if not 0.0 <= found[a, b] < np.inf:
                raise ValueError(f"{pair}: {smallest}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SpecError(
            f"the model's provenance has a damaged table {PROVENANCE_KEY!r} ({error}); it maps "
            "pairs like 'H-C' to distances in Å. Save the model again, or switch the guard off."
        ) from error
    return found
