"""A fast path's look at itself before its first answer: eager float64 is the truth."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from painn_ase.devices import single_thread
from painn_ase.errors import BackendError
from painn_ase.graph import AtomGraph, from_ase
from painn_ase.potential import AtomisticPotential, Prediction

__all__ = ["SELF_CHECK_TOLERANCES", "SelfCheckTolerance", "check_against_eager", "probe_atoms"]


@dataclass(frozen=True)
class SelfCheckTolerance:
    """Largest difference let through: atol (eV, eV/Å) + rtol · largest value."""

    rtol: float
    atol: float


#: Wider than what the tests demand: here a fault of the build is to be told from a right answer,
#: and a trained float32 model may round worse than a random one.
SELF_CHECK_TOLERANCES: dict[torch.dtype, SelfCheckTolerance] = {
    torch.float32: SelfCheckTolerance(rtol=1e-4, atol=1e-4),
    torch.float64: SelfCheckTolerance(rtol=1e-8, atol=1e-9),
}
_PROBE_ATOMS = 6

#: A backend's own evaluation, without the check.
Evaluate = Callable[[AtomGraph, frozenset[str], Tensor | None], Prediction]


def probe_atoms(potential: AtomisticPotential) -> Atoms:
    """Six atoms of the model's elements in a small tilted cell: neighbours, images, shifts."""
    spacing = max(1.2, 0.45 * potential.cutoff)
    grid = np.array([(x, y, 0) for x in range(3) for y in range(2)], dtype=float)
    shake = np.random.default_rng(0).uniform(-0.1, 0.1, grid.shape)
    cell = spacing * np.array([[3.0, 0.0, 0.0], [0.3, 2.0, 0.0], [0.0, -0.2, 1.2]])
    numbers = [potential.elements[n % len(potential.elements)] for n in range(_PROBE_ATOMS)]
    return Atoms(numbers=numbers, positions=spacing * (grid + shake), cell=cell, pbc=True)


def check_against_eager(
    potential: AtomisticPotential, evaluate: Evaluate, name: str, properties: Collection[str]
) -> None:
    """Compare `properties` of a probe structure with eager float64.

    Energies and forces are compared in a periodic cell; quantities that may need an origin, and
    rates of change, for a molecule.

    Raises
    ------
    BackendError
        They differ by more than :data:`SELF_CHECK_TOLERANCES`; the message is the report.
    """
    wanted = frozenset(properties)
    atoms = probe_atoms(potential)
    if not wanted <= {"energy", "energies", "forces"}:
        atoms.pbc = False
    drawn = np.random.default_rng(1).normal(scale=0.1, size=(len(atoms), 3))
    # Somebody else's inference mode would forbid eager its derivatives.
    with torch.inference_mode(False), single_thread():
        graph = from_ase(atoms, potential.cutoff)
        velocities = torch.from_numpy(drawn)
        truth = copy.deepcopy(potential).double()(graph, wanted, velocities).present()
        answer = evaluate(graph, wanted, velocities).present()
    tolerance = SELF_CHECK_TOLERANCES[potential.dtype]
    report: list[str] = []
    for what in sorted(wanted):
        allowed = tolerance.atol + tolerance.rtol * float(truth[what].abs().max())
        error = float((answer[what] - truth[what]).abs().max())
        if not error <= allowed and math.isfinite(allowed):
            report.append(f"{what} differ by {error:.3e} where {allowed:.3e} is allowed")
    if report:
        raise BackendError(
            f"the {name} backend disagrees with the plain evaluation in float64 on a probe of "
            f"{graph.n_atoms} atoms: {'; '.join(report)}. Its results are not handed out. Use "
            "backend='eager', reinstall painn_ase, and please report this with the output of "
            "`painn-ase info`."
        )
