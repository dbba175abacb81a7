"""From a structure to its spectra: relax, normal modes, Langevin, NVE segments, IR and Raman.

The stages write into one folder and can be interrupted: started again with ``restart`` they go on
where they were. What a reader gets to see of the outcome is made in :mod:`painn_ase.report`.
"""

from __future__ import annotations

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
    "RESULT_FILES",
    "Band",
    "InterruptedWorkflowError",
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
    "merge_shards",
    "outcome_page",
    "page_of_folders",
    "plan_replicas",
    "polarised_raman",
    "relax",
    "run_shard",
    "run_spectrum",
    "saved_settings",
    "thermochemistry",
]
