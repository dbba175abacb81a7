"""Frames worth labelling: conformers, displacements along modes, turned bonds, dynamics."""

from painn_ase.sampling.conformers import conformers
from painn_ase.sampling.displacements import displaced, modes_of, turned
from painn_ase.sampling.filters import is_intact, most_uncertain, without_duplicates
from painn_ase.sampling.sample import SampleConfig, SampleReport, sample
from painn_ase.sampling.thermal import thermal

__all__ = [
    "SampleConfig",
    "SampleReport",
    "conformers",
    "displaced",
    "is_intact",
    "modes_of",
    "most_uncertain",
    "sample",
    "thermal",
    "turned",
    "without_duplicates",
]
