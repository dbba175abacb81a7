"""How a run in a folder was begun, and whether what is asked now goes on with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import TrajectoryError
from painn_ase.md.identity import RunIdentity
from painn_ase.replacing import write_text
from painn_ase.spec import to_dict
from painn_ase.workflow.records import RESULT_FILES, SpectrumConfig, saved_settings

__all__ = ["Beginning", "prepare_folder"]

#: Å; structure files round positions to eight decimals, some programs to six.
_SAME_PLACE = 1e-5


@dataclass(frozen=True)
class Beginning:
    """What a run of the workflow starts from.

    Attributes
    ----------
    identity : RunIdentity
        Of the system and the model.
    positions : ndarray [n_atoms, 3]
        As given, before the relaxation, Å.
    relaxes : bool
        Whether the structure is relaxed first.
    """

    identity: RunIdentity
    positions: NDArray[np.float64]
    relaxes: bool

    def record(self) -> dict[str, Any]:
        """What ``model.json`` keeps."""
        return {
            "sha256": self.identity.weights,
            "identity": self.identity.header(),
            "positions": self.positions.tolist(),
            "relaxes": self.relaxes,
        }

    def check(self, record: dict[str, Any], folder: Path, asked: bool | None) -> None:
        """Refuse to go on with a run that was begun otherwise.

        Parameters
        ----------
        record : dict
            What :meth:`record` kept; files of version 0.1.0 hold less, and then less is checked.
        folder : Path
            For the message.
        asked : bool or None
            Whether to relax, where that was said.

        Raises
        ------
        TrajectoryError
            Names what differs.
        """
        if record.get("sha256") != self.identity.weights:
            raise TrajectoryError(
                f"{folder} was begun with a model of other weights. Name the same, or another "
                "folder."
            )
        self.identity.check(record, folder)
        relaxed = record.get("relaxes", asked)
        if asked is not None and asked != relaxed:
            now, was = ("is", "was not") if asked else ("is not", "was")
            raise TrajectoryError(
                f"the structure {now} to be relaxed, and {was} when the run in {folder} began. "
                "Leave it out to go on as begun, or name another folder."
            )
        if (stored := record.get("positions")) is None:
            return
        before = np.asarray(stored, dtype=np.float64)
        apart = np.linalg.norm(self.positions - before, axis=1)
        if apart.max(initial=0.0) > _SAME_PLACE:
            raise TrajectoryError(
                f"{folder} was begun with other positions: atom {int(apart.argmax())} is "
                f"{apart.max():.3g} Å from where it was. Restart with the structure the run was "
                "begun with, or name another folder."
            )


def prepare_folder(
    folder: Path,
    config: SpectrumConfig,
    begun: Beginning,
    *,
    restart: bool,
    overwrite: bool,
    asked: bool | None = None,
) -> bool:
    """Make the folder and see that what is in it belongs to the same run, or may go.

    Parameters
    ----------
    folder : Path
        Of the run.
    config : SpectrumConfig
        Its settings.
    begun : Beginning
        What it would start from now.
    restart, overwrite : bool
        Go on with what is there; replace it.
    asked : bool, optional
        Whether to relax, where that was said.

    Returns
    -------
    bool
        Whether the run relaxes its structure.

    Raises
    ------
    TrajectoryError
        When the folder holds another run, or cannot be written.
    """
    settings, start = folder / "settings.json", folder / "model.json"
    if restart and settings.exists():
        before = saved_settings(folder)
        changed = [k for k, v in to_dict(config).items() if before.get(k) != v]
        if changed:
            raise TrajectoryError(
                f"{folder} was begun with other settings ({', '.join(changed)}). Use the same, or "
                "another folder."
            )
        record = _read(start) if start.exists() else None
        if record is None:
            return begun.relaxes
        begun.check(record, folder, asked)
        return bool(record.get("relaxes", begun.relaxes))
    there = [folder / name for name in RESULT_FILES if (folder / name).exists()]
    if there and not overwrite:
        raise TrajectoryError(
            f"{there[0]} exists already. Add --restart to go on with the run in {folder}, "
            "--overwrite to begin it anew, or name another folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in there:
            path.unlink()
        write_text(start, json.dumps(begun.record()))
        write_text(settings, json.dumps(to_dict(config), indent=1))
    except OSError as error:
        raise TrajectoryError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return begun.relaxes


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TrajectoryError(
            f"{path} cannot be read: {error}. Begin anew with --overwrite."
        ) from error
