"""``painn-ase sample``: frames worth labelling, from a structure or a SMILES."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from painn_ase.cli.outputs import refuse_existing, refuse_unwritable
from painn_ase.errors import DataError
from painn_ase.factories import make_calculator, names_factory

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["sample"]


def sample(
    structures: list[str] = typer.Argument(
        help="SMILES, structure files (all their frames), or names of molecules as in ASE.",
        show_default=False,
    ),
    output: Path = typer.Option(Path("frames.extxyz"), "--output", "-o", help="An extxyz file."),
    engine: str = typer.Option(
        "tblite", help="Drives: tblite (GFN2-xTB), or any ASE calculator as module:factory."
    ),
    model: list[str] = typer.Option(
        [],
        "--model",
        help="A model drives instead; given several times a committee, which also chooses.",
        show_default=False,
    ),
    conformers: int = typer.Option(3, min=1, help="At most so many of each SMILES."),
    near: int = typer.Option(15, min=0, help="Frames near the minimum, of each conformer."),
    quantum: int = typer.Option(5, min=0, help="Frames of the width of quantum nuclei."),
    turned: int = typer.Option(4, min=0, help="Frames with single bonds turned."),
    thermal: list[str] = typer.Option(
        ["300:5", "600:5", "900:3"], "--thermal", help="KELVIN:FRAMES of Langevin dynamics."
    ),
    keep: int | None = typer.Option(
        None, min=1, help="Of a committee: so many frames, those on which it disagrees most; by "
        "default as many as one model would give.",
        show_default=False,
    ),
    least_spread: float = typer.Option(
        0.0, min=0.0, help="Of a committee: no frames of less disagreement, eV/Å."
    ),
    no_relax: bool = typer.Option(False, "--no-relax", help="Take the structures as they are."),
    seed: int = typer.Option(0, help="Of every random number."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace that file."),
) -> None:  # fmt: skip
    """Frames of STRUCTURES to be labelled for training.

    Displacements along normal modes as wide as classical and as quantum nuclei, single bonds
    turned, dynamics; frames with a broken bond and frames like another are left out. With a
    committee of models, four times as many are made and the least certain kept.

    Example: `painn-ase sample CCO -o frames.extxyz`, then `painn-ase label frames.extxyz`
    """
    from ase.io import write

    from painn_ase.cli.narrator import TerminalNarrator
    from painn_ase.sampling import SampleConfig
    from painn_ase.sampling import sample as make

    if output.suffix != ".extxyz":
        raise DataError(f"{output}: frames are written as extxyz; name a file that ends so.")
    refuse_unwritable(output, folder=False)
    refuse_existing([output], overwrite, "name another file")
    starts = [start for name in structures for start in _starts(name, conformers, seed)]
    temperatures = _thermal(thermal)
    if len(model) > 1 and keep is None:
        keep = max(1, len(starts) * (near + quantum + turned + sum(temperatures.values())))
    config = SampleConfig(
        near=near,
        quantum=quantum,
        turned=turned,
        thermal=temperatures,
        relax=not no_relax,
        keep=keep,
        least_spread=least_spread,
        seed=seed,
    )
    calculator = _calculator(engine, model, starts)
    with TerminalNarrator().bar("structures", len(starts)) as tick:
        report = make(starts, calculator, config, progress=lambda done, _, note: tick(done, note))
    if not report.frames:
        raise DataError("no frame is left: all were broken, alike or certain. Ask for more.")
    write(output, report.frames, format="extxyz")
    kinds = Counter(frame.info["source"] for frame in report.frames)
    listed = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    typer.echo(
        f"wrote {output}: {len(report.frames)} frames of {len(starts)} structures ({listed}); left "
        f"out {report.n_broken} with a broken bond, {report.n_alike} like another"
        + (f", {report.n_certain} of less disagreement" if len(model) > 1 else "")
    )
    typer.echo(f"next: painn-ase label {output}")


def _starts(name: str, n_conformers: int, seed: int) -> Sequence[Atoms]:
    """Conformers of a SMILES, frames of a file, or one molecule."""
    from painn_ase.cli.structures import is_smiles, read_structure
    from painn_ase.sampling import conformers
    from painn_ase.trajectory.frames import iterate_frames

    if Path(name).exists():
        return list(iterate_frames(Path(name)))
    if is_smiles(name):
        return conformers(name.removeprefix("smiles:"), n_conformers, seed=seed)
    return [read_structure(name)]


def _thermal(options: Sequence[str]) -> dict[str, int]:
    found = {}
    for option in options:
        kelvin, sign, count = option.partition(":")
        if not sign or not count.isdigit():
            raise DataError(f"--thermal is KELVIN:FRAMES, as in 300:5; got {option!r}.")
        found[kelvin] = int(count)
    return found


def _calculator(engine: str, models: Sequence[str], starts: Sequence[Atoms]) -> Any:
    charges = {float(start.info.get("charge", 0.0)) for start in starts}
    if models:
        from painn_ase.calculator import PaiNNCalculator

        return PaiNNCalculator(models[0] if len(models) == 1 else list(models), dtype="float64")
    if names_factory(engine):
        return make_calculator(engine)
    if engine != "tblite":
        raise DataError(f"unknown engine {engine!r}; give tblite, module:factory, or --model.")
    if len(charges) > 1:
        raise DataError("the structures have different charges; sample them one by one.")
    from painn_ase.labeling.calculators import tblite_calculator

    return tblite_calculator(charge=charges.pop())
