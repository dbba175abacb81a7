"""What is asked of the learning loop, what it found round by round, and what it spent."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from painn_ase.errors import DataError, SpecError
from painn_ase.replacing import write_text
from painn_ase.spec import from_dict

__all__ = ["LearnConfig", "Learnt", "Record", "Round"]


@dataclass(frozen=True)
class LearnConfig:
    """How a molecule is learnt.

    Attributes
    ----------
    engine, level : str, str or None
        What labels, as for `painn-ase label`.
    start : str or None
        Model, or folder of a committee, to go on from; None to begin with random weights.
    n_models : int
        Members of the committee; its spread says how good it is.
    near : int
        Frames of the first round: the minimum, near it, and of quantum width.
    batch : int
        Frames of each later round, at most.
    max_frames : int
        Labels in all.
    steps : int
        Training steps of each member in a round; three times as many in the first from random
        weights.
    settled : float
        cm⁻¹: frequencies are settled when none moved by more in a round …
    agreed : float
        … and the members' standard deviation of none is larger. Modes below 200 cm⁻¹ do not count.
    temperature : float
        K, of the dynamics that the model is to bear.
    dynamics_rounds : int
        Rounds of dynamics at most, after frequencies are settled.
    n_features, cutoff : int, float
        Of the network, where it begins with random weights.
    seed : int
    """

    engine: str = "pyscf"
    level: str | None = None
    start: str | None = None
    n_models: int = 3
    near: int = 25
    batch: int = 20
    max_frames: int = 150
    steps: int = 3000
    settled: float = 5.0
    agreed: float = 10.0
    temperature: float = 300.0
    dynamics_rounds: int = 3
    n_features: int = 64
    cutoff: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_models < 2:
            raise SpecError(
                f"n_models is {self.n_models}: it takes two models or more to see how far they "
                "agree."
            )
        if min(self.near, self.batch, self.steps) < 1 or self.dynamics_rounds < 0:
            raise SpecError("near, batch and steps must be at least 1, dynamics_rounds at least 0.")
        if self.near > self.max_frames:
            raise SpecError(f"max_frames is {self.max_frames}, less than near, {self.near}.")
        if not min(self.settled, self.agreed, self.temperature) > 0:
            raise SpecError("settled, agreed and temperature must be positive.")


@dataclass(frozen=True)
class Round:
    """One round: what was added, and how good the committee was after it.

    Attributes
    ----------
    phase : {"near", "dynamics"}
        Where the frames were from.
    n_new, n_frames : int
        Frames labelled in the round, and in all.
    frequencies, spread : tuple of float
        Of the relaxed molecule, cm⁻¹: means over the members, and standard deviations.
    moved : float or None
        Largest change since the round before, of modes above 200 cm⁻¹; None in the first round.
    agreed : float or None
        Largest spread of modes above 200 cm⁻¹; None while a mode is imaginary.
    worst_forces : float
        Largest disagreement on forces among the frames that were added, eV/Å.
    label_seconds, train_seconds : float
        Wall time.
    """

    phase: str
    n_new: int
    n_frames: int
    frequencies: tuple[float, ...]
    spread: tuple[float, ...]
    moved: float | None
    agreed: float | None
    worst_forces: float
    label_seconds: float
    train_seconds: float

    def __str__(self) -> str:
        agreed = "a mode is imaginary"
        if self.agreed is not None:
            agreed = f"frequencies agree within {self.agreed:.1f} cm⁻¹"
        moved = "" if self.moved is None else f", moved by up to {self.moved:.1f}"
        return f"{self.n_frames} frames: {agreed}{moved}"


@dataclass(frozen=True)
class Learnt:
    """What came out.

    Attributes
    ----------
    models : list of Path
        The committee.
    rounds : tuple of Round
    ending : str
        Why it ended, in words.
    check : tuple of (float, float)
        Pairs of wavenumbers of a few modes, by the committee and by the labelling engine along the
        committee's modes, cm⁻¹.
    seconds : float
        Spent in all, restarts included.
    folder : Path
    """

    models: list[Path]
    rounds: tuple[Round, ...]
    ending: str
    check: tuple[tuple[float, float], ...]
    seconds: float
    folder: Path = Path()


@dataclass
class Record:
    """``learn.json``: rounds that are done, and seconds spent."""

    path: Path
    rounds: list[Round] = field(default_factory=list)
    seconds: float = 0.0
    ending: str = ""
    check: list[tuple[float, float]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Record:
        """What an earlier call left; empty where there is nothing.

        Raises
        ------
        DataError
            For a damaged file.
        """
        record = cls(path)
        if not path.exists():
            return record
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            record.rounds = [from_dict(Round, one) for one in found["rounds"]]
            record.seconds, record.ending = float(found["seconds"]), str(found["ending"])
            record.check = [(float(a), float(b)) for a, b in found["check"]]
            record.settings = dict(found["settings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} cannot be read: {error}. Begin anew in another folder; the labels in "
                "labels.extxyz are good in any case."
            ) from error
        return record

    def write(self) -> None:
        """Onto the disk, whole or not at all."""
        content = {
            "settings": self.settings,
            "seconds": self.seconds,
            "ending": self.ending,
            "rounds": [asdict(one) for one in self.rounds],
            "check": self.check,
        }
        write_text(self.path, json.dumps(content, indent=1) + "\n")
