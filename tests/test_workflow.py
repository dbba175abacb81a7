"""From a structure to a spectrum: the stages, their restart, and the report."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import contextmanager
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import DataError, GeometryError, PaiNNWarning, SpecError, TrajectoryError
from painn_ase.models import bundled_models
from painn_ase.report import write_outcome
from painn_ase.testing import random_potential
from painn_ase.trajectory import TimeSeries, TrajectoryReader
from painn_ase.workflow import (
    InterruptedWorkflowError,
    SpectrumConfig,
    compute_spectra,
    run_spectrum,
)

needs_water = pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model")
SHORT = SpectrumConfig(
    temperature=100, replicas=6, segment=0.1, equilibration=0.05, spacing=0.02, seed=2
)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("water")
    return run_spectrum(PaiNNCalculator("water"), molecule("H2O"), SHORT, folder)


@needs_water
def test_stages_leave_their_files(outcome) -> None:
    for name in ("relaxed.extxyz", "modes.json", "thermostat.h5", "segments.h5", "settings.json"):
        assert (outcome.folder / name).exists()
    assert outcome.modes is not None
    assert len(outcome.modes.frequencies) == 3
    with TrajectoryReader(outcome.folder / "segments.h5") as reader:
        assert reader.read("dipole_flux").shape == (51, 6, 3)
        assert reader.provenance["model"]["name"] == "water"


@needs_water
def test_report_is_complete_and_stands_alone(outcome) -> None:
    written = {path.name for path in write_outcome(outcome)}
    assert written == {
        "infrared.csv", "raman.csv", "spectra.png", "run.png", "summary.json", "report.md",
        "report.html",
    }  # fmt: skip
    page = (outcome.folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "Mode" in outcome.page().html
    assert outcome._repr_html_().startswith("<iframe srcdoc=")
    summary = json.loads((outcome.folder / "summary.json").read_text())
    assert len(summary["modes"]) == 3
    assert summary["settings"]["replicas"] == 6
    text = (outcome.folder / "report.md").read_text()
    for words in ("NVE segments", "band areas", "Normal modes", "Read with care", "water"):
        assert words in text


@needs_water
@pytest.mark.parametrize("stage", ["Langevin", "NVE segments"])
def test_interrupted_and_restarted_gives_the_same_spectrum(outcome, tmp_path, stage) -> None:
    class Stopper:
        def say(self, text: str) -> None:
            pass

        @contextmanager
        def bar(self, label: str, total: int):
            def tick(done: int, note: str) -> None:
                if stage in label and done >= (0 if stage == "Langevin" else 3):
                    os.kill(os.getpid(), signal.SIGINT)

            yield tick

    calculator, water = PaiNNCalculator("water"), molecule("H2O")
    with pytest.raises(InterruptedWorkflowError, match="--restart"):
        run_spectrum(calculator, water, SHORT, tmp_path, narrator=Stopper())
    again = run_spectrum(PaiNNCalculator("water"), water, SHORT, tmp_path, restart=True)
    np.testing.assert_array_equal(again.infrared.intensity, outcome.infrared.intensity)
    np.testing.assert_array_equal(again.raman.intensity, outcome.raman.intensity)


@needs_water
def test_a_committee_of_twins_gives_the_spectrum_of_one(outcome, tmp_path) -> None:
    twins = PaiNNCalculator(["water", "water"])
    found = run_spectrum(twins, molecule("H2O"), SHORT, tmp_path)
    np.testing.assert_allclose(
        found.infrared.intensity, outcome.infrared.intensity, rtol=1e-4, atol=1e-4
    )


@needs_water
def test_folder_of_another_run_is_refused(outcome) -> None:
    calculator, water = PaiNNCalculator("water"), molecule("H2O")
    other = SpectrumConfig(temperature=200)
    with pytest.raises(TrajectoryError, match="temperature"):
        run_spectrum(calculator, water, other, outcome.folder, restart=True)
    with pytest.raises(TrajectoryError, match="restart"):
        run_spectrum(calculator, water, other, outcome.folder)
    changed = PaiNNCalculator("water").potential
    next(changed.parameters()).mul_(1.01)
    with pytest.raises(TrajectoryError, match="other weights"):
        run_spectrum(PaiNNCalculator(changed), water, SHORT, outcome.folder, restart=True)
    moved = water.copy()
    moved.positions[2] += 0.01
    with pytest.raises(TrajectoryError, match=r"other positions: atom 2 is 0\.017"):
        run_spectrum(calculator, moved, SHORT, outcome.folder, restart=True)
    with pytest.raises(TrajectoryError, match="is not to be relaxed, and was when"):
        run_spectrum(calculator, water, SHORT, outcome.folder, restart=True, relax=False)


@needs_water
def test_a_run_goes_on_with_the_structure_it_took_as_it_is(tmp_path) -> None:
    calculator, water = PaiNNCalculator("water"), molecule("H2O")
    config = SpectrumConfig(replicas=2, segment=0.05, equilibration=0.01, spacing=0.01)
    first = run_spectrum(calculator, water, config, tmp_path, relax=False)
    again = run_spectrum(calculator, water, config, tmp_path, restart=True)
    np.testing.assert_array_equal(again.infrared.intensity, first.infrared.intensity)
    found = ase.io.read(tmp_path / "relaxed.extxyz")
    np.testing.assert_allclose(found.positions, water.positions, atol=1e-8)
    with pytest.raises(TrajectoryError, match="is to be relaxed, and was not when"):
        run_spectrum(calculator, water, config, tmp_path, restart=True, relax=True)


@pytest.mark.slow
@needs_water
@pytest.mark.parametrize(
    ("model", "name", "temperature"), [("water", "H2O", 30), ("ethanol", "CH3CH2OH", 20)]
)
def test_band_areas_of_cold_dynamics_are_the_harmonic_intensities(
    tmp_path, model, name, temperature
) -> None:
    """PHYSICS: classical dynamics with the harmonic correction gives the harmonic km/mol."""
    config = SpectrumConfig(
        temperature=temperature,
        replicas=128,
        segment=0.8,
        equilibration=2.0,
        spacing=0.1,
        friction=0.05,
    )
    found = run_spectrum(PaiNNCalculator(model), molecule(name), config, tmp_path)
    for band in found.bands:
        assert band.error is not None
        assert abs(band.area - band.harmonic) < 3 * band.error + 0.01 * band.harmonic
    total = sum(band.area for band in found.bands)
    assert total == pytest.approx(found.modes.infrared.sum(), rel=0.1)


def test_model_without_a_dipole_is_refused(tmp_path) -> None:
    calculator = PaiNNCalculator(random_potential(8, 1, 6, 3.0))
    with pytest.raises(GeometryError, match="evaluate"):
        run_spectrum(calculator, molecule("H2O"), SHORT, tmp_path)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(SpecError):
        SpectrumConfig(temperature=-1)
    with pytest.raises(SpecError, match="longer"):
        SpectrumConfig(segment=0.001)
    with pytest.raises(SpecError, match=r"resolves 24 cm⁻¹, not 1"):
        SpectrumConfig(segment=2.0, resolution=1.0)


def test_spectra_of_a_series_use_its_segments_and_its_temperature() -> None:
    rng = np.random.default_rng(0)
    series = TimeSeries(timestep=1.0, dipole_flux=rng.normal(size=(20, 500, 3)), temperature=300.0)
    with pytest.warns(PaiNNWarning, match="Nyquist"):  # white noise reaches up to it
        ir, raman, ratio = compute_spectra(series)
    assert raman is None
    assert ratio is None
    assert ir.error is not None
    with pytest.raises(DataError, match="temperature"):
        compute_spectra(TimeSeries(timestep=1.0, dipole=rng.normal(size=(500, 3))))


def test_a_saved_structure_keeps_charge_isotopes_and_held_atoms(tmp_path: Path) -> None:
    from ase.constraints import FixAtoms

    from painn_ase.cli.structures import read_structure
    from painn_ase.workflow.structures import save_structure

    atoms = molecule("H2O")
    atoms.set_masses([15.999, 2.014, 1.008])
    atoms.set_constraint(FixAtoms([0]))
    save_structure(tmp_path / "relaxed.xyz", atoms, 1.0)
    found = read_structure(str(tmp_path / "relaxed.xyz"))
    assert found.info["charge"] == 1.0
    np.testing.assert_allclose(found.get_masses(), atoms.get_masses())
    assert [c.todict() for c in found.constraints] == [c.todict() for c in atoms.constraints]


def test_what_cannot_vibrate_has_no_spectrum(tmp_path: Path) -> None:
    from ase import Atoms
    from ase.constraints import FixAtoms

    model = PaiNNCalculator(random_potential(8, 1, 6, 4.0, heads=("energy", "dipole")))
    held = molecule("H2O")
    held.set_constraint(FixAtoms([0, 1, 2]))
    for name, atoms in (("one", Atoms("O")), ("held", held)):
        with pytest.raises(GeometryError, match="has no vibrations"):
            run_spectrum(model, atoms, SHORT, tmp_path / name)


def test_settings_survive_json() -> None:
    config = SpectrumConfig(resolution=12.5, segment=5.0, rotation=True)
    from painn_ase.spec import to_dict

    assert SpectrumConfig(**json.loads(json.dumps(to_dict(config)))) == config


def test_annotating_a_trajectory_adds_the_models_quantities(tmp_path: Path) -> None:
    from painn_ase.annotate import annotate_trajectory

    model = PaiNNCalculator(random_potential(16, 2, 8, 4.0, heads=("energy", "dipole")))
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(5):
        atoms = molecule("CH3CH2OH")
        atoms.rattle(0.05, rng=rng)
        atoms.set_velocities(rng.normal(size=(9, 3)) * 0.01)
        frames.append(atoms)
    ase.io.write(tmp_path / "run.traj", frames)
    n = annotate_trajectory(
        model, tmp_path / "run.traj", tmp_path / "out.h5", timestep=0.5,
        properties=["energy", "dipole", "dipole_flux"],
    )  # fmt: skip
    assert n == 5
    with TrajectoryReader(tmp_path / "out.h5") as reader:
        assert reader.timestep("dipole") == 0.5
        for k, atoms in enumerate(frames):
            np.testing.assert_allclose(
                reader.read("dipole_flux")[k], model.get_dipole_flux(atoms), rtol=1e-4, atol=1e-7
            )
    with pytest.raises(TrajectoryError, match="timestep"):
        annotate_trajectory(model, tmp_path / "run.traj", tmp_path / "b.h5")
