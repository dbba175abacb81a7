"""Training from configuration to model file, a committee of such runs, and errors of a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from painn_ase.errors import DataError, MissingDependencyError
from painn_ase.models.file import load_model
from painn_ase.potential.potential import AtomisticPotential
from painn_ase.training.config import DataSpec, MoreData, TrainConfig
from painn_ase.training.data_report import DataReport, inspect_file
from painn_ase.training.evaluation import compare, errors_of, write_errors
from painn_ase.training.frames import LABELS, LabeledFrame, frames_hash
from painn_ase.training.report import plot_report
from painn_ase.training.single_run import TrainingRun
from painn_ase.training.splits import build_split
from painn_ase.training.starting import start_paths

__all__ = ["report_errors", "train"]


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    tell: Callable[[DataReport], None] | None = None,
) -> Path:
    """Train as `config` says, after the checks of `painn-ase data` have found the labels in order.

    Parameters
    ----------
    config : TrainConfig
    resume : bool
        Continue from the newest readable checkpoint of the same configuration and data; only the
        number of epochs or steps may differ, to lengthen a run or cut it short.
    overwrite : bool
        Start anew where there already is a run.
    tell : callable, optional
        Receives, for every file, what the data are and how they were read, before anything is
        trained.

    Returns
    -------
    Path
        The model file; for a committee the folder that holds one folder per member.

    Raises
    ------
    DataError
        For unusable data, a warning of the checks that ``[data] accept_warnings`` does not accept,
        or a folder that already holds a run.
    ModelFileError
        For a checkpoint of other code, configuration or data.
    NonFiniteError
        If the loss diverges.
    MissingDependencyError
        Without the extra ``train``.
    """
    _require_lightning()
    frames: list[LabeledFrame] = []
    for report, weight in _inspect(config):
        if tell is not None and os.environ.get("LOCAL_RANK", "0") == "0":
            tell(report)
        # A run that goes on was accepted when it began.
        if report.warnings and not (config.data.accept_warnings or resume):
            raise DataError(_refusal(report))
        frames += [replace(frame, weight=weight) for frame in report.source.frames]
    split = build_split(len(frames), config.data, [f.group for f in frames])
    starts = start_paths(config.start, config.n_models) if config.start is not None else None
    if config.n_models == 1:
        one = config.replace(start=starts[0]) if starts else config
        return TrainingRun(one, frames, split, config.folder).fit(resume, overwrite)
    for member in range(config.n_models):
        one = config.replace(name=f"{config.name}_{member}", seed=config.seed + member, n_models=1)
        one = one.replace(start=starts[member]) if starts else one
        TrainingRun(one, frames, split, config.folder / f"member_{member}").fit(resume, overwrite)
    return config.folder


def _inspect(config: TrainConfig) -> Iterator[tuple[DataReport, float]]:
    """Every file of data, read and checked, and the weight of its frames."""
    wanted = [name for name in LABELS if getattr(config.loss, name) > 0]
    files: list[DataSpec | MoreData] = [config.data, *config.data.more]
    for file in files:
        yield inspect_file(file.path, file.keys, file.units, wanted=wanted), file.weight


def _refusal(report: DataReport) -> str:
    """What to do about warnings."""
    listed = "\n".join(f"  {f.check}: {f.message}" for f in report.warnings)
    return (
        f"the labels in {report.path} deserve a warning:\n{listed}\nMend the data or say in the "
        "configuration what they are; or train on them as they are with --accept-warnings, or "
        "accept_warnings = true in [data]."
    )


def report_errors(
    model: str | Path | AtomisticPotential, frames: Sequence[LabeledFrame], folder: str | Path
) -> Path:
    """Errors of a model on labelled frames as ``errors.json``, with parity plots beside it.

    Returns
    -------
    Path
        The JSON file.
    """
    potential = model if isinstance(model, AtomisticPotential) else load_model(model)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    comparisons = compare(potential, frames)
    about = {
        "model": potential.spec.name,
        "n_frames": len(frames),
        "data_sha256": frames_hash(frames),
    }
    write_errors(errors_of(comparisons), folder / "errors.json", about)
    plot_report(comparisons, None, folder)
    return folder / "errors.json"


def _require_lightning() -> None:
    try:
        import lightning.pytorch  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "training needs Lightning, which is not installed: pip install 'painn_ase[train]'."
        ) from error
