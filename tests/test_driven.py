"""Another calculator drives, a model gives the dipoles: harmonic analysis, dynamics, restarts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.optimize import BFGS
from terminal import words
from typer.testing import CliRunner

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.cli.drivers import parties
from painn_ase.driven import DrivenCalculator, hessian_of_forces
from painn_ase.errors import SpecError, UnsupportedPropertyError
from painn_ase.factories import make_calculator
from painn_ase.models import bundled_models
from painn_ase.spectra import harmonic, load_spectrum
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader

pytestmark = pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model")

MODULE = """
from ase.calculators.calculator import Calculator, all_changes
from painn_ase import PaiNNCalculator

class Forces(Calculator):
    "Bundled water without Hessian, dipole or any other method of ours."
    implemented_properties = ["energy", "forces"]

    def __init__(self, scale=1.0):
        super().__init__()
        self.inner, self.scale = PaiNNCalculator("water", dtype="float64"), scale

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": self.scale * self.inner.get_potential_energy(self.atoms),
            "forces": self.scale * self.inner.get_forces(self.atoms),
        }

def water(scale=1.0):
    return Forces(scale)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "somebodys.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_modes_with_a_drivers_forces_are_those_of_its_surface(here) -> None:
    ours = PaiNNCalculator("water", dtype="float64")
    atoms = molecule("H2O")
    atoms.calc = ours
    BFGS(atoms, logfile=None).run(fmax=1e-5)
    exact = harmonic(atoms)
    driven = DrivenCalculator(make_calculator("somebodys:water"), ours)
    found = harmonic(atoms, driven)
    np.testing.assert_allclose(found.frequencies, exact.frequencies, atol=0.3)
    np.testing.assert_allclose(found.infrared, exact.infrared, rtol=2e-3, atol=0.02)
    np.testing.assert_allclose(found.raman, exact.raman, rtol=2e-3, atol=0.02)
    bare = harmonic(atoms, DrivenCalculator(make_calculator("somebodys:water")))
    assert bare.infrared is None
    # four times the force constants, twice the wavenumbers
    stiff = harmonic(atoms, DrivenCalculator(make_calculator("somebodys:water?scale=4.0"), ours))
    np.testing.assert_allclose(stiff.frequencies, 2.0 * exact.frequencies, atol=0.6)


def test_a_hessian_by_differences_is_the_one_of_the_model() -> None:
    calculator = PaiNNCalculator("water", dtype="float64")
    atoms = molecule("H2O")
    np.testing.assert_allclose(
        hessian_of_forces(atoms, calculator), calculator.get_hessian(atoms), atol=5e-3
    )


def test_one_calculator_of_two_gives_what_each_has() -> None:
    model = PaiNNCalculator(random_potential(16, 2, 8, 4.0, heads=("energy", "dipole")))
    atoms = molecule("CH3CH2OH")
    atoms.calc = DrivenCalculator(EMT(), model)
    emt = atoms.copy()
    emt.calc = EMT()
    np.testing.assert_allclose(atoms.get_forces(), emt.get_forces())
    np.testing.assert_allclose(atoms.get_dipole_moment(), model.get_dipole_moment(atoms))
    with pytest.raises(PropertyNotImplementedError, match="polarizability"):
        atoms.calc.get_property("polarizability", atoms)
    assert not hasattr(DrivenCalculator(EMT()), "get_born_charges")

    class Bare(Calculator):  # type: ignore[misc]
        """Only an energy."""

        implemented_properties = ("energy",)  # type: ignore[assignment]

    with pytest.raises(UnsupportedPropertyError, match="cannot drive"):
        DrivenCalculator(Bare())
    energies = PaiNNCalculator(random_potential(8, 1, 4, 4.0, heads=("energy",)))
    with pytest.raises(UnsupportedPropertyError, match="neither a dipole nor"):
        DrivenCalculator(EMT(), energies)


def test_arguments_of_a_factory_are_what_they_look_like(here) -> None:
    (here / "asks.py").write_text(
        "from ase.calculators.emt import EMT\n"
        "def make(**given):\n    calc = EMT()\n    calc.given = given\n    return calc\n"
    )
    made = make_calculator("asks:make?a=3&b=0.5&c=true&d=some%20file.model&e=")
    assert made.given == {"a": 3, "b": 0.5, "c": True, "d": "some file.model", "e": ""}
    with pytest.raises(SpecError, match="gives no calculator"):
        make_calculator("asks:make?nonsense")


def test_harmonic_by_the_command_has_the_drivers_frequencies(here) -> None:
    done = run("harmonic", "water", "H2O", "--driver", "somebodys:water?scale=4.0")
    assert done.exit_code == 0, done.output
    assert "3296.5" in done.output  # twice 1648.26
    alone = run("harmonic", "H2O", "--driver", "somebodys:water")
    assert alone.exit_code == 0, alone.output
    assert "1648.2" in alone.output


