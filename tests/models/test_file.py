"""Model files: what is written comes back; what is not ours, or not whole, is refused by name."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import pickle
import resource
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load as deserialize
from safetensors.torch import save as serialize

from painn_ase import __version__
from painn_ase.calculator import PaiNNCalculator
from painn_ase.errors import ModelFileError
from painn_ase.models import bundled_models, load_model, read_model_spec, save_model
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import (
    ChargesSpec,
    DipoleSpec,
    EnergySpec,
    HeadsSpec,
    ModelSpec,
    PaiNNSpec,
    PolarizabilitySpec,
)
from painn_ase.testing import compute_properties, random_atoms, random_potential

HEADS = ("energy", "dipole", "polarizability", "charges")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return save_model(random_potential(8, 2, 6, 4.0, heads=HEADS), tmp_path / "model.safetensors")


def header_of(path: Path) -> dict:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["painn_ase"])


def rewrite(path: Path, change=lambda header: None, weights=None) -> Path:
    """The file with a changed header, or with other weights."""
    header = header_of(path)
    header = change(header) or header
    tensors = deserialize(path.read_bytes()) if weights is None else weights
    path.write_bytes(serialize(tensors, metadata={"painn_ase": json.dumps(header)}))
    return path


# -- there and back --------------------------------------------------------------------------------

OPTIONS = {
    "paper": {},
    "gaussian": {"radial_basis": "gaussian"},
    "polynomial": {"cutoff_function": "polynomial"},
    "shared filters": {"shared_filters": True},
    "hidden filters": {"filter_hidden": (7, 5)},
    "shared interactions": {"shared_interactions": True},
    "all shared": {"shared_filters": True, "shared_interactions": True},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("option", OPTIONS)
def test_a_loaded_model_is_the_saved_one_to_the_last_bit(tmp_path, option: str, dtype) -> None:
    potential = random_potential(8, 2, 6, 4.0, heads=HEADS, dtype=dtype, **OPTIONS[option])
    loaded = load_model(save_model(potential, tmp_path / "m.safetensors"))
    assert loaded.dtype == dtype
    assert loaded.spec == dataclasses.replace(potential.spec, code_version=__version__)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    atoms = random_atoms(4)
    before = compute_properties(PaiNNCalculator(potential, device="cpu"), atoms)
    after = compute_properties(PaiNNCalculator(loaded, device="cpu"), atoms)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_everything_the_header_says_comes_back(tmp_path) -> None:
    spec = ModelSpec(
        elements=(1, 6, 8),
        representation=PaiNNSpec(8, 1, 4, 3.5),
        heads=HeadsSpec(
            energy=EnergySpec((5, 4), 0.1, (-13.6, -1030.123456789012, -2043.8)),
            dipole=DipoleSpec("local", 3, 2, 0.5, 0.0),
            polarizability=PolarizabilitySpec("local", 3, 2, 0.5, (0.1, 0.2, 0.3)),
            charges=ChargesSpec(()),
        ),
        total_charge=-1.0,
        name="methanol",
        description="α, Å and 日本",
        licence="CC-BY-4.0",
        citation="doi:10.0/x",
        provenance={"frames": 800, "errors": {"forces": 0.012}, "split": [1, 2, None]},
    )
    path = save_model(AtomisticPotential(spec), tmp_path / "m.safetensors")
    expected = dataclasses.replace(spec, code_version=__version__)
    assert read_model_spec(path) == expected
    assert load_model(path).spec == expected
    assert header_of(path)["units"]["energy"] == "eV"
    references = load_model(path).heads["energy"].references.values
    assert references.tolist() == list(spec.heads.energy.reference_energies)


def test_a_model_can_be_read_in_another_precision(path: Path) -> None:
    assert load_model(path, dtype=torch.float64).dtype == torch.float64


def test_loading_does_not_depend_on_the_callers_defaults(path: Path) -> None:
    expected = PaiNNCalculator(load_model(path)).get_potential_energy(random_atoms(4))
    torch.set_default_dtype(torch.float64)
    try:
        loaded = load_model(path)
        assert loaded.dtype == torch.float32
        assert PaiNNCalculator(loaded).get_potential_energy(random_atoms(4)) == expected
    finally:
        torch.set_default_dtype(torch.float32)


def test_bundled_models_load_by_name() -> None:
    for name, path in bundled_models().items():
        assert read_model_spec(name) == read_model_spec(path)


def test_a_file_that_begins_like_a_pickle_by_accident_is_read(tmp_path) -> None:
    """The first bytes are the header's length; 65,664 of them look like pickle protocol 1."""
    potential, path = random_potential(8, 1, 4), tmp_path / "m.safetensors"

    def save(n_characters: int) -> int:
        note = {"note": "x" * n_characters}
        save_model(AtomisticPotential(dataclasses.replace(potential.spec, provenance=note)), path)
        return struct.unpack("<Q", path.read_bytes()[:8])[0]

    save(60_000 + (65_536 + 128 - save(60_000)))
    start = path.read_bytes()[:2]
    assert start == b"\x80\x00"
    assert load_model(path).spec.provenance["note"].startswith("xxx")


