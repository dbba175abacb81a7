"""Normal modes of what constraints leave free, against ``ase.vibrations`` and against reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.constraints import FixAtoms, FixBondLengths, FixCartesian, FixCom, Hookean
from ase.io import write
from ase.optimize import BFGS
from ase.thermochemistry import HarmonicThermo
from ase.vibrations import Vibrations
from typer.testing import CliRunner

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.errors import DataError, GeometryError, UnsupportedPropertyError
from painn_ase.spectra import HarmonicResult, harmonic
from painn_ase.vibrations import compare_with_ase, harmonic_thermochemistry, ideal_gas
from painn_ase.workflow import SpectrumConfig, run_spectrum


@pytest.fixture(scope="module")
def relaxed() -> Atoms:
    atoms = molecule("H2O")
    atoms.calc = PaiNNCalculator("water", dtype="float64")
    BFGS(atoms, logfile=None).run(fmax=1e-6)
    return atoms


def held(atoms: Atoms, *constraints) -> Atoms:
    copy = atoms.copy()
    copy.calc = atoms.calc
    copy.set_constraint(constraints)
    return copy


def test_water_held_by_its_oxygen_has_the_six_modes_that_ase_has(relaxed, tmp_path: Path) -> None:
    """Three turn it about the oxygen and cost nothing; the free molecule's are 1649/3833/3944."""
    atoms = held(relaxed, FixAtoms([0]))
    modes = harmonic(atoms)
    assert (modes.n_held, modes.n_free_motions, modes.n_imaginary) == (3, 3, 0)
    vibrations = Vibrations(atoms, name=str(tmp_path / "vib"), delta=1e-3)
    vibrations.run()
    expected = np.sort(np.real(vibrations.get_frequencies()))
    assert modes.frequencies.shape == expected.shape == (6,)
    np.testing.assert_allclose(modes.frequencies[3:], expected[3:], atol=0.05)
    assert modes.frequencies[3] < 1600.0
    np.testing.assert_array_equal(modes.frequencies[:3], 0.0)
    assert np.abs(modes.modes[:, 0]).max() < 1e-12
    gram = np.einsum("kia,lia->kl", modes.modes, modes.modes)
    np.testing.assert_allclose(gram, np.eye(6), atol=1e-12)
    comparison = compare_with_ase(atoms, modes, displacement=1e-3)
    np.testing.assert_allclose(comparison.ours[3:], comparison.ase[3:], atol=0.05)
    np.testing.assert_allclose(
        comparison.our_intensities[3:], comparison.ase_intensities[3:], rtol=2e-3
    )


def test_an_infinite_mass_holds_as_a_constraint_does(relaxed) -> None:
    heavy = relaxed.copy()
    heavy.calc = relaxed.calc
    heavy.set_masses([1e9, 1.008, 1.008])
    found = harmonic(held(relaxed, FixAtoms([0]))).frequencies[3:]
    np.testing.assert_allclose(found, harmonic(heavy).frequencies, atol=0.01)


def test_held_coordinates_leave_the_block_of_the_others(relaxed) -> None:
    atoms = held(relaxed, FixAtoms([0, 1]), FixCartesian([2], mask=(True, False, False)))
    modes = harmonic(atoms)
    hessian = relaxed.calc.get_hessian(relaxed)[2, 1:, 2, 1:] / relaxed.get_masses()[2]
    expected = np.sqrt(np.linalg.eigvalsh(hessian))
    scale = units._hbar * units.m / np.sqrt(units._e * units._amu) / units.invcm
    np.testing.assert_allclose(modes.frequencies, expected * scale, rtol=1e-6)
    assert modes.n_held == 7
    with pytest.raises(DataError, match="FixAtoms, not FixCartesian"):
        compare_with_ase(atoms, modes)


def test_thermochemistry_counts_what_is_free_and_nothing_else(relaxed) -> None:
    atoms = held(relaxed, FixAtoms([0, 1]), FixCartesian([2], mask=(True, False, False)))
    modes = harmonic(atoms)
    ours = harmonic_thermochemistry(atoms, modes).get_entropy(300.0, verbose=False)
    theirs = HarmonicThermo(modes.frequencies * units.invcm).get_entropy(300.0, verbose=False)
    assert ours == pytest.approx(theirs, rel=1e-9)
    with pytest.raises(DataError, match="it is no gas"):
        ideal_gas(atoms, modes, symmetry_number=1)
    with pytest.raises(DataError, match="3 motions beside what is held cost no energy"):
        harmonic_thermochemistry(held(relaxed, FixAtoms([0])))


def test_two_held_atoms_leave_one_axis_to_turn_about_and_none_leave_everything(relaxed) -> None:
    assert harmonic(held(relaxed, FixAtoms([0, 1]))).n_free_motions == 1
    assert len(harmonic(held(relaxed, FixAtoms([0, 1, 2]))).frequencies) == 0
    free = harmonic(held(relaxed, FixCom()))
    np.testing.assert_array_equal(free.frequencies, harmonic(relaxed).frequencies)
    assert (len(free.frequencies), free.n_held, free.n_free_motions) == (3, 0, 0)


def test_modes_come_back_from_a_file_as_those_of_a_held_molecule(relaxed, tmp_path: Path) -> None:
    modes = harmonic(held(relaxed, FixAtoms([0])))
    modes.save(tmp_path / "modes.json")
    assert HarmonicResult.load(tmp_path / "modes.json").n_held == 3


@pytest.mark.parametrize("constraint", [FixBondLengths([(0, 1)]), Hookean(0, 1, rt=1.0, k=1.0)])
def test_other_constraints_are_refused_with_what_can_be_had(
    relaxed, constraint, tmp_path: Path
) -> None:
    atoms = held(relaxed, constraint)
    with pytest.raises(UnsupportedPropertyError, match="FixAtoms, FixCartesian .* and FixCom are"):
        harmonic(atoms)
    with pytest.raises(GeometryError, match="FixAtoms, FixCartesian and FixCom"):
        run_spectrum(relaxed.calc, atoms, SpectrumConfig(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_holds_what_the_file_says(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.set_constraint(FixAtoms([0]))
    write(tmp_path / "fixed.traj", atoms)
    words = ["harmonic", "water", str(tmp_path / "fixed.traj"), "--check"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, (result.output, result.exception)
    output = " ".join(result.output.split())
    assert "3 motion(s) beside what is held cost no energy" in output
    assert "Gibbs" not in output
