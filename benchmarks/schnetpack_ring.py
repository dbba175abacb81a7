"""SchNetPack's ring polymers for ring_polymer.py, in a process of its own, under its interpreter.

Speaks as md_worker.py does: {"system": "aspirin"} builds, {"steps": 8} answers with wall and CPU
seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(sys.path.pop(0))

import torch
from md_worker import CUTOFF, schnetpack_model, versions
from schnetpack.md import MaxwellBoltzmannInit, Simulator, System
from schnetpack.md.calculators import SchNetPackCalculator
from schnetpack.md.integrators import RingPolymer
from schnetpack.md.neighborlist_md import NeighborListMD
from schnetpack.md.simulation_hooks import TRPMDThermostat
from schnetpack.transform import MatScipyNeighborList
from systems import build_system


def build(name: str, beads: int, features: int) -> Simulator:
    """TRPMD at 300 K with random weights, float32, its pair list kept with a shell of 0.3 Å."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        torch.save(schnetpack_model("painn", features), path)
        pairs = NeighborListMD(CUTOFF, 0.3, MatScipyNeighborList)
        calculator = SchNetPackCalculator(
            str(path), "forces", "eV", "Angstrom", pairs, energy_key="energy"
        )
    system = System()
    system.load_molecules(build_system(name), n_replicas=beads)
    MaxwellBoltzmannInit(300.0, remove_center_of_mass=True).initialize_system(system)
    simulator = Simulator(
        system,
        RingPolymer(time_step=0.05, n_beads=beads, temperature=300.0),
        calculator,
        simulator_hooks=[TRPMDThermostat(temperature_bath=300.0, damping_factor=0.5)],
        progress=False,
    )
    simulator.to(torch.float32)
    return simulator


def main() -> None:
    """Answer requests until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beads", type=int, default=64)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--answers", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    simulator = None
    with os.fdopen(options.answers, "w", buffering=1) as answers:
        for line in sys.stdin:
            request = json.loads(line)
            if "system" in request:
                simulator = build(request["system"], options.beads, options.features)
                simulator.simulate(1)
                answer: dict[str, object] = {"ready": request["system"], "versions": versions()}
            elif simulator is None:
                answer = {"error": "name a system first"}
            else:
                wall, cpu = time.perf_counter(), time.process_time()
                simulator.simulate(request["steps"])
                answer = {
                    "wall": time.perf_counter() - wall,
                    "cpu": time.process_time() - cpu,
                }
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
