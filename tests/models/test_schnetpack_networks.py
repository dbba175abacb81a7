"""SchNet and SO3net from SchNetPack: its numbers, in whatever units, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from torch import nn

from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import ModelFileError, SpecError
from painn_ase.graph import from_ase
from painn_ase.models import load_model, save_model
from painn_ase.models.schnetpack import build_potential, load_schnetpack
from painn_ase.models.schnetpack.foreign_records import ForeignTensor
from painn_ase.models.schnetpack.record import read_model
from painn_ase.models.schnetpack.torch_archive import read_torch_file
from painn_ase.potential import AtomisticPotential
from painn_ase.testing import Tolerance, check_equivariance, check_finite_differences

#: File → largest deviation from SchNetPack's float64 numbers, relative to the largest entry. Its
#: coupling coefficients are rounded to float32, ours are exact.
FILES = {
    "schnet_random": 1e-9,
    "schnet_shared_random": 1e-9,
    "so3net_random": 2e-7,
    "so3net_l3_random": 2e-7,
}
WITH_DIPOLE = ("schnet_random", "so3net_random")


def imported(reference: Path, name: str, **given: Any) -> AtomisticPotential:
    dipole = {"dipole_unit": "e*Angstrom"} if name in WITH_DIPOLE else {}
    options = {"energy_unit": "eV", "length_unit": "Angstrom", **dipole, **given}
    path = reference / "schnetpack" / f"{name}.model"
    return load_schnetpack(path, elements=[1, 6, 8], **options).double()


def truth(reference: Path, name: str, structure: str) -> tuple[Atoms, dict[str, np.ndarray]]:
    with np.load(reference / "schnetpack" / f"{name}.npz") as file:
        found = {
            key.removeprefix(f"{structure}_"): file[key]
            for key in file.files
            if key.startswith(structure)
        }
    atoms = Atoms(found["numbers"], found["positions"], cell=found["cell"], pbc=found["pbc"])
    return atoms, found


@pytest.mark.parametrize("structure", ["ethanol", "diamond"])
@pytest.mark.parametrize("name", FILES)
def test_imported_networks_give_schnetpacks_numbers(
    reference: Path, name: str, structure: str
) -> None:
    potential = imported(reference, name)
    atoms, expected = truth(reference, name, structure)
    wanted = {"energy": "energy", "forces": "forces"}
    if structure == "diamond":
        wanted["stress"] = "stress"
    elif name in WITH_DIPOLE:
        wanted["dipole"] = "dipole_moment"
    result = potential(from_ase(atoms, potential.cutoff), wanted).present()
    for ours, theirs in wanted.items():
        value = expected[theirs]
        difference = np.abs(result[ours].numpy().reshape(value.shape) - value).max()
        assert difference <= FILES[name] * np.abs(value).max(), ours


@pytest.mark.parametrize("name", FILES)
def test_their_stress_is_the_derivative_of_their_energy(reference: Path, name: str) -> None:
    """And SchNetPack's raw stress, which ours agrees with, has the sign of (1/V) dE/dε."""
    calc = PaiNNCalculator(imported(reference, name), device="cpu")
    atoms, _ = truth(reference, name, "diamond")
    loose = Tolerance(rtol=1e-6, atol=1e-8)
    check_finite_differences(calc, atoms, ["stress"], tolerance=loose)


@pytest.mark.parametrize("name", FILES)
def test_imported_networks_are_equivariant_and_survive_a_file(
    reference: Path, name: str, tmp_path: Path
) -> None:
    potential = imported(reference, name)
    atoms, _ = truth(reference, name, "ethanol")
    names = ["energy", "forces", *(["dipole"] if name in WITH_DIPOLE else [])]
    check_equivariance(PaiNNCalculator(potential, device="cpu"), atoms, names)
    again = load_model(save_model(potential, tmp_path / "model.safetensors"))
    graph = from_ase(atoms, potential.cutoff)
    assert torch.equal(again(graph, ["energy"]).energy, potential(graph, ["energy"]).energy)
    kinds = {"schnet": "SchNet", "so3net": "SO3net"}
    assert kinds[potential.spec.representation.kind] in potential.spec.description


