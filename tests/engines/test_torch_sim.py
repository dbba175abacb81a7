"""torch-sim with a model of ours; on Pythons without torch-sim a stand-in of its interface."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.md.verlet import VelocityVerlet
from typer.testing import CliRunner

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.errors import (
    MissingDependencyError,
    NonFiniteError,
    TrajectoryError,
    UnknownElementError,
    UnsupportedPropertyError,
)
from painn_ase.testing import random_potential
from painn_ase.trajectory import TrajectoryReader

REAL = importlib.util.find_spec("torch_sim") is not None
if not REAL:
    from stand_in_torch_sim import install

    install()

import torch_sim as ts  # noqa: E402

from painn_ase.engines.torch_sim import SpectrumReporter, TorchSimModel  # noqa: E402

CPU = torch.device("cpu")
MOLECULAR = ("energy", "dipole", "polarizability")
LOCAL = ("energy", "dipole:local", "polarizability:local")


def potential(heads: Any = MOLECULAR, **options: Any) -> Any:
    return random_potential(16, 2, 8, 4.0, heads=heads, dtype=torch.float64, **options)


def state_of(frames: list[Atoms]) -> Any:
    return ts.initialize_state(frames, CPU, torch.float64)


def shaken(name: str, seed: int) -> Atoms:
    atoms = molecule(name)
    atoms.rattle(0.05, seed=seed)
    return atoms


def compare(found: dict[str, torch.Tensor], frames: list[Atoms], model: Any) -> None:
    calculator = PaiNNCalculator(model, backend="eager", device="cpu")
    end = 0
    for n, atoms in enumerate(frames):
        atoms.calc = calculator
        start, end = end, end + len(atoms)
        wanted = {
            "energy": atoms.get_potential_energy(),
            "dipole": atoms.get_dipole_moment(),
            "polarizability": calculator.get_polarizability(atoms),
        }
        if atoms.pbc.all():
            wanted["stress"] = atoms.get_stress(voigt=False)
        for name, value in wanted.items():
            np.testing.assert_allclose(found[name][n].numpy(), value, rtol=0, atol=1e-10)
        np.testing.assert_allclose(found["forces"][start:end], atoms.get_forces(), atol=1e-10)


@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_molecules_of_any_size_side_by_side_have_the_calculators_numbers(backend) -> None:
    own = potential()
    model = TorchSimModel(own, device="cpu", backend=backend)
    frames = [shaken("H2O", 1), shaken("CH3CH2OH", 2), shaken("CH4", 3)]
    # what was kept of an earlier batch must not be taken for another
    for batch in (frames, frames[::-1], frames[1:], [frames[1]] * 3, [shaken("CH3CH2OH", 5)] * 3):
        found = model(state_of(batch))
        assert "stress" not in found
        assert not any(value.requires_grad for value in found.values())
        compare(found, batch, own)


def test_crystals_of_oblique_cells_and_wrapped_atoms() -> None:
    own = potential(LOCAL, elements=(29,))
    model = TorchSimModel(own, device="cpu")
    frames = []
    for seed in (1, 2):
        atoms = bulk("Cu", a=3.7) * (2, 1, 1)
        atoms.rattle(0.1, seed=seed)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.05 * seed * np.eye(3, k=1)), True)
        frames.append(atoms)
    compare(model(state_of(frames)), frames, own)
    moved = [atoms.copy() for atoms in frames]
    for atoms in moved:
        atoms.positions[0] += 2 * atoms.cell[1]
    compare(model(state_of(moved)), moved, own)


def test_a_run_is_ases_run_and_its_file_is_what_the_calculator_says(tmp_path) -> None:
    own = potential()
    atoms = shaken("CH3CH2OH", 1)
    path = tmp_path / "run.h5"
    strides = {"positions": 1, "velocities": 1, "dipole": 1, "polarizability_flux": 2,
               "dipole_flux": 2, "kinetic_energy": 1, "potential_energy": 1,
               "temperature": 2}  # fmt: skip
    reporter = SpectrumReporter(path, strides, timestep=0.0005, temperature=300.0)
    final = ts.integrate(
        [atoms, atoms, atoms], TorchSimModel(own, device="cpu"), integrator=ts.Integrator.nve,
        n_steps=21, temperature=300.0, timestep=0.0005, trajectory_reporter=reporter,
    )  # fmt: skip
    assert final.system_extras["dipole"].shape == (3, 3)
    assert final.system_extras["polarizability"].dtype == torch.float64
    with TrajectoryReader(path) as reader:
        read = {name: reader.read(name) for name in strides}
        assert reader.steps("dipole").tolist() == list(range(22))
        assert reader.steps("dipole_flux").tolist() == list(range(0, 22, 2))
        assert reader.system.n_replicas == 3
    calculator = PaiNNCalculator(own, backend="eager", device="cpu")
    for copy in range(3):
        atoms.calc = calculator
        atoms.positions = read["positions"][0, copy]
        atoms.set_velocities(read["velocities"][0, copy])
        run = VelocityVerlet(atoms, timestep=0.5 * units.fs)
        for step in range(22):
            if step:
                run.run(1)
            np.testing.assert_allclose(read["positions"][step, copy], atoms.positions, atol=1e-9)
            for name, value in (
                ("dipole", atoms.get_dipole_moment()),
                ("potential_energy", atoms.get_potential_energy()),
                ("kinetic_energy", atoms.get_kinetic_energy()),
            ):
                np.testing.assert_allclose(read[name][step, copy], value, atol=1e-8)
            if step % 2 == 0:
                fluxes = calculator.get_fluxes(atoms)
                for name in ("dipole_flux", "polarizability_flux"):
                    got = read[name][step // 2, copy]
                    np.testing.assert_allclose(got, fluxes[name], rtol=1e-6, atol=1e-9)
    # of the motion without that of the centre of mass
    twice = 2.0 * read["kinetic_energy"][::2] / units.kB
    np.testing.assert_allclose(read["temperature"], twice / (3 * len(atoms) - 3), rtol=1e-9)


def test_a_spectrum_is_made_of_the_file(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    reporter = SpectrumReporter("run.h5", {"dipole_flux": 2}, timestep=0.0005, temperature=300.0)
    ts.integrate(
        [molecule("H2O")] * 4, TorchSimModel("water", extras=(), device="cpu"),
        integrator=ts.Integrator.nve, n_steps=200, temperature=300.0, timestep=0.0005,
        trajectory_reporter=reporter,
    )  # fmt: skip
    done = CliRunner().invoke(app, ["spectrum", "run.h5", "-o", "s", "--resolution", "500"])
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    assert (tmp_path / "s" / "infrared.csv").exists()


def test_a_committee_gives_means_and_spreads() -> None:
    members = [potential(seed=s) for s in (1, 2)]
    frames = [shaken("H2O", 1), shaken("CH4", 2)]
    found = TorchSimModel(members, device="cpu")(state_of(frames))
    singles = [TorchSimModel(m, device="cpu")(state_of(frames)) for m in members]
    both = torch.stack([s["energy"] for s in singles])
    torch.testing.assert_close(found["energy"], both.mean(0), rtol=0, atol=1e-10)
    torch.testing.assert_close(found["energy_std"], both.std(0), rtol=0, atol=1e-10)
    assert found["forces_std"].shape == (8, 3)


def test_what_cannot_be_is_refused_before_the_first_step(tmp_path) -> None:
    own = potential()
    with pytest.raises(UnsupportedPropertyError, match="whole steps"):
        TorchSimModel(own, extras=("dipole_flux",))
    with pytest.raises(UnsupportedPropertyError, match="cannot give dipole"):
        TorchSimModel(potential(("energy",)), extras=("dipole",))
    with pytest.raises(UnknownElementError, match="Cu"):
        TorchSimModel(own, device="cpu")(state_of([bulk("Cu")]))
    boxed = molecule("H2O", cell=[8.0, 8.0, 8.0], pbc=True)
    with pytest.raises(UnsupportedPropertyError, match=r"lever arms.*extras=\(\)"):
        TorchSimModel(own, device="cpu")(state_of([boxed]))
    broken = potential()
    with torch.no_grad():
        broken.representation.embedding.weight.fill_(torch.nan)
    with pytest.raises(NonFiniteError, match="system 0, 1"):
        TorchSimModel(broken, device="cpu", backend="eager")(
            state_of([molecule("H2O"), molecule("H2O")])
        )
    path = tmp_path / "run.h5"
    kept: dict[str, Any] = {"timestep": 0.0005, "temperature": 300.0}
    with pytest.raises(TrajectoryError, match="in ps"):
        SpectrumReporter(path, {"dipole": 1}, timestep=0.5, temperature=300.0)
    with pytest.raises(TrajectoryError, match="got charges"):
        SpectrumReporter(path, {"charges": 1}, **kept)
    model = TorchSimModel(own, device="cpu")
    run: dict[str, Any] = {
        "integrator": ts.Integrator.nve, "n_steps": 2, "temperature": 300.0, "timestep": 0.0005,
    }  # fmt: skip
    reporter = SpectrumReporter(path, {"dipole": 1}, **kept)
    with pytest.raises(TrajectoryError, match="not copies of one"):
        ts.integrate([molecule("H2O"), molecule("CH4")], model, trajectory_reporter=reporter, **run)
    assert not path.exists()
    first = SpectrumReporter(path, {"dipole": 1}, **kept)
    final = ts.integrate([molecule("H2O")] * 2, model, trajectory_reporter=first, **run)
    again = SpectrumReporter(path, {"dipole": 1}, **kept)
    with pytest.raises(TrajectoryError, match="exists already"):
        ts.integrate([molecule("H2O")] * 2, model, trajectory_reporter=again, **run)
    batched = SpectrumReporter(path, {"dipole": 1}, overwrite=True, **kept)
    batched.report(final, 0, model)
    batched.report(final, 1, model)
    with pytest.raises(TrajectoryError, match="second batch"):
        batched.report(final, 0, model)
    with pytest.raises(TrajectoryError, match="steps of their own"):
        batched.report(final, [2, 3], model)
    batched.close()


def test_without_torch_sim_the_install_line_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_sim", None)
    monkeypatch.setitem(sys.modules, "torch_sim.models.interface", None)
    monkeypatch.delitem(sys.modules, "painn_ase.engines.torch_sim")
    with pytest.raises(MissingDependencyError, match=r"pip install 'painn_ase\[torch-sim\]'"):
        importlib.import_module("painn_ase.engines.torch_sim")


@pytest.mark.skipif(not REAL, reason="torch-sim is not installed")
def test_torch_sims_own_checks_of_a_model_pass() -> None:
    from torch_sim.models.interface import validate_model_outputs
    from torch_sim.testing import SIMSTATE_GENERATORS, assert_model_calculator_consistency

    own = potential(LOCAL, elements=(1, 6, 7, 8, 12, 14, 26))
    validate_model_outputs(TorchSimModel(own, device="cpu"), CPU, torch.float64)
    calculator = PaiNNCalculator(own, backend="eager", device="cpu")
    model = TorchSimModel(own, device="cpu")
    for name in (
        "si_sim_state",
        "benzene_sim_state",
        "rattled_si_sim_state",
        "mixed_double_sim_state",
    ):
        if name not in SIMSTATE_GENERATORS:
            continue
        state = SIMSTATE_GENERATORS[name](CPU, torch.float64)
        assert_model_calculator_consistency(model, calculator, state)
