"""Import from SchNetPack: the same numbers, or a refusal that says why."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from schnetpack_files import REFERENCE_FILE, LookAlikes, reference_weights
from torch import nn
from torch.nn import functional

from painn_ase.errors import ModelFileError, PaiNNWarning, SpecError
from painn_ase.graph import from_ase
from painn_ase.heads import Placement
from painn_ase.models.file import load_model, save_model
from painn_ase.models.schnetpack import SchNetPackUnits, build_potential, load_schnetpack
from painn_ase.models.schnetpack.record import EnergyOutput, SchNetPackModel, TensorOutput
from painn_ase.potential import AtomisticPotential

RELATIVE = 1e-9
ALL_UNITS = {
    "energy_unit": "eV",
    "length_unit": "Angstrom",
    "dipole_unit": "e*Angstrom",
    "polarizability_unit": "e^2*Angstrom^2/eV",
}
HCO = (1, 6, 8)


def described(weights: dict[str, torch.Tensor]) -> SchNetPackModel:
    """The reference's model, as the reader of files describes it."""
    return SchNetPackModel(
        weights=weights,
        n_interactions=2,
        radial_basis="gaussian",
        energy=EnergyOutput("output_modules.0.outnet"),
        dipole=TensorOutput("output_modules.2.outnet"),
        polarizability=TensorOutput("output_modules.3.outnet"),
    )


@pytest.fixture(scope="module")
def weights(reference: Path) -> dict[str, torch.Tensor]:
    return reference_weights(reference)


@pytest.fixture(scope="module")
def values(reference: Path) -> Any:
    return np.load(reference / REFERENCE_FILE)


@pytest.fixture(scope="module")
def potential(weights: dict[str, torch.Tensor]) -> AtomisticPotential:
    return build_potential(
        described(weights), HCO, SchNetPackUnits(), polarizability_origin="coordinates"
    )


def structure(values: Any, name: str) -> Atoms:
    cell, pbc = values[f"{name}:cell"], values[f"{name}:pbc"]
    return Atoms(values[f"{name}:numbers"], values[f"{name}:positions"], cell=cell, pbc=pbc)


def assert_same(ours: torch.Tensor, theirs: Any, relative: float = RELATIVE) -> None:
    """Equal to `relative` of the largest entry."""
    theirs = np.asarray(theirs, float)
    difference = np.abs(ours.numpy() - theirs.reshape(ours.shape)).max()
    assert difference <= relative * np.abs(theirs).max()


# -- the same numbers as SchNetPack ----------------------------------------------------------------


def test_schnetpack_itself_is_not_needed() -> None:
    assert importlib.util.find_spec("schnetpack") is None


def test_every_output_of_a_molecule_is_that_of_schnetpack(
    potential: AtomisticPotential, values: Any
) -> None:
    names = ("energy", "forces", "dipole", "charges", "polarizability")
    result = potential(from_ase(structure(values, "ethanol"), potential.cutoff), names)
    assert_same(result.energy, values["ethanol:energy"])
    assert_same(result.forces, values["ethanol:forces"])
    assert_same(result.dipole, values["ethanol:dipole_moment"])
    assert_same(result.charges, values["ethanol:partial_charges"])
    assert_same(result.polarizability, values["ethanol:polarizability"])


def test_energy_forces_and_stress_of_a_liquid_are_those_of_schnetpack(
    potential: AtomisticPotential, values: Any
) -> None:
    graph = from_ase(structure(values, "water64"), potential.cutoff)
    result = potential(graph, ("energy", "forces", "stress"))
    assert_same(result.energy, values["water64:energy"])
    assert_same(result.forces, values["water64:forces"])
    assert_same(result.stress, values["water64:stress"])


def test_heads_on_a_liquid_are_those_of_schnetpack(
    potential: AtomisticPotential, values: Any
) -> None:
    # The potential refuses these in a periodic cell, as they depend on the choice of images; the
    # heads themselves must agree on any list of atoms.
    graph = from_ase(structure(values, "water64"), potential.cutoff)
    cell_shifts = graph.shifts.double() @ graph.cell[0]
    edges = graph.positions[graph.idx_j] - graph.positions[graph.idx_i] + cell_shifts
    rows = torch.tensor([HCO.index(int(z)) for z in graph.numbers])
    features = potential.representation(rows, edges, graph.idx_i, graph.idx_j)
    placement = Placement(
        rows,
        graph.system_idx,
        1,
        graph.positions,
        potential.masses_by_element(rows),
        potential.masses_by_element(rows),
        torch.zeros(1, dtype=torch.float64),
    )
    dipole, charges = potential.heads["dipole"](features, placement)
    assert_same(dipole, values["water64:dipole_moment"])
    assert_same(charges, values["water64:partial_charges"])
    polarizability = potential.heads["polarizability"](features, placement)
    assert_same(polarizability, values["water64:polarizability"])


