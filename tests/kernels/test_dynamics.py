"""The fused kernel in dynamics: its forces belong to its energy as well as eager's do."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units
from ase.build import molecule
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from painn_ase.calculator import PaiNNCalculator
from painn_ase.kernels.library import why_unavailable

pytestmark = pytest.mark.skipif(
    why_unavailable() is not None, reason=f"compiled kernel: {why_unavailable()}"
)


def drift_and_fluctuation(backend: str, n_steps: int) -> tuple[float, float]:
    """Slope (meV per atom and ps) and standard deviation (meV per atom) of the total energy."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = PaiNNCalculator("ethanol", backend=backend)
    BFGS(atoms, logfile=None).run(fmax=0.02, steps=200)
    widths = np.sqrt(atoms.get_masses() * units.kB * 600.0)
    atoms.set_momenta(widths[:, None] * np.random.default_rng(0).normal(size=(9, 3)))
    dynamics = VelocityVerlet(atoms, 0.25 * units.fs)
    energies = []
    for _ in range(n_steps // 10):
        dynamics.run(10)
        energies.append(atoms.get_total_energy())
    meV = 1e3 * np.array(energies) / len(atoms)
    time = 2.5e-3 * np.arange(len(meV))
    return float(np.polyfit(time, meV, 1)[0]), float(meV.std())


def test_energy_is_conserved_over_a_thousand_steps() -> None:
    drift, fluctuation = drift_and_fluctuation("fused", 1000)
    assert abs(drift) < 0.2
    assert fluctuation < 0.1


@pytest.mark.slow
def test_energy_drifts_no_more_than_with_eager_over_50_000_steps() -> None:
    fused, eager = (drift_and_fluctuation(name, 50_000) for name in ("fused", "eager"))
    assert abs(fused[0]) < 1e-3
    assert abs(eager[0]) < 1e-3
    assert fused[1] == pytest.approx(eager[1], rel=0.2)