def test_a_file_of_the_first_schema_gives_what_it_gave_then() -> None:
    """Written by 0.1.0, with the numbers that 0.1.0 computed from it in float64."""
    data = Path(__file__).parent / "data"
    spec = read_model_spec(data / "schema_1.safetensors")
    assert header_of(data / "schema_1.safetensors")["schema_version"] == 1
    assert (spec.representation.kind, spec.representation.shared_filters) == ("painn", True)
    potential = load_model(data / "schema_1.safetensors")
    now = compute_properties(PaiNNCalculator(potential, device="cpu"), random_atoms(4))
    for name, then in json.loads((data / "schema_1.json").read_text()).items():
        np.testing.assert_allclose(now[name], then, rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_damaged_file_of_the_first_schema_is_still_noticed(tmp_path) -> None:
    path = tmp_path / "m.safetensors"
    data = bytearray((Path(__file__).parent / "data" / "schema_1.safetensors").read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="do not have the checksum"):
        load_model(path)


# -- writing ---------------------------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_file_and_no_litter(path: Path) -> None:
    before = path.read_bytes()
    broken = random_potential(8, 2, 6, 4.0, heads=HEADS)
    broken.representation.embedding.weight[0, 0] = float("nan")
    with pytest.raises(ModelFileError, match=r"representation\.embedding\.weight hold NaN"):
        save_model(broken, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    with pytest.raises(ModelFileError, match="could not write the model to"):
        save_model(random_potential(8, 1, 4), tmp_path / "missing" / "m.safetensors")


# -- reading what is not a whole model of ours ---------------------------------------------------


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("/tmp/painn_ase_was_here",))


def foreign(kind: str) -> bytes:
    if kind.startswith("pickle"):
        return pickle.dumps(Evil(), protocol=int(kind[-1]))
    if kind == "torch.save":
        buffer = io.BytesIO()
        torch.save({"a": torch.zeros(3)}, buffer)
        return buffer.getvalue()
    if kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("x", "y")
        return buffer.getvalue()
    return {
        "empty": b"",
        "a byte": b"\x80",
        "text": b"energy = -76.4 Hartree\n" * 10,
        "zeros": bytes(100),
        "json": b'{"model": 1}' * 3,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pickle 2", "is a pickle, .*can run code when loaded.*convert schnetpack"),
        ("pickle 5", "is a pickle"),
        ("torch.save", "is a zip archive, as torch.save writes it"),
        ("zip", "is a zip archive"),
        ("pickle 0", "not a safetensors file"),
        ("empty", r"not a safetensors file \(0 bytes\)"),
        ("a byte", "not a safetensors file"),
        ("text", "not a safetensors file"),
        ("zeros", "not a safetensors file"),
        ("json", "not a safetensors file"),
    ],
)
def test_a_foreign_file_is_named_for_what_it_is_and_not_opened(tmp_path, kind, message) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(foreign(kind))
    for read in (load_model, read_model_spec, PaiNNCalculator):
        with pytest.raises(ModelFileError, match=message):
            read(path)
    assert not Path("/tmp/painn_ase_was_here").exists()


