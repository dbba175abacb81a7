"""What quantum nuclei add to the workflow: how many beads, beads in equilibrium, and a check."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from painn_ase.calculator import PaiNNCalculator
from painn_ase.driven import DrivenCalculator
from painn_ase.errors import PaiNNWarning, TrajectoryError, UnstableRunError
from painn_ase.md.replicas import ReplicaConfig, ReplicaResult, run_replicas
from painn_ase.md.ring_averages import Average, QuantumAverages, quantum_averages
from painn_ase.md.ring_modes import beads_for, harmonic_energy
from painn_ase.md.state import has_state
from painn_ase.replacing import write_text
from painn_ase.spectra import HarmonicResult
from painn_ase.testing import QuantumWidth, quantum_width
from painn_ase.testing.quantum_width import DOUBTFUL, STIFF
from painn_ase.units import ev_to_invcm
from painn_ase.workflow.records import Narrator, SpectrumConfig

__all__ = [
    "bear_quantum_width",
    "check_beads",
    "choose_beads",
    "equilibrated_beads",
    "harmonic_share",
    "segments_of_nuclei",
    "steps_of_equilibration",
    "stiffest_mode",
]

#: cm⁻¹; what to expect of a system whose modes nobody has computed, with and without hydrogen.
_STIFFEST = (3800.0, 2200.0)
#: fs; right for averages over beads.
_EQUILIBRATION_STEP = 0.5
#: Replicas and ps of the check at twice the beads, and the difference worth a word.
_CHECK_REPLICAS = 8
_CHECK_TIME = 1.0
_CHECK_TOLERANCE = 0.03
#: Structures of quantum width that are looked at before beads move.
_WIDTH_DRAWS = 1000


def stiffest_mode(atoms: Atoms, modes: HarmonicResult | None) -> float:
    """The highest frequency of `atoms`, cm⁻¹: of its normal modes, else what its elements allow."""
    if modes is not None and len(modes.frequencies):
        return float(np.max(modes.frequencies))
    return _STIFFEST[0] if 1 in atoms.numbers else _STIFFEST[1]


def choose_beads(beads: int, atoms: Atoms, modes: HarmonicResult | None, temperature: float) -> int:
    """The beads asked for; for 0 as many as hold 98 % of the stiffest mode's energy."""
    return beads or beads_for(stiffest_mode(atoms, modes), temperature)


def harmonic_share(modes: HarmonicResult, n_beads: int, temperature: float) -> float:
    """Part of the exact harmonic energy of all modes that so many beads have."""
    real = modes.frequencies[modes.frequencies > 0.0]
    if not len(real):
        return 1.0
    found = sum(harmonic_energy(w, n_beads, temperature) for w in real)
    return found / sum(harmonic_energy(w, 64 * n_beads, temperature) for w in real)


def bear_quantum_width(
    calculator: PaiNNCalculator | DrivenCalculator,
    atoms: Atoms,
    modes: HarmonicResult,
    temperature: float,
    *,
    seed: int = 0,
) -> QuantumWidth | None:
    """Energies where the nuclei of `modes` go; None where no mode is stiff enough to matter.

    Parameters
    ----------
    calculator : PaiNNCalculator
        Of the model.
    atoms : ase.Atoms
        Of the modes.
    modes : HarmonicResult
        At the minimum.
    temperature : float
        K.
    seed : int
        Of the random numbers.

    Raises
    ------
    UnstableRunError
        When an energy is below the minimum: ring polymers would fall into that hole.

    Warns
    -----
    PaiNNWarning
        When an energy is below half of the harmonic one.
    """
    if not (modes.frequencies > STIFF).any():
        return None
    found = quantum_width(
        calculator, atoms, modes, n_draws=_WIDTH_DRAWS, temperature=temperature, seed=seed
    )
    remedy = (
        "train it with frames of quantum width (`painn-ase doctor --quantum` shows how far it is)"
    )
    if found.n_holes:
        raise UnstableRunError(
            f"the model does not bear quantum nuclei: of {found.n_draws} structures of quantum "
            f"width, {found.n_holes} have an energy below the minimum, into which beads would "
            f"fall. Use --nuclei classical, or {remedy}; --no-width-check runs all the same."
        )
    if found.lowest < DOUBTFUL:
        warnings.warn(
            f"where quantum nuclei go, the model's energy falls to {found.lowest:.2f} of the "
            f"harmonic one: it may have learnt too little there; {remedy}",
            PaiNNWarning,
            stacklevel=2,
        )
    return found


