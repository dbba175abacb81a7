"""NequIP drives a run here and a model of ours gives the dipoles.

Runs in an environment of its own: ``scripts/peers/environment.sh``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from typer.testing import CliRunner

pytest.importorskip("nequip.integrations")

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.trajectory import TrajectoryReader


@pytest.mark.filterwarnings("ignore")
def test_nequip_drives_and_our_dipoles_become_a_spectrum(tmp_path, monkeypatch) -> None:
    source = Path(__file__).with_name("tiny_nequip.py")
    (tmp_path / source.name).write_text(source.read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = ["md", "H2O", "--ensemble", "nve", "--steps", "200", "--timestep", "0.5", "--seed", "1"]
    run += ["--driver", "tiny_nequip:driver", "--response", "water", "--flux", "2", "--dipole", "2"]
    for arguments in ([*run, "-o", "r.h5"], ["spectrum", "r.h5", "-o", "s", "--resolution", "500"]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{done.output} {done.exception!r}"
    assert (tmp_path / "s" / "infrared.csv").stat().st_size > 0
    with TrajectoryReader("r.h5") as reader:
        last, dipole = reader.read("positions")[-1], reader.read("dipole")
        at, steps = reader.steps("positions")[-1], reader.steps("dipole")
        energies = {name: reader.read(name) for name in ("potential_energy", "kinetic_energy")}
    # the dipoles are ours, the motion NequIP's
    atoms = Atoms(molecule("H2O").numbers, positions=last)
    expected = PaiNNCalculator("water").get_dipole_moment(atoms)
    np.testing.assert_allclose(dipole[list(steps).index(at)], expected, atol=1e-4)
    total = energies["potential_energy"] + energies["kinetic_energy"]
    assert np.ptp(total) < 0.2 * np.ptp(energies["kinetic_energy"])
