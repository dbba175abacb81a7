"""An exported model gives metatomic's engines what the calculator gives here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from typer.testing import CliRunner

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import MissingDependencyError, SpecError, UnsupportedPropertyError
from painn_ase.potential import AtomisticPotential
from painn_ase.testing import random_potential

LOCAL = ("energy", "dipole:local", "polarizability:local")
MOLECULAR = ("energy", "dipole", "polarizability")


def exported(potential: AtomisticPotential, path: Path, **kwargs: Any) -> Any:
    """metatomic's own ASE calculator of `potential`."""
    pytest.importorskip("metatomic.torch")
    metatomic_ase = pytest.importorskip("metatomic_ase")
    from metatomic.torch import ModelOutput

    from painn_ase.engines.metatomic import OUTPUTS, export_metatomic

    chosen = export_metatomic(potential, path, **kwargs)
    extra = {
        OUTPUTS[name][0]: ModelOutput(unit=OUTPUTS[name][1], sample_kind="system")
        for name in chosen
        if name != "energy"
    }
    return metatomic_ase.MetatomicCalculator(
        path, additional_outputs=extra, check_consistency=True, device="cpu"
    )


def compare(atoms: Atoms, potential: AtomisticPotential, calculator: Any, tolerance: float) -> None:
    here, there = atoms.copy(), atoms.copy()
    here.calc = PaiNNCalculator(potential, backend="eager", device="cpu")
    there.calc = calculator
    assert there.get_potential_energy() == pytest.approx(here.get_potential_energy(), abs=tolerance)
    for name in ("get_potential_energies", "get_forces"):
        wanted, got = getattr(here, name)(), getattr(there, name)()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)
    if atoms.pbc.all():
        np.testing.assert_allclose(there.get_stress(), here.get_stress(), rtol=0, atol=tolerance)
    for name, answer in calculator.additional_outputs.items():
        wanted = here.calc.get_property(name.removeprefix("painn::"), here)
        got = answer.block().values.detach().numpy().reshape(wanted.shape)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", ["painn", "so3net"])
@pytest.mark.filterwarnings("ignore")
def test_molecules_have_the_calculators_numbers(tmp_path: Path, kind: str) -> None:
    potential = random_potential(8, 2, heads=MOLECULAR, kind=kind, dtype=torch.float64)
    calculator = exported(potential, tmp_path / "model.pt")
    compare(molecule("CH3CH2OH"), potential, calculator, 1e-10)
    compare(Atoms("H", positions=[[1.0, 2.0, 3.0]]), potential, calculator, 1e-10)
    ion = molecule("H2O")
    ion.info["charge"] = 1.0
    ion.set_masses([15.99, 2.014, 1.008])
    compare(ion, potential, calculator, 1e-10)


@pytest.mark.filterwarnings("ignore")
def test_crystals_have_the_calculators_numbers(tmp_path: Path) -> None:
    potential = random_potential(8, 2, heads=LOCAL, dtype=torch.float64)
    calculator = exported(potential, tmp_path / "model.pt")
    cell = bulk("C", "diamond", a=3.6)
    cell.rattle(0.05, seed=1)
    cell.set_cell(cell.cell.array @ [[1, 0.1, 0], [0, 1.02, 0.2], [0, 0, 0.97]], scale_atoms=True)
    compare(cell, potential, calculator, 1e-10)
    slab = cell.copy()
    slab.pbc = (True, True, False)
    compare(slab, potential, calculator, 1e-10)


@pytest.mark.filterwarnings("ignore")
def test_an_atom_selected_has_its_energy_and_levers_are_refused(tmp_path: Path) -> None:
    potential = random_potential(8, 2, heads=MOLECULAR, dtype=torch.float64)
    calculator = exported(potential, tmp_path / "model.pt")
    from metatensor.torch import Labels
    from metatomic.torch import ModelOutput

    atoms = [molecule("H2O"), molecule("CH4")]
    one = Labels(["system", "atom"], torch.tensor([[1, 2], [1, 0]], dtype=torch.int32))
    given = {"energy": ModelOutput(sample_kind="atom")}
    energies = calculator.run_model(atoms, given, selected_atoms=one)["energy"].block()
    atoms[1].calc = PaiNNCalculator(potential, backend="eager", device="cpu")
    wanted = atoms[1].get_potential_energies()[[2, 0]]
    assert energies.samples.values.tolist() == [[1, 2], [1, 0]]
    np.testing.assert_allclose(energies.values.detach().numpy()[:, 0], wanted, atol=1e-10)

    dipole = {"painn::dipole": ModelOutput(sample_kind="system")}
    with pytest.raises(Exception, match="cannot be computed for selected atoms"):
        calculator.run_model(atoms, dipole, selected_atoms=one)
    periodic = molecule("H2O", vacuum=4.0, pbc=True)
    with pytest.raises(Exception, match="no meaning in a periodic cell"):
        calculator.run_model(periodic, dipole)


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_exported_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("metatomic.torch")
    from painn_ase.engines.metatomic import export_metatomic

    potential = random_potential(8, 1, heads=("energy",))
    with pytest.raises(UnsupportedPropertyError, match="cannot give 'dipole'"):
        export_metatomic(potential, tmp_path / "m.pt", ["dipole"])
    with pytest.raises(UnsupportedPropertyError, match="'charges' cannot be exported"):
        export_metatomic(potential, tmp_path / "m.pt", ["charges"])
    with pytest.raises(SpecError, match=r"files \.pt"):
        export_metatomic(potential, tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_the_command_writes_a_bundled_model(tmp_path: Path) -> None:
    pytest.importorskip("metatomic.torch")
    from painn_ase.cli import app

    target = tmp_path / "water.pt"
    result = CliRunner().invoke(app, ["export", "water", str(target)])
    assert result.exit_code == 0, result.output
    assert "painn::dipole (e*Angstrom)" in result.output
    assert target.stat().st_size > 0


def test_without_metatomic_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metatomic.torch", None)
    monkeypatch.setitem(sys.modules, "metatensor.torch", None)
    monkeypatch.delitem(sys.modules, "painn_ase.engines.metatomic", raising=False)
    with pytest.raises(MissingDependencyError, match=r"painn_ase\[metatomic\]"):
        import painn_ase.engines.metatomic  # noqa: F401
