"""Numbers read off the training part: reference energies, scales, spreads, the model's spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from painn_ase.errors import DataError
from painn_ase.spec import (
    DipoleSpec,
    EnergySpec,
    HeadsSpec,
    ModelSpec,
    PaiNNSpec,
    PolarizabilitySpec,
)
from painn_ase.training.config import TrainConfig
from painn_ase.training.frames import LABELS, FloatArray, LabeledFrame, counts_of_elements

__all__ = ["Statistics", "build_model_spec", "compute_statistics", "trained_labels"]

#: Spread of the energy per atom below which it no longer serves as unit of the loss, eV.
_LEAST_ENERGY_SPREAD = 1e-4


@dataclass(frozen=True)
class Statistics:
    """What the training part says about sizes and offsets, in the package's units.

    Attributes
    ----------
    elements : tuple of int
        Atomic numbers present, ascending.
    reference_energies : tuple of float
        Per element, eV.
    isotropic : tuple of float
        Share of each element in the mean polarizability, e²Å²/eV.
    spread : dict
        Root mean square of each label about its offset; energy per atom.
    """

    elements: tuple[int, ...]
    reference_energies: tuple[float, ...]
    isotropic: tuple[float, ...]
    spread: dict[str, float]


def trained_labels(frames: Sequence[LabeledFrame], config: TrainConfig) -> tuple[str, ...]:
    """Labels that some frame has and the loss gives weight to.

    Raises
    ------
    DataError
        If there are none.
    """
    weights = {name: getattr(config.loss, name) for name in LABELS}
    chosen = tuple(
        name
        for name in LABELS
        if weights[name] > 0 and any(getattr(f, name) is not None for f in frames)
    )
    if not chosen:
        raise DataError(
            f"{config.data.path}: no training frame has any label the loss asks for "
            f"({', '.join(n for n in LABELS if weights[n] > 0)}). `painn-ase data "
            f"{config.data.path}` lists what the file has; name its keys in [data.keys]."
        )
    return chosen


def compute_statistics(
    frames: Sequence[LabeledFrame],
    reference_energies: Mapping[str, float] | None = None,
    kept: ModelSpec | None = None,
) -> Statistics:
    """Statistics of `frames`; given reference energies are taken instead of fitted ones.

    Parameters
    ----------
    frames : sequence of LabeledFrame
        The training part.
    reference_energies : mapping, optional
        Symbol → eV, for every element.
    kept : ModelSpec, optional
        A model whose elements and offsets stay; only those of elements it lacks are fitted.
    """
    present = {int(z) for f in frames for z in f.numbers}
    elements = tuple(sorted(present | set(kept.elements if kept else ())))
    known, known_alpha = _kept_offsets(kept)
    references, energy_spread = _energy_offsets(frames, elements, reference_energies or {}, known)
    isotropic, alpha_spread = _polarizability_offsets(frames, elements, known_alpha)
    spread = {
        "energy": energy_spread,
        "forces": _rms([f.forces for f in frames if f.forces is not None]),
        "stress": _rms([f.stress for f in frames if f.stress is not None]),
        "dipole": _rms([f.dipole for f in frames if f.dipole is not None]),
        "polarizability": alpha_spread,
        "dipole_magnitude": _rms(
            [np.array(f.dipole_magnitude) for f in frames if f.dipole_magnitude is not None]
        ),
    }
    return Statistics(elements, references, isotropic, spread)


def build_model_spec(
    frames: Sequence[LabeledFrame],
    labels: Sequence[str],
    statistics: Statistics,
    config: TrainConfig,
) -> ModelSpec:
    """Spec of the model to train: heads for `labels`, offsets and scales from `statistics`."""
    periodic = any(bool(f.pbc.any()) for f in frames)
    charges = {f.charge for f in frames}
    spread = statistics.spread
    unit = config.heads.output_unit
    network = config.network
    # Gated blocks round their norms as the network does, and smoothly where it has none.
    epsilon = network.epsilon if isinstance(network, PaiNNSpec) else 1.0
    energy = dipole = polarizability = None
    if {"energy", "forces", "stress"} & set(labels):
        # The slope of an energy over an Å is of the size of a typical force.
        scale = spread["forces"] if "forces" in labels else spread["energy"]
        energy = EnergySpec(scale=unit * scale, reference_energies=statistics.reference_energies)
    if {"dipole", "dipole_magnitude"} & set(labels):
        # Of a length taught alone each component has the share 1/√3.
        size = spread["dipole"] if "dipole" in labels else spread["dipole_magnitude"] / 3**0.5
        kind = config.heads.dipole
        if kind == "auto":
            kind = "latent_charge" if network.gives_vectors else "point_charge"
            kind = "local" if periodic else kind
        dipole = DipoleSpec(
            kind=kind,
            scale=unit * size,
            rank=4 if kind == "local" else 1,
            gate_epsilon=epsilon,
            magnitude="dipole" not in labels,
        )
    if "polarizability" in labels:
        form = config.heads.polarizability
        if form == "auto":
            form = "local" if periodic else "latent_position"
        polarizability = PolarizabilitySpec(
            kind=form,
            scale=unit * spread["polarizability"],
            isotropic=statistics.isotropic,
            gate_epsilon=epsilon,
        )
    return ModelSpec(
        elements=statistics.elements,
        heads=HeadsSpec(energy=energy, dipole=dipole, polarizability=polarizability),
        representation=network,
        total_charge=charges.pop() if len(charges) == 1 else 0.0,
        name=config.name,
        description=config.description,
        licence=config.licence,
        citation=config.citation,
    )


def _kept_offsets(kept: ModelSpec | None) -> tuple[dict[int, float], dict[int, float]]:
    """Reference energies and polarizabilities of a model's elements, where it has them."""
    if kept is None:
        return {}, {}
    energy, alpha = kept.heads.energy, kept.heads.polarizability
    found: list[dict[int, float]] = []
    for head, values in (
        (energy, energy.reference_energies if energy else ()),
        (alpha, alpha.isotropic if alpha else ()),
    ):
        offsets = values or (0.0,) * len(kept.elements)
        found.append(dict(zip(kept.elements, offsets, strict=True)) if head else {})
    return found[0], found[1]