def test_polarizability_from_the_centre_of_mass_equals_schnetpack_for_a_centred_molecule(
    weights: dict[str, torch.Tensor], potential: AtomisticPotential, values: Any
) -> None:
    atoms = structure(values, "ethanol")
    atoms.positions -= atoms.get_center_of_mass()
    ours = build_potential(described(weights), HCO, SchNetPackUnits())
    expected = potential(from_ase(atoms, ours.cutoff), ("polarizability",)).polarizability
    atoms.positions += (3.0, -20.0, 7.0)
    moved = ours(from_ase(atoms, ours.cutoff), ("polarizability",)).polarizability
    assert_same(moved, expected.numpy())


@pytest.mark.parametrize("model", ["md_ethanol", "rmd17_ethanol_painn_1"])
def test_trained_models_give_schnetpacks_energies_and_forces(shared: Path, model: str) -> None:
    folder = shared / "data" / "schnetpack"
    potential = load_schnetpack(
        folder / f"{model}.model", energy_unit="kcal/mol", length_unit="Ang", elements=HCO
    ).double()
    with np.load(folder / f"{model}.npz") as truth:
        for positions, energy, forces in zip(
            truth["positions"], truth["energy_eV"], truth["forces_eV_per_A"], strict=True
        ):
            graph = from_ase(Atoms(truth["numbers"], positions), potential.cutoff)
            result = potential(graph, ("energy", "forces"))
            assert_same(result.energy, energy)
            assert_same(result.forces, forces)


# -- files -----------------------------------------------------------------------------------------


@pytest.fixture
def alike() -> LookAlikes:
    return LookAlikes()


def test_a_file_with_all_heads_is_read_back_exactly(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], values: Any
) -> None:
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    imported = load_schnetpack(
        path, **ALL_UNITS, elements=["H", "C", 8], polarizability_origin="coordinates"
    )
    assert imported.dtype == torch.float64
    names = ("energy", "forces", "dipole", "charges", "polarizability")
    result = imported(from_ase(structure(values, "ethanol"), imported.cutoff), names)
    assert_same(result.energy, values["ethanol:energy"])
    assert_same(result.forces, values["ethanol:forces"])
    assert_same(result.dipole, values["ethanol:dipole_moment"])
    assert_same(result.polarizability, values["ethanol:polarizability"])


def test_an_imported_model_survives_our_own_file(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], values: Any
) -> None:
    offsets = offsets_of(alike, mean=torch.tensor(-10799.551227287651, dtype=torch.float64))
    path = alike.save(alike.potential(weights, (offsets,)), tmp_path / "best_model")
    imported = load_schnetpack(path, **ALL_UNITS, elements=HCO)
    again = load_model(save_model(imported, tmp_path / "ours.safetensors"))
    assert again.spec.provenance["imported_from"] == "SchNetPack 2.2.0"
    graph = from_ase(structure(values, "ethanol"), imported.cutoff)
    for name in ("energy", "forces", "polarizability"):
        ours, theirs = (getattr(p(graph, (name,)), name) for p in (imported, again))
        assert torch.equal(ours, theirs)


def test_single_precision_files_stay_single(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor]
) -> None:
    single = {name: value.float() for name, value in weights.items()}
    path = alike.save(alike.potential(single), tmp_path / "best_model")
    assert load_schnetpack(path, **ALL_UNITS, elements=HCO).dtype == torch.float32


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_of_torch_save_is_read(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], protocol: int
) -> None:
    path = tmp_path / "best_model"
    alike.save(alike.potential(weights), path, pickle_protocol=protocol)
    assert load_schnetpack(path, **ALL_UNITS, elements=HCO).spec.heads.names == (
        "energy",
        "dipole",
        "polarizability",
    )


