"""From a structure to its spectra: relax, normal modes, Langevin, NVE segments, IR and Raman.

The stages write into one folder and can be interrupted: started again with ``restart`` they go on
where they were. What a reader gets to see of the outcome is made in :mod:`painn_ase.report`.
"""

from __future__ import annotations

from painn_ase.workflow.choosing import GENERAL, MOST_SPREAD, model_for, refuse_unknown, start_for
from painn_ase.workflow.judging import Judgement, judge, largest_spread, with_spread
from painn_ase.workflow.modes import relax, thermochemistry
from painn_ase.workflow.numbers import (
    SeriesSpectra,
    all_spectra,
    compare_bands,
    compute_spectra,
    polarised_raman,
)
from painn_ase.workflow.pages import folder_result, outcome_page, page_of_folders
from painn_ase.workflow.planning import plan_replicas
from painn_ase.workflow.records import (
    RESULT_FILES,
    Band,
    InterruptedWorkflowError,
    Narrator,
    Outcome,
    SpectrumConfig,
    saved_settings,
)
from painn_ase.workflow.shards import Shard, ensemble, merge_shards, run_shard
from painn_ase.workflow.stages import run_spectrum

__all__ = [
    "GENERAL",
    "MOST_SPREAD",
    "RESULT_FILES",
    "Band",
    "InterruptedWorkflowError",
    "Judgement",
    "Narrator",
    "Outcome",
    "SeriesSpectra",
    "Shard",
    "SpectrumConfig",
    "all_spectra",
    "compare_bands",
    "compute_spectra",
    "ensemble",
    "folder_result",
    "judge",
    "largest_spread",
    "merge_shards",
    "model_for",
    "outcome_page",
    "page_of_folders",
    "plan_replicas",
    "polarised_raman",
    "refuse_unknown",
    "relax",
    "run_shard",
    "run_spectrum",
    "saved_settings",
    "start_for",
    "thermochemistry",
    "with_spread",
]
