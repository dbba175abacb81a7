"""Does the general model hold in dynamics? 20 molecules, 20 ps of NVE at 300 and at 500 K.

    python model_recipes/small_organics/stability.py

Each run begins at the relaxed structure with a kinetic energy of twice the temperature, half of
which goes into the bonds. Told are the drift of the energy, the largest spread of a force among the
members, and which bonds there were at some time that were not at the start, or the reverse. What is
in reports/small_organics_stability.json is not done again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary, ZeroRotation
from ase.optimize import BFGS
from reference import minima

from painn_ase import MDConfig, PaiNNCalculator, run_md
from painn_ase.errors import PaiNNError
from painn_ase.md import Frame
from painn_ase.md.velocities import count_rotations
from painn_ase.sampling.displacements import bonds_of

HERE = Path(__file__).parent
TARGET = HERE.parent / "reports" / "small_organics_stability.json"
#: Ten of them with three heavy atoms; the last two were never trained on.
MOLECULES = (
    "O", "N", "C", "C#N", "C=O", "C#C", "C=C", "CO", "CC", "NN", "CCO", "CC#N", "CCC", "NC=O",
    "O=CO", "COO", "C1CO1", "C=C=O", "CN", "CC=O",
)  # fmt: skip
TEMPERATURES = (300, 500)
TIMESTEP, LENGTH = 0.5, 20.0


class Watch:
    """Looks at spread and bonds every 50 steps.

    Longer than 1.6 times the sum of covalent radii is no bond, whatever bends and stretches there
    are; what was not bonded and comes closer than 0.9 sums is one.
    """

    def __init__(self, atoms: Atoms) -> None:
        self.there = bonds_of(atoms)
        self.spread, self.broken = 0.0, False

    def wants(self, step: int) -> bool:
        """Whether to look at this step."""
        return step % 50 == 0

    def observe(self, frame: Frame) -> None:
        """Look."""
        longest, closest = bonds_of(frame.atoms, 1.6), bonds_of(frame.atoms, 0.9)
        self.broken |= bool((self.there & ~longest).any() or (closest & ~self.there).any())
        results = frame.atoms.calc.results
        if "forces_std" in results:
            self.spread = max(self.spread, float(results["forces_std"].max()))


def main() -> None:
    """Run what is missing, print, write."""
    done: dict[str, Any] = {}
    if TARGET.exists():
        done = json.loads(TARGET.read_text(encoding="utf-8"))["runs"]
    starts = minima()
    for temperature in TEMPERATURES:
        for smiles in MOLECULES:
            name = f"{smiles} {temperature} K"
            if name in done:
                continue
            done[name] = run(starts[smiles], temperature)
            print(name, done[name], flush=True)
            report = {"model": "small-organics", "picoseconds": LENGTH, "runs": done}
            TARGET.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    fell = [name for name, row in done.items() if row["broken"] or "ended" in row]
    print(f"{len(done)} runs, {len(fell)} fell into a hole: {', '.join(fell)}")


def run(start: Atoms, temperature: int) -> dict[str, Any]:
    """One of them."""
    atoms = Atoms(start.numbers, start.positions)
    atoms.calc = PaiNNCalculator("small-organics")
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=500)
    rng = np.random.default_rng(temperature)
    MaxwellBoltzmannDistribution(atoms, temperature_K=2.0 * temperature, rng=rng)
    Stationary(atoms)
    ZeroRotation(atoms)
    free = 3 * len(atoms) - 3 - count_rotations(atoms)
    wanted = free * units.kB * temperature  # twice ½kT for each
    atoms.set_velocities(atoms.get_velocities() * np.sqrt(wanted / atoms.get_kinetic_energy()))
    watch = Watch(atoms)
    config = MDConfig(
        steps=round(1e3 * LENGTH / TIMESTEP), timestep=TIMESTEP, velocities="keep",
        log_every=10**6, guard="off",
    )  # fmt: skip
    try:
        result = run_md(atoms, config, observers=[watch])
    except PaiNNError as error:
        return {"broken": True, "ended": str(error)}
    return {
        "temperature": round(result.temperature, 1),
        "drift_meV_per_atom_ps": round(1e3 * float(np.abs(result.drift or 0.0)), 4),
        "largest_spread_eV_per_A": round(watch.spread, 3),
        "broken": watch.broken,
    }


if __name__ == "__main__":
    main()
