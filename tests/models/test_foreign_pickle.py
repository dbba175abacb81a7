"""Reading files of torch.save: nothing in them is run, nothing they claim is believed."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from schnetpack_files import LookAlikes, reference_weights
from torch import nn

from painn_ase.errors import ModelFileError
from painn_ase.models.schnetpack import load_schnetpack
from painn_ase.models.schnetpack.foreign_pickle import rebuild_pickle
from painn_ase.models.schnetpack.foreign_records import ForeignObject, ForeignTensor
from painn_ase.models.schnetpack.torch_archive import read_torch_file

UNITS: dict[str, Any] = {
    "energy_unit": 1.0,
    "length_unit": 1.0,
    "dipole_unit": 1.0,
    "polarizability_unit": 1.0,
    "elements": (1, 6, 8),
}


class NoStorages:
    def read_storage(self, key: str, n_bytes: int) -> bytes:
        raise ModelFileError(f"no storage {key!r}")


def archive(path: Path, description: bytes, **storages: bytes) -> Path:
    """A file as torch.save lays it out, with any description."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", description)
        for key, data in storages.items():
            file.writestr(f"archive/data/{key.removeprefix('k')}", data)
        file.writestr("archive/version", b"3\n")
    return path


def text(value: str) -> bytes:
    """Instruction that pushes a string."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


# -- payloads --------------------------------------------------------------------------------------


@pytest.fixture
def footprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists as soon as a payload has run; every way to run one is watched too."""
    mark = tmp_path / "payload-has-run"

    def caught(*arguments: Any, **options: Any) -> None:
        mark.write_text(repr(arguments))

    for module, name in ((os, "system"), (os, "popen"), (subprocess, "Popen"), (builtins, "eval")):
        monkeypatch.setattr(module, name, caught)
    return mark


