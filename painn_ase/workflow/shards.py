"""A spectrum in pieces: shares of the segments made by independent, resumable runs, and merged.

Every piece relaxes, runs the same Langevin dynamics as far as it needs its starts, and makes its
own segments, in a folder of its own. Put together, they are the one run that would have made them
all.
"""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from painn_ase.calculator import PaiNNCalculator
from painn_ase.driven import DrivenCalculator
from painn_ase.errors import DataError, TrajectoryError
from painn_ase.md.replica_merge import merge_replicas
from painn_ase.replacing import write_text
from painn_ase.workflow.records import Narrator, Outcome, SpectrumConfig, saved_settings
from painn_ase.workflow.stages import Silent, make_segments, run_spectrum

__all__ = ["Shard", "ensemble", "merge_shards", "run_shard"]

#: What all pieces have alike, and what the whole takes from one of them.
_ALIKE = ("settings.json", "model.json", "relaxed.extxyz")
_TAKEN = ("settings.json", "model.json", "relaxed.extxyz", "modes.json")
_THERMOSTAT = ("thermostat.h5", "thermostat.state.npz")
_DONE = "shard.json"


@dataclass(frozen=True)
class Shard:
    """One of the pieces of a run.

    Attributes
    ----------
    number, of : int
        Number from 1, and how many there are.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise DataError(
                f"shard {self.number}/{self.of}: pieces are numbered from 1 to {self.of}."
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``k/n``.

        Raises
        ------
        DataError
            For anything else.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if found is None:
            raise DataError(f"a shard is k/n, as in 2/4; got {text!r}.")
        return cls(int(found[1]), int(found[2]))

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"shard_{self.number}_of_{self.of}"

    def replicas(self, config: SpectrumConfig) -> range:
        """Its share of the segments, in one block.

        Raises
        ------
        DataError
            When there are more pieces than segments, or beads.
        """
        if self.of > config.replicas:
            raise DataError(f"{config.replicas} segments cannot be shared by {self.of} pieces.")
        if config.nuclei != "classical":
            raise DataError(
                "segments of ring polymers draw their random numbers together and cannot be made "
                "in pieces; run them as several runs of their own seed."
            )
        own = np.array_split(np.arange(config.replicas), self.of)[self.number - 1]
        return range(int(own[0]), int(own[-1]) + 1)


def run_shard(
    calculator: PaiNNCalculator | DrivenCalculator,
    atoms: Atoms,
    config: SpectrumConfig,
    folder: str | Path,
    shard: Shard,
    *,
    narrator: Narrator | None = None,
    relax: bool | None = None,
) -> Path:
    """Make one piece, or what is missing of it; nothing if it is finished.

    Parameters
    ----------
    calculator, atoms, config, narrator, relax
        As for :func:`run_spectrum`; alike for all pieces.
    folder : str or Path
        Of the whole; the piece has a folder in it.
    shard : Shard
        Which piece.

    Returns
    -------
    Path
        The folder of the piece.

    Raises
    ------
    InterruptedWorkflowError, GeometryError, TrajectoryError, DataError
        As :func:`run_spectrum`; for a piece of other settings.
    """
    own = Path(folder) / shard.folder
    replicas = shard.replicas(config)
    made = make_segments(
        calculator, atoms, config, own, replicas, restart=(own / "settings.json").exists(),
        narrator=narrator or Silent(), relax=relax, overwrite=False,
    )  # fmt: skip
    record = {"shard": shard.number, "of": shard.of, "replicas": [replicas.start, replicas.stop]}
    write_text(own / _DONE, json.dumps({**record, "temperature": made.segments.temperature}))
    return own


def merge_shards(
    calculator: PaiNNCalculator | DrivenCalculator,
    atoms: Atoms,
    folder: str | Path,
    *,
    narrator: Narrator | None = None,
) -> Outcome:
    """The spectra of a run whose pieces are finished, as if it had been one.

    Parameters
    ----------
    calculator, atoms
        As the pieces were made with.
    folder : str or Path
        Of the whole, with the folders of the pieces in it.
    narrator : Narrator, optional

    Raises
    ------
    TrajectoryError
        When a piece is missing or not finished, or pieces do not belong together.
    """
    folder = Path(folder)
    pieces = _finished(folder)
    first = pieces[0]
    for path in pieces[1:]:
        for name in _ALIKE:
            if (path / name).read_bytes() != (first / name).read_bytes():
                raise TrajectoryError(
                    f"{path} and {first} are not pieces of one run: their {name} differ. Make one "
                    "of them again, in an empty folder."
                )
    config = SpectrumConfig(**saved_settings(first))
    merge_replicas([path / "segments.h5" for path in pieces], folder / "segments.h5")
    for name in _THERMOSTAT:  # the last piece ran the longest
        shutil.copyfile(pieces[-1] / name, folder / name)
    for name in _TAKEN:
        if (first / name).exists():
            shutil.copyfile(first / name, folder / name)
    return run_spectrum(calculator, atoms, config, folder, restart=True, narrator=narrator)


def ensemble(
    model: Any,
    atoms: Atoms,
    config: SpectrumConfig,
    folder: str | Path,
    n_shards: int,
    executor: Executor,
    *,
    relax: bool | None = None,
    options: dict[str, Any] | None = None,
) -> Outcome:
    """A spectrum whose pieces an executor makes, on this machine or on others, then merged.

    Any :class:`concurrent.futures.Executor` will do, of processes here or of a cluster's queue.
    Called again after a failure it makes what is missing.

    Parameters
    ----------
    model : str, Path, or list of these
        What every worker loads; its files and `folder` must be where workers see them.
    atoms, config, relax
        As for :func:`run_spectrum`.
    folder : str or Path
        For everything.
    n_shards : int
        Pieces.
    executor : concurrent.futures.Executor
    options : dict, optional
        Further arguments of :class:`PaiNNCalculator` on the workers.

    Raises
    ------
    TrajectoryError
        When pieces failed; names them and their errors. Those that are finished are kept.
    """
    shards = [Shard(k, n_shards) for k in range(1, n_shards + 1)]
    for shard in shards:
        shard.replicas(config)  # complains now
    where, plain = str(Path(folder)), options or {}
    tasks = [
        executor.submit(_work, model, plain, atoms, config, where, shard, relax) for shard in shards
    ]
    failed = []
    for shard, task in zip(shards, tasks, strict=True):
        if (error := task.exception()) is not None:
            failed.append(f"{shard.number}/{shard.of}: {type(error).__name__}: {error}")
    if failed:
        listed = "\n  ".join(failed)
        raise TrajectoryError(
            f"{len(failed)} of {n_shards} pieces failed:\n  {listed}\nThe others are kept; call "
            "it again for what is missing."
        )
    return merge_shards(PaiNNCalculator(model, **plain), atoms, folder)


def _work(
    model: Any,
    options: dict[str, Any],
    atoms: Atoms,
    config: SpectrumConfig,
    folder: str,
    shard: Shard,
    relax: bool | None,
) -> str:
    """One piece, in a worker."""
    run_shard(PaiNNCalculator(model, **options), atoms, config, folder, shard, relax=relax)
    return shard.folder


def _finished(folder: Path) -> list[Path]:
    """Folders of all pieces, in their order."""
    found: dict[int, Path] = {}
    counts = set()
    for path in folder.glob("shard_*_of_*"):
        if match := re.fullmatch(r"shard_(\d+)_of_(\d+)", path.name):
            found[int(match[1])] = path
            counts.add(int(match[2]))
    if len(counts) != 1:
        what = "no pieces" if not counts else f"pieces of {sorted(counts)} to a run"
        raise TrajectoryError(f"{folder} holds {what}; make them with --shard k/n first.")
    (n,) = counts
    missing = [k for k in range(1, n + 1) if k not in found or not (found[k] / _DONE).exists()]
    if missing:
        listed = ", ".join(f"{k}/{n}" for k in missing)
        raise TrajectoryError(
            f"{folder}: pieces {listed} are not finished. Run each with --shard k/{n}; what it has "
            "is kept."
        )
    return [_checked(found[k]) for k in range(1, n + 1)]


def _checked(path: Path) -> Path:
    try:
        json.loads((path / _DONE).read_text(encoding="utf-8"))["replicas"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrajectoryError(f"{path / _DONE} cannot be read: {error}. Run it again.") from error
    return path