def equilibrated_beads(
    calculator: PaiNNCalculator | DrivenCalculator,
    starts: Sequence[Atoms],
    *,
    n_beads: int,
    temperature: float,
    friction: float,
    time: float,
    seed: int,
    state: Path,
    progress: Callable[[int, str], None] | None = None,
) -> ReplicaResult:
    """Ring polymers after path-integral dynamics, which goes on where `state` holds its middle.

    Parameters
    ----------
    calculator : PaiNNCalculator
        Of the model.
    starts : sequence of ase.Atoms
        Where the beads begin, all of a replica on top of each other.
    n_beads : int
    temperature : float
        K.
    friction : float
        Of the centroid, 1/fs.
    time : float
        ps.
    seed : int
        Of the random numbers.
    state : Path
        Restart file.
    progress : callable, optional
        As for :func:`~painn_ase.md.run_replicas`.
    """
    md = ReplicaConfig(
        steps=steps_of_equilibration(time),
        ensemble="pimd",
        timestep=_EQUILIBRATION_STEP,
        temperature=temperature,
        beads=n_beads,
        friction=friction,
        seed=seed,
        record=(),
        save_every=200,
    )
    return run_replicas(
        calculator, starts, md, state=state, restart=has_state(state), progress=progress
    )


def steps_of_equilibration(time: float) -> int:
    """Steps of so many ps."""
    return max(1, round(1e3 * time / _EQUILIBRATION_STEP))


def segments_of_nuclei(md: ReplicaConfig, config: SpectrumConfig, n_beads: int) -> ReplicaConfig:
    """The settings of the segments with the nuclei that `config` asks for."""
    if config.nuclei == "classical":
        return md
    return replace(
        md,
        ensemble=config.nuclei,
        beads=n_beads,
        temperature=config.temperature,
        seed=config.seed + 1,
    )


def check_beads(
    calculator: PaiNNCalculator | DrivenCalculator,
    atoms: Atoms,
    n_beads: int,
    temperature: float,
    *,
    time: float = _CHECK_TIME,
    replicas: int = _CHECK_REPLICAS,
    seed: int = 0,
    narrator: Narrator | None = None,
    saved: Path | None = None,
) -> tuple[QuantumAverages, QuantumAverages]:
    """Energies of two short runs, with `n_beads` and with twice as many; warns where they differ.

    Parameters
    ----------
    calculator : PaiNNCalculator
        Of the model.
    atoms : ase.Atoms
        Near its minimum.
    n_beads : int
        P.
    temperature : float
        K.
    time : float
        Of each run, ps; the first third is not counted.
    replicas : int
        Ring polymers side by side.
    seed : int
        Of the random numbers.
    narrator : Narrator, optional
        Shown the steps.
    saved : Path, optional
        JSON file that keeps what was found; where it is there, nothing is run again.

    Returns
    -------
    tuple of QuantumAverages
        With P and with 2P beads; energies count from the potential energy of `atoms`.

    Raises
    ------
    TrajectoryError
        When `saved` is damaged, or of other numbers of beads.
    """
    if saved is not None and saved.exists():
        few, many = _read_check(saved, n_beads)
    else:
        few, many = _run_check(
            calculator, atoms, n_beads, temperature, time, replicas, seed, narrator
        )
        if saved is not None:
            write_text(saved, json.dumps([_plain(found) for found in (few, many)]))
    _compare(few, many, temperature)
    return few, many


