"""PySCF's labels against finite differences, finite fields and values from elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read
from ase.optimize import BFGS

from painn_ase import units
from painn_ase.driven import DrivenCalculator
from painn_ase.errors import DataError, LabelingError, PaiNNError, SpecError
from painn_ase.labeling import Labels, PySCFEngine, engine_calculator
from painn_ase.spectra import harmonic
from painn_ase.units import sqrt_ev_per_angstrom2_amu_to_invcm

pyscf = pytest.importorskip("pyscf")


@pytest.fixture(scope="module")
def water() -> Atoms:
    atoms: Atoms = molecule("H2O")
    atoms.rotate(37.0, (1, 2, 3))
    atoms.positions += np.random.default_rng(3).normal(scale=0.03, size=(3, 3))
    return atoms


@pytest.fixture(scope="module")
def labels(water: Atoms) -> Labels:
    return PySCFEngine().label(water)


def test_polarizability_and_dipole_of_water_are_near_experiment() -> None:
    labels = PySCFEngine().label(molecule("H2O"))
    alpha, dipole = labels.polarizability, labels.dipole
    assert alpha is not None
    assert dipole is not None
    # B3LYP/def2-SVPD 1.44 Å³ and 1.90 D; experiment 1.45 Å³ and 1.855 D
    assert np.trace(alpha) / 3 == pytest.approx(1.44, abs=0.01)
    assert np.linalg.norm(dipole) / units.debye_to_e_angstrom == pytest.approx(1.90, abs=0.01)


def test_forces_are_the_slope_of_the_energy(water: Atoms, labels: Labels) -> None:
    for atom, axis in ((0, 2), (1, 0)):
        energies = []
        for step in (-2e-3, 2e-3):
            moved = water.copy()
            moved.positions[atom, axis] += step
            energies.append(PySCFEngine().label(moved).energy)
        slope = -(energies[1] - energies[0]) / 4e-3
        assert labels.forces[atom, axis] == pytest.approx(slope, abs=3e-4)
    assert np.abs(labels.forces.sum(axis=0)).max() < 1e-6


def test_polarizability_is_the_slope_of_the_dipole_with_a_field(
    water: Atoms, labels: Labels
) -> None:
    engine = PySCFEngine()
    molecule_ = engine._molecule(water)
    positions = molecule_.intor("int1e_r")
    for axis in range(3):
        dipoles = []
        for strength in (-1e-3, 1e-3):
            field = engine._field(molecule_, 2, 1e-11)
            core = field.get_hcore() + strength * positions[axis]
            field.get_hcore = lambda *_, core=core: core
            field.kernel()
            dipoles.append(field.dip_moment(unit="AU", verbose=0))
        column = (dipoles[1] - dipoles[0]) / 2e-3 * units.bohr3_to_angstrom3
        assert labels.polarizability is not None
        np.testing.assert_allclose(labels.polarizability[axis], column, atol=1e-3)


def test_the_second_order_solver_finds_the_same_where_the_first_fails(
    water: Atoms, labels: Labels
) -> None:
    assert labels.notes == {"label_scf": "diis"}
    second = PySCFEngine(diis_cycles=2).label(water)
    assert second.notes == {"label_scf": "second order"}
    assert second.energy == pytest.approx(labels.energy, abs=1e-7)
    np.testing.assert_allclose(second.forces, labels.forces, atol=2e-4)
    np.testing.assert_allclose(second.polarizability, labels.polarizability, atol=1e-4)


def test_what_does_not_converge_has_no_labels(water: Atoms) -> None:
    with pytest.raises(LabelingError, match="did not converge"):
        PySCFEngine(diis_cycles=1, second_order_cycles=1).label(water)


def test_ions_are_labelled_with_their_charge() -> None:
    ion = Atoms("OH", [(0, 0, 0), (0, 0, 0.97)], info={"charge": -1})
    engine = PySCFEngine("b3lyp/6-31+g*")
    engine.check([ion])
    neutral = PySCFEngine("b3lyp/6-31+g*").label(molecule("H2O"))
    # removing a proton from water costs 16.9 eV (1634 kJ/mol and the zero-point energy)
    assert engine.label(ion).energy - neutral.energy == pytest.approx(17.0, abs=0.7)


@pytest.mark.parametrize(
    ("level", "atoms", "error", "says"),
    [
        ("b3lyp", molecule("H2"), SpecError, "functional/basis"),
        ("b4lyp/def2-svp", molecule("H2"), SpecError, "b4lyp"),
        ("tpss/def2-svp", molecule("H2"), SpecError, "meta-GGA"),
        ("pbe/def2-nonsense", molecule("H2"), SpecError, "def2-nonsense"),
        ("pbe/def2-svp", molecule("OH"), DataError, "9 electrons"),
        ("pbe/def2-svp", Atoms("H2", [(0, 0, 0), (0, 0, 1)], cell=[9] * 3, pbc=True), DataError,
         "periodic"),
        ("pbe/def2-svp", Atoms("O2", [(0, 0, 0), (0, 0, 1.2)], info={"multiplicity": 3}),
         DataError, "singlets"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_before_the_work(
    level: str, atoms: Atoms, error: type[PaiNNError], says: str
) -> None:
    with pytest.raises(error, match=says):
        PySCFEngine(level).check([atoms])


@pytest.mark.slow
def test_agrees_with_labels_of_a_program_of_its_own(shared: Path) -> None:
    path = shared / "data" / "small_chno" / "frames.extxyz"
    for atoms in read(path, "::80")[:4]:
        found = PySCFEngine().label(atoms)
        # the data set has ASE's Hartree, CODATA 2014's, 8e-9 larger
        assert found.energy == pytest.approx(atoms.get_potential_energy(), rel=1.2e-8)
        np.testing.assert_allclose(found.forces, atoms.get_forces(), atol=5e-4)
        np.testing.assert_allclose(found.dipole, atoms.get_dipole_moment(), atol=2e-4)
        alpha = np.reshape(atoms.info["polarizability"], (3, 3))
        np.testing.assert_allclose(found.polarizability, alpha, atol=3e-4)


def test_the_engine_drives_and_each_displaced_structure_is_labelled_once() -> None:
    """Of hydrogen: one stretch, silent in the infrared; its line is the second derivative."""
    calculator = engine_calculator("pyscf", "lda/sto-3g")
    labelled: list[Atoms] = []

    class Counting(PySCFEngine):
        def label(self, atoms: Atoms) -> Labels:
            labelled.append(atoms.copy())
            return super().label(atoms)

    calculator.engine = Counting("lda/sto-3g")
    atoms = Atoms("H2", [(0.0, 0.0, 0.0), (0.0, 0.0, 0.74)])
    atoms.calc = DrivenCalculator(calculator)
    BFGS(atoms, logfile=None).run(fmax=1e-4)
    labelled.clear()
    modes = harmonic(atoms)
    assert len(labelled) == 12
    assert modes.infrared == pytest.approx(0.0, abs=1e-3)
    assert modes.raman[0] > 1.0
    step, bond = 0.005, atoms.get_distance(0, 1)
    energies = []
    for change in (-step, 0.0, step):
        atoms.set_distance(0, 1, bond + change, fix=0.5)
        energies.append(calculator.get_potential_energy(atoms))
    curvature = (energies[0] - 2.0 * energies[1] + energies[2]) / step**2
    line = sqrt_ev_per_angstrom2_amu_to_invcm * np.sqrt(curvature / (atoms.get_masses()[0] / 2.0))
    assert modes.frequencies[0] == pytest.approx(line, rel=1e-3)
