"""How the tests compare a compiled kernel with eager, and on what."""

from __future__ import annotations

import copy

import numpy as np
import torch
from ase import Atoms
from hypothesis import strategies as st
from kernel_structures import shaken_lattice

from painn_ase.graph import AtomGraph
from painn_ase.kernels import FusedBackend, FusedKernel
from painn_ase.kernels.library import INSTRUCTION_SETS, load_library, why_unavailable
from painn_ase.potential import AtomisticPotential
from painn_ase.testing import TOLERANCES

DTYPES = (torch.float32, torch.float64)
USABLE = [
    name
    for number, name in enumerate(INSTRUCTION_SETS)
    if why_unavailable() is None and load_library().painn_supports(number)
]
ELEMENTS = (1, 6, 8)


def close(given: np.ndarray, expected: np.ndarray, dtype: torch.dtype) -> bool:
    tolerance = TOLERANCES[dtype]
    largest = np.abs(expected).max(initial=0.0)
    return bool(
        np.abs(given - expected).max(initial=0.0) <= tolerance.atol + tolerance.rtol * largest
    )


def agrees_with_eager(fused: FusedKernel, potential: AtomisticPotential, graph: AtomGraph) -> None:
    """Energies, forces and virial of every structure equal eager float64."""
    truth = copy.deepcopy(potential).double()(graph, ("energy", "energies", "forces"))
    answer = fused.compute_graph(graph)
    assert answer.forces is not None
    assert close(answer.forces, truth.forces.numpy(), potential.dtype)
    assert close(answer.energies, truth.energies.numpy(), potential.dtype)
    assert close(answer.energy, truth.energy.numpy(), potential.dtype)
    if bool(graph.pbc.all()):
        stress = copy.deepcopy(potential).double()(graph, ("stress",)).stress.numpy()
        backend = FusedBackend(potential)
        assert close(backend(graph, ("stress",)).stress.numpy(), stress, potential.dtype)


@st.composite
def structures(draw: st.DrawFn) -> Atoms:
    """Molecules, wires, slabs and crystals, also smaller than the cutoff and left-handed."""
    numbers = draw(st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=9))
    return shaken_lattice(
        np.random.default_rng(draw(st.integers(0, 10_000))),
        numbers,
        spacing=draw(st.sampled_from([1.4, 2.1, 3.0])),
        pbc=draw(st.tuples(st.booleans(), st.booleans(), st.booleans())),
        handedness=draw(st.sampled_from([1.0, -1.0])),
    )
