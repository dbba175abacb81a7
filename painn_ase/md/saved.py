"""What a restart file tells of its run before the run goes on: structure, settings, origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from painn_ase.errors import SpecError, TrajectoryError
from painn_ase.md.config import MDConfig
from painn_ase.md.state import read_state
from painn_ase.trajectory import constraints_of

__all__ = ["SavedRun", "load_structure", "saved_constraints"]


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
        The structure with its momenta, masses, total charge (``info["charge"]``) and constraints.
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
            if (charge := _charge_of(saved.header)) is not None:
                atoms.info["charge"] = charge
            atoms.set_constraint(constraints_of(saved_constraints(saved.header)))
            provenance = dict(saved.header.get("provenance", {}))
        except (KeyError, ValueError, TypeError, SpecError) as error:
            raise TrajectoryError(f"{state} holds no structure and settings ({error}).") from error
        return cls(saved.step, config, provenance, atoms)


def load_structure(state: str | Path) -> Atoms:
    """The structure of a restart file, as :class:`ase.Atoms` with its momenta and constraints."""
    return SavedRun.load(state).atoms


def saved_constraints(header: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Constraints that the user put on, as records; not the ``FixCom`` that a run adds itself."""
    if "identity" in header:
        return list(header["identity"]["constraints"])
    # Version 0.1.0 wrote its own down too, and adds that only where there is no other.
    records = list(header["constraints"])
    return [] if [r["name"] for r in records] == ["FixCom"] else records


def _charge_of(header: Mapping[str, Any]) -> float | None:
    charge = header.get("identity", {}).get("charge")
    return None if charge is None else float(charge)
