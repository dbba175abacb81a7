"""MACE drives runs here, and its dipole model has the unit that our docs say.

Runs in an environment of its own: ``scripts/peers/environment.sh``.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from typer.testing import CliRunner

os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # of MACE's e3nn
pytest.importorskip("mace")

from painn_ase.cli import app
from painn_ase.trajectory import TrajectoryReader

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with the factories beside, as a user has them."""
    (tmp_path / "tiny_mace.py").write_text(Path(__file__).with_name("tiny_mace.py").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_maces_dipole_is_in_debye(here) -> None:
    """The one part of it whose value is known: fixed charges q at r add q·r."""
    import tiny_mace

    atoms = molecule("H2O")
    without = tiny_mace.dipoles().get_property("dipole", atoms)
    charged = atoms.copy()
    charges = np.array([-0.8, 0.4, 0.4])
    charged.set_array("Qs", charges)
    added = tiny_mace.dipoles().get_property("dipole", charged) - without
    expected = charges @ atoms.positions  # e·Å
    assert np.abs(expected).max() > 0.1
    # ASE's own constant: 1 D in e·Å
    np.testing.assert_allclose(added * units.Debye, expected, rtol=1e-5, atol=1e-10)


def test_maces_model_of_dipole_and_polarizability_adds_charges_in_electron_angstrom() -> None:
    import torch
    from mace.modules import utils

    charges, positions = torch.tensor([1.0, -1.0]), torch.tensor([[0.0, 0, 0], [0, 0, 1.0]])
    given = (charges.double(), positions.double(), torch.zeros(2, dtype=torch.int64), 1)
    debye = utils.compute_fixed_charge_dipole(*given)[0, 2].item()
    plain = utils.compute_fixed_charge_dipole_polar(*given)[0, 2].item()
    assert debye == pytest.approx(-1.0 / units.Debye, rel=1e-5)
    assert plain == pytest.approx(-1.0)
    from mace.modules import models

    source = inspect.getsource(models.AtomicDielectricMACE)
    assert "compute_fixed_charge_dipole_polar(" in source
    assert "compute_fixed_charge_dipole(" in inspect.getsource(models.AtomicDipolesMACE)


def test_mace_drives_and_its_dipoles_or_ours_become_a_spectrum(here) -> None:
    run = ["md", "H2O", "--ensemble", "nve", "--steps", "200", "--timestep", "0.5", "--seed", "1"]
    with_own = [*run, "--driver", "tiny_mace:both", "--dipole", "2", "-o", "own.h5"]
    with_ours = [
        *run, "--driver", "tiny_mace:driver", "--response", "water", "--flux", "2", "-o", "ours.h5",
    ]  # fmt: skip
    for arguments in (with_own, with_ours):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{done.output} {done.exception!r}"
        made = CliRunner().invoke(
            app, ["spectrum", arguments[-1], "-o", arguments[-1][:-3], "--resolution", "500"]
        )
        assert made.exit_code == 0, f"{made.output} {made.exception!r}"
        assert (here / arguments[-1][:-3] / "infrared.csv").stat().st_size > 0

    import tiny_mace

    with TrajectoryReader("own.h5") as reader:
        frames, written = reader.read("positions"), reader.read("dipole")
        steps, at = reader.steps("dipole"), reader.steps("positions")
    n = int(np.flatnonzero(steps == at[-1])[0])
    atoms = Atoms("OH2", positions=frames[-1])
    debye = tiny_mace.dipoles().get_property("dipole", atoms)
    np.testing.assert_allclose(written[n], debye * units.Debye, rtol=1e-4, atol=1e-6)