def test_a_missing_file_and_a_folder_are_refused(tmp_path) -> None:
    for path in (tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(ModelFileError, match="there is no model file"):
            load_model(path)


def test_safetensors_of_somebody_else_are_refused(tmp_path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(serialize({"w": torch.zeros(3)}, metadata={"format": "pt"}))
    with pytest.raises(
        ModelFileError, match=r"not a model of painn_ase: .* no 'painn_ase' .*format"
    ):
        load_model(path)


@pytest.mark.parametrize("part", [0.0005, 0.01, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_refused(path: Path, part: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ModelFileError, match=r"truncated or damaged|not a safetensors file"):
        load_model(path)


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1), value=st.integers(0, 255))
def test_one_damaged_byte_gives_a_model_or_an_error_of_ours(tmp_path_factory, place, value) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = save_model(random_potential(4, 1, 2, 4.0), folder / "m.safetensors")
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] = value
    path.write_bytes(data)
    with contextlib.suppress(ModelFileError):
        load_model(path)


def _set(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(header: dict) -> None:
        for key in keys:
            header = header[key]
        header[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("schema_version", 99), r"written with schema 99, this painn_ase .* Upgrade"),
        (_set("schema_version", 0), "positive integer; got 0"),
        (_set("schema_version", "1"), "positive integer; got '1'"),
        (_set("surprise", 1), r"unknown key\(s\) surprise"),
        (_set("units", "energy", "kcal/mol"), "units must be .*kcal/mol"),
        (_set("model", "colour", "red"), r"model: unknown key\(s\) 'colour'; allowed are elements"),
        (_set("model", "representation", "n_feature", 8), r"model\.representation: unknown key"),
        (_set("model", "representation", "kind", "gnn"), r"kind: 'gnn' is not one of 'painn'"),
        (_set("model", "representation", {}), r"representation: missing key 'kind'"),
        (_set("model", "heads", "magic", {}), r"model\.heads: unknown key\(s\) 'magic'"),
        (_set("model", "representation", "radial_basis", "sinc"), "'sinc' is not one of 'bessel'"),
        (_set("model", "representation", "cutoff", "5"), "cutoff: '5' is not of type float"),
        (_set("model", "representation", "cutoff", float("nan")), "nan is not a finite number"),
        (_set("model", "representation", "cutoff", -5.0), "cutoff must be a positive length"),
        (_set("model", "representation", "n_rbf", True), "True is not of type int"),
        (_set("model", "representation", "n_rbf", 6.0), "6.0 is not of type int"),
        (_set("model", "elements", []), "elements must name at least one"),
        (_set("model", "elements", [8, 1]), "elements must ascend"),
        (_set("model", "elements", [0, 1]), "atomic numbers 1..118"),
        (_set("model", "heads", {}), "at least one head"),
        (_set("model", "heads", "dipole", "rank", 0), "rank must be at least 1"),
        (_set("model", "heads", "energy", "n_hidden", [0]), "n_hidden needs widths"),
        (_set("model", 3), "expected an object with keys, got int"),
        (lambda h: [1], "expected a JSON object"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_with_the_place(path: Path, change, message) -> None:
    rewrite(path, change)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_a_header_that_is_no_json_is_refused(path: Path) -> None:
    for text in ("{", "[" * 100_000, ""):
        path.write_bytes(serialize({"w": torch.zeros(1)}, metadata={"painn_ase": text}))
        with pytest.raises(ModelFileError, match="header is damaged or foreign"):
            load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        _set("model", "representation", "n_features", 10**6),
        _set("model", "representation", "n_features", 10**12),
        _set("model", "representation", "n_features", 10**30),
        _set("model", "representation", "n_rbf", 10**15),
        _set("model", "representation", "n_interactions", 10**9),
        _set("model", "representation", "filter_hidden", [10**9] * 3),
        _set("model", "heads", "dipole", "n_hidden", 10**10),
        _set("model", "heads", "polarizability", "n_hidden", 10**10),
        _set("model", "heads", "energy", "n_hidden", [10**12]),
        _set("model", "heads", "energy", "n_hidden", [1] * 10**5),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_a_header_that_claims_gigantic_sizes_allocates_nothing(path: Path, change, shared) -> None:
    def both(header: dict) -> None:
        change(header)
        header["model"]["representation"]["shared_interactions"] = shared

    rewrite(path, both)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelFileError):
        load_model(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kB


def test_a_length_of_the_header_beyond_the_file_allocates_nothing(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[:8] = struct.pack("<Q", 2**60)
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="header claims 1152921504606846976 bytes"):
        load_model(path)


@pytest.mark.parametrize("what", ["missing", "unexpected", "shape"])
def test_weights_that_do_not_fit_the_header_are_named(path: Path, what: str) -> None:
    weights = deserialize(path.read_bytes())
    name = "representation.embedding.weight"
    if what == "missing":
        weights.pop(name)
    elif what == "unexpected":
        weights["extra"] = torch.zeros(2)
    else:
        weights[name] = torch.zeros(4, 9)
    message = {
        "missing": r"missing representation\.embedding\.weight \(4, 8\)",
        "unexpected": r"unexpected extra \(2,\)",
        "shape": r"has shape \(4, 9\), the header describes \(4, 8\)",
    }[what]
    rewrite(path, weights=weights)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(path: Path, value: float) -> None:
    weights = deserialize(path.read_bytes())
    weights["heads.energy.mlp.0.bias"][1] = value
    rewrite(path, weights=weights)
    with pytest.raises(ModelFileError, match=r"heads\.energy\.mlp\.0\.bias hold NaN or infinity"):
        load_model(path)


def test_weights_of_mixed_or_foreign_precision_are_refused(path: Path) -> None:
    weights = deserialize(path.read_bytes())
    mixed = {k: v.double() if k.endswith("bias") else v for k, v in weights.items()}
    rewrite(path, weights=mixed)
    with pytest.raises(
        ModelFileError, match=r"all be float32 \(F32\) or all float64 \(F64\); found F32, F64"
    ):
        load_model(path)
    rewrite(path, weights={k: v.half() for k, v in weights.items()})
    with pytest.raises(ModelFileError, match="found F16"):
        load_model(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = save_model(random_potential(16, 1), tmp_path / "model.safetensors")
    data = bytearray(path.read_bytes())
    data[-3] ^= 1  # the last bits of the last weight: still a finite number
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="damaged.*checksum"):
        load_model(path)


def test_a_changed_number_in_the_header_is_noticed(tmp_path: Path) -> None:
    path = save_model(random_potential(16, 1), tmp_path / "model.safetensors")
    data = path.read_bytes()
    assert data.count(b'cutoff\\": 5.0') == 1
    path.write_bytes(data.replace(b'cutoff\\": 5.0', b'cutoff\\": 4.0'))
    with pytest.raises(ModelFileError, match="damaged.*checksum"):
        load_model(path)
