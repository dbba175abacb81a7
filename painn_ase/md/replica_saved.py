"""What the restart file of replicas tells of its run before the run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from painn_ase.errors import SpecError, TrajectoryError
from painn_ase.md.replica_records import ReplicaConfig
from painn_ase.md.state import has_state, read_state
from painn_ase.spec import from_dict
from painn_ase.trajectory import constraints_of

__all__ = ["SavedReplicas", "holds_replicas"]


def holds_replicas(state: Path) -> bool:
    """Whether a restart file is there, and one of replicas; a damaged one is not."""
    if not has_state(state):
        return False
    try:
        return "replicas" in read_state(state).header
    except TrajectoryError:
        return False


@dataclass(frozen=True)
class SavedReplicas:
    """A run of replicas as its restart file describes it.

    Attributes
    ----------
    step : int
        Steps done since the very beginning.
    config : ReplicaConfig
        Settings of the run.
    provenance : mapping
        What :func:`~painn_ase.md.run_replicas` was given as ``provenance``.
    starts : tuple of ase.Atoms
        Copies of the system, as many as there are replicas, with masses, charge and constraints;
        the positions are those of the last step's first bead.
    """

    step: int
    config: ReplicaConfig
    provenance: Mapping[str, Any]
    starts: tuple[Atoms, ...]

    @classmethod
    def load(cls, state: str | Path) -> SavedReplicas:
        """The run whose restart file is at `state`, or the one kept before it.

        Raises
        ------
        TrajectoryError
            When the file is missing, damaged, or no restart file of replicas that describes them.
        """
        saved = read_state(Path(state))
        try:
            config: ReplicaConfig = from_dict(ReplicaConfig, saved.header["replicas"])
            numbers, copies = saved.arrays["numbers"], saved.arrays["positions"]
            atoms = Atoms(
                numbers=numbers,
                positions=copies[: len(numbers)],
                cell=saved.arrays["cell"],
                pbc=saved.header["pbc"],
            )
            atoms.set_masses(saved.arrays["masses"])
            atoms.info["charge"] = float(saved.arrays["charge"])
            atoms.set_constraint(constraints_of(saved.header["constraints"]))
            n_replicas = len(copies) // (len(numbers) * config.n_beads)
            provenance = dict(saved.header["provenance"])
        except (KeyError, ValueError, TypeError, SpecError) as error:
            raise TrajectoryError(f"{state} does not describe its replicas ({error}).") from error
        return cls(saved.step, config, provenance, tuple(atoms.copy() for _ in range(n_replicas)))
