"""The ion of water by every path: one number, whoever was told of the charge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from typer.testing import CliRunner

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.md import ReplicaConfig, run_replicas
from painn_ase.models import load_model, save_model
from painn_ase.potential import AtomisticPotential
from painn_ase.spectra import HarmonicResult, load_spectrum
from painn_ase.trajectory import TrajectoryReader


@pytest.fixture(scope="module")
def cationic() -> AtomisticPotential:
    """The bundled water with a header that says +1."""
    neutral = load_model("water")
    potential = AtomisticPotential(replace(neutral.spec, total_charge=1.0)).to(neutral.dtype)
    potential.load_state_dict(neutral.state_dict())
    return potential.eval().requires_grad_(False)


@pytest.mark.parametrize("said_by", ["model", "structure", "argument"])
def test_replicas_record_the_flux_that_the_calculator_gives(
    cationic, said_by: str, tmp_path: Path
) -> None:
    atoms = molecule("H2O")
    velocities = np.array([[0.0, 0.01, -0.02], [0.0, 0.05, 0.11], [0.0, -0.14, 0.2]])
    masses = atoms.get_masses()
    atoms.set_velocities(velocities - masses @ velocities / masses.sum())
    if said_by == "structure":
        atoms.info["charge"] = 1
    model = cationic if said_by == "model" else load_model("water")
    calculator = PaiNNCalculator(model, charge=1 if said_by == "argument" else None)
    config = ReplicaConfig(steps=1, record=("dipole_flux",), stride=1, rotation="keep")
    run_replicas(calculator, [atoms], config, trajectory=tmp_path / "r.h5")
    with TrajectoryReader(tmp_path / "r.h5") as reader:
        recorded = reader.read("dipole_flux")[0, 0]
        assert reader.system.charge == 1.0
    ion = PaiNNCalculator("water", charge=1).get_dipole_flux(atoms)
    neutral = PaiNNCalculator("water", charge=0).get_dipole_flux(atoms)
    np.testing.assert_allclose(recorded, ion, atol=1e-6)
    assert np.abs(ion - neutral).max() > 1e-2


@pytest.mark.slow
def test_a_spectrum_of_the_ion_by_dynamics_has_its_harmonic_bend(cationic, tmp_path: Path) -> None:
    """363 km/mol; as a neutral molecule the dynamics gave 89."""
    model = save_model(cationic, tmp_path / "ion.safetensors")
    words = ["spectrum", model, "H2O", "-o", tmp_path / "out", "--replicas", 64, "--segment", 1.0]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)
    modes = HarmonicResult.load(tmp_path / "out" / "modes.json")
    assert modes.infrared[0] == pytest.approx(363.3, abs=0.5)
    spectrum = load_spectrum(tmp_path / "out" / "infrared.csv")
    area = spectrum.band_area(1300.0, 2000.0).value
    assert area == pytest.approx(363.3, rel=0.3)