def offsets_of(alike: LookAlikes, **changes: Any) -> nn.Module:
    attributes: dict[str, Any] = {
        "_property": "energy",
        "add_mean": "mean" in changes,
        "add_atomrefs": "atomref" in changes,
        "is_extensive": True,
        "mean": torch.zeros(1),
        "atomref": torch.zeros(100),
    }
    return alike.make("schnetpack.transform.atomistic.AddOffsets", **(attributes | changes))


def test_offsets_and_reference_energies_are_added_per_atom_in_double_precision(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], values: Any
) -> None:
    atomref = torch.zeros(100, dtype=torch.float64)
    atomref[[1, 6, 8]] = torch.tensor([-13.6, -1029.123456789, -2042.987654321]).double()
    mean = torch.tensor([-0.123456789012345], dtype=torch.float64)
    steps = (
        alike.make("schnetpack.transform.casting.CastTo64", type_map={}),
        offsets_of(alike, mean=mean, atomref=atomref),
    )
    path = alike.save(alike.potential(weights, steps), tmp_path / "best_model")
    imported = load_schnetpack(path, **ALL_UNITS | {"energy_unit": "Hartree"})
    assert imported.elements == HCO
    numbers = values["ethanol:numbers"]
    total = values["ethanol:energy"][0] + sum(float(atomref[z] + mean[0]) for z in numbers)
    result = imported(from_ase(structure(values, "ethanol"), imported.cutoff), ("energy",))
    assert_same(result.energy, [total * units.Hartree])


def test_switched_off_postprocessing_adds_no_offsets(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor]
) -> None:
    model = alike.potential(weights, (offsets_of(alike, mean=torch.tensor([-5.0])),))
    model.do_postprocessing = False
    imported = load_schnetpack(alike.save(model, tmp_path / "m"), **ALL_UNITS, elements=HCO)
    assert set(imported.spec.heads.energy.reference_energies) == {0.0}


def test_a_model_in_bohr_gives_the_same_physics(
    weights: dict[str, torch.Tensor], values: Any
) -> None:
    # The same function of lengths in Bohr: a molecule scaled by the size of a Bohr.
    size = units.Bohr
    atoms = structure(values, "ethanol")
    atoms.positions *= size
    potential = build_potential(
        described(weights),
        HCO,
        SchNetPackUnits(length=size, dipole=size, polarizability=0.7),
        polarizability_origin="coordinates",
    )
    names = ("energy", "forces", "dipole", "charges", "polarizability")
    result = potential(from_ase(atoms, potential.cutoff), names)
    assert_same(result.energy, values["ethanol:energy"])
    assert_same(result.forces, values["ethanol:forces"] / size)
    assert_same(result.dipole, values["ethanol:dipole_moment"] * size)
    assert_same(result.charges, values["ethanol:partial_charges"])
    assert_same(result.polarizability, values["ethanol:polarizability"] * 0.7)


def test_a_dipole_in_debye_becomes_e_angstrom(
    weights: dict[str, torch.Tensor], values: Any
) -> None:
    potential = build_potential(described(weights), HCO, SchNetPackUnits(dipole=units.Debye))
    graph = from_ase(structure(values, "ethanol"), potential.cutoff)
    result = potential(graph, ("dipole",))
    assert_same(result.dipole, values["ethanol:dipole_moment"] * units.Debye)


# -- what the file does not say --------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["dipole_unit", "polarizability_unit"])
def test_units_of_dipole_and_polarizability_are_demanded(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], missing: str
) -> None:
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    given = {name: unit for name, unit in ALL_UNITS.items() if name != missing}
    with pytest.raises(SpecError, match=rf"{missing} is missing.*config\.yaml"):
        load_schnetpack(path, **given)


@pytest.mark.parametrize("unit", sorted(ALL_UNITS))
def test_an_unknown_unit_is_refused(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], unit: str
) -> None:
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    with pytest.raises(SpecError, match=f"{unit}='furlong' is unknown; allowed are"):
        load_schnetpack(path, **ALL_UNITS | {unit: "furlong"})


def test_without_any_word_energy_and_length_are_schnetpacks_defaults_and_a_warning_says_so(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor]
) -> None:
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    known = {k: v for k, v in ALL_UNITS.items() if k not in ("energy_unit", "length_unit")}
    with pytest.warns(PaiNNWarning, match=r"energy_unit='kcal/mol'.* assumed"):
        silent = load_schnetpack(path, **known)
    said = load_schnetpack(path, **known, energy_unit="kcal/mol", length_unit="Angstrom")
    assert silent.spec.heads == said.spec.heads
    assert "assumed" in silent.spec.provenance["units"]["energy"]


