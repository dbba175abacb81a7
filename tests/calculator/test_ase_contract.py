"""What ASE expects of a calculator: cache, names, shapes, files, copies."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import ase.db
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError, all_changes
from ase.constraints import FixAtoms, FixBondLengths
from ase.io import read, write
from ase.md.verlet import VelocityVerlet
from ase.stress import voigt_6_to_full_3x3_stress

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import GeometryError, SpecError
from painn_ase.models import save_model
from painn_ase.potential import AtomisticPotential
from painn_ase.testing import check_calculator_contract, random_atoms, random_potential

MOLECULAR = ("energy", "dipole", "polarizability", "charges")
LOCAL = ("energy", "dipole:local", "polarizability:local", "charges")


@pytest.fixture(scope="module")
def potential():
    return random_potential(8, 2, 6, 4.0, heads=MOLECULAR, dtype=torch.float64)


@pytest.fixture(scope="module")
def local_potential():
    return random_potential(8, 2, 6, 4.0, heads=LOCAL, dtype=torch.float64)


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_caching_is_that_of_the_base_class(place, backend: str) -> None:
    potential = place.potential(8, 2, 6, 4.0, heads=LOCAL)
    names = ("energy", "forces", "stress", "energies", "dipole", "charges", "free_energy")
    check_calculator_contract(
        lambda: place.calculator(potential, backend=backend), random_atoms(5, pbc=True), names
    )


def test_the_contract_check_sees_a_calculator_that_forgets_to_look(potential) -> None:
    class Sleepy(PaiNNCalculator):
        def check_state(self, atoms, tol=1e-15):
            return [] if self.results else list(all_changes)

    with pytest.raises(AssertionError, match="after moving an atom"):
        check_calculator_contract(lambda: Sleepy(potential), random_atoms(5))


@pytest.mark.parametrize(
    ("heads", "names"),
    [
        (("energy",), "energy free_energy energies forces stress hessian"),
        (("charges",), "charges"),
        (("dipole",), "dipole dipole_magnitude charges born_effective_charges"),
        (("dipole:local",), "dipole dipole_magnitude born_effective_charges"),
        (("polarizability",), "polarizability polarizability_derivatives"),
    ],
)
def test_implemented_properties_follow_from_the_heads(heads, names: str) -> None:
    calc = PaiNNCalculator(random_potential(8, 1, 4, heads=heads))
    assert set(calc.implemented_properties) == set(names.split())


def test_results_are_float64_numpy_in_the_shapes_of_ase(place) -> None:
    calc = place.calculator(place.potential(8, 1, 4, 4.0, heads=LOCAL))
    atoms = random_atoms(4, pbc=True)
    atoms.calc = calc
    assert type(atoms.get_potential_energy()) is float
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    shapes = {
        "energies": (4,),
        "forces": (4, 3),
        "stress": (6,),
        "dipole": (3,),
        "charges": (4,),
        "born_effective_charges": (4, 3, 3),
        "polarizability": (3, 3),
        "polarizability_derivatives": (4, 3, 3, 3),
        "hessian": (4, 3, 4, 3),
    }
    for name, shape in shapes.items():
        value = calc.get_property(name, atoms)
        assert isinstance(value, np.ndarray)
        assert (value.dtype, value.shape) == (np.float64, shape), name


def test_stress_is_in_voigt_order(local_potential) -> None:
    from painn_ase.graph import from_ase

    atoms = random_atoms(4, pbc=True)
    full = local_potential(from_ase(atoms, 4.0), {"stress"}).stress[0].numpy()
    voigt = PaiNNCalculator(local_potential, device="cpu").get_stress(atoms)
    np.testing.assert_allclose(voigt_6_to_full_3x3_stress(voigt), full, atol=1e-12)


@pytest.mark.parametrize(
    ("device", "dtype"),
    [("cpu", "float32"), (torch.device("cpu"), torch.float64), ("cpu", "torch.float64")],
)
def test_device_and_dtype_are_strings_or_objects_of_torch(potential, device, dtype) -> None:
    calc = PaiNNCalculator(potential, device=device, dtype=dtype)
    assert calc.potential.device == torch.device("cpu")
    assert str(calc.dtype).removeprefix("torch.") == str(dtype).removeprefix("torch.")
    assert potential.dtype == torch.float64  # the user's own stays as it was


def test_without_a_dtype_the_models_own_is_used_and_cuda_if_there_is_one(potential) -> None:
    calc = PaiNNCalculator(potential)
    assert calc.dtype == torch.float64
    assert calc.device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_model_is_a_path_a_string_or_a_potential(potential, tmp_path) -> None:
    path = save_model(potential, tmp_path / "model.safetensors")
    atoms = random_atoms(4)
    energies = {
        PaiNNCalculator(m).get_potential_energy(atoms) for m in (path, str(path), potential)
    }
    assert len(energies) == 1


def test_only_requested_properties_are_computed(potential) -> None:
    calc, atoms = PaiNNCalculator(potential, backend="eager"), random_atoms(4)
    calc.get_property("energy", atoms)
    assert set(calc.results) == {"energy", "free_energy", "energies"}
    calc.get_property("polarizability", atoms)
    assert "forces" not in calc.results
    assert "dipole" not in calc.results
    assert "energy" in calc.results


def test_results_handed_out_are_copies(potential) -> None:
    calc, atoms = PaiNNCalculator(potential), random_atoms(4)
    calc.get_forces(atoms)[:] = 0.0
    assert np.abs(calc.get_forces(atoms)).max() > 0
    calc.get_polarizability(atoms)[:] = 0.0
    assert np.abs(calc.get_polarizability(atoms)).max() > 0


def test_the_calculator_remembers_a_copy_of_the_structure(potential) -> None:
    calc, atoms = PaiNNCalculator(potential), random_atoms(4)
    atoms.set_constraint(FixAtoms([0]))
    atoms.info["label"] = "x"
    calc.get_forces(atoms)
    kept = calc.atoms
    assert kept == atoms
    assert kept is not atoms
    assert kept.info["label"] == "x"
    assert kept.constraints[0].index.tolist() == [0]
    before = calc.get_property("energy")
    atoms.positions += np.arange(12).reshape(4, 3) * 0.01
    assert calc.get_property("energy") == before
    np.testing.assert_array_equal(kept.positions, calc.atoms.positions)


def test_without_any_structure_the_error_says_so(potential) -> None:
    calc = PaiNNCalculator(potential)
    with pytest.raises(PropertyNotImplementedError, match=r"pass atoms, or set atoms\.calc"):
        calc.get_property("energy")
    with pytest.raises(PropertyNotImplementedError, match="pass atoms"):
        calc.calculate()


def test_nothing_is_computed_when_that_is_not_allowed(potential) -> None:
    calc, atoms = PaiNNCalculator(potential), random_atoms(4)
    assert calc.get_property("energy", atoms, allow_calculation=False) is None
    energy = calc.get_property("energy", atoms)
    assert calc.get_property("energy", atoms, allow_calculation=False) == energy


# -- the total charge ------------------------------------------------------------------------------


def test_a_change_of_the_charge_in_info_is_a_change(potential) -> None:
    calc, atoms = PaiNNCalculator(potential), random_atoms(4)
    neutral = calc.get_charges(atoms)
    atoms.info["charge"] = 1
    assert calc.check_state(atoms) == ["charge"]
    ion = calc.get_charges(atoms)
    assert ion.sum() - neutral.sum() == pytest.approx(1.0)
    assert np.abs(calc.get_dipole_moment(atoms)).max() > 0
    del atoms.info["charge"]
    np.testing.assert_array_equal(calc.get_charges(atoms), neutral)


def test_the_charge_of_the_calculator_comes_before_that_of_the_structure(potential) -> None:
    atoms = random_atoms(4)
    atoms.info["charge"] = 1
    calc = PaiNNCalculator(potential, charge=-1)
    assert calc.get_charges(atoms).sum() == pytest.approx(-1.0)


def test_set_changes_the_charge_and_refuses_what_it_does_not_know(potential) -> None:
    calc, atoms = PaiNNCalculator(potential), random_atoms(4)
    neutral = calc.get_charges(atoms)
    assert calc.set(charge=1) == {"charge": 1.0}
    assert calc.get_charges(atoms).sum() - neutral.sum() == pytest.approx(1.0)
    assert calc.set(charge=1) == calc.set() == {}
    assert calc.set(charge=None) == {"charge": None}
    np.testing.assert_array_equal(calc.get_charges(atoms), neutral)
    with pytest.raises(SpecError, match="cannot set kpts, skin; it can set charge"):
        calc.set(charge=1, skin=1.0, kpts=(1, 1, 1))
    with pytest.raises(GeometryError, match="total charge is 'plus'"):
        calc.charge = "plus"
    assert calc.charge is None


def test_where_nothing_is_said_the_model_gives_the_charge(potential) -> None:
    spec = dataclasses.replace(potential.spec, total_charge=-1.0)
    anionic = AtomisticPotential(spec).double()
    anionic.load_state_dict(potential.state_dict())
    atoms = random_atoms(4)
    assert PaiNNCalculator(anionic).get_charges(atoms).sum() == pytest.approx(-1.0)
    atoms.info["total_charge"] = 2
    assert PaiNNCalculator(anionic).get_charges(atoms).sum() == pytest.approx(2.0)


# -- structures of every kind ----------------------------------------------------------------------


def test_one_calculator_moves_between_structures_of_different_size(potential) -> None:
    calc = PaiNNCalculator(potential)
    frames = [random_atoms(n, seed=n) for n in (5, 1, 8, 2, 5)]
    for atoms in [*frames, *frames[::-1]]:
        fresh = PaiNNCalculator(potential).get_forces(atoms)
        np.testing.assert_allclose(calc.get_forces(atoms), fresh, atol=1e-11)


def test_subclasses_of_atoms_keep_their_class(potential) -> None:
    class Molecule(Atoms):
        pass

    atoms = Molecule(molecule("H2O"))
    atoms.calc = PaiNNCalculator(potential)
    assert atoms.get_forces().shape == (3, 3)
    assert type(atoms.calc.atoms) is Molecule


def test_fixed_atoms_feel_no_force_unless_constraints_are_left_out(potential) -> None:
    atoms = random_atoms(5)
    free = PaiNNCalculator(potential).get_forces(atoms)
    atoms.set_constraint(FixAtoms([0, 2]))
    atoms.calc = PaiNNCalculator(potential)
    assert (atoms.get_forces()[[0, 2]] == 0).all()
    np.testing.assert_allclose(atoms.get_forces(apply_constraint=False), free, atol=1e-12)


def test_bond_lengths_can_be_held_in_dynamics(potential) -> None:
    atoms = molecule("H2O")
    atoms.set_constraint(FixBondLengths([(0, 1), (0, 2)]))
    atoms.calc = PaiNNCalculator(potential)
    before = atoms.get_distances(0, [1, 2])
    VelocityVerlet(atoms, 0.05).run(5)
    np.testing.assert_allclose(atoms.get_distances(0, [1, 2]), before, atol=1e-8)


# -- properties, files -----------------------------------------------------------------------------


def test_get_properties_gives_what_is_asked_even_after_a_polarizability(local_potential) -> None:
    atoms = random_atoms(4, pbc=True)
    atoms.calc = PaiNNCalculator(local_potential)
    atoms.calc.get_polarizability(atoms)
    given = atoms.get_properties(["energy", "forces", "stress", "dipole", "born_effective_charges"])
    np.testing.assert_array_equal(given["forces"], atoms.get_forces())
    assert given["born_effective_charges"].shape == (4, 3, 3)
    assert "polarizability" not in atoms.calc.export_properties()


@pytest.mark.parametrize("name", ["frames.traj", "frames.extxyz", "frames.db", "frames.json"])
def test_results_come_back_from_files(local_potential, tmp_path, name: str) -> None:
    atoms = random_atoms(4, pbc=True)
    atoms.calc = PaiNNCalculator(local_potential)
    atoms.calc.get_polarizability(atoms)
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    dipole = atoms.get_dipole_moment()
    write(tmp_path / name, atoms)
    back = read(tmp_path / name)
    assert back.get_potential_energy() == pytest.approx(energy, abs=1e-7)
    np.testing.assert_allclose(back.get_forces(), forces, atol=1e-7)
    np.testing.assert_allclose(back.get_stress(), stress, atol=1e-7)
    if name.endswith(("traj", "extxyz")):
        np.testing.assert_allclose(back.get_dipole_moment(), dipole, atol=1e-7)


def test_a_database_names_the_calculator(potential, tmp_path) -> None:
    atoms = molecule("H2O")
    atoms.calc = PaiNNCalculator(potential)
    atoms.get_forces()
    with ase.db.connect(tmp_path / "x.db") as db:
        db.write(atoms)
    row = ase.db.connect(tmp_path / "x.db").get(1)
    assert row.calculator == "painncalculator"
    np.testing.assert_array_equal(row.forces, atoms.get_forces())


# -- copies, processes, threads --------------------------------------------------------------------


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_copies_give_the_same_and_stand_alone(potential, duplicate) -> None:
    calc, atoms = PaiNNCalculator(potential), random_atoms(5)
    forces = calc.get_forces(atoms)
    other = duplicate(calc)
    np.testing.assert_array_equal(other.get_forces(atoms), forces)
    moved = random_atoms(6, seed=9)
    np.testing.assert_allclose(
        other.get_forces(moved), PaiNNCalculator(potential).get_forces(moved), atol=1e-12
    )
    np.testing.assert_array_equal(calc.get_forces(atoms), forces)
    assert copy.deepcopy(atoms) == atoms


def test_atoms_with_a_calculator_can_be_pickled_and_copied(potential) -> None:
    atoms = random_atoms(4)
    atoms.calc = PaiNNCalculator(potential)
    forces = atoms.get_forces()
    back = pickle.loads(pickle.dumps(atoms))
    np.testing.assert_array_equal(back.get_forces(), forces)
    np.testing.assert_array_equal(copy.deepcopy(atoms).get_forces(), forces)
    assert atoms.copy().calc is None


def _forces(task) -> np.ndarray:
    calc, atoms = task
    torch.set_num_threads(1)
    return calc.get_forces(atoms)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform"
)
def test_forked_workers_give_the_same(potential) -> None:
    calc = PaiNNCalculator(potential, device="cpu")
    frames = [random_atoms(4, seed=k) for k in range(4)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        given = pool.map_async(_forces, [(calc, a) for a in frames]).get(timeout=120)
    for forces, atoms in zip(given, frames, strict=True):
        np.testing.assert_allclose(forces, calc.get_forces(atoms), atol=1e-12)


SPAWN = """
import multiprocessing
from painn_ase.calculator import PaiNNCalculator
from painn_ase.testing import random_atoms, random_potential