def payloads(mark: Path) -> dict[str, tuple[bytes, str]]:
    """Descriptions that run code in Python's own reader, and the name each must be refused by."""
    shell = f"touch {mark}"
    code = f"open({str(mark)!r},'w').close()"
    one = text(shell) + b"\x85"
    return {
        "REDUCE of os.system": (b"\x80\x02cos\nsystem\n" + one + b"R.", r"os\.system"),
        "REDUCE of posix.system": (b"\x80\x02cposix\nsystem\n" + one + b"R.", r"posix\.system"),
        "REDUCE of builtins.eval": (
            b"\x80\x02cbuiltins\neval\n" + text(code) + b"\x85R.",
            r"builtins\.eval",
        ),
        "REDUCE of __builtin__.eval": (
            b"\x80\x02c__builtin__\neval\n" + text(code) + b"\x85R.",
            r"builtins\.eval",
        ),
        "REDUCE of builtins.exec": (
            b"\x80\x02cbuiltins\nexec\n" + text(code) + b"\x85R.",
            r"builtins\.exec",
        ),
        "chain of getattr": (
            b"\x80\x02cbuiltins\ngetattr\n" + b"cos\n__name__\n" + text("system") + b"\x86R.",
            r"builtins\.getattr",
        ),
        "STACK_GLOBAL": (
            b"\x80\x04" + text("os") + text("system") + b"\x93" + one + b"R.",
            r"os\.system",
        ),
        "STACK_GLOBAL with a dotted name": (
            b"\x80\x04" + text("torch.nn.functional") + text("os.system") + b"\x93" + one + b"R.",
            r"os\.system",
        ),
        "INST": (b"\x80\x02(" + text(shell) + b"ios\nsystem\n.", "INST"),
        "OBJ": (b"\x80\x02(cos\nsystem\n" + text(shell) + b"o.", r"os\.system"),
        "OBJ of a class of ours": (
            b"\x80\x02(cschnetpack.nn.base\nDense\n" + text(shell) + b"o.",
            "OBJ",
        ),
        "NEWOBJ": (
            b"\x80\x02csubprocess\nPopen\n" + one + b"\x81.",
            r"subprocess\.Popen",
        ),
        "NEWOBJ_EX": (
            b"\x80\x04" + text("subprocess") + text("Popen") + b"\x93" + one + b"}\x92.",
            r"subprocess\.Popen",
        ),
        "extension registry": (b"\x80\x02\x82\x01" + one + b"R.", "EXT1"),
        "extension registry, 4 bytes": (b"\x80\x02\x84\x01\x00\x00\x00" + one + b"R.", "EXT4"),
        "persistent id, text": (b"\x80\x02Pos.system\n.", "PERSID"),
        "persistent id, foreign": (
            b"\x80\x02" + text("module") + text("os") + b"\x86Q.",
            "no storage of numbers",
        ),
        "a function of torch": (
            b"\x80\x02ctorch.hub\nload\n" + one + b"R.",
            r"torch\.hub\.load",
        ),
        "torch.load inside": (
            b"\x80\x02ctorch.serialization\nload\n" + one + b"R.",
            r"torch\.serialization\.load",
        ),
        "an activation that is called": (
            b"\x80\x02ctorch.nn.functional\nsilu\n" + one + b"R.",
            r"torch\.nn\.functional\.silu",
        ),
        "a module that is called": (
            b"\x80\x02cschnetpack.utils\nload_model\n" + one + b"R.",
            r"schnetpack\.utils\.load_model",
        ),
        "a module constructed with arguments": (
            b"\x80\x02cschnetpack.nn.base\nDense\n" + one + b"\x81.",
            "gives schnetpack.nn.base.Dense arguments",
        ),
        "attributes set on a function": (
            b"\x80\x02ctorch.nn.functional\nsilu\n}" + text("__code__") + b"K\x01sb.",
            r"sets attributes of torch\.nn\.functional\.silu",
        ),
        "attributes set twice": (
            b"\x80\x02cschnetpack.nn.base\nDense\n)\x81}b}b.",
            r"state of schnetpack\.nn\.base\.Dense",
        ),
        "__setstate__ with slots": (
            b"\x80\x02cschnetpack.nn.base\nDense\n)\x81N}\x86b.",
            r"state of schnetpack\.nn\.base\.Dense",
        ),
        "a name that was memoized": (
            b"\x80\x02cos\nsystem\nq\x000" + b"h\x00" + one + b"R.",
            r"os\.system",
        ),
        "a name that is only mentioned": (b"\x80\x02cos\nsystem\n.", r"os\.system"),
    }


@pytest.mark.parametrize("case", sorted(payloads(Path("nowhere"))))
def test_a_payload_is_refused_by_name_and_does_not_run(
    tmp_path: Path, footprint: Path, case: str
) -> None:
    description, name = payloads(footprint)[case]
    with pytest.raises(ModelFileError, match=name) as refusal:
        read_torch_file(archive(tmp_path / "evil.model", description))
    assert "Nothing from the file was executed" in str(refusal.value)
    assert not footprint.exists()


@pytest.mark.parametrize(
    "case", ["REDUCE of os.system", "REDUCE of builtins.eval", "STACK_GLOBAL", "INST", "OBJ"]
)
def test_the_payloads_are_real(footprint: Path, case: str) -> None:
    # Python's own reader runs them: what the tests above show is not that they are harmless.
    pickle.loads(payloads(footprint)[case][0])
    assert footprint.exists()