def test_the_training_runs_configuration_states_the_units(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor]
) -> None:
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    (tmp_path / "config.yaml").write_text(
        "data:\n  distance_unit: Ang\n  property_units:\n    energy: Hartree\n"
        "    dipole_moment: Debye\n    polarizability: a0^3\n"
    )
    read = load_schnetpack(path)
    said = load_schnetpack(
        path,
        energy_unit="Hartree",
        length_unit="Ang",
        dipole_unit="Debye",
        polarizability_unit="a0^3",
    )
    assert read.spec.heads == said.spec.heads
    assert "configuration" in read.spec.provenance["units"]["dipole"]


def test_a_damaged_configuration_is_named(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor]
) -> None:
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    (tmp_path / "config.yaml").write_text("data: [unclosed")
    with pytest.raises(ModelFileError, match=r"config\.yaml cannot be read"):
        load_schnetpack(path)


def test_a_configuration_that_cannot_be_read_for_want_of_pyyaml_is_not_passed_over(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor]
) -> None:
    """It says eV; taking SchNetPack's default kcal/mol instead would be wrong by 23."""
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    (tmp_path / "config.yaml").write_text("data:\n  property_units:\n    energy: eV\n")
    code = (
        "import sys\n"
        "sys.modules['yaml'] = None  # as where it is not installed\n"
        "from painn_ase.errors import MissingDependencyError\n"
        "from painn_ase.models.schnetpack import load_schnetpack\n"
        f"path, units = {str(path)!r}, dict(dipole_unit='Debye', polarizability_unit='a0^3')\n"
        "try:\n"
        "    load_schnetpack(path, **units)\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
        "else:\n"
        "    sys.exit('nothing was said')\n"
        "load_schnetpack(path, energy_unit='eV', length_unit='Ang', **units)\n"
        "print('the units given need no file')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "pip install pyyaml" in done.stdout
    assert "the units given need no file" in done.stdout


def test_a_configuration_without_the_energy_unit_is_not_said_to_be_missing(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor]
) -> None:
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    (tmp_path / "config.yaml").write_text("data:\n  distance_unit: Bohr\n")
    with pytest.warns(PaiNNWarning, match=r"config\.yaml beside it says nothing .*energy_unit="):
        load_schnetpack(path, dipole_unit="Debye", polarizability_unit="a0^3")


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf"), True, [1]])
def test_a_unit_of_impossible_size_is_refused(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], size: Any
) -> None:
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    with pytest.raises(SpecError, match=r"energy_unit=.* is unknown; allowed are"):
        load_schnetpack(path, **ALL_UNITS | {"energy_unit": size})


def test_an_unknown_origin_is_refused(tmp_path: Path) -> None:
    origin: Any = "nucleus"
    with pytest.raises(SpecError, match="polarizability_origin='nucleus'"):
        load_schnetpack(tmp_path / "m", **ALL_UNITS, polarizability_origin=origin)


def test_unnamed_elements_are_said_to_be_unknown(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor]
) -> None:
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    imported = load_schnetpack(path, **ALL_UNITS)
    assert imported.elements == tuple(range(1, 100))
    assert "does not say which elements" in imported.spec.provenance["elements"]


@pytest.mark.parametrize("elements", [[], [0], [100], ["Xx"], [True], [1.5]])
def test_impossible_elements_are_refused(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], elements: list[Any]
) -> None:
    path = alike.save(alike.potential(weights), tmp_path / "best_model")
    with pytest.raises(SpecError, match="elements"):
        load_schnetpack(path, **ALL_UNITS, elements=elements)


# -- what cannot be carried over exactly -----------------------------------------------------------


def change(model: nn.Module, where: str, **attributes: Any) -> None:
    part = model.get_submodule(where)
    for name, value in attributes.items():
        setattr(part, name, value)


