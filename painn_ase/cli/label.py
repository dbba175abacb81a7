"""``painn-ase label``: energy, forces, dipole and polarizability of frames from another program."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import typer

from painn_ase.errors import PaiNNWarning

__all__ = ["label"]


def label(
    frames: Path = typer.Argument(
        help="Structures: extxyz, .traj, H5MD or anything else ASE reads.", show_default=False
    ),
    engine: str = typer.Option(
        "pyscf", help="pyscf, tblite, or any ASE calculator as module:factory."
    ),
    level: str | None = typer.Option(
        None,
        help="For pyscf functional/basis, by default b3lyp/def2-svpd; for tblite its method, by "
        "default GFN2-xTB; for a calculator what the file shall call its level.",
        show_default=False,
    ),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Default: FRAMES's name with -labels.extxyz."
    ),
    processes: int | None = typer.Option(
        None, min=1, help="Of one thread each; by default one a core.", show_default=False
    ),
) -> None:
    """Label FRAMES for training: energy, forces, dipole, polarizability.

    Every frame is on disk when it is done: after a kill the same command does what is missing.
    Frames that could not be labelled are listed, are not in the file, and make the exit code 2.

    Example: `painn-ase label frames.extxyz --engine pyscf --level b3lyp/def2-svpd`
    """
    from painn_ase.cli.narrator import TerminalNarrator
    from painn_ase.labeling import label_frames, make_engine
    from painn_ase.trajectory.frames import iterate_frames

    chosen = make_engine(engine, level)
    structures = list(iterate_frames(frames))
    target = output or Path(f"{frames.stem}-labels.extxyz")
    for caution in chosen.cautions():
        warnings.warn(caution, PaiNNWarning, stacklevel=2)
    narrator, bars = TerminalNarrator(), ExitStack()
    shown: list[Callable[[int, str], None]] = []

    def show(done: int, total: int, note: str) -> None:
        """Progress; how much is to be done is known when the output has been looked through."""
        if not shown:
            shown.append(bars.enter_context(narrator.bar(f"labels by {engine}", total)))
        shown[0](done, note)

    with bars:
        report = label_frames(structures, chosen, target, processes=processes, progress=show)
    for number, reason in sorted(report.failures.items()):
        typer.echo(f"frame {number} has no labels: {reason}", err=True)
    typer.echo(
        f"wrote {target}: {report.n_labelled} frames labelled now, {report.n_before} before, "
        f"{len(report.failures)} failed; {report.cpu_seconds:.1f} s of CPU time"
    )
    typer.echo(f"next: painn-ase data {target}")
    if report.failures:
        raise typer.Exit(code=2)
