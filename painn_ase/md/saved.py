"""What a restart file tells of its run before the run goes on: structure, settings, origin."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.constraints import dict2constraint

from painn_ase.errors import SpecError, TrajectoryError
from painn_ase.md.config import MDConfig
from painn_ase.md.state import read_state
from painn_ase.potential import AtomisticPotential

__all__ = ["SavedRun", "fingerprint", "load_structure"]


@dataclass(frozen=True)
class SavedRun:
    """A run as its restart file describes it.

    Attributes
    ----------
    step : int
        Steps done since the very beginning.
    config : MDConfig
        Settings of the run.
    provenance : mapping
        What :func:`~painn_ase.md.run_md` was given as ``provenance``.
    atoms : ase.Atoms
        The structure with its momenta and constraints.
    """

    step: int
    config: MDConfig
    provenance: Mapping[str, Any]
    atoms: Atoms

    @classmethod
    def load(cls, state: str | Path) -> SavedRun:
        """The run whose restart file is at `state`, or the one kept before it.

        Raises
        ------
        TrajectoryError
            When the file is missing, damaged, or no restart file of a single run.
        """
        saved = read_state(Path(state))
        try:
            config = MDConfig.from_dict(saved.header["config"])
            atoms = Atoms(
                numbers=saved.arrays["numbers"],
                positions=saved.arrays["positions"],
                cell=saved.arrays["cell"],
                pbc=saved.header["pbc"],
            )
            atoms.set_masses(saved.header["masses"])
            atoms.set_momenta(saved.arrays["momenta"])
            # The run puts its own FixCom back.
            kept = [c for c in saved.header["constraints"] if c["name"] != "FixCom"]
            atoms.set_constraint([dict2constraint(c) for c in kept])
            provenance = dict(saved.header.get("provenance", {}))
        except (KeyError, ValueError, TypeError, SpecError) as error:
            raise TrajectoryError(f"{state} holds no structure and settings ({error}).") from error
        return cls(saved.step, config, provenance, atoms)


def load_structure(state: str | Path) -> Atoms:
    """The structure of a restart file, as :class:`ase.Atoms` with its momenta and constraints."""
    return SavedRun.load(state).atoms


def fingerprint(potentials: Sequence[AtomisticPotential]) -> str:
    """SHA-256 of the weights: the same model, or committee, wherever its files lie."""
    digest = hashlib.sha256()
    for potential in potentials:
        for name, weights in sorted(potential.state_dict().items()):
            digest.update(name.encode() + weights.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