REFUSALS: dict[str, tuple[Any, str]] = {
    "another activation": (
        lambda m, a: change(m, "output_modules.0.outnet.0", activation=functional.softplus),
        "softplus; only SiLU",
    ),
    "an activation of schnetpack's own": (
        lambda m, a: change(
            m, "representation.mixing.0.intraatomic_context_net.0", activation=None
        ),
        "has the activation torch.nn.modules.linear.Identity; only SiLU",
    ),
    "an energy averaged over atoms": (
        lambda m, a: change(m, "output_modules.0", aggregation_mode="avg"),
        "aggregation 'avg'",
    ),
    "several outputs at once": (
        lambda m, a: change(m, "output_modules.0", n_out=3),
        "not one scalar",
    ),
    "magnitude of the dipole": (
        lambda m, a: change(m, "output_modules.2", predict_magnitude=True),
        "magnitude of a dipole",
    ),
    "uncorrected charges": (
        lambda m, a: change(m, "output_modules.2", correct_charges=False),
        "correct_charges=False",
    ),
    "a dipole from charges alone that are not an MLP's": (
        lambda m, a: change(m, "output_modules.2", use_vector_representation=False),
        "GatedEquivariantBlock, which cannot be carried over exactly",
    ),
    "another cutoff function": (
        lambda m, a: change(
            m, "representation", cutoff_fn=a.make("schnetpack.nn.cutoff.MollifierCutoff")
        ),
        "MollifierCutoff.*cannot be carried over exactly",
    ),
    "another network": (
        lambda m, a: change(m, "", representation=a.make("schnetpack.representation.SO3net")),
        "SO3net",
    ),
    "charge as input": (
        lambda m, a: m.representation.electronic_embeddings.append(
            a.make("schnetpack.nn.embedding.ElectronicEmbedding")
        ),
        "electronic embeddings",
    ),
    "another nuclear embedding": (
        lambda m, a: change(
            m, "representation", embedding=a.make("schnetpack.nn.embedding.NuclearEmbedding")
        ),
        "NuclearEmbedding",
    ),
    "blocks with different epsilon": (
        lambda m, a: change(m, "representation.mixing.1", epsilon=1e-6),
        "different ε",
    ),
    "a further energy term": (
        lambda m, a: m.output_modules.append(
            a.make("schnetpack.atomistic.nuclear_repulsion.ZBLRepulsionEnergy")
        ),
        "ZBLRepulsionEnergy",
    ),
    "a second polarizability": (
        lambda m, a: m.output_modules.append(m.output_modules[3]),
        "second polarizability",
    ),
    "an external field": (
        lambda m, a: m.input_modules.append(
            a.make("schnetpack.atomistic.external_fields.StaticExternalFields")
        ),
        "StaticExternalFields",
    ),
    "forces of something else": (
        lambda m, a: change(m, "output_modules.1", energy_key="enthalpy"),
        "'enthalpy', which is none",
    ),
    "offsets that are not per atom": (
        lambda m, a: m.postprocessors.append(
            offsets_of(a, mean=torch.tensor([1.0]), is_extensive=False)
        ),
        "is_extensive=False",
    ),
    "offsets on the polarizability": (
        lambda m, a: m.postprocessors.append(offsets_of(a, _property="polarizability")),
        "offsets on 'polarizability'",
    ),
    "an energy scaled without its forces": (
        lambda m, a: m.postprocessors.append(scale_of(a, "energy", 2.0)),
        "'forces' scaled by 1.0 beside an energy scaled by 2.0",
    ),
    "a scaled dipole": (
        lambda m, a: m.postprocessors.append(scale_of(a, "dipole_moment", 2.0)),
        "factor on the output 'dipole_moment'",
    ),
    "NaN among the weights": (
        lambda m, a: m.representation.embedding.weight.data[3].fill_(float("nan")),
        "embedding.weight' holds NaN",
    ),
    "weights that do not fit": (
        lambda m, a: change(
            m, "representation.filter_net", weight=nn.Parameter(torch.ones(192, 11))
        ),
        r"centers' it has \(12,\), the rest needs \(11,\)",
    ),
    "a missing bias": (
        lambda m, a: change(m, "representation.filter_net", bias=None),
        "filter_net' lacks a bias",
    ),
}


def scale_of(alike: LookAlikes, key: str, factor: float) -> nn.Module:
    return alike.make(
        "schnetpack.transform.atomistic.ScaleProperty",
        input_key=key,
        output_key=key,
        scale=torch.tensor([factor], dtype=torch.float64),
    )


@pytest.mark.parametrize("case", sorted(REFUSALS))
def test_what_has_no_exact_counterpart_is_refused_with_the_reason(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], case: str
) -> None:
    spoil, reason = REFUSALS[case]
    model = alike.potential({name: w.clone() for name, w in weights.items()})
    spoil(model, alike)
    path = alike.save(model, tmp_path / "best_model")
    with pytest.raises(ModelFileError, match=reason):
        load_schnetpack(path, **ALL_UNITS, elements=HCO)


