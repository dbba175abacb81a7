"""Damaged files and impossible structures: errors of this package, or the right numbers."""

from __future__ import annotations

import pytest
from corpus import TARGETS
from fuzz_files import fuzz as fuzz_files
from fuzz_geometry import fuzz as fuzz_geometry


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_end_in_errors_of_ours(name: str) -> None:
    report = fuzz_files(name, 60, first=10_000_000)
    assert report.count == 60
    assert not report.faults, report.faults[:3]


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
