"""One contender of md_step.py in a process of its own: reads requests, answers with timings.

A request is one line of JSON on standard input, an answer one line on the file descriptor that
``--answers`` names (standard output belongs to whatever the libraries print):

    {"system": "ethanol"}   build the structure and calculator, run one step   → {"ready": …}
    {"steps": 20}           run velocity Verlet from the start               → {"wall": s, "cpu": s}

Runs under painn_ase's interpreter or SchNetPack's; needs nothing of the other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

# this folder last: its profile.py is not the module of that name that libraries import
sys.path.append(sys.path.pop(0))

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.md.verlet import VelocityVerlet
from systems import COPIES, TIMESTEP, build_copies, build_system

#: The architecture everybody runs: features, interactions, radial functions, cutoff in Å.
N_FEATURES, N_INTERACTIONS, N_RBF, CUTOFF = 128, 3, 20, 5.0


def build_painn_ase(network: str, backend: str, device: str, dtype: torch.dtype) -> Calculator:
    """Our calculator with random weights, on the given backend."""
    from painn_ase.calculator import PaiNNCalculator
    from painn_ase.testing import random_potential

    model = random_potential(
        n_features=N_FEATURES,
        n_interactions=N_INTERACTIONS,
        n_rbf=N_RBF,
        cutoff=CUTOFF,
        kind=network,
        radial_basis="bessel",
    )
    return PaiNNCalculator(model, device=device, dtype=dtype, backend=backend)


def schnetpack_model(network: str, n_features: int = N_FEATURES) -> Any:
    """SchNetPack's network of random weights with energy and forces, the same in every process."""
    import schnetpack as spk

    torch.manual_seed(0)
    kinds = {"painn": "PaiNN", "schnet": "SchNet", "so3net": "SO3net"}
    own = {"lmax": 2} if network == "so3net" else {}
    return spk.model.NeuralNetworkPotential(
        representation=getattr(spk.representation, kinds[network])(
            n_atom_basis=n_features,
            n_interactions=N_INTERACTIONS,
            radial_basis=spk.nn.BesselRBF(n_rbf=N_RBF, cutoff=CUTOFF),
            cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
            **own,
        ),
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=n_features, output_key="energy"),
            spk.atomistic.Forces(),
        ],
        postprocessors=[spk.transform.CastTo64()],
    )


def build_schnetpack(network: str, variant: str, device: str, dtype: torch.dtype) -> Calculator:
    """SchNetPack's SpkCalculator with random weights; `variant` "skin" keeps its pair list."""
    from schnetpack.interfaces import SpkCalculator
    from schnetpack.transform import MatScipyNeighborList, SkinNeighborList

    pairs = MatScipyNeighborList(cutoff=CUTOFF)
    if variant == "skin":
        pairs = SkinNeighborList(pairs, cutoff_skin=0.3)
    model = schnetpack_model(network)
    return SpkCalculator(
        model, pairs, energy_unit="eV", position_unit="Ang", device=device, dtype=dtype
    )


def build_calculator(network: str, contender: str, device: str, dtype: torch.dtype) -> Calculator:
    """The calculator that ``program:variant`` names."""
    program, _, variant = contender.partition(":")
    if program == "painn_ase":
        return build_painn_ase(network, variant or "auto", device, dtype)
    if program == "schnetpack":
        return build_schnetpack(network, variant, device, dtype)
    raise SystemExit(
        f"no contender {contender!r}; there are painn_ase[:BACKEND], schnetpack[:skin]"
    )


def run_block(start: Atoms, calculator: Calculator, steps: int) -> dict[str, float]:
    """Wall and CPU seconds of `steps` velocity-Verlet steps from `start`."""
    atoms = start.copy()
    atoms.calc = calculator
    atoms.get_forces()
    dynamics = VelocityVerlet(atoms, TIMESTEP)
    wall, cpu = time.perf_counter(), time.process_time()
    dynamics.run(steps)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


Forces = Callable[[np.ndarray], np.ndarray]


def batch_forces(calculator: Calculator, frames: list[Atoms]) -> Forces:
    """Forces of all `frames` in one call, as a function of all positions; pair lists stay."""
    if type(calculator).__name__ == "PaiNNCalculator":
        from painn_ase.graph import collate, from_ase

        graph = collate([from_ase(atoms, CUTOFF) for atoms in frames]).to(calculator.device)

        def ours(positions: np.ndarray) -> np.ndarray:
            moved = graph.replace(positions=torch.tensor(positions, device=graph.device))
            (prediction,) = calculator.predict(moved, ("energy", "forces"))
            return prediction.forces.cpu().numpy()

        return ours

    from schnetpack import properties

    inputs = calculator.converter(frames)
    place = inputs[properties.R]

    def theirs(positions: np.ndarray) -> np.ndarray:
        moved = torch.tensor(positions, dtype=place.dtype, device=place.device)
        result = calculator.model({**inputs, properties.R: moved})
        return result[properties.forces].detach().cpu().numpy()

    return theirs


def run_batch(frames: list[Atoms], forces_of: Forces, steps: int) -> dict[str, float]:
    """Wall and CPU seconds of `steps` velocity-Verlet steps of all `frames` at once."""
    positions = np.concatenate([atoms.positions for atoms in frames])
    velocities = np.concatenate([atoms.get_velocities() for atoms in frames])
    masses = np.concatenate([atoms.get_masses() for atoms in frames])[:, None]
    forces = forces_of(positions)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        velocities = velocities + 0.5 * TIMESTEP * forces / masses
        positions = positions + TIMESTEP * velocities
        forces = forces_of(positions)
        velocities = velocities + 0.5 * TIMESTEP * forces / masses
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def block_runner(name: str, calculator: Calculator) -> Callable[[int], dict[str, float]]:
    """What runs a number of steps of the system called `name`."""
    if name in COPIES:
        frames = build_copies(name)
        forces_of = batch_forces(calculator, frames)
        return lambda steps: run_batch(frames, forces_of, steps)
    start = build_system(name)
    return lambda steps: run_block(start, calculator, steps)


def versions() -> dict[str, str]:
    """Versions of what is being measured."""
    import ase

    found = {"python": sys.version.split()[0], "torch": torch.__version__, "ase": ase.__version__}
    for name in ("painn_ase", "schnetpack"):
        if name in sys.modules:
            from importlib.metadata import version

            found[name] = version(name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender")
    parser.add_argument("--network", default="painn", choices=["painn", "schnet", "so3net"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--answers", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    asked = options.network, options.contender
    calculator = build_calculator(*asked, options.device, dtype)
    run: Callable[[int], dict[str, float]] | None = None
    with os.fdopen(options.answers, "w", buffering=1) as answers:
        for line in sys.stdin:
            request = json.loads(line)
            answer: dict[str, Any]
            if "system" in request:
                # SchNetPack's skin list cannot change size, so everybody starts afresh
                calculator = build_calculator(*asked, options.device, dtype)
                run = block_runner(request["system"], calculator)
                run(1)
                answer = {"ready": request["system"], "versions": versions()}
            elif run is None:
                answer = {"error": "name a system first"}
            else:
                answer = dict(run(request["steps"]))
                answer["peak_memory_mib"] = (
                    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                )
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