def test_scaled_energies_with_equally_scaled_forces_are_carried(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], values: Any
) -> None:
    model = alike.potential(weights)
    for key in ("energy", "forces", "stress"):
        model.postprocessors.append(scale_of(alike, key, 2.5))
    imported = load_schnetpack(alike.save(model, tmp_path / "m"), **ALL_UNITS, elements=HCO)
    graph = from_ase(structure(values, "ethanol"), imported.cutoff)
    result = imported(graph, ("energy", "forces"))
    assert_same(result.energy, 2.5 * values["ethanol:energy"])
    assert_same(result.forces, 2.5 * values["ethanol:forces"])


def test_a_scalar_without_forces_must_be_named_to_be_an_energy(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], values: Any
) -> None:
    model = alike.potential(weights)
    model.output_modules = nn.ModuleList([model.output_modules[0]])
    change(model, "output_modules.0", output_key="energy_U0")
    path = alike.save(model, tmp_path / "best_model")
    given = {"energy_unit": "eV", "length_unit": "Ang", "elements": HCO}
    with pytest.raises(ModelFileError, match=r"'energy_U0'.*energy_key"):
        load_schnetpack(path, **given)
    imported = load_schnetpack(path, **given, energy_key="energy_U0")
    result = imported(from_ase(structure(values, "ethanol"), imported.cutoff), ("energy",))
    assert_same(result.energy, values["ethanol:energy"])


def test_shared_blocks_are_stored_once(
    tmp_path: Path, alike: LookAlikes, weights: dict[str, torch.Tensor], values: Any
) -> None:
    model = alike.potential(weights)
    painn = model.representation
    painn.interactions[1], painn.mixing[1] = painn.interactions[0], painn.mixing[0]
    imported = load_schnetpack(alike.save(model, tmp_path / "m"), **ALL_UNITS, elements=HCO)
    assert imported.spec.representation.shared_interactions
    assert len(imported.representation.interactions) == 1
    copied = {
        name: weights[name.replace(".1.", ".0.", 1)]
        if name.startswith(("representation.interactions.1.", "representation.mixing.1."))
        else value
        for name, value in weights.items()
    }
    separate = build_potential(described(copied), HCO, SchNetPackUnits())
    graph = from_ase(structure(values, "ethanol"), imported.cutoff)
    ours, theirs = (p(graph, ("energy",)).energy for p in (imported, separate))
    assert_same(ours, theirs.numpy())


def test_a_shared_filter_layer_serves_all_blocks(
    weights: dict[str, torch.Tensor], values: Any
) -> None:
    first = {f"representation.filter_net.{p}": slice(0, 96) for p in ("weight", "bias")}
    shared = {n: w[first[n]] if n in first else w for n, w in weights.items()}
    twice = {n: torch.cat((w[:96], w[:96])) if n in first else w for n, w in weights.items()}
    graph = from_ase(structure(values, "ethanol"), 4.0)
    energies = []
    for some in (shared, twice):
        potential = build_potential(described(some), HCO, SchNetPackUnits())
        energies.append(potential(graph, ("energy",)).energy)
    assert_same(energies[0], energies[1].numpy())


def test_weights_that_claim_a_giant_network_allocate_nothing(
    weights: dict[str, torch.Tensor],
) -> None:
    giant = dict(weights) | {"representation.embedding.weight": torch.zeros(100, 1_000_000)}
    with pytest.raises(ModelFileError, match=r"fit together|rows"):
        build_potential(described(giant), HCO, SchNetPackUnits())


def test_a_model_without_outputs_is_refused(weights: dict[str, torch.Tensor]) -> None:
    nothing = replace(described(weights), energy=None, dipole=None, polarizability=None)
    with pytest.raises(ModelFileError, match="at least one head"):
        build_potential(nothing, HCO, SchNetPackUnits())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"state_dict": {}, "epoch": 3}, "training checkpoint"),
        ({"representation.embedding.weight": torch.zeros(3)}, "weights only"),
        (nn.Linear(2, 3), "torch.nn.modules.linear.Linear"),
        ([1, 2, 3], "a list"),
    ],
)
def test_other_things_torch_saves_are_named(tmp_path: Path, content: Any, reason: str) -> None:
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(ModelFileError, match=reason):
        load_schnetpack(tmp_path / "file.pt", **ALL_UNITS)