def _fitted(
    counts: FloatArray, values: FloatArray, elements: tuple[int, ...], known: Mapping[int, float]
) -> FloatArray:
    """Offsets by least squares, but for those that are known."""
    free = np.array([z not in known for z in elements])
    offsets = np.array([known.get(z, 0.0) for z in elements])
    if free.any():
        rest = values - counts @ offsets
        offsets[free] = np.linalg.lstsq(counts[:, free], rest, rcond=None)[0]
    return offsets


def _energy_offsets(
    frames: Sequence[LabeledFrame],
    elements: tuple[int, ...],
    given: Mapping[str, float],
    known: Mapping[int, float],
) -> tuple[tuple[float, ...], float]:
    """Reference energies per element and the spread of what is left, per atom."""
    labelled = [f for f in frames if f.energy is not None]
    references = np.zeros(len(elements))
    if given:
        table = _given_references(given)
        if missing := [chemical_symbols[z] for z in elements if z not in table]:
            raise DataError(
                f"reference_energies lacks {', '.join(missing)}; give one energy per element of "
                "the data, or none for least squares."
            )
        references = np.array([table[z] for z in elements])
    elif known:
        references = np.array([known.get(z, 0.0) for z in elements])
    if not labelled:
        return tuple(references.tolist()), 1.0
    counts = counts_of_elements(labelled, elements)
    energies = np.array([f.energy for f in labelled], dtype=np.float64)
    if known and not given:
        references = _fitted(counts, energies, elements, known)
    elif not given:
        # One composition only leaves the elements undetermined. Least squares about the mean per
        # atom then gives every element that mean: their sum is right, which is all that matters.
        mean = energies.sum() / counts.sum()
        rest = energies - mean * counts.sum(axis=1)
        references = mean + np.linalg.lstsq(counts, rest, rcond=None)[0]
    rest = (energies - counts @ references) / counts.sum(axis=1)
    # Few frames of many elements are fitted exactly: what is left is then rounding, not a unit.
    return tuple(references.tolist()), max(float(np.std(rest)), _LEAST_ENERGY_SPREAD)


def _given_references(given: Mapping[str, float]) -> dict[int, float]:
    table = {}
    for symbol, value in given.items():
        if symbol not in atomic_numbers or not isinstance(value, int | float):
            raise DataError(
                f"reference_energies: {symbol!r} = {value!r} is no element symbol with an energy."
            )
        table[atomic_numbers[symbol]] = float(value)
    return table


def _polarizability_offsets(
    frames: Sequence[LabeledFrame], elements: tuple[int, ...], known: Mapping[int, float]
) -> tuple[tuple[float, ...], float]:
    """Mean polarizability shared among the elements, and the spread about it."""
    labelled = [f for f in frames if f.polarizability is not None]
    if not labelled:
        return tuple(known.get(z, 0.0) for z in elements) if known else (), 1.0
    alpha = np.array([f.polarizability for f in labelled])
    counts = counts_of_elements(labelled, elements)
    mean = np.trace(alpha, axis1=1, axis2=2) / 3.0
    shares = _fitted(counts, mean, elements, known)
    rest = alpha - (counts @ shares)[:, None, None] * np.eye(3)
    return tuple(shares.tolist()), _rms([rest])


def _rms(values: Sequence[FloatArray]) -> float:
    """Root mean square over all numbers in `values`, 1 where there is nothing."""
    n = sum(v.size for v in values)
    square = sum(float(np.sum(v * v)) for v in values)
    return float(np.sqrt(square / n)) if n and square > 0 else 1.0
