"""Ring polymers from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import molecule
from typer.testing import CliRunner

from painn_ase.calculator import PaiNNCalculator
from painn_ase.cli import app
from painn_ase.cli.beads import number_of_beads
from painn_ase.cli.structures import read_structure
from painn_ase.errors import GeometryError, SpecError
from painn_ase.md import ReplicaConfig, run_replicas
from painn_ase.models import bundled_models, save_model
from painn_ase.trajectory import TrajectoryReader

pytestmark = pytest.mark.skipif("water" not in bundled_models(), reason="no bundled water model")


def test_spectrum_with_ring_polymers(tmp_path) -> None:
    folder = tmp_path / "out"
    words = (
        "spectrum water H2O --nuclei rpmd --beads 4 --replicas 2 --segment 0.03 --stride 4 "
        f"--equilibration 0.02 --spacing 0.01 -o {folder}"
    )
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["nuclei"], settings["beads"], settings["timestep"]) == ("rpmd", 4, 0.25)
    assert (folder / "infrared.csv").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--beads 4 --check-beads", "--beads, --check-beads: classical nuclei have no beads"),
        ("--experiment no.jdx", "no.jdx"),
        ("--resolution 1", "resolves 24 cm"),
    ],
)
def test_a_spectrum_says_before_its_dynamics_what_will_not_do(tmp_path, words, told) -> None:
    folder = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["spectrum", "water", "H2O", "-o", str(folder), *words.split()]
    )
    assert result.exit_code == 1
    assert told in str(result.exception)
    assert not folder.exists()


@pytest.mark.parametrize(("text", "n"), [("auto", 0), ("64", 64)])
def test_beads_are_a_number_or_auto(text: str, n: int) -> None:
    assert number_of_beads(text) == n


@pytest.mark.parametrize("text", ["0", "-3", "many", "3.5", ""])
def test_other_beads_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match="--beads"):
        number_of_beads(text)


def _md(words: str):
    return CliRunner().invoke(app, ["md", *words.split()])


@pytest.mark.parametrize("ensemble", ["pimd", "trpmd"])
def test_md_of_a_ring_polymer_goes_on_with_what_the_file_says(tmp_path, ensemble) -> None:
    common = f"water H2O --ensemble {ensemble} --beads 4 --flux 4 --stride 4 --equilibration 0.02"
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    for path, steps in ((whole, 40), (parts, 20)):
        result = _md(f"{common} --steps {steps} --bead-stride 8 -o {path}")
        assert result.exit_code == 0, result.output
    result = _md(f"-o {parts} --restart --steps 40")
    assert result.exit_code == 0, result.output
    with TrajectoryReader(whole) as a, TrajectoryReader(parts) as b:
        assert a.provenance["replicas"]["timestep"] == (0.5 if ensemble == "pimd" else 0.25)
        assert {"dipole_flux", "bead_positions"} <= set(a.names)
        for name in a.names:
            np.testing.assert_array_equal(a.read(name), b.read(name), err_msg=name)
    for words, told in (
        ("--beads 8", "--beads was 4"),
        ("--temperature 250", "temperature was 300"),
        ("--flux 2", "--flux was 4"),
        ("--dipole 4", "--dipole was 0"),
        ("--bead-stride 4", "--bead-stride was 8"),
        ("water CH3OH", "structure was OH2"),
        ("--steps 10", "--steps 10 is the total"),
    ):
        result = _md(f"-o {parts} --restart {words}")
        assert result.exit_code == 1
        assert told in " ".join(str(result.exception).split())


@pytest.mark.parametrize("ensemble", ["nve", "rpmd"])
def test_a_refused_run_leaves_the_restart_file_of_the_one_that_is_there(tmp_path, ensemble) -> None:
    path = tmp_path / "run.h5"
    words = f"water H2O --ensemble {ensemble} -q -o {path}"
    words += " --beads 2 --equilibration 0.01" if ensemble == "rpmd" else ""
    assert _md(f"{words} --steps 8 --stride 2").exit_code == 0
    state = path.with_suffix(".state.npz")
    before = state.read_bytes()
    result = _md(words)
    assert result.exit_code == 1
    assert "exists already" in str(result.exception)
    assert state.read_bytes() == before
    assert _md(f"-o {path} -q --restart --steps 12").exit_code == 0
    with TrajectoryReader(path) as reader:
        assert len(reader.times("positions")) == 7


def test_beads_go_into_equilibrium_before_dynamics(tmp_path) -> None:
    result = _md(f"water H2O --ensemble rpmd --beads 8 --steps 0 --stride 1 -o {tmp_path}/r.h5 "
                 "--equilibration 0.05")  # fmt: skip
    assert result.exit_code == 0, result.output
    with TrajectoryReader(tmp_path / "r.h5") as reader:
        assert reader.read("radius_of_gyration")[0, 0, 1:].min() > 0.03


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--ensemble nve --beads 4", "only ring polymers"),
        ("--ensemble pimd --pressure 1", "no such setting"),
        ("--ensemble nve --pressure 1", "it is of npt"),
        ("--ensemble nve --friction 0.1", "it is of langevin, baoab, npt"),
        ("--ensemble langevin --time-constant 10", "it is of bussi, nose-hoover"),
        ("--ensemble pimd --dipole 2 --flux 3", "at one stride"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tmp_path, words, told) -> None:
    result = _md(f"water H2O {words} -o {tmp_path}/x.h5")
    assert result.exit_code == 1
    assert told in str(result.exception)


def test_equilibration_of_beads_is_not_negative(tmp_path) -> None:
    result = _md(f"water H2O --ensemble rpmd --equilibration=-0.1 -o {tmp_path}/x.h5")
    assert result.exit_code == 2
    assert "equilibration" in result.output
    assert not list(tmp_path.iterdir())


def test_a_ring_goes_on_with_a_model_that_was_moved_once_it_is_named(tmp_path) -> None:
    model, path = tmp_path / "a.safetensors", tmp_path / "r.h5"
    save_model(PaiNNCalculator("water").potential, model)
    words = f"{model} H2O --ensemble pimd --beads 2 --steps 4 --stride 2 -q -o {path}"
    assert _md(words).exit_code == 0
    moved = model.rename(tmp_path / "b.safetensors")
    result = _md(f"-o {path} --restart --steps 8")
    assert result.exit_code == 1
    assert "If it was moved, name it" in str(result.exception)
    assert _md(f"{moved} -o {path} --restart --steps 8 -q").exit_code == 0
    assert _md(f"-o {path} --restart --steps 10 -q").exit_code == 0  # and is known from then on
    other = PaiNNCalculator("water").potential
    next(other.parameters()).mul_(1.01)
    save_model(other, tmp_path / "c.safetensors")
    result = _md(f"{tmp_path}/c.safetensors -o {path} --restart --steps 12")
    assert result.exit_code == 1
    assert "other weights" in str(result.exception)


def test_of_replicas_and_beads_one_is_chosen(tmp_path) -> None:
    """A start from a file of several structures is a question, never the first of them."""
    water = molecule("H2O")
    starts = [water.copy() for _ in range(3)]
    for k, atoms in enumerate(starts):
        atoms.positions += 0.1 * k
    model = PaiNNCalculator("water")
    config = ReplicaConfig(steps=4, record=(), position_stride=2)
    path = tmp_path / "three.h5"
    run_replicas(model, starts, config, trajectory=path)
    with pytest.raises(GeometryError, match=r"holds 3 replicas.*@-1,0 … .*@-1,2"):
        read_structure(str(path))
    with pytest.raises(GeometryError, match="0 … 2"):
        read_structure(f"{path}@-1,3")
    with pytest.raises(GeometryError, match="no ring polymers"):
        read_structure(f"{path}@-1,1,centroid")
    with TrajectoryReader(path) as reader:
        expected = reader.read("positions")
    np.testing.assert_array_equal(read_structure(f"{path}@0,1").positions, expected[0, 1])
    np.testing.assert_array_equal(read_structure(f"{path}@-1,2").positions, expected[-1, 2])

    ring = tmp_path / "ring.h5"
    config = ReplicaConfig(
        steps=4, record=(), position_stride=1, bead_stride=4, ensemble="pimd", beads=4
    )
    run_replicas(model, [water], config, trajectory=ring)
    with pytest.raises(GeometryError, match=r"of 4 beads.*@-1,centroid.*bead0 … bead3"):
        read_structure(str(ring))
    with pytest.raises(GeometryError, match="not 4"):
        read_structure(f"{ring}@-1,bead4")
    with pytest.raises(GeometryError, match=r"not recorded at step 3; they were at steps 0, 4"):
        read_structure(f"{ring}@3,bead1")
    beads = [read_structure(f"{ring}@-1,bead{k}") for k in range(4)]
    mean = np.mean([atoms.positions for atoms in beads], axis=0)
    np.testing.assert_allclose(read_structure(f"{ring}@-1,centroid").positions, mean, atol=1e-9)
    assert "momenta" not in beads[0].arrays