class Payload:
    """An object that pickles as a call, as in files found in the wild."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_payload_hidden_in_a_whole_model_is_refused(
    tmp_path: Path, reference: Path, protocol: int
) -> None:
    mark = tmp_path / "payload-has-run"
    alike = LookAlikes()
    model = alike.potential(reference_weights(reference))
    model.representation.mixing[1].note = Payload(os.system, f"touch {mark}")
    path = alike.save(model, tmp_path / "best_model", pickle_protocol=protocol)
    with pytest.raises(ModelFileError, match=r"(posix|nt)\.system.*Nothing .* was executed"):
        load_schnetpack(path, **UNITS)
    assert not mark.exists()


def test_reading_imports_nothing_that_the_file_names(tmp_path: Path, reference: Path) -> None:
    alike = LookAlikes()
    path = alike.save(alike.potential(reference_weights(reference)), tmp_path / "best_model")
    before = set(sys.modules)
    load_schnetpack(path, **UNITS)
    assert not {name for name in set(sys.modules) - before if name.startswith("schnetpack.")}


# -- what is read ----------------------------------------------------------------------------------


def test_tensors_come_back_bit_by_bit(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "strided": base[1:, ::2],
        "transposed": base.T,
        "parameter": nn.Parameter(torch.randn(3)),
        "double": torch.randn(2, dtype=torch.float64),
        "bfloat16": torch.randn(5).bfloat16(),
        "int": torch.tensor([-1, 2**40]),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
    }
    torch.save(OrderedDict(tensors), tmp_path / "tensors.pt")
    content = read_torch_file(tmp_path / "tensors.pt").content
    assert isinstance(content, dict)
    for name, expected in tensors.items():
        record = content[name]
        assert isinstance(record, ForeignTensor)
        assert record.to_torch().dtype == expected.dtype
        assert torch.equal(record.to_torch(), expected)


def test_a_module_is_its_class_name_and_its_state(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3), tmp_path / "linear.pt")
    record = read_torch_file(tmp_path / "linear.pt").content
    assert isinstance(record, ForeignObject)
    assert record.type_name == "torch.nn.modules.linear.Linear"
    assert record.get("in_features") == 2
    assert record.get("weight").to_torch().shape == (3, 2)


# -- files that are not what they claim ------------------------------------------------------------

STORAGE = text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")


def tensor(n_elements: bytes, offset: bytes, shape: bytes, strides: bytes) -> bytes:
    """Description of one tensor."""
    storage = b"(" + STORAGE + n_elements + b"tQ"
    arguments = storage + offset + shape + strides + b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR."


TEN_TB = b"\x8a\x06" + (10**13 // 4).to_bytes(6, "little")
FOUR, ONE, ZERO = b"K\x04", b"K\x01", b"K\x00"


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (tensor(TEN_TB, ZERO, FOUR + b"\x85", ONE + b"\x85"), "should have 10000000000000 bytes"),
        (tensor(FOUR, ZERO, TEN_TB + b"\x85", ZERO + b"\x85"), "claims shape"),
        (tensor(FOUR, ZERO, FOUR + b"\x85", b"K\x02\x85"), "claims shape"),
        (tensor(FOUR, ONE, FOUR + b"\x85", ONE + b"\x85"), "claims shape"),
        (tensor(FOUR, b"J\xff\xff\xff\xff", FOUR + b"\x85", ONE + b"\x85"), "begins at -1"),
        (tensor(FOUR, ZERO, b"J\xff\xff\xff\xff\x85", ONE + b"\x85"), "no count"),
        (tensor(FOUR, ZERO, FOUR + b"\x85", ONE + ONE + b"\x86"), "1 dimensions and 2 strides"),
        (tensor(b"K\x05", ZERO, FOUR + b"\x85", ONE + b"\x85"), "should have 20 bytes"),
        (tensor(b"\x88", ZERO, FOUR + b"\x85", ONE + b"\x85"), "True elements"),
    ],
)
def test_tensors_that_claim_more_than_there_is_are_refused(
    tmp_path: Path, description: bytes, reason: str
) -> None:
    path = archive(tmp_path / "liar.model", description, k0=bytes(16))
    with pytest.raises(ModelFileError, match=reason):
        read_torch_file(path)


@pytest.mark.parametrize("key", ["../../../etc/passwd", "/etc/passwd", "..\\x", "", "0/../1"])
def test_storage_keys_never_leave_the_archive(tmp_path: Path, key: str) -> None:
    honest = tensor(FOUR, ZERO, FOUR + b"\x85", ONE + b"\x85")
    path = archive(tmp_path / "m", honest.replace(text("0"), text(key)), k0=bytes(16))
    with pytest.raises(ModelFileError, match="is missing"):
        read_torch_file(path)


def zipped(path: Path, members: list[tuple[str, bytes]], compression: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


PLAIN = b"\x80\x02N."


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("a/version", b"3")], "0 descriptions"),
        ([("a/data.pkl", PLAIN), ("b/data.pkl", PLAIN)], "2 descriptions"),
        ([("a/data.pkl", PLAIN), ("a/data.pkl", PLAIN)], "same name"),
        ([("a/data.pkl", PLAIN), ("a/byteorder", b"big")], "little-endian"),
        ([("a/data.pkl", PLAIN), ("a/code/x.py", b"")], "TorchScript"),
        ([("a/data.pkl", b"")], "damaged"),
        ([("a/data.pkl", b"\x80\x02" + b"N" * (9 << 20))], "not a model file"),
        ([("../data.pkl", PLAIN), ("x/../data.pkl", PLAIN)], "importable|not|description|is None"),
    ],
)
def test_archives_that_torch_never_writes_are_refused(
    tmp_path: Path, members: list[tuple[str, bytes]], reason: str
) -> None:
    with pytest.raises(ModelFileError, match=reason):
        load_schnetpack(zipped(tmp_path / "odd.model", members), **UNITS)


def test_a_torchscript_archive_is_named(tmp_path: Path) -> None:
    members = [("a/data.pkl", PLAIN), ("a/code/__torch__.py", b"def forward(self):\n" * 9)]
    with pytest.raises(ModelFileError, match="TorchScript"):
        read_torch_file(zipped(tmp_path / "deployed", members, zipfile.ZIP_DEFLATED))


def test_a_zip_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    members = [("a/data.pkl", PLAIN), ("a/data/0", bytes(64 << 20))]
    path = zipped(tmp_path / "bomb.model", members, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelFileError, match="compressed"):
        read_torch_file(path)


def legacy() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": 1}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def oldest() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (legacy(), r"before version 1\.6"),
        (oldest(), r"before version 1\.6"),
        (b"", "empty"),
        (b"not a model at all", "not a zip"),
        (pickle.dumps({"a": 1}), "not a zip"),
        (b"PK\x03\x04", "truncated or damaged"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "not a zip"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "file.model"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=reason) as refusal:
        load_schnetpack(path, **UNITS)
    assert str(path) in str(refusal.value)


def test_a_lightning_checkpoint_is_named_whatever_classes_it_holds(tmp_path: Path) -> None:
    checkpoint = {"pytorch-lightning_version": "2.5.0", "hyper_parameters": Payload(os.getcwd)}
    torch.save(checkpoint, tmp_path / "last.ckpt")
    with pytest.raises(ModelFileError, match=r"checkpoint of Lightning.*best_model"):
        load_schnetpack(tmp_path / "last.ckpt", **UNITS)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        read_torch_file(tmp_path / "absent.model")
    with pytest.raises(ModelFileError, match="not a file"):
        read_torch_file(tmp_path)
    with pytest.raises(ModelFileError, match="cannot read"):
        read_torch_file("null\0byte")
    os.mkfifo(tmp_path / "pipe")  # reading one would wait for ever
    with pytest.raises(ModelFileError, match="not a file"):
        read_torch_file(tmp_path / "pipe")


@pytest.mark.parametrize(
    "description",
    [
        b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b".",
        b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        b"\x80\x02}q\x00h\x00h\x00s.",
        b"\x80\x02]q\x00h\x00a.",
    ],
    ids=["deep tuples", "deep lists", "dict in itself as key", "list in itself"],
)
def test_deep_and_endless_structures_do_no_harm(tmp_path: Path, description: bytes) -> None:
    with pytest.raises(ModelFileError):
        load_schnetpack(archive(tmp_path / "deep.model", description), **UNITS)


def test_keys_that_take_for_ever_to_hash_are_refused(tmp_path: Path) -> None:
    # 2^60 steps for anybody who hashes this tuple of tuples.
    nest = b"N\x85q\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(60))
    with pytest.raises(ModelFileError, match="as a key"):
        read_torch_file(archive(tmp_path / "m", b"\x80\x02" + nest + b"}h\x00Ns."))


# -- damage ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_file(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    alike = LookAlikes()
    small = {name: value.float() for name, value in reference_weights(reference).items()}
    path = alike.save(alike.potential(small), tmp_path_factory.mktemp("whole") / "best_model")
    load_schnetpack(path, **UNITS)
    return path.read_bytes()


def read_or_refuse(path: Path, data: bytes) -> bool:
    """Whether the file could be read; any error but ours escapes and fails the test."""
    path.write_bytes(data)
    try:
        load_schnetpack(path, **UNITS)
    except ModelFileError:
        return False
    return True


def test_a_file_cut_anywhere_is_refused(tmp_path: Path, whole_file: bytes) -> None:
    path = tmp_path / "cut.model"
    random.seed(1)
    lengths = [*range(0, 64), *random.sample(range(len(whole_file)), 300)]
    assert not any(read_or_refuse(path, whole_file[:n]) for n in lengths)


def test_a_file_with_flipped_bytes_is_read_or_refused_never_a_crash(
    tmp_path: Path, whole_file: bytes
) -> None:
    path = tmp_path / "flipped.model"
    chance = random.Random(2)
    for _ in range(400):
        data = bytearray(whole_file)
        for _ in range(chance.randint(1, 8)):
            # Structure sits at the front (description) and at the back (table of contents).
            place = chance.choice((chance.randrange(len(data)), -chance.randrange(1, 6000)))
            data[place] = chance.randrange(256)
        read_or_refuse(path, bytes(data))


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_a_mutated_description_is_read_or_refused_never_a_crash(
    tmp_path: Path, whole_file: bytes
) -> None:
    # Checksums made right again, so that the damage reaches the reader of the description.
    with zipfile.ZipFile(io.BytesIO(whole_file)) as file:
        members = [(name, file.read(name)) for name in file.namelist()]
    path, chance = tmp_path / "mutated.model", random.Random(3)
    for _ in range(300):
        mutated = bytearray(dict(members)["best_model/data.pkl"])
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(mutated))
            action = chance.randrange(3)
            if action == 0:
                mutated[place] = chance.randrange(256)
            elif action == 1:
                del mutated[place : place + chance.randint(1, 9)]
            else:
                mutated[place:place] = chance.choice(
                    (b"R", b"b", b"\x81", b"Q", b"0", b"(", b"h\x05")
                )
        changed = [(n, bytes(mutated) if n.endswith("data.pkl") else d) for n, d in members]
        read_or_refuse(path, zipped(path, changed).read_bytes())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_description_are_read_or_refused(data: bytes) -> None:
    for description in (data, b"\x80\x02" + data + b"."):
        try:
            rebuild_pickle(description, NoStorages())
        except ModelFileError:
            continue


_PIECES = [
    *(b")", b"]", b"}", b"(", b"t", b"\x85", b"\x86", b"\x87", b"N", b"\x88", b"K\x01", b"a", b"e"),
    *(
        b"s",
        b"u",
        b"R",
        b"b",
        b"\x81",
        b"Q",
        b"q\x00",
        b"h\x00",
        b"\x94",
        b"\x8f",
        b"\x90",
        b"\x93",
    ),
    *(text("schnetpack.nn.base"), text("Dense"), text("storage"), text("0"), STORAGE),
    *(b"cschnetpack.nn.base\nDense\n", b"ccollections\nOrderedDict\n", b"c__builtin__\nset\n"),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n"),
    *(b"ctorch\nFloatStorage\n", b"ctorch\nSize\n", b"ctorch\ndevice\n", b"ctorch\nfloat32\n"),
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=40))
def test_any_order_of_known_instructions_is_read_or_refused(pieces: list[bytes]) -> None:
    with contextlib.suppress(ModelFileError):
        rebuild_pickle(b"\x80\x02" + b"".join(pieces) + b".", NoStorages())
