"""What is said of a system once holds at every later stage, or is refused; nothing is forgotten.

Random charge, masses, constraints, periodicity and info are sent from a structure file through
calculator, dynamics, restart, trajectory, evaluation and spectrum.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms, FixBondLengths, FixCartesian, FixCom, FixSubsetCom
from ase.io import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from painn_ase.annotate import annotate_trajectory
from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli.structures import read_structure
from painn_ase.errors import GeometryError, PaiNNWarning
from painn_ase.md import MDConfig, RecordConfig, load_structure, run_md
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader, constraint_records, read_time_series
from painn_ase.workflow import compute_spectra

MODEL_CHARGE = -1.0
RECORD = RecordConfig(positions=1, velocities=1, energies=1, dipole=1, dipole_flux=1, charges=1)
CONSTRAINTS = {
    "none": lambda: [],
    "atoms": lambda: [FixAtoms([0])],
    "coordinates": lambda: [FixCartesian([1], mask=(True, False, True))],
    "center": lambda: [FixCom()],
    "bond": lambda: [FixBondLengths([(0, 1)])],
    "bond and center": lambda: [FixCom(), FixBondLengths([(0, 2)])],
    "part": lambda: [FixSubsetCom([0, 1])],
    "center and atoms": lambda: [FixCom(), FixAtoms([1])],
}
#: Constraints that no ensemble here can have, and one that BAOAB cannot.
NEVER, NOT_WITH_BAOAB = ("part", "center and atoms"), ("bond", "bond and center")


@dataclass
class Said:
    """What the user says of a molecule of water."""

    info: dict[str, Any] = field(default_factory=dict)
    masses: list[float] | None = None
    held: str = "none"
    pbc: tuple[bool, bool, bool] = (False, False, False)
    ensemble: str = "nve"

    @property
    def charge(self) -> float | None:
        """The charge to be found at every stage; None where it is a contradiction."""
        stated = {float(self.info[key]) for key in ("charge", "total_charge") if key in self.info}
        return None if len(stated) > 1 else (stated or {MODEL_CHARGE}).pop()

    @property
    def is_refused(self) -> bool:
        impossible = self.held in NEVER
        impossible |= self.ensemble == "baoab" and self.held in NOT_WITH_BAOAB
        return impossible or self.charge is None

    def atoms(self) -> Atoms:
        atoms = molecule("H2O")
        atoms.rotate(33, (1, 2, 3))
        atoms.cell, atoms.pbc = np.diag([7.0, 8.0, 9.0]) + 0.3, self.pbc
        if self.masses is not None:
            atoms.set_masses(self.masses)
        atoms.info.update(self.info)
        atoms.set_constraint(CONSTRAINTS[self.held]())
        return atoms

    def check(self, atoms: Atoms, stage: str) -> None:
        """`atoms` are as they were said to be."""
        mine = self.atoms()
        if stage != "structure file":  # there it may still stand under its other name
            assert atoms.info["charge"] == self.charge, stage
        np.testing.assert_array_equal(atoms.get_masses(), mine.get_masses(), err_msg=stage)
        np.testing.assert_array_equal(atoms.pbc, mine.pbc, err_msg=stage)
        np.testing.assert_array_equal(atoms.cell[:], mine.cell[:], err_msg=stage)
        for found, expected in zip(
            constraint_records(atoms), constraint_records(mine), strict=True
        ):
            lengths = [r["kwargs"].pop("bondlengths", []) for r in (found, expected)]
            assert found == expected, stage
            np.testing.assert_allclose(*lengths, atol=1e-9, err_msg=stage)


def charges() -> st.SearchStrategy[dict[str, Any]]:
    number = st.one_of(st.integers(-2, 2), st.floats(-2, 2, allow_nan=False).map(float))
    one = st.dictionaries(st.sampled_from(["charge", "total_charge"]), number)
    return st.one_of(one, number.map(lambda q: {"charge": q, "total_charge": q}))


def others() -> st.SearchStrategy[dict[str, Any]]:
    value = st.one_of(st.integers(-9, 9), st.booleans(), st.sampled_from(["a", "b c"]))
    return st.dictionaries(st.sampled_from(["spin", "name", "REF_energy", "Q"]), value)


WORDS = st.builds(
    Said,
    info=st.builds(lambda a, b: {**a, **b}, charges(), others()),
    masses=st.none() | st.lists(st.floats(0.9, 40.0), min_size=3, max_size=3),
    held=st.sampled_from(list(CONSTRAINTS)),
    pbc=st.sampled_from([(False,) * 3, (True, True, False), (True,) * 3]),
    ensemble=st.sampled_from(["nve", "langevin", "baoab", "bussi"]),
)


@pytest.fixture(scope="module")
def potentials() -> dict[bool, Any]:
    """Of molecules with a latent-charge dipole, and of anything periodic with a local one."""
    from dataclasses import replace

    from painn_ase.potential import AtomisticPotential

    found = {}
    for periodic, dipole in ((False, "dipole"), (True, "dipole:local")):
        heads = ("energy", dipole, "charges")
        drawn = random_potential(8, 1, 6, 4.0, heads=heads, dtype=torch.float64)
        spec = replace(drawn.spec, total_charge=MODEL_CHARGE)
        found[periodic] = AtomisticPotential(spec).double()
        found[periodic].load_state_dict(drawn.state_dict())
    return found


def travel(said: Said, potential: Any, folder: Path) -> None:
    """From the file to the spectrum, looked at on the way."""
    write(folder / "said.traj", said.atoms())
    atoms = read_structure(str(folder / "said.traj"))
    said.check(atoms, "structure file")

    atoms.calc = PaiNNCalculator(potential, backend="eager")
    assert atoms.calc.total_charge(atoms) == pytest.approx(said.charge)
    assert atoms.calc.get_charges(atoms).sum() == pytest.approx(said.charge, abs=1e-9)
    config = {"timestep": 0.05, "ensemble": said.ensemble, "temperature": 50.0, "record": RECORD}
    run_md(atoms, MDConfig(steps=4, **config), trajectory=folder / "run.h5")

    saved = load_structure(folder / "run.state.npz")
    said.check(saved, "restart file")
    saved.calc = PaiNNCalculator(potential, backend="eager")
    run_md(saved, MDConfig(steps=12, **config), trajectory=folder / "run.h5", restart=True)

    start = read_structure(str(folder / "run.h5"))
    said.check(start, "start from a trajectory")
    names = ["dipole", "dipole_flux", "charges"]
    calculator = PaiNNCalculator(potential, backend="eager")
    annotate_trajectory(calculator, folder / "run.h5", folder / "again.h5", properties=names)
    with TrajectoryReader(folder / "run.h5") as one, TrajectoryReader(folder / "again.h5") as two:
        for frame in (one.atoms(-1), two.atoms(-1)):
            said.check(frame, "trajectory")
        for name in names:
            np.testing.assert_allclose(one.read(name), two.read(name), atol=1e-10, err_msg=name)
        recorded = one.read("dipole_flux")

    series = read_time_series(folder / "again.h5", molecule=True)  # also of one in a cell
    np.testing.assert_allclose(series.dipole_flux, recorded, atol=1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaiNNWarning)  # of a short run without error bars
        spectrum, _, _ = compute_spectra(series)
    assert spectrum is not None
    assert np.isfinite(spectrum.intensity).all()


@settings(
    max_examples=6, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(said=WORDS)
def test_what_is_said_once_holds_everywhere_or_is_refused(potentials, tmp_path_factory, said):
    folder = tmp_path_factory.mktemp("said")
    potential = potentials[any(said.pbc)]
    if said.is_refused:
        with pytest.raises(GeometryError):
            travel(said, potential, folder)
        assert not (folder / "run.h5").exists()
    else:
        travel(said, potential, folder)


@pytest.mark.slow
@settings(
    max_examples=200, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(said=WORDS)
def test_what_is_said_once_holds_everywhere_at_length(potentials, tmp_path_factory, said):
    test_what_is_said_once_holds_everywhere_or_is_refused.hypothesis.inner_test(
        potentials, tmp_path_factory, said
    )
