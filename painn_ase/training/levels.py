"""Whether labels are of the level of theory of the model that training goes on from.

Total energies of two levels differ by electronvolts an atom: weights that have to learn that first
forget everything else. Forces know nothing of it, so offsets of the elements are all it takes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from painn_ase.errors import DataError
from painn_ase.potential.potential import AtomisticPotential
from painn_ase.spec import ModelSpec
from painn_ase.training.evaluation import compare
from painn_ase.training.frames import FloatArray, LabeledFrame, counts_of_elements

__all__ = ["at_level_of"]

#: Frames that are asked, evenly spread over the training part.
_ASKED = 200
#: eV an atom: more than a model is off by for a molecule it never saw, less than levels differ by.
_ANOTHER_LEVEL = 0.3


def at_level_of(
    start: AtomisticPotential, frames: Sequence[LabeledFrame], refit: bool
) -> ModelSpec:
    """The header of `start`, its reference energies at the level of the labels.

    Parameters
    ----------
    start : AtomisticPotential
        The model that training goes on from.
    frames : sequence of LabeledFrame
        The training part.
    refit : bool
        Move the reference energies of the elements by least squares to the labels' energies.

    Raises
    ------
    DataError
        When energies are another level's, or in another unit, and `refit` was not asked for.
    """
    energy = start.spec.heads.energy
    known = set(start.spec.elements)
    able = [f for f in frames if f.energy is not None and {int(z) for z in f.numbers} <= known]
    if energy is None or not able:
        return start.spec
    asked = able[:: -(-len(able) // _ASKED)]
    found = compare(start, asked, ["energy"])["energy"]
    missing: FloatArray = found.reference - found.predicted
    counts = counts_of_elements(asked, start.spec.elements)
    if refit:
        shift = np.linalg.lstsq(counts, missing, rcond=None)[0]
        old = np.array(energy.reference_energies or np.zeros(len(shift)))
        moved = dataclasses.replace(energy, reference_energies=tuple((old + shift).tolist()))
        heads = dataclasses.replace(start.spec.heads, energy=moved)
        return dataclasses.replace(start.spec, heads=heads)
    apart = float(np.median(missing / counts.sum(axis=1)))
    if abs(apart) > _ANOTHER_LEVEL:
        name = start.spec.name or "the model"
        raise DataError(
            f"the labels' energies are {apart:.2f} eV an atom from what {name} to start from says "
            "of these frames: they are of another level of theory, or in another unit. If it is "
            "the level, say refit_reference_energies = true beside start, which moves the "
            "elements' reference energies to the labels; else correct [data.units]."
        )
    return start.spec