@pytest.mark.parametrize("name", FILES)
def test_a_file_in_atomic_units_is_the_same_physics(reference: Path, name: str) -> None:
    dipole = {"dipole_unit": "e*Bohr"} if name in WITH_DIPOLE else {}
    potential = imported(reference, name, energy_unit="Hartree", length_unit="Bohr", **dipole)
    atoms, expected = truth(reference, name, "ethanol")
    atoms.positions *= units.Bohr
    result = potential(from_ase(atoms, potential.cutoff), ["energy", "forces"])
    assert potential.cutoff == pytest.approx(4.0 * units.Bohr)
    energy = float(expected["energy"].item()) * units.Hartree
    assert float(result.energy) == pytest.approx(energy, rel=FILES[name])
    forces = expected["forces"] * units.Hartree / units.Bohr
    np.testing.assert_allclose(
        result.forces.numpy(), forces, atol=FILES[name] * np.abs(forces).max()
    )
    if name in WITH_DIPOLE:
        dipole_moment = expected["dipole_moment"].reshape(1, 3) * units.Bohr
        found = potential(from_ase(atoms, potential.cutoff), ["dipole"]).dipole.numpy()
        np.testing.assert_allclose(found, dipole_moment, atol=FILES[name] * np.abs(found).max())


def changed(reference: Path, name: str, change: Any) -> None:
    """Read the file, change its records, and take the model over."""
    content = read_torch_file(reference / "schnetpack" / f"{name}.model").content
    change(content)
    read_model(content)


def representation(content: Any) -> Any:
    return content.get("representation")


def _other_couplings(content: Any) -> None:
    product = representation(content).get("so3product")
    values = product.get("clebsch_gordan")
    numbers = values.to_torch()
    numbers[3] *= 1.01
    product.state["_buffers"]["clebsch_gordan"] = ForeignTensor(
        numbers.numpy().tobytes(), values.dtype, 0, values.shape, (1,)
    )


def _other_activation(content: Any) -> None:
    block = representation(content).get("interactions").get("0")
    layer = block.get("filter_network").get("0")
    layer.state["activation"] = None


def _third_layer(content: Any) -> None:
    layers = content.get("output_modules").get("0").get("outnet").state["_modules"]
    layers["2"] = layers["1"]
    layers["1"] = layers["0"]


REFUSALS = {
    "couplings that are none": ("so3net_random", _other_couplings, "not Clebsch-Gordan's"),
    "another activation": ("schnet_random", _other_activation, "only shifted softplus can stand"),
    "charges by three layers": ("schnet_random", _third_layer, "latent charges by 3 layers"),
    "a degree out of reach": (
        "so3net_random",
        lambda c: representation(c).state.update(lmax=9),
        "lmax 9",
    ),
    "blocks without parts": (
        "so3net_random",
        lambda c: representation(c).get("gatings").state["_modules"].popitem(),
        "different numbers",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_cannot_be_carried_over_is_refused_with_the_reason(reference: Path, what: str) -> None:
    name, change, reason = REFUSALS[what]
    with pytest.raises(ModelFileError, match=reason):
        changed(reference, name, change)


def test_a_network_with_weights_of_other_shapes_is_refused(reference: Path) -> None:
    model = read_model(read_torch_file(reference / "schnetpack" / "so3net_random.model").content)
    model.weights["representation.mixings2.1.weight"] = nn.Linear(3, 3).weight.detach()
    from painn_ase.models.schnetpack.units import SchNetPackUnits

    with pytest.raises(ModelFileError, match="do not fit together"):
        build_potential(model, (1, 6, 8), SchNetPackUnits())


def test_a_dipole_needs_its_unit(reference: Path) -> None:
    with pytest.raises(SpecError, match="dipole_unit is missing"):
        imported(reference, "schnet_random", dipole_unit=None)
