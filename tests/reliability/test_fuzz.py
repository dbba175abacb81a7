"""Damaged files and impossible structures: errors of this package, or the right numbers."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from corpus import TARGETS, Target
from fuzz_files import fuzz as fuzz_files
from fuzz_geometry import fuzz as fuzz_geometry
from hypothesis import given, settings
from hypothesis import strategies as st

from painn_ase.errors import DataError, PaiNNError
from painn_ase.training.readers import read_frames


@dataclass(frozen=True)
class Reader:
    """A reader, its sound files, and where to put what it reads."""

    target: Target
    sources: list[bytes]
    path: Path


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_end_in_errors_of_ours(name: str) -> None:
    report = fuzz_files(name, 60, first=10_000_000)
    assert report.count == 60
    assert not report.faults, report.faults[:3]


@pytest.mark.parametrize("name", TARGETS)
def test_the_sound_files_are_read(name: str, tmp_path: Path) -> None:
    """Damage to what is refused for another reason would show nothing."""
    target = TARGETS[name]
    read = 0
    for path in target.make(tmp_path):
        with contextlib.suppress(PaiNNError):
            target.read(path)
            read += 1
    assert read


@pytest.fixture(scope="module", params=TARGETS)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A reader with its sound files."""
    target = TARGETS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    sources = [path.read_bytes() for path in target.make(folder)]
    return Reader(target, sources, folder / f"case{target.suffix}")


@settings(max_examples=25, deadline=None, derandomize=True)  # a hang would be no report
@given(data=st.data())
def test_any_bytes_behind_a_sound_beginning_are_read_or_refused(
    reader: Reader, data: st.DataObject
) -> None:
    source = data.draw(st.sampled_from(reader.sources))
    keep = data.draw(st.integers(0, len(source)))
    middle = data.draw(st.binary(max_size=200) | st.text(max_size=60).map(str.encode))
    rest = data.draw(st.sampled_from([b"", source[keep:], source[keep + len(middle) :]]))
    reader.path.write_bytes(source[:keep] + middle + rest)
    with contextlib.suppress(PaiNNError):
        reader.target.read(reader.path)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_many_damaged_files_end_in_errors_of_ours(name: str) -> None:
    report = fuzz_files(name, 5000, first=20_000_000)
    assert not report.faults, report.faults[:3]


def test_any_structure_gives_the_brute_force_numbers_or_is_refused() -> None:
    report = fuzz_geometry(60, first=1_000_000)
    assert not report.faults, report.faults[:3]


@pytest.mark.slow
def test_many_structures_give_the_brute_force_numbers_or_are_refused() -> None:
    report = fuzz_geometry(2000, first=2_000_000)
    assert not report.faults, report.faults[:3]


def test_positions_in_one_dimension_are_refused(tmp_path: Path) -> None:
    """Found by the fuzzer: an escaped ValueError of ASE."""
    np.savez(tmp_path / "a.npz", R=np.zeros((2, 3, 1)), z=[8, 1, 1], E=np.zeros(2))
    with pytest.raises(DataError, match="needs positions"):
        read_frames(tmp_path / "a.npz")


def _naive(read: Callable[[bytes], object], bad: bytes) -> Target:
    """A reader that means no good, met with the same bad file each time."""

    def make(folder: Path) -> list[Path]:
        (folder / "sound.bin").write_bytes(b"sound")
        return [folder / "sound.bin"]

    def guarded(path: Path) -> object:
        data = path.read_bytes()
        return None if data == b"sound" else read(data)

    return Target(".bin", make, lambda data, rng: bad, guarded)


class _Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (pickle.loads, "FORBIDDEN"),
        (lambda data: os.abort(), "CRASH"),
        (lambda data: {}[data], "ESCAPED: KeyError"),
        (lambda data: bytes(1 << 40), "ESCAPED: MemoryError"),
    ],
)
def test_the_fuzzer_notices_what_it_is_there_to_notice(
    read: Callable[[bytes], object], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, "naive", _naive(read, pickle.dumps(_Payload())))
    report = fuzz_files("naive", 2)
    assert [fault["kind"].startswith(kind) for fault in report.faults] == [True, True]