@pytest.mark.parametrize(
    ("options", "response", "said"),
    [
        (["water", "H2O"], "water", "of the model, by automatic differentiation"),
        (["H2O"], None, "as far as it gives them"),
    ],
)
def test_the_page_of_modes_says_whose_forces_they_are_of(
    here, options: list[str], response: str | None, said: str
) -> None:
    done = run("harmonic", *options, "--driver", "somebodys:water", "-o", "modes")
    assert done.exit_code == 0, done.output
    facts = json.loads(Path("modes/summary.json").read_text(encoding="utf-8"))
    assert facts["driver"] == "somebodys:water"
    assert facts["model"].get("name") == response
    first = Path("modes/report.html").read_text(encoding="utf-8")
    assert run("report", "modes", "-o", "again.html").exit_code == 0
    for page in (first, Path("again.html").read_text(encoding="utf-8")):
        assert "relaxed with somebodys:water" in page
        assert said in page


def test_dynamics_of_a_driver_with_fluxes_goes_on_and_has_a_spectrum(here) -> None:
    arguments = ["md", "H2O", "--driver", "somebodys:water", "--response", "water"]
    arguments += ["--flux", "2", "-q", "-o", "run.h5"]
    done = run(*arguments, "--steps", "300")
    assert done.exit_code == 0, done.output
    unnamed = run("md", "-o", "run.h5", "--restart", "--steps", "600", "-q")
    assert "runs only when you name it" in words(str(unnamed.exception))
    again = ["md", "-o", "run.h5", "--restart", "--steps", "600", "-q"]
    going_on = run(*again, "--driver", "somebodys:water")
    assert going_on.exit_code == 0, going_on.output
    whole = run(*arguments[:-1], "whole.h5", "--steps", "600")
    assert whole.exit_code == 0, whole.output
    with TrajectoryReader("run.h5") as parts, TrajectoryReader("whole.h5") as one:
        np.testing.assert_array_equal(parts.read("dipole_flux"), one.read("dipole_flux"))
        assert parts.provenance["calculator"]["class"] == "Forces"
        assert parts.provenance["command"]["driver"] == "somebodys:water"
    assert run("spectrum", "run.h5", "-o", "s", "--resolution", "200").exit_code == 0
    spectrum = load_spectrum("s/infrared.csv")
    assert spectrum.band_area(1300.0, 2000.0).value > 0.0
    other = run("md", "-o", "run.h5", "--restart", "--driver", "somebodys:water?scale=2.0")
    assert "--driver was somebodys:water" in words(str(other.exception))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["water"], "no structure was named"),
        (["water", "H2O", "--response", "water"], "goes with --driver"),
        (["water", "H2O", "--driver", "a:b", "--response", "water"], "two models"),
        (["--driver", "a:b"], "no structure"),
    ],
)
def test_what_is_missing_or_said_twice_is_told(options, message) -> None:
    done = run("harmonic", *options)
    assert isinstance(done.exception, SpecError)
    assert message in str(done.exception)


def test_ring_polymers_and_fluxes_without_a_model_are_refused(here) -> None:
    beads = run("md", "water", "H2O", "--driver", "somebodys:water", "--ensemble", "pimd")
    assert "take a classical ensemble" in str(beads.exception)
    flux = run("md", "H2O", "--driver", "somebodys:water", "--flux", "2")
    assert "add --response MODEL" in str(flux.exception)
    found = parties("md", "H2O", None, "a:b", "water")
    assert (found.structure, found.model, found.driver) == ("H2O", "water", "a:b")


def test_a_charge_that_is_changed_reaches_the_model_beside_a_driver() -> None:
    model = PaiNNCalculator(random_potential(16, 2, 8, 4.0, heads=("energy", "dipole")))
    atoms = molecule("CH3CH2OH")
    atoms.calc = DrivenCalculator(EMT(), model)
    atoms.get_dipole_moment()
    atoms.info["charge"] = 1.0
    np.testing.assert_allclose(atoms.get_dipole_moment(), model.get_dipole_moment(atoms))
    assert abs(atoms.calc.get_property("charges", atoms).sum() - 1.0) < 1e-5


def test_rings_are_refused_beside_a_driver_however_few_names_are_given(here) -> None:
    alone = run("md", "H2O", "--driver", "somebodys:water", "--ensemble", "trpmd")
    assert "take a classical ensemble" in str(alone.exception)
    made = run("md", "water", "H2O", "--ensemble", "pimd", "--beads", "2", "--steps", "4", "-q")
    assert made.exit_code == 0, made.output
    going_on = run("md", "--restart", "--steps", "8", "--driver", "somebodys:water")
    assert "take a classical ensemble" in str(going_on.exception)
