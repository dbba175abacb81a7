"""``painn-ase doctor``: a table, an exit code, any calculator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import SpecError

BROKEN = """
from ase.calculators.emt import EMT

class Broken(EMT):
    def get_property(self, name, atoms=None, allow_calculation=True):
        value = super().get_property(name, atoms, allow_calculation)
        return value * 1.01 if name == "forces" else value

def nothing():
    return 3

def unset():
    raise RuntimeError("VASP_COMMAND is not set")
"""


def doctor(*arguments: str):
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_a_sound_model_passes_with_exit_code_zero(tmp_path: Path) -> None:
    result = doctor("ethanol", "CH3CH2OH", "--steps", "0", "--json", str(tmp_path / "found.json"))
    assert result.exit_code == 0, result.output
    assert "FAULT" not in result.output
    assert "0 of 4" in result.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert {"check", "quantity", "size", "allowed", "unit", "verdict", "note"} == set(found[0])
    assert {row["verdict"] for row in found} == {"ok", "not measured"}
    again = doctor("ethanol", "CH3CH2OH", "--steps", "0", "--json", str(tmp_path / "found.json"))
    assert again.exit_code == 1
    assert "exists already" in str(again.exception)


def test_any_calculator_is_named_by_module_and_factory_and_a_fault_is_exit_code_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_emt.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    result = doctor("broken_emt:Broken", "name:CO", "--steps", "0")
    assert result.exit_code == 1
    assert [line for line in result.output.splitlines() if "FAULT" in line and "dE/dr" in line]
    assert doctor("ase.calculators.emt:EMT", "name:CO", "--steps", "0", "--all").exit_code == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ase.calculators.emt:NoSuch", "no attribute 'NoSuch'"),
        ("no_such_module:make", "No module named"),
        ("broken_emt:nothing", "is no ASE calculator"),
        ("broken_emt:unset", "VASP_COMMAND is not set"),
    ],
)
def test_what_is_no_calculator_is_refused_with_the_remedy(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_emt.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    result = doctor(name, "name:CO")
    assert isinstance(result.exception, SpecError)
    assert reason in str(result.exception)


def test_the_quantum_width_of_a_calculator_without_a_hessian_is_examined(
    tmp_path, monkeypatch
) -> None:
    (tmp_path / "plain.py").write_text(
        "from ase.calculators.calculator import Calculator\n"
        "from painn_ase import PaiNNCalculator\n\n"
        "class Plain(Calculator):\n"
        "    implemented_properties = ['energy', 'forces']\n"
        "    def calculate(self, atoms=None, properties=('energy',), system_changes=()):\n"
        "        super().calculate(atoms, properties, system_changes)\n"
        "        inner = PaiNNCalculator('water', dtype='float64')\n"
        "        self.results = {'energy': inner.get_potential_energy(self.atoms),\n"
        "                        'forces': inner.get_forces(self.atoms)}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("painn_ase.testing.doctor._N_DRAWS", 50)
    result = doctor("plain:Plain", "H2O", "--steps", "0", "--quantum")
    assert result.exit_code == 0, result.output
    assert "no hole" in result.output