def _run_check(
    calculator: PaiNNCalculator | DrivenCalculator,
    atoms: Atoms,
    n_beads: int,
    temperature: float,
    time: float,
    replicas: int,
    seed: int,
    narrator: Narrator | None,
) -> tuple[QuantumAverages, QuantumAverages]:
    still = atoms.copy()
    still.calc = calculator
    lowest = float(still.get_potential_energy())
    found = []
    with tempfile.TemporaryDirectory(prefix="beads-") as folder:
        for beads in (n_beads, 2 * n_beads):
            md = ReplicaConfig(
                steps=max(60, round(1e3 * time / _EQUILIBRATION_STEP)),
                ensemble="pimd",
                timestep=_EQUILIBRATION_STEP,
                temperature=temperature,
                beads=beads,
                friction=0.03,
                seed=seed + beads,
                record=(),
                energy_stride=5,
            )
            path = Path(folder) / f"{beads}.h5"
            starts = [atoms.copy() for _ in range(replicas)]
            if narrator is None:
                run_replicas(calculator, starts, md, trajectory=path)
            else:
                with narrator.bar(f"check with {beads} beads", md.steps) as tick:
                    run_replicas(calculator, starts, md, trajectory=path, progress=tick)
            found.append(_counted_from(lowest, quantum_averages(path, skip=time / 3.0)))
    return found[0], found[1]


def _compare(few: QuantumAverages, many: QuantumAverages, temperature: float) -> None:
    gap = many.energy.value - few.energy.value
    error = float(np.hypot(few.energy.error, many.energy.error))
    if abs(gap) > _CHECK_TOLERANCE * many.energy.value and abs(gap) > 2.0 * error:
        warnings.warn(
            f"the energy with {few.n_beads} beads is {few.energy.value * ev_to_invcm:.0f} cm⁻¹, "
            f"with {many.n_beads} {many.energy.value * ev_to_invcm:.0f} ± "
            f"{error * ev_to_invcm:.0f}: {few.n_beads} beads are too few at {temperature:g} K",
            PaiNNWarning,
            stacklevel=3,
        )


def _plain(averages: QuantumAverages) -> dict[str, Any]:
    """For JSON."""
    return {k: np.asarray(v).tolist() if v is not None else v for k, v in asdict(averages).items()}


def _read_check(path: Path, n_beads: int) -> tuple[QuantumAverages, QuantumAverages]:
    """What an earlier check found."""
    try:
        few, many = (_averages(record) for record in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrajectoryError(
            f"{path} cannot be read: {error!r}. Delete it to have the beads checked again."
        ) from error
    if (few.n_beads, many.n_beads) != (n_beads, 2 * n_beads):
        raise TrajectoryError(
            f"{path} is a check of {few.n_beads} against {many.n_beads} beads, not of {n_beads}. "
            "Delete it to have the beads checked again."
        )
    return few, many


def _averages(record: dict[str, Any]) -> QuantumAverages:
    means = ("potential", "kinetic", "energy", "heat_capacity")
    values = {k: None if record[k] is None else Average(*record[k]) for k in means}
    arrays = {k: np.asarray(record[k], float) for k in ("kinetic_by_atom", "radius_of_gyration")}
    return QuantumAverages(
        temperature=float(record["temperature"]),
        n_beads=int(record["n_beads"]),
        **values,  # type: ignore[arg-type]
        **arrays,  # type: ignore[arg-type]
    )


def _counted_from(lowest: float, averages: QuantumAverages) -> QuantumAverages:
    potential = averages.potential._replace(value=averages.potential.value - lowest)
    energy = averages.energy._replace(value=averages.energy.value - lowest)
    return replace(averages, potential=potential, energy=energy)
