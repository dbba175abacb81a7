"""The loop: sample, label, train, judge; restartable at any point, within a budget.

A folder holds it all: ``frames.extxyz`` (what was chosen, round by round), ``labels.extxyz``,
``round_00/member_0/…`` (the committees), ``minimum.extxyz`` and ``learn.json``. What is
there is not done again.
"""

from __future__ import annotations

import io
import math
import time as clock
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import DataError
from painn_ase.labeling import label_frames, make_engine
from painn_ase.labeling.calculators import tblite_calculator
from painn_ase.labeling.labels import Engine
from painn_ase.learning.records import LearnConfig, Learnt, Record, Round
from painn_ase.replacing import replace_file
from painn_ase.sampling import (
    SampleConfig,
    displaced,
    is_intact,
    most_uncertain,
    sample,
    thermal,
)
from painn_ase.sampling.displacements import bonds_of, widths
from painn_ase.sampling.sample import relaxed
from painn_ase.spectra.anharmonic_field import unit_moves
from painn_ase.training import TrainConfig, train
from painn_ase.training.config import (
    DataSpec,
    OptimizerSpec,
    RuntimeSpec,
    ScheduleSpec,
    network_to_train,
)
from painn_ase.training.starting import start_paths
from painn_ase.units import ev_to_invcm
from painn_ase.workflow import Judgement, Narrator, judge

__all__ = ["learn"]

#: Of a round near the minimum: modes that are sampled more widely, and at which temperature, K.
_WORST_MODES, _WIDE, _NARROW = 3, 400.0, 120.0
#: Of a round of dynamics: frames that are looked at for each that is kept, and eV/Å below which
#: disagreement is not worth a label, however small it is elsewhere.
_LOOKED_AT, _LEAST_SPREAD = 4, 0.03
#: Labels without which nothing is trained.
_FEWEST = 5
#: So few uncertain frames of so many mean that dynamics is learnt.
_FEW = 3
#: Modes that are checked against the engine in the end, and by how many dimensionless units.
_CHECKED, _STEP = 3, 0.3


def learn(
    atoms: Atoms,
    config: LearnConfig,
    folder: str | Path,
    *,
    budget: float = math.inf,
    guide: Any = None,
    processes: int | None = None,
    restart: bool = False,
    narrator: Narrator | None = None,
) -> Learnt:
    """Learn a molecule until its frequencies are settled and its dynamics is known.

    Parameters
    ----------
    atoms : Atoms
        The molecule, roughly relaxed.
    config : LearnConfig
    folder : str or Path
        For everything that is made.
    budget : float
        Seconds of wall time in all, restarts included; no stage is begun that is expected to go
        beyond it.
    guide : Calculator, optional
        Relaxes the molecule and gives its modes before there is a committee: tblite's GFN2-xTB if
        not given, or the model that is gone on from.
    processes : int, optional
        That label.
    restart : bool
        Go on with what is in the folder.
    narrator : Narrator, optional
        Told of everything.

    Returns
    -------
    Learnt

    Raises
    ------
    DataError
        When the folder holds another run, or too few frames could be labelled.
    GeometryError, SpecError, MissingDependencyError
        As :func:`~painn_ase.sampling.sample`, :func:`~painn_ase.labeling.label_frames` and
        :func:`~painn_ase.training.train`.
    """
    loop = _Loop(atoms, config, Path(folder), budget, guide, processes, narrator)
    loop.open(restart)
    return loop.run()


