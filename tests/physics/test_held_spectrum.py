"""`spectrum` of a structure with charge, isotopes and held atoms: the same in every stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import TrajectoryError
from painn_ase.trajectory import TrajectoryReader
from painn_ase.workflow import SpectrumConfig, run_spectrum

SHORT = SpectrumConfig(replicas=2, segment=0.05, equilibration=0.02, spacing=0.01, stride=2)
MASSES = [15.999, 2.014, 1.008]


def held_ion() -> Atoms:
    atoms = molecule("H2O")
    atoms.info["charge"] = 1
    atoms.set_masses(MASSES)
    atoms.set_constraint(FixAtoms([0, 1]))
    return atoms


@pytest.mark.filterwarnings("ignore")
def test_charge_masses_and_held_atoms_reach_the_segments_and_a_restart_asks_for_them(
    tmp_path: Path,
) -> None:
    outcome = run_spectrum(PaiNNCalculator("water"), held_ion(), SHORT, tmp_path / "out")
    assert outcome.modes.n_held == 6
    assert outcome.modes.n_free_motions == 1
    for name in ("thermostat", "segments"):
        with TrajectoryReader(tmp_path / "out" / f"{name}.h5") as reader:
            assert reader.system.charge == 1.0
            assert reader.system.masses.tolist() == MASSES
            assert [c["name"] for c in reader.system.constraints] == ["FixAtoms"]
    with TrajectoryReader(tmp_path / "out" / "thermostat.h5") as reader:
        moved = np.ptp(reader.read("positions"), axis=0).max(axis=1)
    assert moved[:2].max() < 1e-12
    assert moved[2] > 1e-3
    for what in ("charge", "masses", "constraints"):
        other = held_ion()
        if what == "charge":
            other.info["charge"] = 0
        elif what == "masses":
            other.set_masses("defaults")
        else:
            other.set_constraint()
        with pytest.raises(TrajectoryError, match=f"a run with other {what} "):
            run_spectrum(PaiNNCalculator("water"), other, SHORT, tmp_path / "out", restart=True)
