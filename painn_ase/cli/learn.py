"""``painn-ase learn``: from a molecule to a model of it and its spectrum, with no data."""

from __future__ import annotations

import math
import re
from pathlib import Path

import typer

from painn_ase.errors import DataError

__all__ = ["learn", "seconds_of"]


def learn(
    structure: str = typer.Argument(
        help="SMILES, structure file, or a molecule's name as in ASE.", show_default=False
    ),
    output: Path = typer.Option(..., "--output", "-o", help="Folder for everything."),
    budget: str | None = typer.Option(
        None, help="Wall time in all, as 90s, 30min, 2h; restarts included.", show_default=False
    ),
    engine: str = typer.Option(
        "pyscf", help="Labels: pyscf, tblite, or any ASE calculator as module:factory."
    ),
    level: str | None = typer.Option(None, help="As for label.", show_default=False),
    start: str | None = typer.Option(
        None,
        "--from",
        help="Model, or committee, to go on from; by default the general model where it knows the "
        "elements and labels are of its level. `none` begins with random weights.",
        show_default=False,
    ),
    n_models: int = typer.Option(3, min=2, help="Members of the committee."),
    near: int = typer.Option(25, min=5, help="Frames of the first round."),
    batch: int = typer.Option(20, min=1, help="Frames of each later round, at most."),
    max_frames: int = typer.Option(150, min=5, help="Labels in all."),
    steps: int = typer.Option(3000, min=1, help="Training steps of each member and round."),
    settled: float = typer.Option(5.0, help="Frequencies move by less than this, cm⁻¹, and …"),
    agreed: float = typer.Option(10.0, help="… members agree within this, cm⁻¹."),
    temperature: float = typer.Option(300.0, "-T", help="Of the dynamics to be borne, K."),
    dynamics_rounds: int = typer.Option(3, min=0, help="Rounds of dynamics, at most."),
    guide: str | None = typer.Option(
        None,
        help="Relaxes the molecule before there is a model: module:factory; by default tblite's "
        "GFN2-xTB, or the model gone on from.",
        show_default=False,
    ),
    processes: int | None = typer.Option(None, min=1, help="That label.", show_default=False),
    seed: int = typer.Option(0, help="Of every random number."),
    restart: bool = typer.Option(False, "--restart", help="Go on with the run in the folder."),
) -> None:
    """Learn a molecule: sample, label, train a committee, and stop when it is good enough.

    First frames near the minimum until harmonic frequencies stay where they are and all members
    agree on them, then frames of the committee's own dynamics on which its members disagree. In
    the end a few modes are compared with the labelling engine itself. Every stage says what it
    does and how good the models are; after a kill --restart goes on.

    Example: `painn-ase learn CC=O -o acetaldehyde --budget 2h`
    """
    from painn_ase.cli.narrator import TerminalNarrator
    from painn_ase.cli.structures import read_structure
    from painn_ase.factories import make_calculator
    from painn_ase.learning import LearnConfig
    from painn_ase.learning import learn as run
    from painn_ase.workflow import start_for

    atoms = read_structure(structure)
    if start is None:
        start = start_for(atoms, n_models, engine, level)
        if start is not None:
            typer.echo(f"each member goes on from one of {start} (--from none for random weights)")
    elif start == "none":
        start = None
    config = LearnConfig(
        engine=engine,
        level=level,
        start=start,
        n_models=n_models,
        near=near,
        batch=batch,
        max_frames=max_frames,
        steps=steps,
        settled=settled,
        agreed=agreed,
        temperature=temperature,
        dynamics_rounds=dynamics_rounds,
        seed=seed,
    )
    found = run(
        atoms,
        config,
        output,
        budget=math.inf if budget is None else seconds_of(budget),
        guide=None if guide is None else make_calculator(guide),
        processes=processes,
        restart=restart,
        narrator=TerminalNarrator(),
    )
    typer.echo("round  from      labels  moved  spread   (cm⁻¹, largest of modes above 200)")
    for number, one in enumerate(found.rounds, start=1):
        moved = "" if one.moved is None else f"{one.moved:.1f}"
        agreed_ = "imaginary" if one.agreed is None else f"{one.agreed:.1f}"
        typer.echo(f"{number:5d}  {one.phase:8s}  {one.n_frames:6d}  {moved:>5s}  {agreed_:>6s}")
    for ours, theirs in found.check:
        typer.echo(f"checked: {ours:8.1f} cm⁻¹ by the committee, {theirs:8.1f} by {engine}")
    typer.echo(f"ended: {found.ending}; {found.seconds:.0f} s in all")
    for path in found.models:
        typer.echo(f"wrote {path}")
    if found.models:
        minimum, last = output / "minimum.extxyz", found.models[0].parent.parent
        typer.echo(f"next: painn-ase spectrum {last} {minimum} -o {output}/spectrum")


def seconds_of(text: str) -> float:
    """A time as people type it: ``90s``, ``30min``, ``2h``, ``1.5h``.

    Raises
    ------
    DataError
        For anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", text.strip())
    if found is None or float(found[1]) == 0.0:
        raise DataError(f"{text!r} is no time; give it as 90s, 30min or 2h.")
    return float(found[1]) * {"s": 1.0, "min": 60.0, "h": 3600.0}[found[2]]