def energy(task):
    return task[0].get_potential_energy(task[1])

if __name__ == "__main__":
    calc = PaiNNCalculator(random_potential(8, 2, 6, 4.0), device="cpu")
    tasks = [(calc, random_atoms(4, seed=k)) for k in range(4)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        spawned = pool.map_async(energy, tasks).get(timeout=120)
    assert spawned == [energy(task) for task in tasks], spawned
    print("equal")
"""


@pytest.mark.slow
def test_spawned_workers_give_the_same(tmp_path) -> None:
    """As a script of its own: what pytest runs as its main module is not the user's."""
    (tmp_path / "script.py").write_text(SPAWN)
    said = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, timeout=300
    )
    assert said.stdout == "equal\n", said.stderr


def test_a_pickled_calculator_works_in_a_fresh_interpreter(potential, tmp_path) -> None:
    calc, atoms = PaiNNCalculator(potential, device="cpu"), random_atoms(4)
    expected = calc.get_potential_energy(atoms)
    (tmp_path / "calc.pkl").write_bytes(pickle.dumps((calc, atoms)))
    code = (
        "import pickle, sys; calc, atoms = pickle.load(open(sys.argv[1], 'rb'));"
        "atoms.positions += 1.0; print(repr(calc.get_potential_energy(atoms)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "calc.pkl")],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert float(said.stdout) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shared", [True, False], ids=["one calculator", "one for each thread"])
def test_threads_give_what_a_loop_gives(potential, shared: bool) -> None:
    frames = [random_atoms(3 + k % 4, seed=k) for k in range(24)]
    calc = PaiNNCalculator(potential, device="cpu")
    serial = [
        (calc.get_potential_energy(a), calc.get_forces(a), calc.get_dipole_flux(a)) for a in frames
    ]

    def work(atoms):
        mine = calc if shared else PaiNNCalculator(potential, device="cpu")
        said = mine.get_potential_energy(atoms), mine.get_forces(atoms)
        atoms.calc = mine
        return *said, mine.get_dipole_flux(atoms), atoms.get_properties(["energy", "forces"])

    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(work, frames))
    for (e0, f0, d0), (e1, f1, d1, both) in zip(serial, threaded, strict=True):
        assert e1 == pytest.approx(e0, abs=1e-12)
        np.testing.assert_allclose(f1, f0, atol=1e-12)
        np.testing.assert_allclose(d1, d0, atol=1e-12)
        np.testing.assert_allclose(both["forces"], f0, atol=1e-12)