class _Loop:
    """The state of a run, most of it on the disk."""

    def __init__(
        self,
        atoms: Atoms,
        config: LearnConfig,
        folder: Path,
        budget: float,
        guide: Any,
        processes: int | None,
        narrator: Narrator | None,
    ) -> None:
        self.atoms, self.config, self.folder, self.budget = atoms, config, folder, budget
        self.guide, self.processes, self.narrator = guide, processes, narrator
        self.engine: Engine = make_engine(config.engine, config.level)
        self.record = Record(folder / "learn.json")
        self.judged: dict[int, Judgement] = {}  # round → its committee's, once asked for

    # ------------------------------------------------------------------ the whole

    def open(self, restart: bool) -> None:
        """The folder, new or of the same run."""
        path, start = self.folder / "learn.json", self.folder / "structure.extxyz"
        settings = {**asdict(self.config), "formula": self.atoms.get_chemical_formula()}
        if path.exists():
            if not restart:
                raise DataError(
                    f"{self.folder} holds a run already. Add --restart to go on with it, or name "
                    "another folder."
                )
            self.record = Record.read(path)
            changed = [k for k, v in settings.items() if self.record.settings.get(k) != v]
            if changed:
                raise DataError(
                    f"the run in {self.folder} was begun with other settings "
                    f"({', '.join(changed)}). Use the same, or another folder."
                )
            self.atoms = _read_one(start)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write("structure.extxyz", [self.atoms])
        self.record.settings = settings
        self.record.write()

    def run(self) -> Learnt:
        """Rounds until it is settled or nothing is left to spend."""
        while not self.record.ending:
            phase = self._phase()
            if phase is None or (reason := self._cannot_afford()):
                self.record.ending = "settled" if phase is None else str(reason)
                break
            started = clock.monotonic()
            new = self._new_frames(phase)
            if not new:
                self.record.ending = "settled"
                break
            self._round(phase, started)
        if self.record.rounds and not self.record.check:
            self._check_against_engine()
        self.record.write()
        self._say(f"{self.record.ending}; {self.record.seconds:.0f} s spent")
        return Learnt(
            self._models(len(self.record.rounds) - 1) if self.record.rounds else [],
            tuple(self.record.rounds),
            self.record.ending,
            tuple(self.record.check),
            self.record.seconds,
            self.folder,
        )

    def _phase(self) -> str | None:
        """Where the next frames are to be from; None when everything is settled."""
        rounds = self.record.rounds
        if not rounds or (rounds[-1].phase == "near" and not self._is_settled(rounds[-1])):
            return "near"
        n_dynamics = sum(one.phase == "dynamics" for one in rounds)
        return "dynamics" if n_dynamics < self.config.dynamics_rounds else None

    def _is_settled(self, last: Round) -> bool:
        """Whether frequencies stay where they are, for all members alike."""
        if last.moved is None or last.agreed is None:
            return False
        return last.moved <= self.config.settled and last.agreed <= self.config.agreed

    def _cannot_afford(self) -> str:
        """Why no further round is begun; empty if it is."""
        rounds, config = self.record.rounds, self.config
        if rounds and rounds[-1].n_frames >= config.max_frames:
            return f"{config.max_frames} frames are labelled, as many as were allowed"
        if not rounds:
            return ""
        last = rounds[-1]
        a_label = last.label_seconds / max(last.n_new, 1)
        expected = a_label * self._n_next() + last.train_seconds
        left = self.budget - self.record.seconds
        if expected > left:
            return (
                f"the budget is spent: another round would take about {expected:.0f} s, and "
                f"{max(left, 0.0):.0f} s are left"
            )
        return ""

    def _n_next(self) -> int:
        """Frames of the next round."""
        done = self.record.rounds[-1].n_frames if self.record.rounds else 0
        wanted = self.config.batch if self.record.rounds else self.config.near
        return min(wanted, self.config.max_frames - done)

    def _round(self, phase: str, started: float) -> None:
        """Label, train, judge, and note it."""
        number = len(self.record.rounds)
        label_started = clock.monotonic()
        n_frames, n_new = self._label(number)
        train_started = clock.monotonic()
        self._train(number)
        judge_started = clock.monotonic()
        found = self._judgement(number)
        before = self.record.rounds[-1].frequencies if self.record.rounds else None
        spreads = [float(f.info.get("forces_std", 0.0)) for f in self._frames(number)]
        self.record.rounds.append(
            Round(
                phase=phase,
                n_new=n_new,
                n_frames=n_frames,
                frequencies=tuple(found.frequencies.tolist()),
                spread=tuple(found.spread.tolist()),
                moved=found.moved(before),
                agreed=found.agreed,
                worst_forces=max(spreads, default=0.0),
                label_seconds=train_started - label_started,
                train_seconds=judge_started - train_started,
            )
        )
        self._write("minimum.extxyz", [found.minimum])
        self.record.seconds += clock.monotonic() - started
        self.record.write()
        self._say(f"round {number + 1} ({phase}), {self.record.rounds[-1]}")

    # ------------------------------------------------------------------ frames

    def _frames(self, number: int | None = None) -> list[Atoms]:
        """Frames chosen so far, or in one round."""
        path = self.folder / "frames.extxyz"
        every = ase.io.read(path, ":") if path.exists() else []
        return [f for f in every if number is None or f.info["round"] == number]

    def _new_frames(self, phase: str) -> list[Atoms]:
        """Frames of the coming round: those an interrupted call chose, or new ones."""
        number = len(self.record.rounds)
        if there := self._frames(number):
            return there
        if number == 0:
            chosen = self._first_frames()
        elif phase == "near":
            chosen = self._near_frames(self._judgement(number - 1))
        else:
            chosen = self._uncertain_frames(self._committee(number - 1))
        chosen = chosen[: self._n_next()]
        for frame in chosen:
            kept = {k: v for k, v in frame.info.items() if k in ("source", "forces_std")}
            charge = {k: v for k, v in self.atoms.info.items() if k == "charge"}
            frame.info = {**charge, **kept, "round": number}
        if chosen:
            self._write("frames.extxyz", [*self._frames(), *chosen])
        return chosen

    def _first_frames(self) -> list[Atoms]:
        """The minimum as the guide has it, frames near it, and some of quantum width."""
        guide = self.guide
        if guide is None and self.config.start is not None:
            guide = PaiNNCalculator(self._start_models(), dtype="float64")
        if guide is None:
            guide = tblite_calculator(charge=float(self.atoms.info.get("charge", 0.0)))
        minimum = relaxed(self.atoms, self.atoms.get_chemical_formula(), guide)
        n = max(self.config.near - 1, 1)
        counts = SampleConfig(
            near=n - n // 4,
            quantum=n // 4,
            turned=0,
            thermal={},
            relax=False,
            seed=self.config.seed,
        )
        report = sample([minimum], guide, counts)
        minimum.info["source"] = "minimum"
        return [minimum, *report.frames]

    def _near_frames(self, found: Judgement) -> list[Atoms]:
        """Frames near the committee's minimum, wider along the modes it knows least."""
        rng = np.random.default_rng([self.config.seed, len(self.record.rounds)])
        kelvin = np.full(len(found.modes.frequencies), _NARROW)
        kelvin[found.worst(_WORST_MODES)] = _WIDE
        spread = widths(found.modes, kelvin, quantum=False)
        bonded = bonds_of(found.minimum)
        frames = [
            displaced(found.minimum, found.modes, spread, rng) for _ in range(2 * self._n_next())
        ]
        for frame in frames:
            frame.info["source"] = "near"
        return [frame for frame in frames if is_intact(frame, bonded)]

    def _uncertain_frames(self, committee: PaiNNCalculator) -> list[Atoms]:
        """Frames of the committee's own dynamics on which its members disagree."""
        rng = np.random.default_rng([self.config.seed, len(self.record.rounds)])
        minimum = self._minimum()
        bonded, n = bonds_of(minimum), self._n_next()
        frames = []
        for kelvin in (self.config.temperature, 2.0 * self.config.temperature):
            for frame in thermal(minimum, committee, kelvin, _LOOKED_AT * n // 2, rng):
                if not is_intact(frame, bonded):
                    break  # what follows is another molecule
                frame.info["source"] = f"md{kelvin:g}"
                frames.append(frame)
        known = [f for f in self._frames() if f.info["source"] == "near"]
        usual = [f.info["forces_std"] for f in most_uncertain(known, committee, len(known))]
        least = max(_LEAST_SPREAD, 2.0 * float(np.median(usual)) if usual else 0.0)
        chosen = most_uncertain(frames, committee, n, least)
        self._say(
            f"dynamics at {self.config.temperature:g} and {2 * self.config.temperature:g} K: "
            f"{len(chosen)} of {len(frames)} frames are uncertain (above {least:.3f} eV/Å)"
        )
        return chosen if len(chosen) >= _FEW else []

    def _minimum(self) -> Atoms:
        path = self.folder / "minimum.extxyz"
        return _read_one(path) if path.exists() else self.atoms

    # ------------------------------------------------------------------ labels and models

    def _label(self, number: int) -> tuple[int, int]:
        """Label what is not labelled yet; labels in all and of this round."""
        frames = self._frames()
        report = self._labelled(frames, "labels.extxyz", f"labels of round {number + 1}")
        if report.failures:
            self._say(f"{len(report.failures)} frames have no labels: {report.failures}")
        done = ase.io.read(self.folder / "labels.extxyz", ":")
        of_round = [f for f in done if f.info["round"] == number]
        if not of_round or len(done) < _FEWEST:
            raise DataError(
                f"{len(of_round)} frames of this round could be labelled, {len(done)} in all; "
                f"training needs {_FEWEST} at least. What failed is listed above."
            )
        return len(done), len(of_round)

    def _labelled(self, frames: Sequence[Atoms], name: str, title: str) -> Any:
        """Labels of frames into a file of the folder, with a bar."""
        target = self.folder / name
        if self.narrator is None:
            return label_frames(frames, self.engine, target, processes=self.processes)
        with self.narrator.bar(title, len(frames)) as tick:
            return label_frames(
                frames,
                self.engine,
                target,
                processes=self.processes,
                progress=lambda done, total, note: tick(done, note),
            )

    def _start_models(self) -> list[str]:
        return start_paths(str(self.config.start), self.config.n_models)

    def _models(self, number: int) -> list[Path]:
        """The committee of a round."""
        return sorted((self.folder / f"round_{number:02d}").glob("member_*/*.safetensors"))

    def _committee(self, number: int) -> PaiNNCalculator:
        charge = self.atoms.info.get("charge")
        return PaiNNCalculator(
            [str(p) for p in self._models(number)], dtype="float64", charge=charge
        )

    def _train(self, number: int) -> None:
        """The committee of this round, from that of the round before."""
        config, target = self.config, self.folder / f"round_{number:02d}"
        start = config.start if number == 0 else str(self.folder / f"round_{number - 1:02d}")
        n_frames = len(ase.io.read(self.folder / "labels.extxyz", ":"))
        n_validation = max(2, n_frames // 10)
        steps = config.steps * (3 if start is None else 1)
        batch = 10 if n_frames > 40 else 5
        epochs = steps / max((n_frames - n_validation) // batch, 1)
        finished = target / "finished"
        if finished.exists():
            return
        network: dict[str, Any] = {}  # else that of the model it goes on from
        if start is None:
            network = {"n_features": config.n_features, "cutoff": config.cutoff}
        self._say(f"training {config.n_models} models on {n_frames} frames, {steps} steps each")
        train(
            TrainConfig(
                name="model",
                data=DataSpec(
                    str(self.folder / "labels.extxyz"),
                    n_validation=n_validation,
                    n_test=0,
                    split_seed=config.seed,
                    accept_warnings=True,
                ),
                network=network_to_train(**network),
                optimizer=OptimizerSpec(
                    learning_rate=2e-3 if start is None else 5e-4,
                    batch_size=batch,
                    ema_decay=0.99,
                ),
                schedule=ScheduleSpec(
                    steps=steps,
                    warmup_steps=min(200, steps // 10),
                    validate_every=max(1, round(epochs / 40)),
                    checkpoint_every=max(1, round(epochs / 10)),
                ),
                runtime=RuntimeSpec(threads=1, progress=False),
                start=start,
                output=str(target),
                seed=config.seed,
                n_models=config.n_models,
                description=f"{self.atoms.get_chemical_formula()}, learnt from "
                f"{self.engine.name} {self.engine.level}",
            ),
            resume=True,
        )
        finished.touch()

    def _judgement(self, number: int) -> Judgement:
        """Of the committee of a round, from the newest minimum; made once."""
        if number not in self.judged:
            self.judged[number] = judge(self._committee(number), self._minimum())
        return self.judged[number]

    def _check_against_engine(self) -> None:
        """Curvatures along a few modes by the engine itself, at the committee's minimum."""
        started = clock.monotonic()
        found = self._judgement(len(self.record.rounds) - 1)
        intensity = found.modes.infrared
        order = list(found.worst(_CHECKED - 1))
        if intensity is not None:
            order += [n for n in np.argsort(-intensity) if n not in order]
        chosen = [int(n) for n in order[:_CHECKED]]
        wavenumbers = np.maximum(np.abs(found.modes.frequencies), 100.0)
        moves = unit_moves(found.modes, wavenumbers)[chosen]
        frames = []
        for move in moves:
            for sign in (1.0, -1.0):
                frame = Atoms(found.minimum.numbers, found.minimum.positions + sign * _STEP * move)
                frame.info = {k: v for k, v in self.atoms.info.items() if k == "charge"}
                frames.append(frame)
        report = self._labelled(frames, "check.extxyz", "check by the engine")
        if report.failures:
            return
        done = ase.io.read(self.folder / "check.extxyz", ":")
        by_number = {int(f.info["label_frame"]): f for f in done}
        for k, mode in enumerate(chosen):
            plus, minus = (by_number[2 * k + i].get_forces() for i in (0, 1))
            curvature = -float(np.sum((plus - minus) * moves[k])) / (2.0 * _STEP) * ev_to_invcm
            # in dimensionless units the curvature is ω for the length that belongs to ω
            theirs = math.copysign(math.sqrt(abs(curvature) * wavenumbers[mode]), curvature)
            self.record.check.append((float(found.modes.frequencies[mode]), theirs))
            self._say(
                f"mode {mode + 1}: {found.modes.frequencies[mode]:.1f} cm⁻¹ by the committee, "
                f"{theirs:.1f} by {self.engine.name} along the same displacement"
            )
        self.record.seconds += clock.monotonic() - started

    # ------------------------------------------------------------------ small things

    def _write(self, name: str, frames: Sequence[Atoms]) -> None:
        text = io.StringIO()
        ase.io.write(text, frames, format="extxyz")
        with replace_file(self.folder / name) as file:
            file.write(text.getvalue().encode())

    def _say(self, text: str) -> None:
        if self.narrator is not None:
            self.narrator.say(text)


def _read_one(path: Path) -> Atoms:
    found = ase.io.read(path)
    assert isinstance(found, Atoms)
    return found
